"""The look at a client's first flight before the handshake: whole, bounded, and welcome or not. Pure.

Python's ssl goes on with a client that offers only protocols that are not ours (the ALPACA attacks send a browser's
HTTP to a mail server), so that such a client, and one that speaks no TLS at all, is turned away here
(RFC 7301 3.2), whether TLS comes first or with STARTTLS. Called by `net.secure`.
"""

from __future__ import annotations

from typing import Final

from postroom.net import limits
from postroom.net.clienthello import Incomplete, NotAHello, read_client_hello

NO_APPLICATION_PROTOCOL: Final = b"\x15\x03\x03\x00\x02\x02\x78"
"""A fatal alert, in clear as the client's first flight is (RFC 8446 6.2, RFC 7301 3.2)."""
UNRECOGNIZED_NAME: Final = b"\x15\x03\x03\x00\x02\x02\x70"
"""The same for a server's name that is none (RFC 6066 3)."""
INTERNAL_ERROR: Final = b"\x15\x03\x03\x00\x02\x02\x50"
"""The same for a server that can't take the connection for reasons of its own."""


class Unwelcome(ConnectionError):
    """The client doesn't speak TLS, or speaks it for another protocol; the text says which, never what it sent.

    `alert` is what it may be told, if anything.
    """

    def __init__(self, why: str, alert: bytes = b"") -> None:
        super().__init__(why)
        self.alert = alert


class FirstFlight:
    """What a client has sent until its hello is whole. `alpn` are the protocols that it may offer; None: any."""

    __slots__ = ("_alpn", "_looks", "_wanted", "octets")

    def __init__(self, alpn: frozenset[bytes] | None) -> None:
        self.octets = bytearray()
        """All that has come, the hello first."""
        self._alpn = alpn
        self._looks = 0
        self._wanted = 1

    def feed(self, data: bytes | memoryview) -> bool:
        """Take what arrived; True when the hello is whole and welcome. Raises Unwelcome."""
        self.octets += data
        if len(self.octets) < self._wanted:
            return False
        self._looks += 1
        try:
            hello = read_client_hello(bytes(self.octets))
        except NotAHello as fault:
            raise Unwelcome(str(fault)) from fault
        if isinstance(hello, Incomplete):
            # Bounded in looks too: each begins anew, and records may be of one octet.
            if hello.octets > limits.CLIENT_HELLO_OCTETS or self._looks >= limits.CLIENT_HELLO_LOOKS:
                raise Unwelcome("a ClientHello too long or in too many pieces")
            self._wanted = hello.octets
            return False
        if hello.server_name is not None and not hello.server_name.isascii():
            # Python's ssl would put a traceback into the log.
            raise Unwelcome("a server name that is none", UNRECOGNIZED_NAME)
        if self._alpn is not None and hello.protocols and self._alpn.isdisjoint(hello.protocols):
            raise Unwelcome("the client wants another application protocol", NO_APPLICATION_PROTOCOL)
        return True
