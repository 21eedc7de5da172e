"""STARTTLS, LOGIN, AUTHENTICATE: who may, who may not, and what of it is seen."""

from __future__ import annotations

import asyncio
import base64

import pytest

from postroom.accounts.authority import Outcome
from postroom.net.conversation import Kind, Tap
from postroom.net.limits import IMAP_BASE64_OCTETS, LOGIN_OCTETS, LOGINS_PER_SESSION, PASSWORD_OCTETS
from postroom.net.tls import LoginPolicy
from postroom.store.changes import SwitchAccount
from tests.imap.server.house import ALICE, BOB, House
from tests.talk import Talked, session

AWAY = "192.0.2.1"
"""A peer that isn't this machine."""
DENIED = "NO [AUTHENTICATIONFAILED] Login or password is wrong"


def base64_of(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


NAME = ALICE.encode()
PLAIN = base64_of(b"\0" + ALICE.encode() + b"\0secret")


def shown(talked: Talked) -> str:
    """All that the tap would show of the client."""
    rows = talked.conversations[1].rows
    return b"".join(row.data for row in rows if row.kind is not Kind.NOTE).decode("latin-1")


def test_login_answers_with_the_capabilities_of_who_is_in(house: House) -> None:
    talked = house.talk(f"S: * OK *\nC: a LOGIN {ALICE} secret\nS: a OK [CAPABILITY {{words}}] Logged in")
    words = talked.names["words"].split()
    assert "MOVE" in words
    assert not {"STARTTLS", "LOGINDISABLED", "AUTH=PLAIN"} & set(words)
    assert talked.conversations[1].account == ALICE


def test_the_name_may_be_written_in_any_case(house: House) -> None:
    house.talk(f'S: * OK *\nC: a LOGIN "{ALICE.upper()}" "secret"\nS: a OK *')


def test_the_authority_hears_who_asks_from_where(house: House) -> None:
    house.talk(f"S: * OK *\nC: a LOGIN {ALICE} nonsense\nS: a {DENIED}", tls=True, peer=AWAY)
    (attempt,) = house.passwords.attempts
    assert (attempt.login, attempt.password, attempt.peer, attempt.protocol) == (ALICE, b"nonsense", AWAY, "imap")


@pytest.mark.parametrize(
    "arguments",
    [
        f"{ALICE} wrong",
        "nobody@example.test secret",
        "nobody secret",
        '"" secret',
        f'{ALICE} ""',
        f"{'x' * LOGIN_OCTETS} y",
        f"x {'y' * PASSWORD_OCTETS}",
    ],
)
def test_all_that_is_wrong_sounds_the_same(house: House, arguments: str) -> None:
    house.talk(f"S: * OK *\nC: a LOGIN {arguments}\nS: a {DENIED}\nC: b NOOP\nS: b OK *")


@pytest.mark.parametrize(
    "arguments", [f"{'x' * (LOGIN_OCTETS + 1)} y", f"x {'y' * (PASSWORD_OCTETS + 1)}", "x", ""]
)
def test_what_is_no_login_is_bad(house: House, arguments: str) -> None:
    house.talk(f"S: * OK *\nC: a LOGIN {arguments}\nS: a BAD *")
    assert not house.passwords.attempts


def test_a_blocked_network_hears_the_same(house: House) -> None:
    house.passwords.outcome = Outcome.BLOCKED
    house.talk(f"S: * OK *\nC: a LOGIN {ALICE} secret\nS: a {DENIED}")


def test_a_disabled_account_hears_the_same(house: House) -> None:
    house.talk(
        f"S: * OK *\nC: a LOGIN {ALICE} secret\nS: a {DENIED}",
        before=lambda opened: opened.store.commit(SwitchAccount(ALICE, True)),
    )


def test_an_authority_that_is_away_is_said_so(house: House) -> None:
    house.passwords.outcome = Outcome.UNAVAILABLE
    talk = f"C: a LOGIN {ALICE} secret\nS: a NO [UNAVAILABLE] *\n"
    house.talk("S: * OK *\n" + talk * (LOGINS_PER_SESSION + 1))


def test_too_many_failures_end_the_session(house: House) -> None:
    failure = f"C: a LOGIN {ALICE} wrong\nS: a {DENIED}\n"
    once_less = failure * (LOGINS_PER_SESSION - 1)
    house.talk(f"S: * OK *\n{once_less}C: b LOGIN {ALICE} secret\nS: b OK *")
    house.talk(f"S: * OK *\n{once_less}{failure}S: * BYE Too many failed logins\nS! end")


def test_nobody_logs_in_twice(house: House) -> None:
    house.talk(
        f"""
        S: * OK *
        C: a LOGIN {ALICE} secret
        S: a OK *
        C: b LOGIN {BOB} other
        S: b BAD *
        C: c AUTHENTICATE PLAIN
        S: c BAD *
        """
    )


# --- AUTHENTICATE


def test_plain_with_an_initial_response(house: House) -> None:
    house.talk(f"S: * OK *\nC: a AUTHENTICATE PLAIN {PLAIN}\nS: a OK [CAPABILITY *")


def test_plain_with_a_challenge(house: House) -> None:
    house.talk(f"S: * OK *\nC: a authenticate plain\nS: + \nC: {PLAIN}\nS: a OK *")


def test_the_login_mechanism(house: House) -> None:
    house.talk(
        f"""
        S: * OK *
        C: a AUTHENTICATE LOGIN
        S: + {base64_of(b"Username:")}
        C: {base64_of(ALICE.encode())}
        S: + {base64_of(b"Password:")}
        C: {base64_of(b"secret")}
        S: a OK *
        """
    )


def test_an_empty_initial_response_is_one(house: House) -> None:
    house.talk(f"S: * OK *\nC: a AUTHENTICATE PLAIN =\nS: a {DENIED}")


def test_authenticate_can_be_cancelled(house: House) -> None:
    house.talk(
        "S: * OK *\nC: a AUTHENTICATE PLAIN\nS: + \nC: *\nS: a BAD AUTHENTICATE was cancelled\nC: b NOOP\nS: b OK *"
    )
    assert not house.passwords.attempts


@pytest.mark.parametrize(
    "line", ["&&&", "AAA", "AA==AA==", " " + PLAIN, PLAIN + " ", "A" * (IMAP_BASE64_OCTETS + 4)]
)
def test_what_is_no_base64_is_bad(house: House, line: str) -> None:
    house.talk(f"S: * OK *\nC: a AUTHENTICATE PLAIN\nS: + \nC: {line}\nS: a BAD *\nC: b NOOP\nS: b OK *")


@pytest.mark.parametrize("line", ["AAAA {8+}", "A" * (IMAP_BASE64_OCTETS + 4) + " {8+}"])
def test_octets_announced_by_a_response_never_run(house: House, line: str) -> None:
    house.talk(f"S: * OK *\nC: a AUTHENTICATE PLAIN\nS: + \nC< {line}\\r\\nb NOOP\\r\\n\\r\\n\nS: * BYE *\nS! end")


def test_the_longest_response_is_read(house: House) -> None:
    house.talk(f"S: * OK *\nC: a AUTHENTICATE PLAIN\nS: + \nC: {'A' * IMAP_BASE64_OCTETS}\nS: a {DENIED}")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"secret",
        b"\0" + ALICE.encode() + b"\0wrong",
        BOB.encode() + b"\0" + ALICE.encode() + b"\0secret",
        b"\0" + ALICE.encode() + b"\0secret\0",
        b"\0\xff\0secret",
    ],
)
def test_a_response_that_does_not_hold_is_denied(house: House, message: bytes) -> None:
    house.talk(f"S: * OK *\nC: a AUTHENTICATE PLAIN\nS: + \nC: {base64_of(message)}\nS: a {DENIED}")


def test_an_unknown_mechanism_is_refused(house: House) -> None:
    house.talk("S: * OK *\nC: a AUTHENTICATE CRAM-MD5\nS: a NO [CANNOT] No such mechanism")


# --- in clear


def test_in_clear_no_password_is_offered_or_taken(house: House) -> None:
    talked = house.talk(
        f"""
        S: * OK [CAPABILITY {{words}}] *
        C: a LOGIN {ALICE} secret
        S: a NO [PRIVACYREQUIRED] *
        C: b AUTHENTICATE PLAIN {PLAIN}
        S: b NO [PRIVACYREQUIRED] *
        C: c AUTHENTICATE PLAIN
        S: c NO [PRIVACYREQUIRED] *
        """,
        peer=AWAY,
    )
    words = talked.names["words"].split()
    assert {"LOGINDISABLED", "STARTTLS"} <= set(words)
    assert not any(word.startswith("AUTH=") for word in words)
    assert not house.passwords.attempts


def test_within_tls_it_is(house: House) -> None:
    talked = house.talk(
        f"S: * OK [CAPABILITY {{words}}] *\nC: a LOGIN {ALICE} secret\nS: a OK *", tls=True, peer=AWAY
    )
    words = talked.names["words"].split()
    assert {"AUTH=PLAIN", "AUTH=LOGIN"} <= set(words)
    assert not {"LOGINDISABLED", "STARTTLS"} & set(words)


def test_loopback_may_be_held_to_tls_too(house: House) -> None:
    house.login = LoginPolicy(require_tls=True, loopback_plain=False)
    house.talk(f"S: * OK *\nC: a LOGIN {ALICE} secret\nS: a NO [PRIVACYREQUIRED] *")


def test_tls_need_not_be_required(house: House) -> None:
    house.login = LoginPolicy(require_tls=False, loopback_plain=False)
    house.talk(f"S: * OK *\nC: a LOGIN {ALICE} secret\nS: a OK *", peer=AWAY)


# --- STARTTLS


def test_starttls_begins_tls_and_then_a_login_is_taken(house: House) -> None:
    house.talk(
        f"""
        S: * OK *
        C: a STARTTLS
        S: a OK Begin TLS *
        C! tls
        C: b CAPABILITY
        S: * CAPABILITY {{words}}
        S: b OK *
        C: c LOGIN {ALICE} secret
        S: c OK *
        """,
        peer=AWAY,
    )


def test_what_is_sent_before_the_handshake_is_never_run(house: House) -> None:
    talked = house.talk(
        f"""
        S: * OK *
        C< a STARTTLS\\r\\nb LOGIN {ALICE} secret\\r\\nc NOOP\\r\\n
        S: a OK *
        C! tls
        C: d CAPABILITY
        S: * CAPABILITY {{words}}
        S: d OK *
        """,
        peer=AWAY,
    )
    assert "AUTH=PLAIN" in talked.names["words"]
    assert not house.passwords.attempts


def test_starttls_is_refused_where_tls_is_on_or_not_to_be_had(house: House) -> None:
    house.talk("S: * OK *\nC: a STARTTLS\nS: a BAD TLS is on already", tls=True)
    house.tls = None
    talked = house.talk("S: * OK [CAPABILITY {words}] *\nC: a STARTTLS\nS: a BAD TLS can't be begun here")
    assert "STARTTLS" not in talked.names["words"]


def test_starttls_comes_before_the_login(house: House) -> None:
    house.talk(f"S: * OK *\nC: a LOGIN {ALICE} secret\nS: a OK *\nC: b STARTTLS\nS: b BAD *")


# --- the tap


@pytest.mark.parametrize(
    "octets",
    [
        b"a LOGIN %b secret\r\n" % NAME,
        b'a login "%b" "secret"\r\n' % NAME,
        b"LOGIN %b secret\r\n" % NAME,
        b"a  LOGIN %b secret\r\n" % NAME,
        b"a b LOGIN %b secret\r\n" % NAME,
        b"a LOGIN {%d+}\r\n%b {6+}\r\nsecret\r\n" % (len(NAME), NAME),
        b"a LOGIN %b {6+}\r\nsecret\r\n" % NAME,
        b"a LOGIN {%d+}\r\n%b secret\r\n" % (len(NAME), NAME),
        b"a AUTHENTICATE PLAIN %b\r\n" % PLAIN.encode(),
        b"a AUTHENTICATE PLAIN\r\n%b\r\n" % PLAIN.encode(),
        b"a AUTHENTICATE CRAM-MD5\r\n%b\r\n" % PLAIN.encode(),
        b"a AUTHENTICATE %b\r\n" % PLAIN.encode(),
    ],
)
def test_no_secret_is_in_the_tap(house: House, octets: bytes) -> None:
    async def try_it(peer: str) -> str:
        tap = Tap("t")
        async with house.open() as opened, session(opened.handler, peer=peer, tap=tap) as client:
            await client.raw(octets + b"z LOGOUT\r\n")
            await client.eof()
        (conversation,) = tap.live.values()
        return b"".join(row.data for row in conversation.rows).decode("latin-1")

    for peer in ("127.0.0.1", AWAY):
        text = asyncio.run(try_it(peer))
        assert "secret" not in text
        assert PLAIN not in text
        assert "z LOGOUT" in text


def test_the_tap_shows_the_verb_and_the_mechanism(house: House) -> None:
    talked = house.talk(f"S: * OK *\nC: a AUTHENTICATE PLAIN {PLAIN}\nS: a OK *")
    assert "a AUTHENTICATE PLAIN ***\r\n" in shown(talked)
    talked = house.talk(f"S: * OK *\nC: a LOGIN {ALICE} secret\nS: a OK *")
    assert "a LOGIN ***\r\n" in shown(talked)
