"""Letters whose row and record don't fit: the record is looked for in all segments, or written anew where its
octets prove to be whole. What can't be made right is told, with what its owner can do; its row stays."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.blobs import LargeBody
from postroom.store.check.findings import Finding, letter_name, problem
from postroom.store.index import fetch_all, fetch_one
from postroom.store.rebuild.scan import Found, scan_segment, segment_files
from postroom.store.records import (
    FRAME_OCTETS,
    SEGMENT_HEADER_OCTETS,
    BadFrame,
    DeliveredTo,
    DeliveryFacts,
    checksum,
    email_id_text,
    frame_of,
    read_facts,
    read_frame,
    write_facts,
    write_frame,
    write_segment_header,
)
from postroom.store.repair.bench import Bench, repaired, transaction
from postroom.store.segments import Segments, segment_name

__all__ = ["repair_headers", "repair_lengths", "repair_records"]

_SLICE: Final = 500
_CHUNK: Final = 1 << 20
_CHECKSUM_AT: Final = struct.calcsize(">4sIQI")
"""Where a frame has the checksum of its payload."""


class _Row(NamedTuple):
    """A letter, as `messages` places it."""

    id: int
    segment: int
    offset: int
    size: int
    email_id: str


@dataclass(frozen=True, slots=True)
class _Bad:
    """A row whose record is not as it should be."""

    row: _Row
    payload: bool
    """Whether the octets at its place are proven to be the letter's all the same."""
    other: str | None
    """The id of the whole record that stands there instead."""


def repair_records(bench: Bench) -> Iterator[Finding]:
    """Every letter's record. Raises OSError, apsw.Error."""
    bad = list(_bad(bench))
    if not bad:
        return
    records = _records_of(bench, {each.row.email_id for each in bad})
    with ExitStack() as stack:
        segments = Segments(bench.folder, lambda: _newest(bench))
        stack.callback(segments.close)
        for each in bad:
            name = bench.connection.execute(
                f"SELECT {letter_name('x')} FROM messages x WHERE id = ?", (each.row.id,)
            ).get
            found = records.get(each.row.email_id)
            if found is not None:
                _place(bench, each.row, found.segment, found.offset, found.size, found.end)
                yield repaired(f"{name}: it was found at another place")
            elif each.payload and (written := _write_anew(bench, segments, each.row)) is not None:
                _place(bench, each.row, *written)
                yield repaired(f"{name}: its octets are whole, and have a new record")
            elif each.other is not None and _adopt(bench, each.row, each.other):
                yield repaired(f"{name}: it is called {each.other}, as its record says")
            else:
                advice = f"`postroom restore DIR --letter {each.row.email_id}` brings it back from a backup"
                yield problem(f"{name}: its octets are lost or damaged; {advice}")


def _newest(bench: Bench) -> int:
    return int(bench.connection.execute("SELECT coalesce(max(number), 0) FROM segments").get)


# --- which are bad


def _bad(bench: Bench) -> Iterator[_Bad]:
    after = (-(2**63), 0, 0)
    with ExitStack() as stack:
        number, descriptor = -1, -1
        while rows := [
            _Row(*row)
            for row in fetch_all(
                bench.connection,
                """SELECT id, segment, offset, size, email_id FROM messages WHERE (segment, offset, id) > (?, ?, ?)
                ORDER BY segment, offset, id LIMIT ?""",
                (*after, _SLICE),
            )
        ]:
            for row in rows:
                if row.segment != number:
                    stack.close()
                    number, descriptor = row.segment, _open(bench, row.segment)
                    if descriptor >= 0:
                        stack.callback(os.close, descriptor)
                fault = _Bad(row, False, None) if descriptor < 0 else _look(descriptor, row)
                if fault is not None:
                    yield fault
            after = (rows[-1].segment, rows[-1].offset, rows[-1].id)


def _open(bench: Bench, number: int) -> int:
    try:
        return os.open(bench.folder / segment_name(number), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _look(descriptor: int, row: _Row) -> _Bad | None:
    """What is wrong with a letter's record."""
    lost = _Bad(row, False, None)
    if row.offset < SEGMENT_HEADER_OCTETS + FRAME_OCTETS or row.size < 0:
        return lost
    octets = os.pread(descriptor, FRAME_OCTETS, row.offset - FRAME_OCTETS)
    if len(octets) < FRAME_OCTETS:
        return lost
    try:
        frame = read_frame(octets)
    except BadFrame:
        return _Bad(row, _proves(octets, _checksum(descriptor, row.offset, row.size)), None)
    email_id = email_id_text(frame.email_id)
    whole = _checksum(descriptor, row.offset, frame.payload_size) == frame.payload_checksum
    if email_id != row.email_id or frame.payload_size != row.size:
        return _Bad(row, False, email_id if whole and frame.payload_size == row.size else None)
    facts = os.pread(descriptor, frame.facts_size, row.offset + row.size)
    if whole and checksum(facts) == frame.facts_checksum and _can_be_read(facts):
        return None
    return _Bad(row, whole, None)


def _can_be_read(facts: bytes) -> bool:
    try:
        if facts:
            read_facts(facts)
    except BadFrame:
        return False
    return True


def _proves(frame: bytes, crc: int | None) -> bool:
    """Whether a frame that is damaged shows even so that its payload, of this checksum, is whole: the damage is not
    in the payload's checksum, or it is there alone."""
    if crc is None:
        return False
    alone = frame[:_CHECKSUM_AT] + struct.pack(">I", crc) + frame[_CHECKSUM_AT + 4 :]
    if alone == frame:
        return True
    try:
        read_frame(alone)
    except BadFrame:
        return False
    return True


def _checksum(descriptor: int, offset: int, size: int) -> int | None:
    """Of so many octets; None where there are fewer."""
    crc, at = 0, offset
    while at < offset + size:
        chunk = os.pread(descriptor, min(_CHUNK, offset + size - at), at)
        if not chunk:
            return None
        crc = checksum(chunk, crc)
        at += len(chunk)
    return crc


# --- where else they are


def _records_of(bench: Bench, email_ids: set[str]) -> dict[str, Found]:
    """The best whole record of each of these letters, with facts that can be read."""
    best: dict[str, Found] = {}
    for number, path in segment_files(bench.folder):
        with suppress(OSError):
            for found in scan_segment(number, path, lambda at: None):
                if found.email_id in email_ids and found.whole and found.facts is not None:
                    before = best.get(found.email_id)
                    if before is None or before.doubtful >= found.doubtful:
                        best[found.email_id] = found
    return best


def _place(bench: Bench, row: _Row, segment: int, offset: int, size: int, end: int) -> None:
    with transaction(bench.connection, bench.now):
        run = bench.connection.execute
        sql = "UPDATE messages SET segment = ?, offset = ?, size = ? WHERE id = ?"
        run(sql, (segment, offset, size, row.id)).fetchall()
        run(
            """INSERT INTO segments (number, length, born) VALUES (?1, ?2, ?3)
            ON CONFLICT (number) DO UPDATE SET length = max(length, ?2), retired = NULL""",
            (segment, end, bench.now),
        ).fetchall()


def _adopt(bench: Bench, row: _Row, email_id: str) -> bool:
    """Call a letter as its record does, unless another row has that name."""
    taken = fetch_one(bench.connection, "SELECT 1 FROM messages WHERE email_id = ?", (email_id,))
    if taken is None:
        with transaction(bench.connection, bench.now):
            sql = "UPDATE messages SET email_id = ? WHERE id = ?"
            bench.connection.execute(sql, (email_id, row.id)).fetchall()
    return taken is None


# --- written anew


def _write_anew(bench: Bench, segments: Segments, row: _Row) -> tuple[int, int, int, int] | None:
    """Copy a letter's octets into a record of their own; gives segment, offset, size and end of it, on stable
    storage. None for a name that can be no email id. Raises `StoreFault`, OSError."""
    try:
        email_id = bytes.fromhex(row.email_id[1:])
    except ValueError:
        return None
    if len(email_id) != 16:
        return None
    footer = write_facts(_facts(bench, row.id))
    descriptor = os.open(bench.folder / segment_name(row.segment), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if row.size <= BLOB_IN_MEMORY:
            payload = os.pread(descriptor, row.size, row.offset)
            segment = segments.open()
            offset = segment.size + FRAME_OCTETS
            segment.append([write_frame(frame_of(payload, footer, email_id)), payload, footer])
            segment.sync()
            segment.keep()
            return segment.number, offset, row.size, segment.size
        body = LargeBody(segments.birth())
        for at in range(0, row.size, _CHUNK):
            body.write(os.pread(descriptor, min(_CHUNK, row.size - at), row.offset + at))
        offset = body.finish(footer, email_id)
        body.segment.keep()
        body.segment.close()
        return body.segment.number, offset, row.size, body.segment.size
    finally:
        os.close(descriptor)


def _facts(bench: Bench, message: int) -> DeliveryFacts:
    """Where the letter lies now."""
    rows = fetch_all(
        bench.connection,
        """SELECT e.internal_date, e.zone, a.address, b.name, e.prefix, e.flags, e.keywords FROM entries e
        JOIN mailboxes b ON b.id = e.mailbox JOIN accounts a ON a.id = b.owner WHERE e.message = ?""",
        (message,),
    )
    date, zone = rows[0][:2] if rows else (bench.now, 0)
    targets = [
        DeliveredTo(address, mailbox, prefix, flags, tuple(keywords.split()))
        for _, _, address, mailbox, prefix, flags, keywords in rows
    ]
    return DeliveryFacts(date, zone, tuple(targets))


# --- segments


def repair_lengths(bench: Bench) -> Iterator[Finding]:
    """Segments of which rows point behind the known length, or whose file is shorter and nobody needs more."""
    rows = fetch_all(
        bench.connection,
        """SELECT x.segment, max(x.offset + x.size), coalesce(s.length, 0) FROM messages x
        LEFT JOIN segments s ON s.number = x.segment GROUP BY x.segment
        UNION ALL SELECT number, 0, length FROM segments s
        WHERE NOT EXISTS (SELECT 1 FROM messages x WHERE x.segment = s.number)""",
    )
    for number, needed, length in rows:
        path = bench.folder / segment_name(number)
        if not path.is_file():
            continue
        size = path.stat().st_size
        last = max([length, *_ends(bench, number, size)])
        wanted = size if size < last and needed <= size else last
        if wanted != length:
            with transaction(bench.connection, bench.now):
                bench.connection.execute(
                    """INSERT INTO segments (number, length, born) VALUES (?1, ?2, ?3)
                    ON CONFLICT (number) DO UPDATE SET length = ?2""",
                    (number, wanted, bench.now),
                ).fetchall()
            yield repaired(f"segment file {segment_name(number)}: letters may lie up to octet {wanted} of it")


def _ends(bench: Bench, number: int, size: int) -> Iterator[int]:
    """Where the record of the last letter in a segment ends, where it can be told."""
    row = fetch_one(
        bench.connection,
        "SELECT offset FROM messages WHERE segment = ? AND offset < ? ORDER BY offset DESC LIMIT 1",
        (number, size),
    )
    descriptor = -1 if row is None else _open(bench, number)
    if descriptor < 0:
        return
    try:
        start = row[0] - FRAME_OCTETS
        end = start + read_frame(os.pread(descriptor, FRAME_OCTETS, start)).record_size
        if end <= size:
            yield end
    except (BadFrame, OSError):
        return
    finally:
        os.close(descriptor)


def repair_headers(bench: Bench) -> Iterator[Finding]:
    """Headers that are damaged, of segments whose letters are where the index says. Raises OSError, apsw.Error."""
    for number, path in segment_files(bench.folder):
        row = fetch_one(
            bench.connection,
            """SELECT id, segment, offset, size, email_id FROM messages WHERE segment = ?
            ORDER BY offset LIMIT 1""",
            (number,),
        )
        if row is None or not path.is_file():
            continue
        header = write_segment_header(number)
        with path.open("r+b", buffering=0) as file:
            if os.pread(file.fileno(), len(header), 0) == header or _look(file.fileno(), _Row(*row)) is not None:
                continue
            os.pwrite(file.fileno(), header, 0)
            os.fsync(file.fileno())
        yield repaired(f"segment file {segment_name(number)}: its header")
