from __future__ import annotations

import asyncio
import base64
import logging

import pytest

from postroom.accounts.authority import Outcome
from postroom.net.conversation import Tap
from postroom.net.limits import LOGINS_PER_SESSION, SMTP_AUTH_LINE_OCTETS, SMTP_COMMAND_OCTETS
from postroom.net.tls import LoginPolicy
from postroom.smtp.session import Role
from tests.smtp.office import HELLO, LOGGED_IN, OFFERED, Office


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


ALICE = b64("\0alice@example.test\0secret")
WRONG = b64("\0alice@example.test\0wrong")


def talk(text: str, office: Office | None = None, role: Role = Role.SUBMISSIONS) -> None:
    (office or Office()).talk(f"{HELLO}\n{text}", role, tls=True)


def test_plain_with_an_initial_response() -> None:
    talk(f"C: AUTH PLAIN {ALICE}\nS: 235 2.7.0 Logged in\nC: MAIL FROM:<alice@example.test>\nS: 250 *")


def test_plain_in_two_steps() -> None:
    talk(f"C: auth plain\nS: 334 \nC: {ALICE}\nS: 235 2.7.0 Logged in")


def test_login_in_three_steps() -> None:
    talk(f"""
        C: AUTH LOGIN
        S: 334 {b64("Username:")}
        C: {b64("Alice@EXAMPLE.test")}
        S: 334 {b64("Password:")}
        C: {b64("secret")}
        S: 235 2.7.0 Logged in
    """)


def test_the_connection_knows_who_logged_in() -> None:
    talked = Office().talk(LOGGED_IN, Role.SUBMISSIONS, tls=True)
    assert talked.conversations[1].account == "alice@example.test"


def test_the_authority_is_told_where_from_and_by_what() -> None:
    office = Office()
    talk(f"C: AUTH PLAIN {ALICE}\nS: 235 *", office)
    (attempt,) = office.passwords.attempts
    assert (attempt.login, attempt.peer, attempt.protocol) == ("alice@example.test", "192.0.2.1", "submissions")


def test_wrong_passwords_unknown_names_and_disabled_accounts_sound_alike() -> None:
    office = Office()
    office.passwords.known["carol@example.test"] = b"c"
    talk(
        f"""
        C: AUTH PLAIN {WRONG}
        S: 535 5.7.8 Wrong name or password
        C: AUTH PLAIN {b64(chr(0) + "nobody@example.test" + chr(0) + "x")}
        S: 535 5.7.8 Wrong name or password
        C: AUTH PLAIN {b64(chr(0) + "carol@example.test" + chr(0) + "c")}
        S: 535 5.7.8 Wrong name or password
        C: MAIL FROM:<alice@example.test>
        S: 530 5.7.0 Log in first
        C: AUTH PLAIN {ALICE}
        S: 235 *
        """,
        office,
    )


@pytest.mark.parametrize(("outcome", "reply"), [(Outcome.BLOCKED, "535 5.7.8"), (Outcome.UNAVAILABLE, "454 4.7.0")])
def test_who_is_blocked_is_not_told_and_an_absent_authority_is(outcome: Outcome, reply: str) -> None:
    office = Office()
    office.passwords.outcome = outcome
    talk(f"C: AUTH PLAIN {ALICE}\nS: {reply} *", office)


def test_failed_logins_are_counted_and_then_it_is_enough() -> None:
    wrong = f"C: AUTH PLAIN {WRONG}\nS: 535 5.7.8 Wrong name or password\n" * LOGINS_PER_SESSION
    office = Office()
    talk(f"{wrong}\nS: 421 4.7.0 Too many failed logins, closing\nS! end", office)
    assert len(office.passwords.attempts) == LOGINS_PER_SESSION


@pytest.mark.parametrize("step", [f"C: AUTH PLAIN {ALICE}", "C: AUTH LOGIN"])
def test_a_second_login_is_out_of_order(step: str) -> None:
    talk(f"C: AUTH PLAIN {ALICE}\nS: 235 *\n{step}\nS: 503 5.5.1 Already logged in")


def test_no_login_during_a_transaction() -> None:
    talk(f"""
        C: AUTH PLAIN {ALICE}
        S: 235 *
        C: MAIL FROM:<alice@example.test>
        S: 250 *
        C: AUTH PLAIN {ALICE}
        S: 503 5.5.1 Not during a mail transaction
    """)


def test_no_login_before_a_greeting() -> None:
    Office().talk(f"S: 220 *\nC: AUTH PLAIN {ALICE}\nS: 503 5.5.1 Send EHLO first", Role.SUBMISSIONS, tls=True)


# --- where a login may be


def test_no_password_in_clear() -> None:
    office = Office()
    office.talk(
        f"""
        S: 220 *
        C: EHLO client.test
        {OFFERED}
        C: AUTH PLAIN {ALICE}
        S: 538 5.7.11 *
        C: AUTH LOGIN
        S: 538 5.7.11 *
        C: MAIL FROM:<alice@example.test>
        S: 530 5.7.0 Send STARTTLS first
        """,
        Role.SUBMISSION,
    )
    assert not office.passwords.attempts


def test_after_starttls_a_login_goes() -> None:
    Office().talk(
        f"""
        {HELLO}
        C: STARTTLS
        S: 220 *
        C! tls
        C: EHLO client.test
        {OFFERED}
        C: AUTH PLAIN {ALICE}
        S: 235 *
        """,
        Role.SUBMISSION,
    )


@pytest.mark.parametrize(("peer", "code"), [("127.0.0.1", b"235"), ("::1", b"235"), ("192.0.2.1", b"538")])
def test_loopback_may_be_let_log_in_without_tls(peer: str, code: bytes) -> None:
    office = Office(login=LoginPolicy(require_tls=True, loopback_plain=True))

    async def go() -> bytes:
        async with office.session(Role.SUBMISSION, peer=peer) as client:
            await client.line()
            await client.send("HELO client.test", f"AUTH PLAIN {ALICE}")
            await client.line()
            return await client.line()

    assert asyncio.run(go())[:3] == code


def test_a_login_in_clear_is_forgotten_when_tls_begins() -> None:
    office = Office(login=LoginPolicy(require_tls=False, loopback_plain=False))
    office.talk(
        f"""
        {LOGGED_IN}
        C: STARTTLS
        S: 220 *
        C! tls
        C: HELO client.test
        S: 250 *
        C: MAIL FROM:<alice@example.test>
        S: 530 5.7.0 Log in first
        """,
        Role.SUBMISSION,
    )


def test_other_sites_do_not_log_in() -> None:
    office = Office()
    office.talk(f"{HELLO}\nC: AUTH PLAIN {ALICE}\nS: 502 5.5.1 *", tls=True)
    assert not office.passwords.attempts


@pytest.mark.parametrize("verb", ["RCPT TO:<bob@example.test>", "DATA", "MAIL FROM:<>", "MAIL"])
def test_nothing_is_sent_without_a_login(verb: str) -> None:
    talk(f"C: {verb}\nS: 530 5.7.0 Log in first")


# --- what is no login


@pytest.mark.parametrize(
    "response",
    [
        "!!!!",
        "====",
        "*",
        ALICE[:-1],
        ALICE + "=",
        ALICE[:8] + " " + ALICE[8:],
        "=",
        b64("alice@example.test"),
        b64("\0alice@example.test"),
        b64("\0alice@example.test\0secret\0"),
        b64("\0\0secret"),
        b64("\0alice@example.test\0"),
        b64(b"\0\xff\xfe\0secret"),
        b64("bob@example.test\0alice@example.test\0secret"),
        b64("\0" + "a" * 256 + "\0secret"),
        b64("\0alice@example.test\0" + "x" * 1025),
        b64("\0a\rb\0secret"),
    ],
)
def test_garbage_is_refused(response: str) -> None:
    office = Office()
    talk(f"C: AUTH PLAIN {response}\nS: 501 5.5.2 *\nC: NOOP\nS: 250 *", office)
    assert not office.passwords.attempts


def test_garbage_in_an_answer_is_refused_too() -> None:
    talk("C: AUTH PLAIN\nS: 334 \nC: !!!!\nS: 501 5.5.2 *\nC: AUTH LOGIN\nS: 334 *\nC: =\nS: 501 5.5.2 *")
    talk(f"C: AUTH PLAIN\nS: 334 \nC< {ALICE}\\n\nS: 501 5.5.2 *\nC: NOOP\nS: 250 *")


def test_a_client_may_act_for_itself() -> None:
    talk(f"C: AUTH PLAIN {b64('alice@example.test' + chr(0) + 'alice@example.test' + chr(0) + 'secret')}\nS: 235 *")


def test_a_client_may_give_up() -> None:
    talk("""
        C: AUTH PLAIN
        S: 334 *
        C: *
        S: 501 5.7.0 Login cancelled
        C: AUTH LOGIN
        S: 334 *
        C: dXNlcg==
        S: 334 *
        C: *
        S: 501 5.7.0 Login cancelled
        C: NOOP
        S: 250 *
    """)


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "DIGEST-MD5", "X", "PLAINX", "\xe4"])
def test_mechanisms_that_are_not_offered(mechanism: str) -> None:
    talk(f"C: AUTH {mechanism}\nS: 504 5.5.4 Unknown authentication mechanism\nC: AUTH\nS: 501 5.5.4 *")


def test_an_answer_has_at_most_12288_octets() -> None:
    # RFC 4954 4
    room = SMTP_AUTH_LINE_OCTETS - 2
    talk(f"""
        C: AUTH PLAIN
        S: 334 *
        C: {"A" * room}
        S: 501 5.5.2 *
        C: AUTH PLAIN
        S: 334 *
        C: {"A" * (room + 1)}
        S: 500 5.5.6 *
        C: NOOP
        S: 250 *
    """)


def test_an_initial_response_has_the_length_of_a_command() -> None:
    talk(f"C: AUTH PLAIN {'A' * SMTP_COMMAND_OCTETS}\nS: 500 5.5.2 Line too long\nC: NOOP\nS: 250 *")


# --- secrets


def test_no_secret_is_in_the_tap_or_the_log(caplog: pytest.LogCaptureFixture) -> None:
    tap = Tap("t")
    secret, wrong = b64("secret"), b64("wrong")

    async def go() -> None:
        async with Office().session(Role.SUBMISSIONS, tls=True, tap=tap) as client:
            await client.line()
            await client.send("HELO client.test", "AUTH CRAM-MD5 " + secret, secret, "NOOP")
            for _ in range(4):
                await client.line()
            await client.send("AUTH PLAIN " + WRONG)
            assert (await client.line()).startswith(b"535")
            await client.send("AUTH LOGIN", b64("alice@example.test"), wrong)
            assert (await client.lines(b"535"))[-1].startswith(b"535")
            await client.send("AUTH PLAIN " + ALICE)
            assert (await client.line()).startswith(b"235")

    with caplog.at_level(logging.DEBUG):
        asyncio.run(go())
    (conversation,) = tap.all()
    shown = b"\n".join(row.data for row in conversation.rows)
    assert b"AUTH PLAIN ***" in shown and b"AUTH CRAM-MD5 ***" in shown
    for hidden in (ALICE, WRONG, secret, wrong, "secret", "wrong"):
        assert hidden.encode() not in shown
        assert f"={hidden}" not in caplog.text and f" {hidden}" not in caplog.text
    assert "login-failed" in caplog.text
