"""What `postroom fsck` runs: every row, counter and record of a store is looked at; nothing is changed.

It may run beside a live server. The index is opened for reading only and looked at in single statements, each a
snapshot of its own that ends before a finding is handed over or a segment is opened: one transaction over all of it
would hold back the write-ahead log of a busy server by gigabytes. What a statement compares it reads in one; and a
segment is read up to the length that the index gave before, so that what arrives meanwhile is no false alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import apsw

from postroom.store.checkindex import CHECKS, Check, integrity
from postroom.store.checksegments import check_segments
from postroom.store.findings import Finding, Severity, problem
from postroom.store.index import open_index, require_current

__all__ = ["Finding", "Severity", "check"]


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
        segments = partial(check_segments, folder=root / "segments", progress=progress)
        looks: tuple[Check, ...] = (partial(integrity, quick=quick), *CHECKS, segments)
        for look in looks:
            yield from _guarded(connection, look)
    finally:
        connection.close()


def _guarded(connection: apsw.Connection, look: Check) -> Iterator[Finding]:
    try:
        yield from look(connection)
    except apsw.Error as error:
        yield problem(f"index.db: a check could not be made: {error}")
    except UnicodeDecodeError:
        yield problem("index.db: a check could not be made: text that is not UTF-8")
