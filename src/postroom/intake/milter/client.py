"""One connection to a filter: dial, agree on options, send commands, read answers; everything bounded.

What is wrong with a filter, be it the network or what it says, is one exception: `MilterFault`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from postroom.intake.milter.grammar import (
    LENGTH_OCTETS,
    VERSION,
    Action,
    Answer,
    Command,
    MilterFault,
    Options,
    Step,
    Word,
    check_options,
    read_answer,
    read_length,
    write_front,
    write_options,
    write_packet,
)
from postroom.net.limits import LINGER_SECONDS, MILTER_LETTER_SECONDS, MILTER_PACKET_OCTETS
from postroom.net.stream import DeadlineExpired, EndOfStream, Stream


class Unreachable(MilterFault):
    """Nobody is there, or nobody that speaks the protocol."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a filter listens: a host and a port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"inet:[{self.host}]:{self.port}" if ":" in self.host else f"inet:{self.host}:{self.port}"


class Connection:
    """An open connection on which options are agreed: see `dial`. Every method may raise MilterFault, after which
    only `drop` makes sense."""

    def __init__(self, stream: Stream, seconds: float) -> None:
        self.options = Options(VERSION, Action(0), Step(0))
        self._stream = stream
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._until = float("inf")

    def chose(self, step: Step) -> bool:
        """Whether the filter asked for this."""
        return bool(self.options.steps & step)

    def begin_letter(self) -> None:
        """From here on all that is done has MILTER_LETTER_SECONDS together, until `end_letter`."""
        self._until = self._loop.time() + MILTER_LETTER_SECONDS

    def end_letter(self) -> None:
        """The letter is done with."""
        self._until = float("inf")

    def tell(self, packet: bytes) -> None:
        """Queue a command; it leaves with the next wait."""
        self._stream.write_body(packet)

    async def tell_octets(self, command: Command, octets: bytes) -> None:
        """Send a command with much data, no faster than the filter reads."""
        self._stream.write_body(write_front(command, len(octets)), octets)
        self._arm()
        try:
            await self._stream.flush()
        except (EndOfStream, DeadlineExpired) as fault:
            raise _lost(fault) from fault

    async def answer(self) -> Answer:
        """The next answer. One that only says that the filter goes on is passed over; it gets its time anew."""
        while (answer := await self._read()) is Word.PROGRESS:
            pass
        return answer

    async def _read(self) -> Answer:
        self._arm()
        try:
            length = read_length(await self._stream.exactly(LENGTH_OCTETS))
            if not 0 < length <= MILTER_PACKET_OCTETS:
                raise MilterFault("an answer of a length that can't be")
            packet = await self._stream.exactly(length)
        except (EndOfStream, DeadlineExpired) as fault:
            raise _lost(fault) from fault
        return read_answer(packet)

    def _arm(self) -> None:
        left = self._until - self._loop.time()
        if left <= 0:
            raise MilterFault("it took too long over one letter")
        self._stream.deadline(min(self._seconds, left))

    async def negotiate(self) -> None:
        """Agree on options; the first that is done."""
        self.tell(write_options())
        answer = await self.answer()
        if not isinstance(answer, Options):
            raise MilterFault("it began without options")
        check_options(answer)
        self.options = answer

    async def part(self) -> None:
        """Say goodbye and close; never raises."""
        self.tell(write_packet(Command.QUIT))
        self._stream.deadline(min(self._seconds, LINGER_SECONDS))
        await self._stream.close()

    def drop(self) -> None:
        """Close at once."""
        self._stream.abort()


def _lost(fault: Exception) -> MilterFault:
    return MilterFault("no answer in time" if isinstance(fault, DeadlineExpired) else "it closed the connection")


async def dial(place: Place, seconds: float) -> Connection:
    """Connect to a filter and agree on options, within so many seconds for each. Raises Unreachable."""
    loop = asyncio.get_running_loop()
    stream = Stream()
    try:
        async with asyncio.timeout(seconds):
            if place.path:
                await loop.create_unix_connection(lambda: stream, place.path)
            else:
                await loop.create_connection(lambda: stream, place.host, place.port)
    except TimeoutError as fault:
        raise Unreachable("no connection in time") from fault
    except OSError as fault:
        raise Unreachable(f"no connection: {fault.strerror or 'the name is not known'}") from fault
    connection = Connection(stream, seconds)
    try:
        await connection.negotiate()
    except MilterFault as fault:
        connection.drop()
        raise Unreachable(str(fault)) from fault
    except BaseException:
        connection.drop()
        raise
    return connection
