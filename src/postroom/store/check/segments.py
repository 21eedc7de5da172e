"""Every record of every segment against its checksums, and against the rows that point to it.

Files are read once, in order, in chunks; rows come in slices in the order of their place. A row that seems wrong is
read once more before anything is said: its letter may have been moved meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import apsw

from postroom.store.check.findings import Finding, Severity, capped, letter_name, note, problem
from postroom.store.check.strays import check_strangers, check_tail, count_of, is_letter_known, read_frame_of
from postroom.store.records import (
    FRAME_OCTETS,
    NO_LETTER,
    SEGMENT_HEADER_OCTETS,
    BadFrame,
    Frame,
    checksum,
    email_id_text,
    read_facts,
    read_segment_header,
)
from postroom.store.segments import segment_name

__all__ = ["check_segments"]

_CHUNK: Final = 1 << 20
"""Octets of a payload in memory at a time."""
_SLICE: Final = 500
"""Rows in memory at a time."""

Progress = Callable[[int, int], None]


class _Row(NamedTuple):
    """A letter, as `messages` places it."""

    id: int
    offset: int
    size: int
    email_id: str


class _Rows:
    """The rows of one segment, by place, as far as `end`; one statement a slice."""

    def __init__(self, connection: apsw.Connection, segment: int, end: int) -> None:
        self._connection = connection
        self._segment = segment
        self._end = end
        self._after = (-1, -1)
        self._slice: list[_Row] = []
        self._exhausted = False

    def peek(self) -> _Row | None:
        """The next row; None where there is no more."""
        if not self._slice and not self._exhausted:
            rows = self._connection.execute(
                """SELECT id, offset, size, email_id FROM messages WHERE segment = ? AND offset >= ? AND offset < ?
                AND (offset, id) > (?, ?) ORDER BY offset, id LIMIT ?""",
                (self._segment, self._after[0], self._end, *self._after, _SLICE),
            ).fetchall()
            self._slice = [_Row._make(row) for row in reversed(rows)]
            self._exhausted = len(rows) < _SLICE
        return self._slice[-1] if self._slice else None

    def until(self, offset: int) -> Iterator[_Row]:
        """Take the rows whose payload begins at or before `offset`."""
        while (row := self.peek()) is not None and row.offset <= offset:
            self._slice.pop()
            self._after = (row.offset, row.id)
            yield row

    def rest(self) -> Iterator[_Row]:
        """Take all that are left."""
        return self.until(self._end)


def check_segments(connection: apsw.Connection, folder: Path, progress: Progress) -> Iterator[Finding]:
    """All segments that the index knows, and then the files that it doesn't know. Raises apsw.Error."""
    total = int(connection.execute("SELECT coalesce(sum(length), 0) FROM segments").get)
    last = int(connection.execute("SELECT coalesce(max(number), 0) FROM segments").get)
    done = unknown = 0
    progress(done, total)
    for number, length in _known(connection, last):
        segment = _Segment(connection, folder, number, length, done, total, progress)
        yield from capped(segment.findings(), segment.name)
        unknown += segment.unknown
        done += length
        progress(done, total)
    if unknown:
        what = "forgotten after their time or never acknowledged; compaction takes them away"
        yield note(f"segments hold {count_of(unknown, 'letter')} that the index doesn't know: {what}")
    yield from capped(check_strangers(connection, folder), "segment files")


def _known(connection: apsw.Connection, last: int) -> Iterator[tuple[int, int]]:
    """Number and length of the segments up to `last`, without those that nobody needs any more: of these the file
    may go at any time. The length is read just before the segment is looked at."""
    number = 0
    sql = """SELECT number, length FROM segments WHERE number > ? AND number <= ?
    AND (retired IS NULL OR EXISTS (SELECT 1 FROM messages x WHERE x.segment = segments.number))
    ORDER BY number LIMIT 1"""
    while row := connection.execute(sql, (number, last)).fetchone():
        number = row[0]
        yield number, row[1]


@dataclass(slots=True)
class _Segment:
    """One segment's file being read."""

    connection: apsw.Connection
    folder: Path
    number: int
    length: int
    """As far as the index knows it."""
    before: int
    """Octets of other segments read."""
    total: int
    progress: Progress
    unknown: int = 0
    """Whole letters in it that the index doesn't have, here or elsewhere."""

    @property
    def name(self) -> str:
        """How people are told of it."""
        return f"segment file {segment_name(self.number)}"

    def findings(self) -> Iterator[Finding]:
        """All that is wrong with it."""
        try:
            with (self.folder / segment_name(self.number)).open("rb", buffering=_CHUNK) as file:
                yield from self._read(file)
        except FileNotFoundError:
            lost = self.connection.execute("SELECT count(*) FROM messages WHERE segment = ?", (self.number,)).get
            if lost:
                yield problem(f"{self.name} is missing: {count_of(lost, 'letter')} of the index were in it")
        except OSError as error:
            yield problem(f"{self.name} can't be read: {error.strerror}")

    def _read(self, file: BinaryIO) -> Iterator[Finding]:
        size = os.fstat(file.fileno()).st_size
        if size < self.length:
            yield problem(f"{self.name} has {size} octets of the {self.length} that the index knows")
        try:
            if read_segment_header(file.read(SEGMENT_HEADER_OCTETS)) != self.number:
                yield problem(f"{self.name} calls itself by another number")
        except BadFrame as fault:
            yield problem(f"{self.name} has a damaged header: {fault}")
        yield from self._records(file, min(size, self.length))
        yield from check_tail(self.connection, self.folder, self.number, self.length)

    def _records(self, file: BinaryIO, end: int) -> Iterator[Finding]:
        rows = _Rows(self.connection, self.number, self.length)
        position = SEGMENT_HEADER_OCTETS
        while position < end:
            payload = position + FRAME_OCTETS
            file.seek(position)
            try:
                frame = read_frame_of(file, end - position)
            except BadFrame as bad:
                lost = [
                    each
                    for row in rows.until(payload)
                    for each in self._letter(row, f"its record can't be read: {bad}")
                ]
                # The next letter's row tells where to go on.
                after = rows.peek()
                behind = end if after is None else min(end, after.offset - FRAME_OCTETS)
                severity = Severity.PROBLEM if lost else Severity.NOTE
                yield from lost
                yield Finding(
                    severity, f"{self.name}: from offset {position} to {behind} there is no record: {bad}"
                )
                position = behind
                continue
            faults = self._damage(file, frame, payload)
            needed = False
            for row in rows.until(payload):
                needed |= row.offset == payload
                for fault in _mismatches(row, frame, payload) or faults:
                    yield from self._letter(row, fault)
            if not needed:
                yield from self._unneeded(frame, position, faults)
            position += frame.record_size
            self.progress(self.before + position, self.total)
        for row in rows.rest():
            yield from self._letter(row, "no record begins where the index says")

    def _unneeded(self, frame: Frame, position: int, faults: list[str]) -> Iterator[Finding]:
        """A record that no row points to."""
        if faults:
            yield note(f"{self.name}, offset {position}: a record that no letter needs is damaged")
        elif frame.email_id != NO_LETTER and not is_letter_known(self.connection, frame):
            self.unknown += 1

    def _damage(self, file: BinaryIO, frame: Frame, payload: int) -> list[str]:
        """What is wrong with the octets of a record whose frame is good; leaves the file behind it."""
        faults = []
        crc, left = 0, frame.payload_size
        while left:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                return ["its record is cut off"]
            crc = checksum(chunk, crc)
            left -= len(chunk)
            if left:
                self.progress(self.before + payload + frame.payload_size - left, self.total)
        if crc != frame.payload_checksum:
            faults.append("its octets are not those that came in: wrong checksum")
        facts = file.read(frame.facts_size)
        if checksum(facts) != frame.facts_checksum:
            faults.append("what its record says of the delivery is damaged: wrong checksum")
        elif facts:
            try:
                read_facts(facts)
            except BadFrame:
                faults.append("what its record says of the delivery can't be read")
        return faults

    def _letter(self, row: _Row, fault: str) -> Iterator[Finding]:
        """A problem with a letter, unless it isn't (any more) where it was said to be."""
        who = self.connection.execute(
            f"""SELECT {letter_name("x")} FROM messages x
            WHERE (id, segment, offset, size, email_id) = (?, ?, ?, ?, ?)""",
            (row.id, self.number, row.offset, row.size, row.email_id),
        ).fetchone()
        if who is not None:
            yield problem(f"{who[0]}: {fault} ({self.name}, offset {row.offset})")


def _mismatches(row: _Row, frame: Frame, payload: int) -> list[str]:
    """Where a row and the record that should be its own don't fit."""
    if row.offset != payload:
        return ["no record begins where the index says"]
    faults = []
    if row.size != frame.payload_size:
        faults.append(f"the index says {row.size} octets, its record {frame.payload_size}")
    if row.email_id != email_id_text(frame.email_id):
        faults.append("its record is another letter's")
    return faults
