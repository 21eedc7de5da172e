"""TLS over an open transport: a transport towards its protocol, a protocol towards the socket.

The loops' own TLS keeps buffers of up to 256 KiB for each connection and decides by itself how far to read ahead.
This one reads into the room of the stream it serves (`net.transport`), decrypts no more than that stream will take,
and writes through: a connection costs what OpenSSL needs, and the limits that a stream sets hold with TLS as they
do without. It looks at the client's first flight (`net.hello`), tells an end (close_notify) from a cut
(`connection_lost` without `eof_received`), and lets a peer that has ended its half still be answered.

Invariants: what comes before the handshake is done goes to OpenSSL, never to the protocol; the protocol is called
from the loop only, never from within its own call.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol, cast

from postroom.net import limits
from postroom.net.hello import FirstFlight, Unwelcome
from postroom.net.transport import Handshake

_PIECE = 16 * 1024
"""Octets read and encrypted at a time, one record: OpenSSL's memory BIOs never give back what they once held."""


class Reader(Protocol):
    """What stands on it, a `Stream`: an asyncio.BufferedProtocol whose room is a memoryview."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into."""

    def buffer_updated(self, nbytes: int) -> None:
        """So many octets are there."""

    def eof_received(self) -> bool | None:
        """The peer ended its half; false: close."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing goes in or out any more."""

    def pause_writing(self) -> None:
        """The peer reads slowly."""

    def resume_writing(self) -> None:
        """The peer has read."""


class _Nobody:
    """Stands where a protocol stood whose connection is gone."""

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(bytearray(_PIECE))

    def buffer_updated(self, nbytes: int) -> None:
        """Nobody reads it."""

    def eof_received(self) -> bool | None:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It knows."""

    def pause_writing(self) -> None:
        """It writes nothing."""

    def resume_writing(self) -> None:
        """It writes nothing."""


_NOBODY = _Nobody()


class SecureTransport(asyncio.Transport, asyncio.BufferedProtocol):
    """See the module. Made as a new socket's protocol, or put in place of the protocol of an open transport (then
    call `connection_made`); `shaken` waits for the handshake, and the protocol is served after it."""

    __slots__ = (
        "_closing",
        "_ended",
        "_flight",
        "_handshake",
        "_incoming",
        "_lingering",
        "_loop",
        "_lost",
        "_outgoing",
        "_protocol",
        "_raw",
        "_reading",
        "_shaken",
        "_tls",
    )

    _raw: asyncio.Transport

    def __init__(self, protocol: Reader, handshake: Handshake) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._handshake = handshake
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = handshake.context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=handshake.server_side,
            server_hostname=handshake.server_hostname,
        )
        self._flight = FirstFlight(handshake.alpn) if handshake.server_side else None
        self._shaken: asyncio.Future[None] = self._loop.create_future()
        self._lingering: asyncio.TimerHandle | None = None
        self._reading = False
        self._ended = False
        self._closing = False
        self._lost = False

    # --- the handshake

    async def shaken(self) -> None:
        """Wait for the handshake, `handshake.seconds` at most; after any failure the connection is dropped.

        Raises ssl.SSLError, Unwelcome, TimeoutError, other OSErrors.
        """
        try:
            async with asyncio.timeout(self._handshake.seconds):
                await self._shaken
        except BaseException:
            self.abort()
            raise

    def _shake(self) -> None:
        """Go on as far as what has come allows."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
            return
        except (ssl.SSLError, ssl.CertificateError) as fault:
            self._send()  # the alert
            self._fail(fault)
            return
        self._send()
        self._reading = True
        self._shaken.set_result(None)
        # Not before the one who waits has gone on and the protocol knows its transport.
        self._loop.call_soon(self._pump)

    def _fail(self, fault: Exception) -> None:
        self._tell(fault)
        self._closing = True
        self._raw.close()

    def _tell(self, fault: Exception) -> None:
        if not self._shaken.done():
            self._shaken.set_exception(fault)
            self._shaken.exception()  # nobody may be there any more to be told

    # --- towards the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket's transport is there, and nobody else reads it."""
        assert hasattr(transport, "write")
        self._raw = transport  # type: ignore[assignment]  # uvloop's is no subclass of asyncio's
        self._raw.resume_reading()
        if not self._handshake.server_side:
            self._shake()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the socket is read into."""
        return self._protocol.get_buffer(sizehint)[:_PIECE]

    def buffer_updated(self, nbytes: int) -> None:
        """So many octets came from the socket."""
        if self._closing:
            return  # lingering: dropped
        data = self._protocol.get_buffer(nbytes)[:nbytes]
        if self._flight is not None:
            try:
                if not self._flight.feed(data):
                    return
            except Unwelcome as why:
                self._raw.write(why.alert)
                self._fail(why)
                return
            data = memoryview(self._flight.octets)
            self._incoming.write(data)
            self._flight = None
        else:
            self._incoming.write(data)
        if self._shaken.done():
            self._pump()
        else:
            self._shake()

    def _pump(self) -> None:
        """Decrypt what has come and the protocol wants."""
        tls, incoming = self._tls, self._incoming
        try:
            while self._reading and not self._closing and (incoming.pending or tls.pending()):
                room = self._protocol.get_buffer(-1)
                octets = tls.read(len(room), room)
                if not octets:
                    self._end()
                    return
                self._protocol.buffer_updated(octets)  # type: ignore[arg-type]  # a count, since it had a buffer
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._end()
        except ssl.SSLError:
            self._send()  # the alert
            self.abort()
            return
        self._send()

    def _end(self) -> None:
        """The peer ended its half, in so many words (RFC 8446 6.1)."""
        self._send()
        if not self._ended:
            self._ended = True
            if not self._protocol.eof_received():
                self.close()

    def eof_received(self) -> bool:
        """The socket's end: nothing can come any more."""
        if not self._shaken.done():
            self._fail(ConnectionResetError("the peer closed the connection"))
            return False
        if self._closing or not self._ended:
            self.abort()  # of a close, the last act; else a cut
            return False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._lost = self._closing = True
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self._tell(exc or ConnectionResetError("the connection was lost"))
        # The protocol has this transport: they are to go at once, not when the collector of cycles looks.
        protocol, self._protocol = self._protocol, _NOBODY
        protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer reads slowly."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The peer has read."""
        self._protocol.resume_writing()

    def _send(self) -> None:
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    # --- towards the protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send; what the peer does not take waits in the socket's transport."""
        if self._closing:
            return
        try:
            if len(data) <= _PIECE:
                self._tls.write(data)
                self._send()
                return
            view, records = memoryview(data), list[bytes]()
            for at in range(0, len(view), _PIECE):
                self._tls.write(view[at : at + _PIECE])
                records.append(self._outgoing.read())
            # Not writelines: asyncio's of Python 3.12 and 3.13 forgets to hold the writer back (CVE-2024-12254).
            self._raw.write(b"".join(records))
        except ssl.SSLError:
            self.abort()

    def close(self) -> None:
        """Send close_notify and what waits, then read and drop for LINGER_SECONDS until the peer closes too: a
        close over unread octets would be a reset, and could take the last words from the peer."""
        if self._closing:
            return
        self._closing = True
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # the peer's own close_notify is not waited for
        self._send()
        if self._ended:
            self._raw.close()
            return
        self._lingering = self._loop.call_later(limits.LINGER_SECONDS, self._raw.close)
        try:
            self._raw.write_eof()
            self._raw.resume_reading()
        except (OSError, RuntimeError):
            self._raw.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._closing = True
        self._raw.abort()

    def is_closing(self) -> bool:
        """Whether it was closed or lost."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether the protocol gets what comes."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Read no further; at most one read of the socket waits here, encrypted."""
        if self._reading and not self._closing:
            self._reading = False
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading, from the loop's next turn on."""
        if not (self._reading or self._closing):
            self._reading = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self.is_reading():
            self._pump()
        if self.is_reading():
            self._raw.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See asyncio; they are the socket's transport's."""
        self._raw.set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_size(self) -> int:
        """Octets, encrypted, that the peer has not taken."""
        return self._raw.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """Half of a TLS session is closed by `close` alone."""
        return False

    def get_extra_info(self, name: str, default: object = None) -> object:
        """`ssl_object`, and what the socket's transport knows."""
        return self._tls if name == "ssl_object" else self._raw.get_extra_info(name, default)


async def upgrade(
    transport: asyncio.Transport, protocol: asyncio.BaseProtocol, handshake: Handshake
) -> asyncio.Transport:
    """Shake hands over a socket's open transport, whose protocol a `Reader` is. Raises as `shaken` does."""
    secure = SecureTransport(cast(Reader, protocol), handshake)
    transport.set_protocol(secure)
    secure.connection_made(transport)
    await secure.shaken()
    return secure
