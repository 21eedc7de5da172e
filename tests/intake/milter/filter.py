"""A filter to test with: speaks libmilter's protocol as it is told to, and keeps what it heard.

    async with Filter(E=[packet(b"h", b"X-A\\0b\\0"), packet(b"c")]) as filter:
        connection = await dial(filter.place, 5)

Answers are by the letter of the command; what isn't named gets "continue".
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final

from postroom.intake.envelope import PASSED, Arrival, Caller, Envelope, Origin, Passed, Recipient, Rejected
from postroom.intake.milter.changes import Desk
from postroom.intake.milter.client import Place
from postroom.intake.milter.session import DEFAULTS, Milter, MilterSession
from postroom.intake.recipients import Local, Resolution, Unknown
from postroom.message.octets import Octets
from postroom.message.structure import parse
from postroom.smtp.grammar import Address, read_address
from postroom.store.values import Account, AccountId

SILENT: Final = b""
"""As an answer: none, and the connection stays open."""
HANG_UP: Final = b"hang up"
ALL_ACTIONS: Final = 0x1FF & ~0x100


def packet(letter: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data) + 1) + letter + data


def options(version: int = 6, actions: int = ALL_ACTIONS, steps: int = 0) -> bytes:
    return packet(b"O", struct.pack(">III", version, actions, steps))


CONTINUE: Final = packet(b"c")


class Filter:
    def __init__(self, *, options: bytes = options(), **answers: Sequence[bytes] | bytes) -> None:
        self.options = options
        self.answers = {
            key.encode(): [value] if isinstance(value, bytes) else value for key, value in answers.items()
        }
        self.heard: list[tuple[bytes, bytes]] = []
        """Letters and data of all commands, macros among them."""
        self.spoken = asyncio.Event()
        """Set by every command."""
        self.connections = 0
        self.spare: frozenset[bytes] = frozenset()
        """Commands that get no answer."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def letters(self) -> str:
        """What was heard, but macros and the parting."""
        return b"".join([letter for letter, _ in self.heard if letter not in b"DQ"]).decode()

    def data(self, letter: str) -> list[bytes]:
        return [data for each, data in self.heard if each == letter.encode()]

    def macros(self, command: str) -> dict[str, str]:
        """Those that came for a command, all together."""
        found: dict[str, str] = {}
        for data in self.data("D"):
            if data[:1] == command.encode():
                words = data[1:].decode().split("\0")[:-1]
                found |= dict(zip(words[::2], words[1::2], strict=True))
        return found

    @property
    def place(self) -> Place:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return Place(host, port)

    @staticmethod
    def nowhere() -> Place:
        return Place(path="/nowhere/filter.sock")

    async def __aenter__(self) -> Filter:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                (length,) = struct.unpack(">I", await reader.readexactly(4))
                body = await reader.readexactly(length)
                letter = body[:1]
                self.heard.append((letter, body[1:]))
                self.spoken.set()
                if letter == b"O" and self.options == HANG_UP:
                    break
                if letter == b"O":
                    writer.write(self.options)
                    continue
                if letter in b"DAQ" or letter in self.spare:
                    continue
                for answer in self.answers.get(letter, [CONTINUE]):
                    if answer == HANG_UP:
                        writer.transport.abort()
                        return
                    writer.write(answer)
        writer.close()


class Sheet:
    """A letter on its way in, in memory."""

    def __init__(self) -> None:
        self.size = 0
        self.discarded = False
        self.largest = 0
        self._chunks: list[bytes] = []

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self._chunks.append(bytes(chunk))
        self.size += len(chunk)
        self.largest = max(self.largest, len(chunk))

    def contents(self) -> Octets:
        return b"".join(self._chunks)

    def discard(self) -> None:
        self.discarded = True


ALICE: Final = Account(AccountId(1), "alice@example.test")
BOB: Final = Account(AccountId(2), "bob@example.test")
CALLER: Final = Caller("192.0.2.1", 4321, "smtp", "a1", "client.test", letter="a1.1")
SENDER: Final = read_address("jo@other.test")
LETTER: Final = b"Subject: x\r\nX-Spam: one\r\nTo: a@b.test,\r\n\tc@d.test\r\nX-Spam: two\r\n\r\nbody\r\n.end\r\n"


def arrival(letter: bytes = LETTER, *accounts: Account) -> Arrival:
    sheet = Sheet()
    sheet.write(letter)
    facts = parse(letter)
    recipients = tuple(Recipient(each, read_address(each.address)) for each in accounts or (ALICE,))
    envelope = Envelope(SENDER, recipients)
    return Arrival(
        envelope, Origin("client.test", "192.0.2.1", "ESMTP", "a1.1"), letter[: facts.header_size], facts, sheet
    )


async def resolve(address: Address) -> Resolution:
    known = {each.address: each for each in (ALICE, BOB)}
    found = known.get(str(address).lower())
    return Local((found,)) if found else Unknown()


class Desks:
    """Where changed letters are written; keeps all that were begun."""

    def __init__(self, most: int = 10_000_000) -> None:
        self.sheets: list[Sheet] = []
        self.desk = Desk(self._begin, resolve, most)

    def _begin(self) -> Sheet:
        self.sheets.append(Sheet())
        return self.sheets[-1]


def milter(
    place: Place, default: str = "tempfail", seconds: float = 5.0, clock: Callable[[], float] | None = None
) -> Milter:
    made = Milter(place, "mx.example.test", DEFAULTS[default], seconds)
    if clock is not None:
        made.clock = clock
    return made


def session(place: Place, default: str = "tempfail", seconds: float = 5.0) -> MilterSession:
    return MilterSession(milter(place, default, seconds), Desks().desk)


async def envelope_told(one: MilterSession) -> Passed | Rejected:
    """HELO, MAIL and RCPT, all of which pass."""
    from dataclasses import replace

    assert await one.hello(CALLER) == PASSED
    caller = replace(CALLER, sender=SENDER)
    assert await one.mail(caller, [b"SIZE=5"]) == PASSED
    return await one.rcpt(replace(caller, recipient=read_address("alice@example.test")), [])
