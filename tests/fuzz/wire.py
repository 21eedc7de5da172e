"""One connection in memory between a fuzzer and a server's handler: thousands a second, and it can be seen when the
server has nothing more to do."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from typing import Any, Final, cast

from postroom.net import limits, memory
from postroom.net.conversation import Tap
from postroom.net.listener import Listener
from postroom.net.stream import DeadlineExpired, EndOfStream, Stream
from postroom.net.transport import Address
from tests.fuzz.conversation import Act, Conversation, Pace, Step
from tests.fuzz.walk import Told, Wrong

_SPINS: Final = 3000
"""Turns of the loop before time itself is waited for."""
_PATIENCE: Final = 10.0
"""Seconds that a server may be busy with what it has heard."""
_PIECE: Final = 16_384
"""Octets that come at once, as from a kernel."""
_MOST_UNREAD: Final = limits.INPUT_HIGH_WATER + limits.READ_OCTETS
"""What a server may hold of what it has not understood."""
_OCTETS_SINGLY: Final = 600
"""Of a conversation, of which each octet may come on its own; of more, seven at a time."""


class _Ear(asyncio.Protocol):
    """The client's end: keeps all that is said."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.ended = False
        """The server will say nothing more."""

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def eof_received(self) -> bool:
        self.ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True


class Wire:
    """A live connection to one listener's handler. Every wait raises Wrong where the server is at fault."""

    def __init__(self, listener: Listener, tap: Tap, peer: str) -> None:
        loop = asyncio.get_running_loop()
        self._ear = _Ear()
        self._server = Stream(memory._upgrade)
        here, there = Address("127.0.0.1", 25), Address(peer, 40_000)
        self._at_server = memory._Transport(loop, self._server, (there, here))
        self._at_client = memory._Transport(loop, cast(Any, self._ear), (here, there))
        self._at_server.other, self._at_client.other = self._at_client, self._at_server
        if listener.login_first:
            self._server.narrow()
        self._server.connection_made(self._at_server)
        self.sent: list[bytearray] = [bytearray()]
        self.gone = False
        self._task = loop.create_task(self._serve(listener, tap))

    async def _serve(self, listener: Listener, tap: Tap) -> None:
        """What the door does around a handler."""
        stream = self._server
        conversation = stream.conversation = tap.begin(listener.protocol, stream.peer.host)
        conversation.guarded = listener.login_first
        try:
            await listener.handler(stream)
        except (EndOfStream, DeadlineExpired):
            pass
        finally:
            stream.deadline(limits.CLOSE_SECONDS)
            await stream.close()
            tap.end(conversation)

    # --- what the client does

    def send(self, octets: bytes) -> None:
        """Let octets come to the server, in one piece."""
        self.sent[-1] += octets
        self._at_client.write(octets)

    async def play(self, conversation: Conversation) -> None:
        """All that the client does."""
        if conversation.pace is not Pace.WAITING:
            await self.settle()
        for step in _paced(conversation):
            if self._ear.ended or self.gone:
                return
            if isinstance(step, Act):
                await self._act(step)
            elif conversation.pace is Pace.WAITING:
                for at in range(0, len(step), _PIECE):
                    await self.settle()
                    self.send(step[at : at + _PIECE])
            else:
                self.send(step)
                await asyncio.sleep(0)
                self._weigh()
        await self.settle()

    async def _act(self, act: Act) -> None:
        await self.settle()
        match act:
            case Act.TLS if self._at_server.shaken is not None:
                await self._at_client.shake(_PATIENCE)
                self.sent.append(bytearray())
            case Act.CLOSE:
                self.gone = True
                self._at_client.write_eof()
            case Act.CUT:
                self.gone = True
                self._at_client.abort()

    async def ask(self, line: bytes) -> None:
        """Send a line, and wait until it has been dealt with."""
        self.send(line)
        await self.settle()

    # --- what the server does

    @property
    def _idle(self) -> bool:
        server, client = self._at_server, self._at_client
        if self._task.done() or self._ear.ended:
            return True
        if client._pending or server._pending or (client._closing and not client._lost):
            return False
        if server.shaken is not None:
            return not server.shaken.done()
        if client._ended:
            return False
        return server._reading and self._server._reading is not None and not self._server._reading.done()

    async def settle(self) -> None:
        """Until the server waits for the client, or is gone."""
        loop = asyncio.get_running_loop()
        until = 0.0
        spins = 0
        while True:
            # Twice: what was written a moment ago is delivered in the next turn.
            await asyncio.sleep(0)
            if self._idle:
                await asyncio.sleep(0)
                if self._idle:
                    break
            spins += 1
            if spins > _SPINS:
                until = until or loop.time() + _PATIENCE
                if loop.time() > until:
                    raise Wrong("hangs", "the server neither waits nor answers")
                await asyncio.sleep(0.001)
        self._weigh()

    def _weigh(self) -> None:
        if self._server.unread_octets > _MOST_UNREAD:
            raise Wrong("buffer grows", f"{self._server.unread_octets} octets lie unread")

    def told(self) -> Told:
        """Both sides, for a walk."""
        return Told(
            [bytes(piece) for piece in self.sent],
            bytes(self._ear.heard),
            closed=self._ear.ended,
            gone=self.gone,
        )

    async def end(self) -> None:
        """Leave, and see the session end."""
        self.gone = True
        self._at_client.close()
        done, _ = await asyncio.wait([self._task], timeout=_PATIENCE)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_PATIENCE)
            raise Wrong("does not end", "the client has closed, the session goes on")
        if not self._task.cancelled() and (fault := self._task.exception()) is not None:
            raise Wrong("session broke", f"{type(fault).__name__}: {fault}")


def _paced(conversation: Conversation) -> Iterator[Step]:
    """The steps as they come on the wire."""
    if conversation.pace is Pace.WAITING:
        yield from conversation.steps
        return
    together = b""
    for step in conversation.steps:
        if isinstance(step, Act):
            yield from _cut(together, conversation.pace)
            together = b""
            yield step
        else:
            together += step
    yield from _cut(together, conversation.pace)


def _cut(octets: bytes, pace: Pace) -> Iterator[bytes]:
    match pace:
        case Pace.OCTETS if len(octets) <= _OCTETS_SINGLY:
            size = 1
        case Pace.OCTETS | Pace.PIECES if len(octets) < _PIECE:
            size = 7 + zlib.crc32(octets) % 100
        case _:
            size = _PIECE
    for at in range(0, len(octets), size):
        yield octets[at : at + size]
