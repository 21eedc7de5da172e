"""The PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt), as the one who is told: whom a proxy's
connection is made for. The reading of the header is pure; `receive` takes it from a socket, and not one octet more:
what lies behind it is the conversation's, or TLS's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import struct
from dataclasses import dataclass
from typing import Final

from postroom.net import limits
from postroom.net.transport import Address, address

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIRST: Final = b"PROXY "
_HEAD: Final = struct.Struct("!12sBBH")
_PORT: Final = re.compile(rb"0|[1-9][0-9]{0,4}")
_LOCAL, _PROXY = 0x20, 0x21
"""Version 2, and a command of it."""
_STREAM_4, _STREAM_6 = 0x11, 0x21
"""TCP over IPv4 and over IPv6."""
_FAMILIES: Final = 3
_TRANSPORTS: Final = 2
_ADDRESSES: Final = {_STREAM_4: struct.Struct("!4s4sHH"), _STREAM_6: struct.Struct("!16s16sHH")}


class NoHeader(ConnectionError):
    """The octets are no header of the PROXY protocol; the text says in what."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says. `length` is its own, in octets; without `ends` (UNKNOWN, LOCAL, an address family that
    isn't TCP's) the real ends of the connection count."""

    length: int
    ends: tuple[Address, Address] | None
    """Whose connection it is, and where it was made to."""


def read_header(data: bytes) -> Header | None:
    """The header at the start of a connection; None: all of `data` belongs to it, and more must come. Raises
    NoHeader."""
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _version_2(data)
    if data[: len(_FIRST)] == _FIRST[: len(data)]:
        return _version_1(data)
    raise NoHeader("no PROXY header")


def _version_1(data: bytes) -> Header | None:
    """2.1: one line of text."""
    end = data.find(b"\r\n", 0, limits.PROXY_LINE_OCTETS)
    if end < 0:
        if b"\n" in data or len(data) >= limits.PROXY_LINE_OCTETS:
            raise NoHeader("a PROXY line without its end")
        return None
    length = end + 2
    if b"\r" in data[:end] or b"\n" in data[:end]:
        raise NoHeader("a bare CR or LF in a PROXY line")
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return Header(length, None)
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise NoHeader("a PROXY line of another form")
    kind = ipaddress.IPv4Address if words[1] == b"TCP4" else ipaddress.IPv6Address
    peer, local = (_end(kind, words[2 + at], words[4 + at]) for at in (0, 1))
    return Header(length, (peer, local))


def _end(kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address], host: bytes, port: bytes) -> Address:
    """One end of the connection as version 1 writes it."""
    if not _PORT.fullmatch(port) or int(port) > 0xFFFF or b"%" in host:
        raise NoHeader("a PROXY line with a bad port or address")
    try:
        return _told(kind(host.decode("ascii")), int(port))
    except ValueError:
        raise NoHeader("a PROXY line with a bad address") from None


def _told(host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> Address:
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return address((str(mapped or host), port))


def _version_2(data: bytes) -> Header | None:
    """2.2: a head of 16 octets, addresses, and extra fields, which are left unread."""
    if len(data) > 12 and data[12] not in (_LOCAL, _PROXY):
        raise NoHeader("a PROXY header of another version or command")
    if len(data) < _HEAD.size:
        return None
    _, command, kind, octets = _HEAD.unpack_from(data)
    length = _HEAD.size + octets
    if length > limits.PROXY_HEADER_OCTETS:
        raise NoHeader("a PROXY header too long")
    if command == _PROXY and (kind >> 4 > _FAMILIES or kind & 15 > _TRANSPORTS):
        raise NoHeader("a PROXY header of an unknown family")
    form = _ADDRESSES.get(kind) if command == _PROXY else None
    if form is not None and octets < form.size:
        raise NoHeader("a PROXY header too short for its addresses")
    if len(data) < length:
        return None
    if form is None:
        return Header(length, None)
    peer, local, peer_port, local_port = form.unpack_from(data, _HEAD.size)
    return Header(
        length, (_told(ipaddress.ip_address(peer), peer_port), _told(ipaddress.ip_address(local), local_port))
    )


async def receive(sock: socket.socket) -> Header:
    """The header that a new connection begins with, taken from its non-blocking socket within PROXY_SECONDS.

    Raises NoHeader, TimeoutError, other OSErrors.
    """
    taken = b""
    async with asyncio.timeout(limits.PROXY_SECONDS):
        while True:
            try:
                seen = sock.recv(limits.PROXY_HEADER_OCTETS, socket.MSG_PEEK)
            except BlockingIOError:
                await _readable(sock)
                continue
            if not seen:
                raise NoHeader("the connection ended before its PROXY header")
            header = read_header(taken + seen)
            # What is seen of an incomplete one is all its own: it can be taken, and the rest waited for.
            mine = len(seen) if header is None else header.length - len(taken)
            taken += sock.recv(mine)
            if header is not None:
                return header


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    came = loop.create_future()

    def arrived() -> None:
        if not came.done():
            came.set_result(None)

    loop.add_reader(sock.fileno(), arrived)
    try:
        await came
    finally:
        loop.remove_reader(sock.fileno())
