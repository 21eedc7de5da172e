"""What `postroom fsck --repair` does: makes right what the index says, where the letters or other rows prove it.

Nothing is taken away that somebody could want: letters without a mailbox get one, an octet of a segment is never
changed but for a damaged header, and what can't be made right stays as it is and is told. The index is copied to
data/snapshots/repair-<time>/ before anything is changed.

The caller sees to it that no server, and nobody else, uses the store meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path
from typing import Final

import apsw

from postroom.store.check.findings import Finding, Severity, capped, note, problem
from postroom.store.check.index import CHECKS, integrity
from postroom.store.check.rows import Rows
from postroom.store.check.search import check_account
from postroom.store.check.usage import USAGE_CHECKS
from postroom.store.index import open_index, require_current
from postroom.store.repair.aside import copy_aside
from postroom.store.repair.bench import Bench, repaired, transaction
from postroom.store.repair.entries import repair_modseqs, repair_threads, repair_uids
from postroom.store.repair.homes import (
    repair_accounts,
    repair_entries_without_mailbox,
    repair_tombstones_without_mailbox,
    repair_tree,
)
from postroom.store.repair.letters import repair_answers, repair_missing
from postroom.store.repair.lost import repair_lost_entries
from postroom.store.repair.records import repair_headers, repair_lengths, repair_records
from postroom.store.search.file import accounts_with_files, discard

__all__ = ["repair"]

_REBUILD: Final = "`postroom fsck --rebuild-index` makes a new one from the segments and what can be read of it"

Step = Callable[[Bench], Iterator[Finding]]


def repair(root: Path, now: int, hostname: str) -> Iterator[Finding]:
    """Repair the store of this data directory; tells what is right now, and what can't be made right. `now` is in
    seconds since 1970 UTC. Raises `NewerSchema`, `OlderSchema`, `StoreFault`, OSError, apsw.Error."""
    with contextlib.closing(open_index(root / "index.db")) as connection:
        require_current(connection)
        folder = copy_aside(root, connection, now)
        yield note(f"the index as it was is in {folder}")
        bench = Bench(root, connection, now, hostname)
        if (yield from _repair_file(connection)):
            return
        for step in _STEPS:
            yield from _guarded(bench, step)


def _repair_file(connection: apsw.Connection) -> Generator[Finding, None, bool]:
    """SQLite's own file: its indexes are made anew where they don't fit their tables. True where more is wrong."""
    if not _wrong_with_file(connection):
        return False
    with contextlib.suppress(apsw.Error):
        connection.execute("REINDEX").fetchall()
    left = _wrong_with_file(connection)
    if not left:
        yield repaired("index.db: its indexes did not fit its tables, and are made anew")
        return False
    yield from left
    yield problem(f"index.db: SQLite's file is damaged, and nothing else was repaired; {_REBUILD}")
    return True


def _wrong_with_file(connection: apsw.Connection) -> list[Finding]:
    try:
        return list(integrity(connection, quick=False))
    except apsw.Error as error:
        return [problem(f"index.db: {error}")]


def _guarded(bench: Bench, step: Step) -> Iterator[Finding]:
    """One that can't be done doesn't stop the others."""
    try:
        yield from capped(step(bench), "repairs of a kind")
    except (apsw.ConstraintError, apsw.SQLError, UnicodeDecodeError, OSError) as error:
        yield problem(f"a repair could not be made: {error}; {_REBUILD}")


def _repair_counters(bench: Bench) -> Iterator[Finding]:
    """What UIDs, modseqs and UIDVALIDITYs are drawn from: before any is."""
    yield from _repair_rows(bench, ("uid_next", "modseqs", "counters"))


def _repair_rows(bench: Bench, about: Collection[str] = ()) -> Iterator[Finding]:
    """All that a check knows the statements for; with `about` only those that are about it."""
    for check in (*CHECKS, *USAGE_CHECKS):
        if isinstance(check, Rows) and check.fix and (not about or check.about in about):
            wrong = list(check(bench.connection))
            if wrong:
                with transaction(bench.connection, bench.now):
                    for statement in check.fix:
                        bench.connection.execute(statement).fetchall()
            yield from [repaired(one.what) for one in wrong]


def _repair_search(bench: Bench) -> Iterator[Finding]:
    """Search indexes that are not what they should be: the indexer makes them anew."""
    with contextlib.suppress(FileNotFoundError):
        for account in sorted(accounts_with_files(bench.root)):
            found = check_account(bench.root, bench.connection, account)
            if any(one.severity is Severity.PROBLEM for one in found):
                discard(bench.root, account)
                yield repaired(f"account number {account}: its search index was wrong, and is made anew")


_STEPS: Final[tuple[Step, ...]] = (
    _repair_counters,
    # Letters before what holds them.
    repair_missing,
    repair_records,
    repair_lengths,
    repair_headers,
    repair_answers,
    # Accounts before mailboxes before entries.
    repair_accounts,
    repair_entries_without_mailbox,
    repair_tombstones_without_mailbox,
    repair_tree,
    repair_uids,
    repair_modseqs,
    repair_lost_entries,
    repair_threads,
    # Sums and orphans when everything is where it stays.
    _repair_rows,
    _repair_search,
)
