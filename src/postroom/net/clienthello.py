"""The first flight of a TLS client, looked at before the handshake: which server and which protocol it wants.

Pure: octets in, a value out. Python's ssl can't refuse a client that offers other application protocols than ours
(the ALPACA attacks send a browser's HTTP to a mail server), so the listener reads the offer here.
Source: RFC 8446 5.1 and 4.1.2, RFC 6066 3, RFC 7301 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_RECORD_OCTETS: Final = 2**14
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0
_ALPN: Final = 16


class NotAHello(ValueError):
    """The octets don't begin a TLS handshake, or what they begin is malformed."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What the client asks for: the server's name (None: none), the application protocols (empty: none offered)."""

    server_name: bytes | None
    protocols: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Incomplete:
    """More must arrive: so many octets in all at least."""

    octets: int


def read_client_hello(data: bytes) -> ClientHello | Incomplete:
    """The ClientHello at the start of a connection. It may come in several records. Raises NotAHello."""
    message, at = bytearray(), 0
    while True:
        if len(data) < at + 5:
            _check_record(data[at : at + 5])
            return Incomplete(at + 5)
        _check_record(data[at : at + 5])
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if not 0 < length <= _RECORD_OCTETS:
            raise NotAHello("length of a record")
        if len(data) < at + 5 + length:
            return Incomplete(at + 5 + length)
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
        if message[0] != _CLIENT_HELLO:
            raise NotAHello("not a ClientHello")
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
            return _read_body(bytes(message[4 : 4 + int.from_bytes(message[1:4], "big")]))


def _check_record(head: bytes) -> None:
    if head[:1] not in (b"", bytes([_HANDSHAKE])) or head[1:2] not in (b"", b"\x03"):
        raise NotAHello("not a TLS record")


def _read_body(body: bytes) -> ClientHello:
    at = 2 + 32
    _, at = _vector(body, at, 1)  # legacy_session_id
    _, at = _vector(body, at, 2)  # cipher_suites
    _, at = _vector(body, at, 1)  # legacy_compression_methods
    server_name, protocols = None, tuple[bytes, ...]()
    if at == len(body):
        return ClientHello(server_name, protocols)
    extensions, _ = _vector(body, at, 2)
    at = 0
    while at < len(extensions):
        kind = int.from_bytes(extensions[at : at + 2], "big")
        content, at = _vector(extensions, at + 2, 2)
        if kind == _SERVER_NAME:
            server_name = _read_server_name(content)
        elif kind == _ALPN:
            protocols = _read_protocols(content)
    return ClientHello(server_name, protocols)


def _vector(data: bytes, at: int, width: int) -> tuple[bytes, int]:
    """A vector with a length of `width` octets: what it holds, and where it ends."""
    start = at + width
    end = start + int.from_bytes(data[at:start], "big")
    if start > len(data) or end > len(data):
        raise NotAHello("a length beyond the end")
    return data[start:end], end


def _read_server_name(content: bytes) -> bytes | None:
    names, _ = _vector(content, 0, 2)
    at = 0
    while at < len(names):
        kind = names[at]
        name, at = _vector(names, at + 1, 2)
        if kind == _HOST_NAME:
            return name
    return None


def _read_protocols(content: bytes) -> tuple[bytes, ...]:
    offered, _ = _vector(content, 0, 2)
    protocols, at = list[bytes](), 0
    while at < len(offered):
        protocol, at = _vector(offered, at, 1)
        protocols.append(protocol)
    return tuple(protocols)
