"""PLAIN and LOGIN: RFC examples, limits, and everything a client could garble."""

from __future__ import annotations

import pytest

from postroom.accounts.authority import Outcome
from postroom.accounts.sasl import Credentials, Malformed, credentials
from postroom.net.limits import LOGIN_OCTETS, PASSWORD_OCTETS
from tests.accounts.sasl.desk import ALICE, PASSWORD, Desk, exchange


def said(mechanism: str, initial: bytes | None, *answers: bytes) -> tuple[Credentials, list[bytes]]:
    """Whom the door was asked about, and the challenges."""
    desk = Desk()
    _, asked = exchange(mechanism, initial, answers, desk)
    (claim,) = desk.claims
    return claim, asked


@pytest.mark.parametrize(
    ("message", "login", "password"),
    [
        (b"\x00tim\x00tanstaaftanstaaf", "tim", b"tanstaaftanstaaf"),  # RFC 4616 4
        (b"tim\x00tim\x00secret", "tim", b"secret"),
        (b"Tim@X\x00tim@x\x00secret", "tim@x", b"secret"),
        ("\x00jürgen@x\x00pässwort".encode(), "jürgen@x", "pässwort".encode()),
        (b"\x00a\x00\xff\xfe", "a", b"\xff\xfe"),
    ],
)
def test_plain_with_and_without_an_initial_response(message: bytes, login: str, password: bytes) -> None:
    assert said("PLAIN", message) == (Credentials(login, password), [])
    assert said("plain", None, message) == (Credentials(login, password), [b""])


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"tim",
        b"tim\x00secret",
        b"\x00tim\x00sec\x00ret",
        b"\x00\x00secret",
        b"\x00tim\x00",
        b"other\x00tim\x00secret",
        b"\x00\xff\x00secret",
        b"\x00a\nb\x00secret",
        b"\x00a\x7fb\x00secret",
        b"\x00" * 5000,
        b"\x00" + b"a" * 5000 + b"\x00b",
    ],
)
def test_a_garbled_plain_message_is_malformed_and_nothing_of_it_is_told(message: bytes) -> None:
    with pytest.raises(Malformed) as fault:
        exchange("PLAIN", message)
    assert "secret" not in str(fault.value) and "tim" not in str(fault.value)


def test_login_asks_twice_or_once() -> None:
    assert said("LOGIN", None, b"tim", b"pw") == (Credentials("tim", b"pw"), [b"Username:", b"Password:"])
    assert said("login", b"tim", b"pw") == (Credentials("tim", b"pw"), [b"Password:"])


def test_the_doors_word_is_the_exchanges() -> None:
    assert exchange("PLAIN", b"\0%b\0%b" % (ALICE.encode(), PASSWORD))[0].address == ALICE
    assert exchange("PLAIN", b"\0a\0b")[0].outcome is Outcome.DENIED


def test_limits_of_login_and_password_and_one_more() -> None:
    assert credentials(b"a" * LOGIN_OCTETS, b"b" * PASSWORD_OCTETS).login == "a" * LOGIN_OCTETS
    longest = b"a" * LOGIN_OCTETS + b"\x00" + b"a" * LOGIN_OCTETS + b"\x00" + b"b" * PASSWORD_OCTETS
    assert said("PLAIN", longest)[0].password == b"b" * PASSWORD_OCTETS
    for login, password in (
        (b"a" * (LOGIN_OCTETS + 1), b"b"),
        (b"a", b"b" * (PASSWORD_OCTETS + 1)),
        (b"a" * 100 * LOGIN_OCTETS, b"b"),
    ):
        with pytest.raises(Malformed):
            credentials(login, password)
    for message in (longest + b"b", longest * 100):
        with pytest.raises(Malformed):
            exchange("PLAIN", message)


@pytest.mark.parametrize(("login", "password"), [(b"", b"x"), (b"x", b""), (b"x", b"a\x00b")])
def test_empty_and_nul_are_malformed(login: bytes, password: bytes) -> None:
    with pytest.raises(Malformed):
        credentials(login, password)


def test_a_password_does_not_show_in_a_repr() -> None:
    assert "hunter2" not in repr(credentials(b"a", b"hunter2"))
