"""A backup's copies, read back: against their checksums, and every record against its own and the snapshot's rows.

What a copy doesn't have as it was written fails the backup. A record that is damaged in the store itself is told,
and copied as it is: all other letters are worth a backup too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from postroom.net.limits import BACKUP_CHUNK_OCTETS
from postroom.store.backup.folder import BackupFailed, BackupFolder, SnapshotFolder
from postroom.store.backup.manifest import BadManifest, SegmentCopy, read_tree
from postroom.store.backup.segments import checksum_of
from postroom.store.check.findings import one_line
from postroom.store.index import fetch_all
from postroom.store.records import (
    FRAME_OCTETS,
    SEGMENT_HEADER_OCTETS,
    BadFrame,
    Frame,
    checksum,
    email_id_text,
    read_frame,
    read_segment_header,
)
from postroom.store.segments import segment_name
from postroom.store.upgrade.snapshots import open_copy, sha256_of

__all__ = ["check_all", "check_index", "check_records", "read_back"]

_SLICE: Final = 500
"""Rows in memory at a time."""

Heard = Callable[[int], None]


def check_index(index: Path, lengths: dict[int, int]) -> None:
    """See that a snapshot's index is a sound database, and that every letter lies within the `lengths` of the
    segments. Raises `BackupFailed`, apsw.Error."""
    with contextlib.closing(open_copy(index)) as connection:
        ((says,),) = fetch_all(connection, "PRAGMA quick_check(1)")
        if says != "ok":
            raise BackupFailed(
                f"the index is damaged, no backup was made: {one_line(says)} (postroom fsck --repair)"
            )
        for number, end in fetch_all(
            connection, "SELECT segment, max(offset + size) FROM messages GROUP BY segment ORDER BY segment"
        ):
            if end > lengths.get(number, 0):
                raise BackupFailed(
                    f"the index has letters in {segment_name(number)} where nothing can be (postroom fsck --repair)"
                )


def read_back(folder: Path, known: SegmentCopy | None, copy: SegmentCopy, heard: Heard) -> None:
    """See that the new octets of a copy are on the disk as they were written. Raises `BackupFailed`, OSError."""
    start, crc = (0, 0) if known is None or known.length > copy.length else (known.length, known.checksum)
    descriptor = os.open(folder / segment_name(copy.number), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if checksum_of(descriptor, start, copy.length, crc, heard) != copy.checksum:
            raise BackupFailed(f"{folder / segment_name(copy.number)} does not read as it was written")
    finally:
        os.close(descriptor)


def check_records(
    connection: apsw.Connection, folder: Path, number: int, start: int, end: int, heard: Heard
) -> Iterator[str]:
    """What is damaged in the records of a segment's copy from `start` (the end of a record, or 0) to `end`, a line
    each. Raises OSError, apsw.Error."""
    descriptor = os.open(folder / segment_name(number), os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield from _Records(connection, descriptor, number, end, heard).damage(start)
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class _Records:
    """A segment's copy that is gone through, record by record."""

    connection: apsw.Connection
    descriptor: int
    number: int
    end: int
    heard: Heard

    def damage(self, start: int) -> Iterator[str]:
        position = start or SEGMENT_HEADER_OCTETS
        if not start:
            try:
                read_segment_header(os.pread(self.descriptor, SEGMENT_HEADER_OCTETS, 0))
            except BadFrame as bad:
                yield f"{segment_name(self.number)}: a damaged header: {bad}"
        # Rows and records go side by side, both in the order of their place.
        rows = self._rows(position)
        row = next(rows, None)
        while position < self.end:
            try:
                frame = self._frame(position)
            except BadFrame as bad:
                # The next letter's row tells where to go on.
                while row is not None and row[0] <= position + FRAME_OCTETS:
                    yield self._says(row[2], f"its record can't be read: {bad}")
                    row = next(rows, None)
                position = self.end if row is None else row[0] - FRAME_OCTETS
                continue
            fault = self._fault(frame, position + FRAME_OCTETS)
            while row is not None and row[0] <= position + FRAME_OCTETS:
                if found := _misfit(row, frame, position + FRAME_OCTETS) or fault:
                    yield self._says(row[2], found)
                row = next(rows, None)
            position += frame.record_size
            self.heard(frame.record_size)
        while row is not None:
            yield self._says(row[2], "no record begins where the index says")
            row = next(rows, None)

    def _rows(self, start: int) -> Iterator[tuple[int, int, str]]:
        """Offset, size and email id of the letters that the index has here."""
        sql = """SELECT offset, size, email_id FROM messages WHERE segment = ? AND offset > ? AND offset < ?
        ORDER BY offset LIMIT ?"""
        while some := fetch_all(self.connection, sql, (self.number, start, self.end, _SLICE)):
            yield from some
            start = some[-1][0]

    def _frame(self, position: int) -> Frame:
        frame = read_frame(os.pread(self.descriptor, FRAME_OCTETS, position))
        if position + frame.record_size > self.end:
            raise BadFrame("it is cut off")
        return frame

    def _fault(self, frame: Frame, payload: int) -> str:
        facts = payload + frame.payload_size
        for start, end, wanted in (
            (payload, facts, frame.payload_checksum),
            (facts, facts + frame.facts_size, frame.facts_checksum),
        ):
            crc = 0
            while start < end:
                chunk = os.pread(self.descriptor, min(BACKUP_CHUNK_OCTETS, end - start), start)
                if not chunk:
                    return "its record is cut off"
                crc = checksum(chunk, crc)
                start += len(chunk)
            if crc != wanted:
                return "its octets are not those that came in: wrong checksum"
        return ""

    def _says(self, email_id: str, fault: str) -> str:
        return one_line(f"letter {email_id}: {fault} ({segment_name(self.number)})")


def _misfit(row: tuple[int, int, str], frame: Frame, payload: int) -> str:
    offset, size, email_id = row
    if offset != payload:
        return "no record begins where the index says"
    if size != frame.payload_size:
        return f"the index says {size} octets, its record {frame.payload_size}"
    return "" if email_id == email_id_text(frame.email_id) else "its record is another letter's"


# --- everything, old snapshots included


def check_all(folder: BackupFolder, snapshots: Sequence[SnapshotFolder], heard: Heard) -> Iterator[str]:
    """All octets of these snapshots of a backup against what their manifests say; what is wrong, a line each.
    Raises OSError."""
    wanted: dict[int, set[tuple[int, int]]] = {}
    for snapshot in snapshots:
        for document in snapshot.manifest.documents:
            path = snapshot.folder / document.path
            if not path.exists() or sha256_of(path) != document.sha256:
                yield f"{snapshot.name}: {document.path} is not as it was written"
        for copy in snapshot.manifest.segments:
            wanted.setdefault(copy.number, set()).add((copy.length, copy.checksum))
    for number, marks in sorted(wanted.items()):
        yield from _check_segment(folder, number, sorted(marks), heard)
    yield from _check_files(folder, snapshots, heard)


def _check_segment(folder: BackupFolder, number: int, marks: list[tuple[int, int]], heard: Heard) -> Iterator[str]:
    try:
        descriptor = os.open(folder.segments / segment_name(number), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield f"segments/{segment_name(number)} is missing"
        return
    try:
        before = crc = 0
        for length, says in marks:
            crc = checksum_of(descriptor, before, length, crc, heard)
            before = length
            if crc != says:
                yield f"segments/{segment_name(number)} is not as it was written, before octet {length}"
                return
    except BackupFailed:
        yield f"segments/{segment_name(number)} was cut"
    finally:
        os.close(descriptor)


def _check_files(folder: BackupFolder, snapshots: Sequence[SnapshotFolder], heard: Heard) -> Iterator[str]:
    seen: set[str] = set()
    for snapshot in snapshots:
        try:
            for entry in read_tree(snapshot.folder):
                if entry.kind == "file" and entry.sha256 not in seen:
                    seen.add(entry.sha256)
                    path = folder.file(entry.sha256)
                    if not path.exists() or sha256_of(path) != entry.sha256:
                        yield one_line(f"{snapshot.name}: the file {entry.path} is not as it was written")
                    heard(entry.size)
        except BadManifest as bad:
            yield str(bad)
