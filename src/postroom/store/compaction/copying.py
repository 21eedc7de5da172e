"""Letters' records copied from one segment to another, verified on the way; everything here blocks, and is called
in a thread.

A copy has the payload and the email id of the original. Its facts are made anew: they say where the letter lies
now, and where it was expunged from, so that an index that is made from the segments alone finds it there again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from postroom.net.limits import BLOB_IN_MEMORY, COMPACTION_LETTERS, COMPACTION_OCTETS, RECORD_FACTS_OCTETS
from postroom.store import reads
from postroom.store.apply.leaving import Why
from postroom.store.blobs import LargeBody
from postroom.store.changes import MoveLetters
from postroom.store.index import fetch_all, open_index
from postroom.store.records import (
    FRAME_OCTETS,
    NO_LETTER,
    SEGMENT_HEADER_OCTETS,
    BadFrame,
    DeliveredTo,
    DeliveryFacts,
    ExpungedFrom,
    Frame,
    checksum,
    email_id_text,
    read_frame,
    write_facts,
    write_frame,
)
from postroom.store.segments import Buffer, Segments, segment_name
from postroom.store.values import MessageId

__all__ = ["Batch", "Copier", "Damaged"]

_CHUNK: Final = 1 << 20
"""Octets of a large letter in memory at a time."""
_SLICE: Final = 500
"""Rows looked at in one statement."""


class Damaged(Exception):
    """A letter's record is not what its row says: the segment is left as it is."""


class _Row(NamedTuple):
    """A letter, as `messages` places it."""

    id: MessageId
    offset: int
    size: int
    email_id: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Letters whose copies are on stable storage."""

    op: MoveLetters
    octets: int
    """Of the records that were read; about as many were written."""

    @property
    def last(self) -> int:
        """Where the payload of the last of them begins in the source."""
        return self.op.moves[-1][1]


@dataclass(slots=True)
class _Facts:
    """What the index says of a letter."""

    internal_date: int = 0
    zone: int = 0
    targets: list[DeliveredTo] = field(default_factory=list)
    expunged: list[ExpungedFrom] = field(default_factory=list)

    def value(self) -> DeliveryFacts:
        return DeliveryFacts(self.internal_date, self.zone, tuple(self.targets), tuple(self.expunged))


class Copier:
    """Copies into segments of its own: small letters into one that grows, a large one into one for itself."""

    def __init__(self, root: Path) -> None:
        """Raises apsw.Error."""
        self.connection = open_index(root / "index.db", read_only=True)
        self._folder = root / "segments"
        self._segments = Segments(self._folder, lambda: reads.newest_segment(self.connection))

    def close(self) -> None:
        """Let go of all files; a segment that was grown takes no more."""
        self._segments.close()
        self.connection.close()

    def end_segment(self) -> None:
        """The next copies go to a new segment."""
        self._segments.close()

    # --- looking

    def dead_octets(self, number: int, length: int) -> int:
        """How many octets of a segment belong to no letter of the index. Raises `Damaged`, OSError, apsw.Error."""
        with ExitStack() as stack:
            source = self._open(number, stack)
            dead = length - SEGMENT_HEADER_OCTETS - _filler(source)
            after = 0
            while rows := self._rows(number, after, _SLICE):
                dead -= sum([_frame(source, row).record_size for row in rows])
                after = rows[-1].offset
        return dead

    def _open(self, number: int, stack: ExitStack) -> int:
        try:
            descriptor = os.open(self._folder / segment_name(number), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Damaged("the file is not there") from None
        stack.callback(os.close, descriptor)
        return descriptor

    def _rows(self, number: int, after: int, limit: int) -> list[_Row]:
        """Letters whose payloads begin behind `after`, by place."""
        rows = fetch_all(
            self.connection,
            """SELECT id, offset, size, email_id FROM messages WHERE segment = ? AND offset > ?
            ORDER BY offset LIMIT ?""",
            (number, after, limit),
        )
        return [_Row._make(row) for row in rows]

    # --- copying

    def copy(self, number: int, after: int) -> Batch | None:
        """Copy some of the letters whose payloads begin behind `after`, by place; None where there are no more.
        What is given back is synced. Raises `Damaged`, `StoreFault`, OSError, apsw.Error."""
        rows = _batch(self._rows(number, after, COMPACTION_LETTERS))
        if not rows:
            return None
        with ExitStack() as stack:
            source = self._open(number, stack)
            frames = [_frame(source, row) for row in rows]
            facts = list(self._facts(source, rows, frames))
            if rows[0].size > BLOB_IN_MEMORY:
                return self._copy_large(source, number, rows[0], frames[0], facts[0])
            return self._copy_small(source, number, rows, frames, facts)

    def _copy_small(
        self, source: int, number: int, rows: Sequence[_Row], frames: Sequence[Frame], facts: Sequence[bytes]
    ) -> Batch:
        pieces: list[Buffer] = []
        for row, frame, footer in zip(rows, frames, facts, strict=True):
            payload = os.pread(source, row.size, row.offset)
            if len(payload) != row.size or checksum(payload) != frame.payload_checksum:
                raise _damaged(row, "wrong checksum")
            pieces += (write_frame(_renewed(frame, footer)), payload, footer)
        target = self._segments.open()
        position, moves = target.size, []
        for row, footer in zip(rows, facts, strict=True):
            moves.append((row.id, row.offset, position + FRAME_OCTETS))
            position += FRAME_OCTETS + row.size + len(footer)
        target.append(pieces)
        target.sync()
        target.keep()
        octets = sum([frame.record_size for frame in frames])
        return Batch(MoveLetters(number, target.number, target.size, tuple(moves)), octets)

    def _copy_large(self, source: int, number: int, row: _Row, frame: Frame, footer: bytes) -> Batch:
        body = LargeBody(self._segments.birth())
        try:
            crc, position = 0, row.offset
            while left := row.offset + row.size - position:
                chunk = os.pread(source, min(_CHUNK, left), position)
                if not chunk:
                    raise _damaged(row, "it is cut off")
                crc = checksum(chunk, crc)
                body.write(chunk)
                position += len(chunk)
            if crc != frame.payload_checksum:
                raise _damaged(row, "wrong checksum")
            offset = body.finish(footer, frame.email_id)
        except BaseException:
            body.segment.give_up()
            raise
        body.segment.close()
        move = (row.id, row.offset, offset)
        return Batch(MoveLetters(number, body.segment.number, body.segment.size, (move,)), frame.record_size)

    # --- facts

    def _facts(self, source: int, rows: Sequence[_Row], frames: Sequence[Frame]) -> Iterator[bytes]:
        """Each record's new footer; the old one where the index has nothing to say, or too much."""
        known = self._known([row.id for row in rows])
        for row, frame in zip(rows, frames, strict=True):
            footer = write_facts(known[row.id].value()) if row.id in known else b""
            if not footer or len(footer) > RECORD_FACTS_OCTETS:
                footer = os.pread(source, frame.facts_size, row.offset + row.size)
                if checksum(footer) != frame.facts_checksum:
                    raise _damaged(row, "what it says of the delivery")
            yield footer

    def _known(self, messages: Sequence[MessageId]) -> dict[MessageId, _Facts]:
        these, known = json.dumps(messages), dict[MessageId, _Facts]()
        for message, date, zone, *target in fetch_all(self.connection, _HERE, (these,)):
            facts = known.setdefault(message, _Facts(date, zone))
            facts.targets.append(_delivered_to(*target))
        for message, date, zone, gone, *target in fetch_all(self.connection, _EXPUNGED, (these,)):
            facts = known.setdefault(message, _Facts(date, zone))
            facts.expunged.append(ExpungedFrom(_delivered_to(*target), gone))
        return known


_THESE: Final = "IN (SELECT value FROM json_each(?))"
_HERE: Final = f"""SELECT e.message, e.internal_date, e.zone, a.address, b.name, e.prefix, e.flags, e.keywords
 FROM entries e JOIN mailboxes b ON b.id = e.mailbox JOIN accounts a ON a.id = b.owner WHERE e.message {_THESE}"""
_EXPUNGED: Final = f"""SELECT t.message, t.internal_date, t.zone, t.gone, coalesce(a.address, r.address),
 coalesce(b.name, d.name), t.prefix, t.flags, t.keywords FROM tombstones t
 LEFT JOIN mailboxes b ON b.id = t.mailbox LEFT JOIN deleted_mailboxes d ON d.id = t.mailbox
 LEFT JOIN accounts a ON a.id = coalesce(b.owner, d.owner)
 LEFT JOIN removed_accounts r ON r.id = coalesce(b.owner, d.owner)
 WHERE t.message {_THESE} AND t.why = {int(Why.EXPUNGED)} AND coalesce(a.address, r.address) IS NOT NULL"""


def _damaged(row: _Row, what: str) -> Damaged:
    return Damaged(f"letter {row.email_id} at offset {row.offset}: {what}")


def _delivered_to(address: str, mailbox: str, prefix: bytes, flags: int, keywords: str) -> DeliveredTo:
    return DeliveredTo(address, mailbox, prefix, flags, tuple(keywords.split()))


def _frame(source: int, row: _Row) -> Frame:
    try:
        frame = read_frame(os.pread(source, FRAME_OCTETS, row.offset - FRAME_OCTETS))
    except BadFrame as fault:
        raise _damaged(row, f"its frame: {fault}") from None
    if frame.payload_size != row.size or email_id_text(frame.email_id) != row.email_id:
        raise _damaged(row, "its frame is another letter's")
    return frame


def _renewed(frame: Frame, footer: bytes) -> Frame:
    """The same letter's frame with other facts."""
    return Frame(frame.payload_size, len(footer), frame.payload_checksum, checksum(footer), frame.email_id)


def _batch(rows: Sequence[_Row]) -> list[_Row]:
    """As many as one step may have, at least one; a large letter is a step of its own."""
    taken: list[_Row] = []
    octets = 0
    for row in rows:
        octets += row.size
        if taken and (octets > COMPACTION_OCTETS or row.size > BLOB_IN_MEMORY):
            break
        taken.append(row)
        if row.size > BLOB_IN_MEMORY:
            break
    return taken


def _filler(source: int) -> int:
    """Octets of the filler that a large letter's segment begins with; 0 where there is none."""
    try:
        frame = read_frame(os.pread(source, FRAME_OCTETS, SEGMENT_HEADER_OCTETS))
    except BadFrame:
        return 0
    return frame.record_size if frame.email_id == NO_LETTER else 0
