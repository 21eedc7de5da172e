"""What a stream stands on: the addresses of its ends, the way to TLS, and the room it reads into."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from postroom.net import limits


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a connection; `host` without brackets, `port` 0 for a Unix socket or memory."""

    host: str
    port: int


def address(name: object) -> Address:
    """A socket's name as asyncio gives it; an IPv4 address that came through an IPv6 socket as IPv4."""
    match name:
        case (str(host), int(port), *_):
            return Address(host.removeprefix("::ffff:") if "." in host else host, port)
        case _:
            return Address("", 0)


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a TLS handshake over an open transport is asked to do."""

    context: ssl.SSLContext
    server_side: bool
    server_hostname: str | None
    seconds: float
    alpn: frozenset[bytes] | None = None
    """As a server: the application protocols that a client may offer, one of them at least; None: any."""


Upgrade = Callable[[asyncio.Transport, asyncio.BaseProtocol, Handshake], Awaitable[asyncio.Transport | None]]
"""Shakes hands over a transport and gives the one that speaks TLS. It must have taken the transport's protocol away
before it first suspends, so that no plaintext can reach the stream any more."""


class Room(threading.local):
    """Where the streams of one thread read into; a loop empties it before it reads for the next."""

    def __init__(self) -> None:
        self.wide = memoryview(bytearray(limits.READ_OCTETS))
        self.narrow = self.wide[: limits.READ_OCTETS_BEFORE_LOGIN]


rooms: Final = Room()
