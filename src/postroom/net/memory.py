"""Two streams joined in memory: the same `Stream`, over a transport without a socket.

It buffers as the real thing does (what one side writes arrives in a later turn of the loop), holds a fast writer
back, knows close and abort. TLS is a mark on both sides; what plaintext was on its way is dropped all the same.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from typing import Final

from postroom.net.stream import DeadlineExpired, EndOfStream, Stream
from postroom.net.transport import Address, Handshake

_HIGH_WATER: Final = 64 * 1024


class _Transport(asyncio.Transport):
    """One end of the pair. `pending` are the octets that this end wrote and the other has not received."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Stream, ends: tuple[Address, Address]) -> None:
        super().__init__()
        self._facts: dict[str, object] = {
            "peername": (ends[0].host, ends[0].port),
            "sockname": (ends[1].host, ends[1].port),
        }
        self.writes = 0
        """How often `write` was called: what a socket would have cost in system calls."""
        self.other: _Transport
        self.shaken: asyncio.Future[None] | None = None
        self._loop = loop
        self._protocol = protocol
        self._pending = bytearray()
        self._reading = True
        self._ended = False
        self._closing = False
        self._aborted = False
        self._lost = False
        self._held = False
        self._high = _HIGH_WATER

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._facts.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1
        if self._closing or self._ended:
            return
        self._pending += data
        if len(self._pending) > self._high and not self._held:
            self._held = True
            self._protocol.pause_writing()
        self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """Move what is pending to the other end, where that reads."""
        other = self.other
        if other._lost or other.shaken is not None:
            self._pending.clear()
        if self._pending and other._reading:
            data = bytes(self._pending)
            self._pending.clear()
            other._protocol.data_received(data)
        if self._pending:
            return
        if self._held:
            self._held = False
            self._protocol.resume_writing()
        if self._ended and not other._lost and other._reading:
            self._ended = False
            if not other._protocol.eof_received():
                other.close()
        if self._closing:
            self._lose()

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self._protocol.connection_lost(None)
            self._loop.call_soon(self.other._hang_up)

    def _hang_up(self) -> None:
        """The other end is gone."""
        if not self._lost:
            if self.shaken is not None and not self.shaken.done():
                self.shaken.set_exception(EndOfStream("the peer closed the connection"))
            if not self.other._aborted:
                self._protocol.eof_received()
            self._closing = self._lost = True
            self._protocol.connection_lost(None)

    async def shake(self, seconds: float) -> None:
        """Meet the other end's `shake`; until it comes, what it sends is plaintext and lost."""
        other = self.other
        other._pending.clear()
        if other.shaken is None:
            self.shaken = self._loop.create_future()
            try:
                async with asyncio.timeout(seconds):
                    await self.shaken
            except TimeoutError as fault:
                raise DeadlineExpired from fault
            finally:
                self.shaken = None
        else:
            if not other.shaken.done():
                other.shaken.set_result(None)
            other.shaken = None
            other._begin_tls()
            self._begin_tls()

    def _begin_tls(self) -> None:
        self._facts["ssl_object"] = _tls()
        self.resume_reading()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._deliver)

    def abort(self) -> None:
        self._closing = self._aborted = True
        self._pending.clear()
        self._loop.call_soon(self._lose)

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._ended = True
        self._loop.call_soon(self._deliver)

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._loop.call_soon(self.other._deliver)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else _HIGH_WATER

    def get_write_buffer_size(self) -> int:
        return len(self._pending)


@functools.cache
def _tls() -> ssl.SSLObject:
    """Stands for TLS on a stream in memory: a session that never shook hands."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)


async def _upgrade(
    transport: asyncio.Transport, protocol: asyncio.BaseProtocol, handshake: Handshake
) -> asyncio.Transport:
    assert isinstance(transport, _Transport)
    await transport.shake(handshake.seconds)
    return transport


def pair(peer: str = "127.0.0.1", local: str = "127.0.0.1") -> tuple[Stream, Stream]:
    """A server's and a client's stream, joined; inside a running loop. The server sees its client at `peer`."""
    loop = asyncio.get_running_loop()
    server, client = Stream(_upgrade), Stream(_upgrade)
    here, there = Address(local, 0), Address(peer, 0)
    at_server = _Transport(loop, server, (there, here))
    at_client = _Transport(loop, client, (here, there))
    at_server.other, at_client.other = at_client, at_server
    server.connection_made(at_server)
    client.connection_made(at_client)
    return server, client


def mark_tls(*streams: Stream) -> None:
    """Let streams of a pair count as having begun with TLS."""
    for stream in streams:
        stream.tls = _tls()


def writes(stream: Stream) -> int:
    """How often the stream of a pair has handed octets to its transport: what a socket would have cost in system
    calls."""
    transport = stream.transport
    assert isinstance(transport, _Transport)
    return transport.writes
