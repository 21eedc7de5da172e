"""A connection as a conversation sees it: lines and octets in, octets out, one deadline.

`Stream` is an asyncio Protocol with a buffer of its own (no StreamReader). A read that the buffer can answer does
not suspend, and what was written leaves when the coroutine is about to wait, so that a pipelined batch of commands
costs one system call each way.

It reads into a room that all streams of a thread share (asyncio's BufferedProtocol), so that an idle connection
holds no buffer. Where strangers must log in first the stream is made `narrow`: the peer of a narrow stream can't
make it hold more than a few kilobytes, whatever it sends or leaves unread; the login widens it.

One coroutine reads at a time. Others may write and flush, and call `wake`, `part`, `deadline` and `abort`.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Literal, cast, overload

from postroom.net import limits
from postroom.net.buffer import Buffer
from postroom.net.buffer import LineTooLong as LineTooLong
from postroom.net.context import end_point
from postroom.net.conversation import Conversation
from postroom.net.deadline import NEVER as NEVER
from postroom.net.deadline import Deadline
from postroom.net.deadline import DeadlineExpired as DeadlineExpired
from postroom.net.ends import EndOfStream as EndOfStream
from postroom.net.ends import Farewell as Farewell
from postroom.net.ends import Truncated as Truncated
from postroom.net.hello import Unwelcome
from postroom.net.secure import upgrade
from postroom.net.transport import Address as Address
from postroom.net.transport import Handshake, Upgrade, address, rooms
from postroom.net.turns import turns


class Stream(asyncio.BufferedProtocol):
    """See the module. `tls` tells whether TLS is on; `farewell` is set when the session ought to end."""

    __slots__ = (
        "_closing",
        "_deadline",
        "_eof",
        "_flushing",
        "_gone",
        "_held",
        "_input",
        "_loop",
        "_lost",
        "_most_in",
        "_most_out",
        "_narrow",
        "_out",
        "_out_octets",
        "_paused",
        "_reading",
        "_room",
        "_turn",
        "_upgrade",
        "_upgrading",
        "_woken",
        "alpn",
        "conversation",
        "farewell",
        "local",
        "peer",
        "tls",
        "transport",
    )

    peer: Address
    local: Address
    tls: ssl.SSLObject | None
    farewell: Farewell | None
    conversation: Conversation | None
    alpn: frozenset[bytes] | None
    """As a server: the application protocols that a client of `start_tls` may offer; None: any."""
    transport: asyncio.Transport
    """What carries it; to look at, not to write to."""

    def __init__(self, upgrade: Upgrade = upgrade) -> None:
        """Made inside a running loop, as a transport's protocol; of use from `connection_made` on."""
        self.peer = self.local = Address("", 0)
        self.tls = None
        self.farewell = None
        self.conversation = None
        self.alpn = None
        self._loop = asyncio.get_running_loop()
        self._upgrade = upgrade
        self._input = Buffer()
        self._out: list[bytes] = []
        self._out_octets = 0
        self._narrow = False
        self._most_in = limits.INPUT_HIGH_WATER
        self._most_out = limits.OUTPUT_HIGH_WATER
        self._room = rooms.wide
        self._reading: asyncio.Future[None] | None = None
        self._flushing: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None
        self._deadline = Deadline(self._loop, self._waiters)
        self._turn = 0
        self._held = False
        self._paused = False
        self._upgrading = False
        self._eof = False
        self._lost = False
        self._closing = False
        self._woken = False

    # --- how much may lie here

    def narrow(self) -> None:
        """Hold little, in both directions, until the conversation has an account. To be called before the start."""
        self._narrow = True
        self._most_in = limits.INPUT_HIGH_WATER_BEFORE_LOGIN
        self._most_out = limits.OUTPUT_HIGH_WATER_BEFORE_LOGIN
        self._room = rooms.narrow

    def widen(self) -> None:
        """Hold as much as is quick; the next `line` after the login calls it by itself."""
        self._narrow = False
        self._most_in = limits.INPUT_HIGH_WATER
        self._most_out = limits.OUTPUT_HIGH_WATER
        self._room = rooms.wide
        if not self._lost:
            self._set_limits()

    def _set_limits(self) -> None:
        self.transport.set_write_buffer_limits(high=self._most_out)

    # --- reading

    @overload
    async def line(self, limit: int, *, wakeable: Literal[False] = False, secret: bool = False) -> bytes: ...
    @overload
    async def line(self, limit: int, *, wakeable: bool, secret: bool = False) -> bytes | None: ...
    async def line(self, limit: int, *, wakeable: bool = False, secret: bool = False) -> bytes | None:
        """The next line, its LF included, of at most `limit` octets.

        With `wakeable`, None when `wake` was called before a whole line was there (once for each burst of calls,
        also for calls made before this one); without it never None. With `secret` the tap records only how many
        octets it had (an answer to a SASL challenge). Raises LineTooLong, EndOfStream, DeadlineExpired.
        """
        if self._held:
            await self.flush()
        if self._narrow and self.conversation is not None and self.conversation.account:
            self.widen()
        self._turn += 1
        if self._turn >= limits.LINES_PER_TURN:
            self._turn = 0
            await asyncio.sleep(0)
        while True:
            try:
                line = self._input.line(limit)
            except LineTooLong as fault:
                if self.conversation is not None:
                    self.conversation.note(str(fault))
                raise
            if line is not None:
                if self.conversation is not None:
                    if secret:
                        self.conversation.client_secret(len(line))
                    else:
                        self.conversation.client_line(line)
                return line
            if wakeable and self._woken:
                self._woken = False
                return None
            await self._more()

    async def exactly(self, count: int) -> bytes:
        """The next `count` octets. For small, bounded counts; the tap records only how many.

        Raises EndOfStream, DeadlineExpired.
        """
        if self._held:
            await self.flush()
        while (data := self._input.exactly(count)) is None:
            await self._more()
        if self.conversation is not None:
            self.conversation.client_body(count)
        return data

    async def some(self, limit: int) -> bytes:
        """At least one and at most `limit` octets, whatever is there; the tap records only how many.

        Raises EndOfStream, DeadlineExpired.
        """
        if self._held:
            await self.flush()
        while not (data := self._input.some(limit)):
            await self._more()
        if self.conversation is not None:
            self.conversation.client_body(len(data))
        return data

    def unread(self, data: bytes) -> None:
        """Put octets back to the front: what `some` gave beyond the end of a body."""
        if data:
            self._input.unread(data)
            if self.conversation is not None:
                self.conversation.client_body(-len(data))

    @property
    def unread_octets(self) -> int:
        """How many octets have arrived and were not read."""
        return len(self._input)

    async def _more(self) -> None:
        """Send what is queued, then wait for something to happen: octets, a wake.

        Raises EndOfStream where nothing can come any more, DeadlineExpired.
        """
        if self._out:
            self._push()
        if self._held:
            await self.flush()
            return
        if self._eof:
            raise EndOfStream("the peer closed the connection")
        if self._lost:
            raise Truncated("the connection was lost")
        if self._reading is not None:
            raise RuntimeError("two coroutines read one stream")
        self._turn = 0
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        self._deadline.arm()
        waiter = self._reading = self._loop.create_future()
        try:
            await waiter
        finally:
            self._reading = None

    # --- writing

    def write(self, data: bytes) -> None:
        """Queue a reply (whole lines; the tap shows them); it leaves when the conversation waits, or at `flush`.

        Never raises: after the end of the connection it goes nowhere, and the next read or flush tells.
        """
        if not data:
            return
        if self.conversation is not None:
            self.conversation.server_lines(data)
        self._out.append(data)
        self._out_octets += len(data)
        if self._out_octets > self._most_out:
            self._push()

    def write_body(self, *pieces: bytes) -> None:
        """Queue octets of a letter; the tap records only how many."""
        octets = sum(map(len, pieces))
        if self.conversation is not None:
            self.conversation.server_body(octets)
        self._out.extend(pieces)
        self._out_octets += octets
        if self._out_octets > self._most_out:
            self._push()

    async def flush(self) -> None:
        """Hand everything to the transport, and wait while the peer reads slower than the high-water mark.

        Several may wait at once. Raises EndOfStream, DeadlineExpired.
        """
        self._push()
        while self._held and not self._lost:
            self._deadline.arm()
            if self._flushing is None or self._flushing.done():
                self._flushing = self._loop.create_future()
            # Shielded: one that waits no longer must not take the others with it.
            await asyncio.shield(self._flushing)
        if self._lost:
            raise EndOfStream("the peer closed the connection")

    def _push(self) -> None:
        out = self._out
        if not out:
            return
        self._out = []
        self._out_octets = 0
        if not (self._lost or self._closing):
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    # --- time, and calls from outside

    def deadline(self, seconds: float | None) -> None:
        """Move the one timer: from now on any wait ends with DeadlineExpired after `seconds`. None: none."""
        self._deadline.move(seconds)
        if (self._reading is not None or self._flushing is not None) and self._waiters():
            self._deadline.arm()

    def _waiters(self) -> list[asyncio.Future[None]]:
        return [one for one in (self._reading, self._flushing) if one is not None and not one.done()]

    def wake(self) -> None:
        """Let a wakeable `line` return None; safe to call from callbacks."""
        self._woken = True
        _release(self._reading)

    def part(self, why: Farewell) -> None:
        """Set `farewell` and wake."""
        self.farewell = why
        self.wake()

    # --- TLS

    async def start_tls(self, context: ssl.SSLContext, go_ahead: bytes = b"") -> None:
        """Server side of STARTTLS: stop reading, drop all buffered plaintext, send `go_ahead`, shake hands.

        Nothing received before the handshake is ever seen as data (CVE-2011-0411). A client that then speaks no
        TLS, or offers only application protocols that are not in `alpn`, is dropped before the handshake.
        Raises EndOfStream or DeadlineExpired where the handshake fails; the connection is then dropped.
        """
        self._stop_reading()
        await self.flush()
        if go_ahead:
            self.write(go_ahead)
        self._push()
        try:
            await self._shake(context, server_side=True, server_hostname=None)
        except ssl.SSLError as fault:
            self.abort()
            raise EndOfStream(f"TLS handshake failed: {fault.reason or fault}") from fault

    async def start_tls_as_client(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Client's side of STARTTLS, to be called when the go-ahead has been read.

        Octets that lie behind the go-ahead end the connection (CVE-2021-38371).
        Raises ssl.SSLError (a certificate that does not hold among them), EndOfStream, DeadlineExpired.
        """
        self._stop_reading()
        if len(self._input):
            self.abort()
            raise EndOfStream("plaintext behind the go-ahead for TLS")
        await self.flush()
        await self._shake(context, server_side=False, server_hostname=server_hostname)

    def channel_binding(self) -> bytes | None:
        """tls-server-end-point (RFC 5929 4) of a server's connection: the hash of the certificate that this client
        was sent. None without TLS, and where it isn't known (see `net.context.end_point`)."""
        return None if self.tls is None else end_point(self.tls)

    def _stop_reading(self) -> None:
        if not (self._paused or self._lost or self._eof):
            self._paused = True
            self.transport.pause_reading()

    async def _shake(self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None) -> None:
        if self._lost or self._eof:
            raise EndOfStream("the peer closed the connection")
        now = self._loop.time()
        until = min(self._deadline.at, now + limits.GREETING_SECONDS)
        if until <= now:
            raise DeadlineExpired
        # Reading is paused and nothing suspends between here and the moment the loop gives the transport to TLS:
        # so what is dropped here is all the plaintext there can be.
        self._input.clear()
        self._woken = False
        self._upgrading = True
        try:
            transport = await self._upgrade(
                self.transport, self, Handshake(context, server_side, server_hostname, until - now, self.alpn)
            )
        except (ssl.SSLError, EndOfStream, DeadlineExpired):
            raise
        except OSError as fault:
            self.abort()
            if self.conversation is not None and isinstance(fault, Unwelcome):
                self.conversation.note(f"no TLS: {fault}")
            if isinstance(fault, TimeoutError):
                raise DeadlineExpired from fault
            raise EndOfStream(f"TLS handshake failed: {fault}") from fault
        finally:
            self._upgrading = False
        if transport is None:
            raise EndOfStream("the peer closed the connection")
        self._paused = False
        self._take(transport)
        if self.conversation is not None:
            self.conversation.note(f"TLS began: {self.tls.version() if self.tls else None}")

    # --- the end

    async def close(self) -> None:
        """Send what is queued and close (TLS with close_notify).

        Waits until it is done, up to the deadline (CLOSE_SECONDS where none is set), then drops the connection.
        Never raises.
        """
        if self._lost:
            return
        self._push()
        self._closing = True
        until = self._deadline.at if self._deadline.at != NEVER else self._loop.time() + limits.CLOSE_SECONDS
        try:
            async with asyncio.timeout_at(until):
                await self._linger()
                self.transport.close()
                await self._lose()
        except TimeoutError:
            self.abort()

    async def _linger(self) -> None:
        """Where the peer's octets lie unread, closing at once would reset the connection and could take our last
        words from the peer: end our half, and read and drop until it ends its own, for LINGER_SECONDS."""
        if self.tls is not None or self._eof or not (len(self._input) or self._paused):
            return
        if self.transport.is_closing():
            return
        try:
            self.transport.write_eof()
        except OSError:
            return
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        try:
            async with asyncio.timeout(limits.LINGER_SECONDS):
                while not (self._eof or self._lost):
                    self._input.clear()
                    waiter = self._reading = self._loop.create_future()
                    await waiter
        except TimeoutError:
            pass
        finally:
            self._reading = None

    async def _lose(self) -> None:
        if not self._lost:
            if self._gone is None:
                self._gone = self._loop.create_future()
            await asyncio.shield(self._gone)

    def abort(self) -> None:
        """Drop the connection at once."""
        self._closing = True
        self._out.clear()
        if not self._lost:
            self.transport.abort()

    # --- what the transport calls

    def _take(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.tls = transport.get_extra_info("ssl_object")
        self._set_limits()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        self._take(cast(asyncio.Transport, transport))  # uvloop's are no subclass
        self.peer = address(transport.get_extra_info("peername"))
        self.local = address(transport.get_extra_info("sockname"))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the transport may read into, until `buffer_updated`."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """So many octets have come into the room."""
        self.data_received(bytes(self._room[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Octets have come."""
        turns.spoken(self)
        self._input.feed(data)
        if len(self._input) > self._most_in and not (self._paused or self._upgrading):
            self._paused = True
            self.transport.pause_reading()
        _release(self._reading)

    def eof_received(self) -> bool:
        """The peer ended its half: what it sent before is still answered."""
        self._eof = True
        _release(self._reading)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing goes in or out any more."""
        self._lost = True
        self._deadline.cancel()
        _release(self._reading)
        _release(self._flushing)
        _release(self._gone)

    def pause_writing(self) -> None:
        """The peer reads slowly."""
        self._held = True

    def resume_writing(self) -> None:
        """The peer has read."""
        self._held = False
        _release(self._flushing)


def _release(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
