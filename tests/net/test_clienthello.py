"""The ClientHello's grammar: real ones at every cut, hostile ones never more than NotAHello."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.net.clienthello import ClientHello, Incomplete, NotAHello, read_client_hello


def real(name: str | None, *offer: str) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if offer:
        context.set_alpn_protocols(list(offer))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


REAL = real("mx.example.test", "h2", "imap")


@pytest.mark.parametrize(
    ("data", "hello"),
    [
        (real(None), ClientHello(None, ())),
        (real("mx.example.test"), ClientHello(b"mx.example.test", ())),
        (REAL, ClientHello(b"mx.example.test", (b"h2", b"imap"))),
        (REAL + b"more", ClientHello(b"mx.example.test", (b"h2", b"imap"))),
    ],
)
def test_what_openssl_sends_is_read(data: bytes, hello: ClientHello) -> None:
    assert read_client_hello(data) == hello


def test_every_cut_asks_for_more_and_never_for_too_much() -> None:
    for cut in range(len(REAL)):
        more = read_client_hello(REAL[:cut])
        assert isinstance(more, Incomplete) and cut < more.octets <= len(REAL)


@pytest.mark.parametrize("size", [1, 2, 3, 50, 400])
def test_a_hello_in_several_records_is_one(size: int) -> None:
    body = REAL[5:]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    data = b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)
    assert read_client_hello(data) == read_client_hello(REAL)
    assert isinstance(read_client_hello(data[:-1]), Incomplete)


def test_a_hello_without_extensions_asks_for_nothing() -> None:
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    assert read_client_hello(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message) == ClientHello(None, ())


@pytest.mark.parametrize(
    "data", [b"G", b"GET /", b"\x16\x02", b"\x15\x03\x03\x00\x02\x02\x28", b"\x16\x03\x01\0\0"]
)
def test_what_is_no_hello_is_known_from_its_first_octets(data: bytes) -> None:
    with pytest.raises(NotAHello):
        read_client_hello(data)


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_hostile_octets_are_not_a_hello_and_nothing_worse(body: bytes) -> None:
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    for data in (body, b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message):
        try:
            read_client_hello(data)
        except NotAHello:
            pass


@given(st.integers(5, len(REAL) - 1), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_one_wrong_octet_is_not_a_hello_and_nothing_worse(at: int, octet: int) -> None:
    try:
        read_client_hello(REAL[:at] + bytes([octet]) + REAL[at + 1 :])
    except NotAHello:
        pass
