"""What `postroom fsck` runs: every row, counter and record of a store is looked at; nothing is changed.

It may run beside a live server. The index is opened for reading only and looked at in single statements, each a
snapshot of its own that ends before a finding is handed over or a segment is opened: one transaction over all of it
would hold back the write-ahead log of a busy server by gigabytes. What a statement compares it reads in one; what
needs two is looked at once more before anything is said; and a segment is read up to the length that the index gave
before, so that what arrives meanwhile is no false alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import apsw

from postroom.store.check.findings import Finding, Severity, problem
from postroom.store.check.index import CHECKS, integrity
from postroom.store.check.rows import Check
from postroom.store.check.search import check_search
from postroom.store.check.segments import check_segments
from postroom.store.check.threads import check_threads
from postroom.store.check.usage import USAGE_CHECKS
from postroom.store.index import open_index, require_current

__all__ = ["Finding", "Severity", "check", "check_rows"]


def _untold(done: int, total: int) -> None:
    """Nobody watches."""


def check(root: Path, progress: Callable[[int, int], None] = _untold, *, quick: bool = False) -> Iterator[Finding]:
    """All that is wrong or odd in the store of this data directory.

    `progress` hears how many octets of the segments have been read, of how many. With `quick` SQLite's own check
    is the short one. Raises `NewerSchema` or `OlderSchema`, and OSError or apsw.Error where the index can't be
    opened; a damaged one is a finding.
    """
    connection = open_index(root / "index.db", read_only=True)
    try:
        require_current(connection)
        yield from check_rows(connection, quick=quick)
        yield from _guarded(connection, partial(check_search, root))
        segments = partial(check_segments, folder=root / "segments", progress=progress)
        yield from _guarded(connection, segments)
    finally:
        connection.close()


def check_rows(connection: apsw.Connection, *, quick: bool = False) -> Iterator[Finding]:
    """All that is wrong or odd in the index alone, for `quick` as above."""
    looks: tuple[Check, ...] = (partial(integrity, quick=quick), *CHECKS, *USAGE_CHECKS, check_threads)
    for look in looks:
        yield from _guarded(connection, look)


def _guarded(connection: apsw.Connection, look: Check) -> Iterator[Finding]:
    try:
        yield from look(connection)
    except apsw.Error as error:
        yield problem(f"index.db: a check could not be made: {error}")
    except UnicodeDecodeError:
        yield problem("index.db: a check could not be made: text that is not UTF-8")
