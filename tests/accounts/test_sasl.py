"""SASL's exchanges and its base64: RFC examples, limits, and everything a client could garble."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.accounts.sasl import (
    MECHANISMS,
    Cancelled,
    Credentials,
    Malformed,
    NoSuchMechanism,
    authenticate,
    credentials,
    decode_base64,
    decode_initial,
)
from postroom.net.limits import LOGIN_OCTETS, PASSWORD_OCTETS


def run(mechanism: str, initial: bytes | None, answers: Iterable[bytes] = ()) -> tuple[Credentials, list[bytes]]:
    """What an exchange gives, and the challenges it made."""
    asked: list[bytes] = []
    rest = iter(answers)

    async def ask(challenge: bytes) -> bytes:
        asked.append(challenge)
        return next(rest)

    return asyncio.run(authenticate(mechanism, initial, ask)), asked


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
    assert run("PLAIN", message) == (Credentials(login, password), [])
    assert run("plain", None, [message]) == (Credentials(login, password), [b""])


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
        run("PLAIN", message)
    assert "secret" not in str(fault.value) and "tim" not in str(fault.value)


def test_login_asks_twice_or_once() -> None:
    assert run("LOGIN", None, [b"tim", b"pw"]) == (Credentials("tim", b"pw"), [b"Username:", b"Password:"])
    assert run("login", b"tim", [b"pw"]) == (Credentials("tim", b"pw"), [b"Password:"])


def test_a_mechanism_that_is_not_offered_is_refused() -> None:
    assert MECHANISMS == ("PLAIN", "LOGIN")
    for name in ("CRAM-MD5", "SCRAM-SHA-256", "", "PLAIN "):
        with pytest.raises(NoSuchMechanism):
            run(name, None)


def test_limits_of_login_and_password_and_one_more() -> None:
    assert credentials(b"a" * LOGIN_OCTETS, b"b" * PASSWORD_OCTETS).login == "a" * LOGIN_OCTETS
    longest = b"a" * LOGIN_OCTETS + b"\x00" + b"a" * LOGIN_OCTETS + b"\x00" + b"b" * PASSWORD_OCTETS
    assert run("PLAIN", longest)[0].password == b"b" * PASSWORD_OCTETS
    for login, password in ((b"a" * (LOGIN_OCTETS + 1), b"b"), (b"a", b"b" * (PASSWORD_OCTETS + 1))):
        with pytest.raises(Malformed):
            credentials(login, password)
    with pytest.raises(Malformed):
        run("PLAIN", longest + b"b")


@pytest.mark.parametrize(("login", "password"), [(b"", b"x"), (b"x", b""), (b"x", b"a\x00b")])
def test_empty_and_nul_are_malformed(login: bytes, password: bytes) -> None:
    with pytest.raises(Malformed):
        credentials(login, password)


def test_a_password_does_not_show_in_a_repr() -> None:
    assert "hunter2" not in repr(credentials(b"a", b"hunter2"))


@given(st.binary(max_size=60))
@settings(max_examples=60)
def test_base64_gives_back_what_was_encoded(octets: bytes) -> None:
    assert decode_base64(base64.b64encode(octets)) == octets


@pytest.mark.parametrize(
    "text",
    [
        b"=",
        b"A",
        b"AA",
        b"AAA",
        b"AB==",
        b"AAB=",
        b"AA==AA==",
        b"A A=",
        b"AAAA\n",
        b"AAA*",
        b"AA=A",
        b"\xff\xff\xff\xff",
        b"-_-_",
    ],
)
def test_base64_that_is_not_the_one_form_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        decode_base64(text)


@given(st.binary(max_size=60))
@settings(max_examples=100)
def test_hostile_base64_is_malformed_and_nothing_worse(text: bytes) -> None:
    try:
        decode_base64(text)
        decode_initial(text)
    except (Malformed, Cancelled):
        pass


def test_a_star_cancels_an_answer_but_is_no_initial_response() -> None:
    with pytest.raises(Cancelled):
        decode_base64(b"*")
    with pytest.raises(Malformed):
        decode_initial(b"*")
    assert decode_initial(b"=") == b"" == decode_base64(b"")
    assert decode_initial(b"AHRpbQB4") == b"\x00tim\x00x"


@given(st.sampled_from(MECHANISMS), st.lists(st.binary(max_size=40), min_size=2, max_size=2))
@settings(max_examples=60, deadline=None)
def test_hostile_answers_are_malformed_and_nothing_worse(mechanism: str, answers: list[bytes]) -> None:
    try:
        run(mechanism, None, answers)
    except Malformed:
        pass
