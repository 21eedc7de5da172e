"""What `postroom fsck --rebuild-index` does: an index made anew from the segments, and from what can still be read
of the old one.

The new one is built beside the old one (index.db.new), looked at as `fsck` does, and takes its place in one rename;
until then nothing of the old one is changed, and a run that is killed has done nothing. Segments are only read.
Every mailbox gets a new UIDVALIDITY: whoever has a copy of it reads it anew.

The caller sees to it that no server, and nobody else, uses the store meanwhile.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from postroom.store.check.findings import Finding, Severity, note, problem
from postroom.store.check.whole import check_rows
from postroom.store.index import OlderSchema, fetch_all, migrate, open_index, require_current
from postroom.store.rebuild.homes import RECOVERED, Homes
from postroom.store.rebuild.letters import Letters
from postroom.store.rebuild.old import open_old, read_old
from postroom.store.rebuild.places import How, Places
from postroom.store.rebuild.records import collect, lost_letters
from postroom.store.records import SEGMENT_HEADER_OCTETS
from postroom.store.repair.aside import replace_index
from postroom.store.repair.bench import repaired, transaction
from postroom.store.search.file import accounts_with_files, discard
from postroom.store.segments import segment_name

__all__ = ["RebuildFailed", "rebuild"]

Progress = Callable[[int, int], None]
_NUMBERS_AHEAD: Final = 1_000_000
"""A segment's number in the old index that is so far above all files is not believed."""


class RebuildFailed(Exception):
    """The new index is not as it should be; the old one was left alone."""


def _untold(done: int, total: int) -> None:
    """Nobody watches."""


def rebuild(
    root: Path, now: int, hostname: str, known: frozenset[str] = frozenset(), progress: Progress = _untold
) -> list[Finding]:
    """Make the index of a data directory anew, and tell how. `now` is in seconds since 1970 UTC; `known` are the
    addresses that have secrets. Raises `NewerSchema`, `RebuildFailed`, OSError, apsw.Error; then the old one is as
    it was."""
    old = open_old(root / "index.db")
    if old is not None:
        with contextlib.closing(old), contextlib.suppress(OlderSchema, apsw.Error):
            require_current(old)
    new, work = root / "index.db.new", root / "index.db.work"
    _remove(new, work)
    try:
        # SQLite gives its further files the mode of this one.
        for path in (new, work):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with contextlib.closing(open_index(new)) as connection:
            connection.execute("PRAGMA synchronous = OFF").fetchall()
            migrate(connection)
            connection.execute("ATTACH ? AS old", (str(work),)).fetchall()
            connection.execute("PRAGMA old.journal_mode = OFF; PRAGMA old.synchronous = OFF").fetchall()
            findings = _fill(root, connection, now, hostname, known, progress)
            wrong = [one.what for one in check_rows(connection) if one.severity is Severity.PROBLEM]
            if wrong:
                raise RebuildFailed(f"the new index would be wrong, and was not taken: {wrong[0]}")
            connection.execute("DETACH old").fetchall()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        folder = replace_index(root, new, now)
    finally:
        _remove(new, work)
    with contextlib.suppress(FileNotFoundError):
        for account in accounts_with_files(root):
            discard(root, account)
    if folder is not None:
        findings.append(note(f"the old index is in {folder}"))
    return findings


def _remove(*paths: Path) -> None:
    for path in paths:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)


def _fill(
    root: Path, connection: apsw.Connection, now: int, hostname: str, known: frozenset[str], progress: Progress
) -> list[Finding]:
    folder = root / "segments"
    old = open_old(root / "index.db")
    try:
        sound = read_old(old, connection, "old")
    finally:
        if old is not None:
            old.close()
    octets = 0

    def reading(done: int, total: int) -> None:
        nonlocal octets
        octets = total
        progress(done, 2 * total)

    def filing(done: int, total: int) -> None:
        progress(octets + (octets * done // total if total else 0), 2 * octets)

    records = collect(connection, folder, reading)
    homes = Homes(connection, known, hostname)
    with transaction(connection, now) as ledger:
        homes.take_over(ledger, records.addresses, "accounts" in sound)
        homes.take_over_rights()
    places = Places(connection, homes, folder, sound, now)
    letters = Letters(connection, places, folder, now)
    letters.file(filing)
    letters.enter()
    with transaction(connection, now):
        _finish(connection, folder, records.ends, now)
    lost = list(lost_letters(connection))
    return [*_tell(connection, places.how, old is not None), *lost]


def _finish(connection: apsw.Connection, folder: Path, ends: dict[int, int], now: int) -> None:
    """Segments' rows, and what follows from the letters'."""
    run = connection.execute
    # A mailbox full of letters that all are \\Recent would say nothing.
    run("UPDATE mailboxes SET first_recent = uid_next, recent = 0").fetchall()
    run(
        """INSERT OR IGNORE INTO queue_recipients SELECT * FROM old.queue_recipients
        WHERE letter IN (SELECT id FROM queue_letters)"""
    ).fetchall()
    for number, end in ends.items():
        born = int((folder / segment_name(number)).stat().st_mtime)
        run(
            """INSERT INTO segments (number, length, born) VALUES (?1, ?2, ?3)
            ON CONFLICT (number) DO UPDATE SET length = max(length, ?2), born = ?3""",
            (number, end, born),
        ).fetchall()
    # A number that was given away is never given again: a backup may know the segment that had it.
    highest = max(ends, default=0)
    ((last,),) = fetch_all(
        connection,
        "SELECT coalesce(max(number), 0) FROM old.segments WHERE number < ?",
        (highest + _NUMBERS_AHEAD,),
    )
    if last > highest:
        run(
            "INSERT OR IGNORE INTO segments (number, length, born, retired) VALUES (?, ?, ?, ?)",
            (last, SEGMENT_HEADER_OCTETS, now, now),
        ).fetchall()


def _tell(connection: apsw.Connection, how: How, old: bool) -> list[Finding]:
    count = connection.execute("SELECT count(*) FROM messages").get
    told = [repaired(f"index.db: made anew from the segments, with {count} letters; all UIDVALIDITYs are new")]
    if not old:
        told.append(note("nothing could be read of the old index: flags and moves since a letter came are unknown"))
    if how.by_index:
        told.append(repaired(f"{how.by_index} letters lie where the old index had them"))
    if how.by_record:
        told.append(repaired(f"{how.by_record} letters lie where their records say that they came in"))
    if how.recovered:
        where = f"they lie in mailboxes called {RECOVERED}"
        told.append(repaired(f"{how.recovered} letters that nobody placed, or had been forgotten: {where}"))
    if how.damaged:
        told.append(problem(f"{how.damaged} letters are damaged; a backup may have them"))
    return told
