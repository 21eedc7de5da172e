"""All segments read for an index that is made anew: the best record of each letter, and what has none any more.

It is noted in the table `records` of the attached database `old`, where the old index's tables are too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw

from postroom.store.check.findings import FINDINGS_OF_A_KIND, Finding, problem
from postroom.store.index import fetch_all
from postroom.store.rebuild.scan import Found, scan_segment, segment_files

__all__ = ["Records", "collect", "lost_letters"]

Progress = Callable[[int, int], None]
_SLICE: Final = 500
_TABLE: Final = """CREATE TABLE old.records
 (email_id TEXT PRIMARY KEY, segment, offset, size, end, whole, sure) WITHOUT ROWID"""
_NOTE: Final = """INSERT INTO old.records VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (email_id) DO UPDATE SET
 segment = excluded.segment, offset = excluded.offset, size = excluded.size, end = excluded.end,
 whole = excluded.whole, sure = excluded.sure
 WHERE (excluded.whole, excluded.sure, excluded.segment, excluded.offset) > (whole, sure, segment, offset)"""


@dataclass(frozen=True, slots=True)
class Records:
    """What was seen on the way."""

    ends: dict[int, int] = field(default_factory=dict)
    """Where each segment's last record ends."""
    addresses: set[str] = field(default_factory=set)
    """Of accounts that letters came in for."""


def collect(connection: apsw.Connection, folder: Path, progress: Progress) -> Records:
    """Note the best record of each letter: a whole one before a damaged one, one that stands in its row before one
    that was found somewhere, the newest of those. `progress` hears how many octets have been read, of how many.
    Raises OSError."""
    connection.execute(_TABLE).fetchall()
    files, records = segment_files(folder), Records()
    total, done = sum([path.stat().st_size for _, path in files]), 0
    for number, path in files:
        tell = partial(_tell, progress, done, total)
        for some in _slices(scan_segment(number, path, tell)):
            records.ends[number] = max(records.ends.get(number, 0), *[found.end for found in some])
            for found in some:
                if found.facts is not None and not found.doubtful:
                    records.addresses.update([target.address for target in found.facts.targets])
            _note(connection, some)
        done += path.stat().st_size
        progress(done, total)
    return records


def _tell(progress: Progress, before: int, total: int, at: int) -> None:
    progress(before + at, total)


def _slices(found: Iterator[Found]) -> Iterator[list[Found]]:
    some: list[Found] = []
    for each in found:
        some.append(each)
        if len(some) == _SLICE:
            yield some
            some = []
    if some:
        yield some


def _note(connection: apsw.Connection, some: list[Found]) -> None:
    rows: list[tuple[Any, ...]] = [
        (each.email_id, each.segment, each.offset, each.size, each.end, int(each.whole), int(not each.doubtful))
        for each in some
    ]
    connection.execute("BEGIN").fetchall()
    connection.executemany(_NOTE, rows).fetchall()
    connection.execute("COMMIT").fetchall()


def lost_letters(connection: apsw.Connection) -> Iterator[Finding]:
    """Letters that the old index has, and no segment."""
    rows = fetch_all(
        connection,
        f"""SELECT coalesce(a.address || ', ' || b.name, 'mailbox number ' || e.mailbox), e.uid, m.email_id
        FROM old.messages m JOIN old.entries e ON e.message = m.id LEFT JOIN old.mailboxes b ON b.id = e.mailbox
        LEFT JOIN old.accounts a ON a.id = b.owner
        WHERE NOT EXISTS (SELECT 1 FROM old.records r WHERE r.email_id = m.email_id)
        ORDER BY e.mailbox, e.uid LIMIT {FINDINGS_OF_A_KIND + 1}""",
    )
    for name, uid, email_id in rows[:FINDINGS_OF_A_KIND]:
        yield problem(f"{name}, UID {uid}: letter {email_id} has no record any more; a backup may have it")
    if len(rows) > FINDINGS_OF_A_KIND:
        yield problem("letters without a record: there are more, not told one by one")
