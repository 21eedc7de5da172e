"""The look at a client's first flight: whole or not yet, welcome or not, in bounded work."""

from __future__ import annotations

import ssl

import pytest

from postroom.net import limits
from postroom.net.hello import NO_APPLICATION_PROTOCOL, FirstFlight, Unwelcome
from tests.net.wire import trusting

MAIL = frozenset({b"imap"})


def hello(*offer: str) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        trusting(list(offer)).wrap_bio(incoming, outgoing, server_hostname="mx.example.test").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("offer", [(), ("imap",), ("http/1.1", "imap")])
def test_a_welcome_hello_is_known_when_it_is_whole(offer: tuple[str, ...]) -> None:
    said = hello(*offer)
    for cut in range(1, len(said)):
        flight = FirstFlight(MAIL)
        assert not flight.feed(said[:cut])
        assert flight.feed(memoryview(said)[cut:])
        assert flight.octets == said


def test_octet_by_octet_it_is_looked_at_three_times() -> None:
    said, flight = hello(), FirstFlight(MAIL)
    assert [flight.feed(bytes([octet])) for octet in said] == [False] * (len(said) - 1) + [True]
    assert flight._looks <= 3


@pytest.mark.parametrize(
    ("said", "why", "alert"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not a TLS record", b""),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "not a ClientHello", b""),
        (b"\x16\x03\x01\x40\x01", "length of a record", b""),
        (b"\x16\x03\x01\x40\x00", "too long", b""),
        (hello("h2", "http/1.1"), "another application protocol", NO_APPLICATION_PROTOCOL),
    ],
)
def test_the_unwelcome_are_told_why_in_words_of_ours(said: bytes, why: str, alert: bytes) -> None:
    with pytest.raises(Unwelcome, match=why) as unwelcome:
        FirstFlight(MAIL).feed(said)
    assert unwelcome.value.alert == alert


def test_any_protocol_is_welcome_where_none_is_named_and_none_where_none_may_be() -> None:
    assert FirstFlight(None).feed(hello("h2"))
    assert FirstFlight(frozenset()).feed(hello())
    with pytest.raises(Unwelcome):
        FirstFlight(frozenset()).feed(hello("imap"))


def test_limit_of_a_hello_and_one_more() -> None:
    longest = limits.CLIENT_HELLO_OCTETS - 5
    assert not FirstFlight(None).feed(b"\x16\x03\x01" + longest.to_bytes(2, "big"))
    with pytest.raises(Unwelcome, match="too long"):
        FirstFlight(None).feed(b"\x16\x03\x01" + (longest + 1).to_bytes(2, "big"))


def test_limit_of_looks_and_one_more() -> None:
    flight = FirstFlight(None)
    piece = b"\x16\x03\x01\x00\x01"
    assert not flight.feed(piece + b"\x01" + piece + b"\x00" + piece + b"\x10" + piece + b"\x00")
    with pytest.raises(Unwelcome, match="too many pieces"):
        for _ in range(limits.CLIENT_HELLO_LOOKS):
            flight.feed(piece + b"\x00")
