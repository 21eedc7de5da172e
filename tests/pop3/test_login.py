from __future__ import annotations

import base64
import logging

import pytest

from postroom.accounts.authority import Outcome
from postroom.net.conversation import Kind
from postroom.net.limits import LOGIN_OCTETS, LOGINS_PER_SESSION, PASSWORD_OCTETS, POP3_AUTH_LINE_OCTETS
from postroom.store.interface import StoreFault
from tests.pop3.post import ALICE, BOB, LETTER, LOGIN, Post
from tests.talk import talk


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


PLAIN = b64(f"\0{ALICE}\0hunter2")


# --- USER and PASS


def test_user_and_pass_open_the_maildrop(post: Post) -> None:
    post.shelf.put(LETTER)
    talk(post.handler, LOGIN + "C: STAT\nS: +OK 1 *")
    assert post.guard.attempts[0].peer == "127.0.0.1"
    assert post.guard.attempts[0].protocol == "pop3"


def test_a_password_keeps_its_spaces(post: Post) -> None:
    talk(post.handler, f"S: +OK *\nC: user {BOB}\nS: +OK *\nC< pass  two words \\r\\n\nS: +OK *")


def test_user_never_tells_who_exists(post: Post) -> None:
    names = talk(
        post.handler,
        f"""
        S: +OK *
        C: USER {ALICE}
        S: {{answer}}
        C: USER nobody@example.test
        S: {{answer}}
        C: PASS hunter2
        S: {{denied}}
        C: USER {ALICE}
        S: {{answer}}
        C: PASS wrong
        S: {{denied}}
        """,
    ).names
    assert names["answer"].startswith("+OK")
    assert names["denied"].startswith("-ERR [AUTH] ")


def test_a_blocked_network_hears_what_a_wrong_password_hears(post: Post) -> None:
    wrong = f"S: +OK *\nC: USER {ALICE}\nS: +OK *\nC: PASS wrong\nS: {{denied}}"
    denied = talk(post.handler, wrong).names["denied"]
    post.guard.outcome = Outcome.BLOCKED
    assert talk(post.handler, wrong).names["denied"] == denied


def test_a_silent_authority_is_no_wrong_password(post: Post) -> None:
    post.guard.outcome = Outcome.UNAVAILABLE
    again = f"C: USER {ALICE}\nS: +OK *\nC: PASS hunter2\nS: -ERR [SYS/TEMP] *\n"
    talk(post.handler, "S: +OK *\n" + again * 30)


def test_pass_needs_a_user_before_it(post: Post) -> None:
    talk(
        post.handler,
        f"""
        S: +OK *
        C: PASS hunter2
        S: -ERR Send USER first
        C: USER {ALICE}
        S: +OK *
        C: PASS wrong
        S: -ERR [AUTH] *
        C: PASS hunter2
        S: -ERR Send USER first
        """,
    )
    assert len(post.guard.attempts) == 1


@pytest.mark.parametrize(
    ("name", "password"),
    [("x" * (LOGIN_OCTETS - 30), "x"), (ALICE, "x" * 240), ("\N{CYRILLIC SMALL LETTER A}@example.test", "\xff")],
)
def test_odd_names_and_passwords_are_just_wrong(post: Post, name: str, password: str) -> None:
    talk(post.handler, f"S: +OK *\nC: USER {name}\nS: +OK *\nC: PASS {password}\nS: -ERR [AUTH] *")


def test_a_name_that_is_no_text_is_refused(post: Post) -> None:
    talk(post.handler, "S: +OK *\nC< USER \\xff\\r\\n\nS: +OK *\nC: PASS x\nS: -ERR *")
    assert post.guard.attempts == []


def test_too_many_wrong_passwords_end_the_session(post: Post) -> None:
    wrong = f"C: USER {ALICE}\nS: +OK *\nC: PASS wrong\nS: -ERR [AUTH] *\n"
    talk(post.handler, "S: +OK *\n" + wrong * LOGINS_PER_SESSION + "S! end")
    good = f"C: USER {ALICE}\nS: +OK *\nC: PASS hunter2\nS: +OK *\n"
    talk(post.handler, "S: +OK *\n" + wrong * (LOGINS_PER_SESSION - 1) + good)


def test_nobody_logs_in_twice(post: Post) -> None:
    talk(
        post.handler,
        LOGIN
        + """
        C: USER bob@example.test
        S: -ERR Already logged in
        C: PASS x
        S: -ERR Already logged in
        C: AUTH PLAIN
        S: -ERR Already logged in
        C: STLS
        S: -ERR Already logged in
        """,
    )


# --- in clear


@pytest.mark.parametrize("command", [f"USER {ALICE}", "PASS hunter2", "AUTH PLAIN", f"AUTH PLAIN {PLAIN}"])
def test_no_login_is_done_in_clear(strict: Post, command: str) -> None:
    talk(strict.handler, f"S: +OK *\nC: {command}\nS: -ERR [AUTH] *")
    assert strict.guard.attempts == []


# --- AUTH


def test_auth_plain_with_and_without_an_initial_response(post: Post) -> None:
    talk(post.handler, f"S: +OK *\nC: AUTH PLAIN {PLAIN}\nS: +OK *\nC: NOOP\nS: +OK *")
    talk(post.handler, f"S: +OK *\nC: auth plain\nS< + \\r\\n\nC: {PLAIN}\nS: +OK *\nC: NOOP\nS: +OK *")


def test_auth_login_asks_for_name_and_password(post: Post) -> None:
    asked = f"S: + {b64('Username:')}\nC: {b64(ALICE)}\n"
    rest = f"S: + {b64('Password:')}\nC: {b64('hunter2')}\nS: +OK *\nC: NOOP\nS: +OK *"
    talk(post.handler, "S: +OK *\nC: AUTH LOGIN\n" + asked + rest)
    talk(post.handler, f"S: +OK *\nC: AUTH LOGIN {b64(ALICE)}\n" + rest)


@pytest.mark.parametrize(
    "answer",
    [
        "*",
        "",
        "=",
        "%%%",
        "AA",
        b64("no parts"),
        b64(f"\0{ALICE}\0"),
        b64(f"{BOB}\0{ALICE}\0hunter2"),
        b64(b"\0\xff\0x"),
    ],
)
def test_garbage_and_cancelling_are_refused_and_the_session_goes_on(post: Post, answer: str) -> None:
    talk(post.handler, f"S: +OK *\nC: AUTH PLAIN\nS: + *\nC: {answer}\nS: -ERR *\nC: USER x\nS: +OK *")
    assert post.guard.attempts == []


def test_an_answer_that_ends_in_a_bare_lf_is_refused(post: Post) -> None:
    talk(post.handler, f"S: +OK *\nC: AUTH PLAIN\nS: + *\nC< {PLAIN}\\n\nS: -ERR *")
    assert post.guard.attempts == []


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "SCRAM-SHA-256", "EXTERNAL", "X"])
def test_other_mechanisms_are_unknown(post: Post, mechanism: str) -> None:
    talk(post.handler, f"S: +OK *\nC: AUTH {mechanism}\nS: -ERR Unknown authentication mechanism")


def test_a_long_answer_is_taken_up_to_the_limit_and_its_tail_is_no_command(post: Post) -> None:
    fits = "A" * (POP3_AUTH_LINE_OCTETS - 2)
    talk(post.handler, f"S: +OK *\nC: AUTH PLAIN\nS: + *\nC: {fits}\nS: -ERR Malformed *")
    talk(
        post.handler,
        f"S: +OK *\nC: AUTH PLAIN\nS: + *\nC: {fits}A\nS: -ERR Line too long\nC: QUIT\nS: +OK *\nS! end",
    )


def test_a_long_password_passes_as_an_answer(post: Post) -> None:
    longest = b64(f"\0{ALICE}\0{'x' * PASSWORD_OCTETS}")
    talk(post.handler, f"S: +OK *\nC: AUTH PLAIN\nS: + *\nC: {longest}\nS: -ERR [AUTH] *")
    longer = b64(f"\0{ALICE}\0{'x' * (PASSWORD_OCTETS + 1)}")
    talk(post.handler, f"S: +OK *\nC: AUTH PLAIN\nS: + *\nC: {longer}\nS: -ERR Malformed *")


def test_wrong_passwords_by_auth_count_as_well(post: Post) -> None:
    wrong = f"C: AUTH PLAIN {b64(chr(0) + ALICE + chr(0) + 'wrong')}\nS: -ERR [AUTH] *\n"
    talk(post.handler, "S: +OK *\n" + wrong * LOGINS_PER_SESSION + "S! end")


# --- STLS


def test_after_stls_nothing_said_before_counts(strict: Post) -> None:
    talk(
        strict.handler,
        f"""
        S: +OK *
        C< STLS\\r\\nUSER {ALICE}\\r\\nPASS hunter2\\r\\n
        S: +OK *
        C! tls
        C: PASS hunter2
        S: -ERR Send USER first
        C: USER {ALICE}
        S: +OK *
        C: PASS hunter2
        S: +OK *
        """,
    )
    assert len(strict.guard.attempts) == 1


def test_a_user_said_in_clear_is_forgotten(post: Post) -> None:
    talk(post.handler, f"S: +OK *\nC: USER {ALICE}\nS: +OK *\nC: STLS\nS: +OK *\nC! tls\nC: PASS x\nS: -ERR Send *")


def test_stls_comes_once_and_only_where_there_is_a_certificate(post: Post) -> None:
    talk(post.handler, "S: +OK *\nC: STLS\nS: -ERR TLS is already on", tls=True)
    talk(Post(post.folder, tls=False).handler, "S: +OK *\nC: STLS\nS: -ERR TLS is not available")


# --- the maildrop


def test_one_session_at_a_time_has_the_maildrop(post: Post) -> None:
    other = f"C2: USER {ALICE}\nS2: +OK *\nC2: PASS hunter2\n"
    talk(
        post.handler,
        LOGIN
        + f"""
        S2: +OK *
        {other}
        S2: -ERR [IN-USE] *
        C2: STAT
        S2: -ERR Log in first
        C2: USER {BOB}
        S2: +OK *
        C2: PASS  two words{" "}
        S2: +OK *
        """
        + f"S3: +OK *\n{other.replace('C2', 'C3').replace('S2', 'S3')}S3: -ERR [IN-USE] *\n"
        + f"C: QUIT\nS: +OK *\nC3: AUTH PLAIN {PLAIN}\nS3: +OK *",
    )


@pytest.mark.parametrize("end", ["C! abort", "C! close", "S! part\nS: -ERR *\nS! end"])
def test_the_lock_ends_with_the_session_however_it_ends(post: Post, end: str) -> None:
    talk(post.handler, LOGIN + end)
    talk(post.handler, LOGIN)


def test_a_store_that_fails_is_no_wrong_password_and_leaves_nothing_locked(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    post.shelf.fault = StoreFault("the index is locked")
    talk(post.handler, f"S: +OK *\nC: AUTH PLAIN {PLAIN}\nS: -ERR [SYS/TEMP] *\nC: STAT\nS: -ERR Log in first")
    assert [record.levelno for record in caplog.records if "store-fault" in record.message] == [logging.ERROR]
    post.shelf.fault = None
    talk(post.handler, LOGIN)


def test_an_account_without_a_maildrop_is_told_so(post: Post) -> None:
    post.shelf.inboxes.clear()
    talk(post.handler, f"S: +OK *\nC: AUTH PLAIN {PLAIN}\nS: -ERR [SYS/PERM] *")


def test_a_lock_that_cannot_be_made_is_our_fault(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    post.folder.rmdir()
    talk(post.handler, f"S: +OK *\nC: AUTH PLAIN {PLAIN}\nS: -ERR [SYS/TEMP] *")
    assert "pop3.lock-fault" in caplog.text


# --- the tap


def test_the_tap_and_the_log_keep_no_password(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = b64(f"\0{ALICE}\0geheim-one")
    conversation = talk(
        post.handler,
        f"""
        S: +OK *
        C: AUTH PLAIN {wrong}
        S: -ERR *
        C: AUTH PLAIN
        S: + *
        C: {wrong}
        S: -ERR *
        C: PASS geheim-two
        S: -ERR *
        C: pass geheim-two
        S: -ERR *
        C: {b64("geheim-three")}
        S: -ERR *
        C< USER x\\rPASS geheim-four\\r\\n
        S: -ERR *
        C: USER {ALICE}
        S: +OK *
        C: PASS hunter2
        S: +OK *
        """,
    ).conversations[1]
    kept = b"\n".join(row.data for row in conversation.rows)
    for secret in (b"geheim", b"hunter2", wrong.encode(), b64("geheim-three").encode()):
        assert secret not in kept
        assert secret.decode() not in caplog.text
    assert b"AUTH PLAIN ***" in kept
    assert b"PASS ***" in kept
    assert Kind.SECRET in [row.kind for row in conversation.rows]
    assert conversation.account == ALICE
