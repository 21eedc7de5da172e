"""A letter's octets on their way to a POP3 client, chunk by chunk: as they were stored, prefix and blob, or with
binary parts as base64 (`carriage`). Never is more of a letter in memory than one chunk and one part's header."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from postroom.net.limits import HEADER_OCTETS
from postroom.net.turns import Pace
from postroom.pop3.carriage import GROUP, Edit, Scan, base64_lines, base64_size, binary_word, candidates
from postroom.store.interface import Store, Unreadable
from postroom.store.values import Letter

CHUNK: Final = 65536
"""Octets of a letter that are in memory at once."""
_GROUPS: Final = CHUNK // GROUP * GROUP


class Reading(Protocol):
    """A letter that is being read, from its start."""

    async def chunk(self) -> bytes:
        """The next octets, none at the end. Raises `Unreadable`, `StoreFault`."""


class AsStored:
    """A letter that lines can carry. Who wants its first octets only says how many: of a letter that is read whole
    the store checks the sum, which costs more than it is worth there."""

    __slots__ = ("_at", "_first", "_letter", "_size", "_store")

    def __init__(self, store: Store, letter: Letter, first: int = CHUNK) -> None:
        self._store = store
        self._letter = letter
        self._at = 0
        self._first = min(max(first, 1), CHUNK)
        self._size = len(letter.prefix) + letter.blob_size

    async def chunk(self) -> bytes:
        """See `Reading`."""
        if self._at >= self._size:
            return b""
        octets = await self._store.read(self._letter, self._at, CHUNK if self._at else self._first)
        if not octets:
            raise Unreadable("a letter ends too early")
        self._at += len(octets)
        return octets


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent in place of a letter's octets: `edits` ascend, and `size` counts all of what is sent."""

    size: int
    edits: tuple[Edit, ...] = ()


async def plan(store: Store, letter: Letter, pace: Pace) -> Plan:
    """Look through a letter's parts, as `letter` (with its answers) has them, for what lines can't carry.

    Reads the header of every part that may be called binary, and the body of those that are. Raises `Unreadable`,
    `StoreFault`.
    """
    size = len(letter.prefix) + letter.crlf_size
    found: list[Edit] = []
    for part in candidates(letter.parts):
        header = await _octets(store, letter, part.header, min(part.body - part.header, HEADER_OCTETS))
        await pace.breathe()
        word = binary_word(header)
        if word is None:
            continue
        scan = Scan()
        for at in range(part.body, part.end, CHUNK):
            scan.feed(await _octets(store, letter, at, min(CHUNK, part.end - at)))
            await pace.breathe()
        at_end = part.end == letter.blob_size
        if scan.needs_base64(at_end=at_end):
            start, end = word
            found.append(Edit(part.header + start, part.header + end, b"base64"))
            found.append(Edit(part.body, part.end))
            # The line end that the letter lacked was counted; base64 brings one of its own.
            size -= scan.as_lines + 2 * (at_end and not scan.ended)
            size += base64_size(scan.octets, at_end=at_end)
    return Plan(size, tuple(found))


async def _octets(store: Store, letter: Letter, start: int, length: int) -> bytes:
    """Octets of the blob, all of those that are asked for. Raises `Unreadable`."""
    octets = await store.read(letter, len(letter.prefix) + start, length)
    while len(octets) < length:
        more = await store.read(letter, len(letter.prefix) + start + len(octets), length - len(octets))
        if not more:
            raise Unreadable("a letter ends too early")
        octets += more
    return octets


class Edited:
    """A letter that is sent by a plan."""

    __slots__ = ("_letter", "_pieces", "_store")

    def __init__(self, store: Store, letter: Letter, plan: Plan) -> None:
        self._store = store
        self._letter = letter
        self._pieces = _pieces(letter, plan.edits)

    async def chunk(self) -> bytes:
        """See `Reading`."""
        for piece in self._pieces:
            if piece.instead is not None:
                return piece.instead
            octets = await _octets(self._store, self._letter, piece.start, piece.end - piece.start)
            return piece.before + base64_lines(octets) + piece.after if piece.encoded else octets
        return b""


@dataclass(frozen=True, slots=True)
class _Piece:
    """One chunk of what is sent: octets [start, end) of the blob, as they are or encoded, or others instead."""

    start: int
    end: int
    instead: bytes | None = None
    encoded: bool = False
    before: bytes = b""
    after: bytes = b""


def _pieces(letter: Letter, edits: tuple[Edit, ...]) -> Iterator[_Piece]:
    """All of a letter, in pieces of at most CHUNK octets, in order."""
    if letter.prefix:
        yield _Piece(0, 0, letter.prefix)
    done = 0
    for edit in (*edits, Edit(letter.blob_size, letter.blob_size, b"")):
        for at in range(done, edit.start, CHUNK):
            yield _Piece(at, min(at + CHUNK, edit.start))
        done = edit.end
        if edit.instead:
            yield _Piece(edit.start, edit.end, edit.instead)
        elif edit.instead is None:
            for at in range(edit.start, edit.end, _GROUPS):
                end = min(at + _GROUPS, edit.end)
                yield _Piece(
                    at,
                    end,
                    encoded=True,
                    before=b"\r\n" if at > edit.start else b"",
                    after=b"\r\n" if end == letter.blob_size else b"",
                )
