"""Segments' files that nobody needs any more: who may take them away, and which they are.

Three kinds go: the file of a segment that is retired; a file that no row of the index knows (its process died
between the first write and the commit); and what stands behind the octets that rows may point to. What nobody was
ever given an answer for is kept for the `undelete` time even so, where it holds whole letters that the index
doesn't know: an index that was put back from a copy knows less than was answered for.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw

from postroom.net.limits import STRAY_GRACE_SECONDS
from postroom.net.log import event
from postroom.store.index import fetch_all, fetch_one
from postroom.store.records import (
    FRAME_OCTETS,
    NO_LETTER,
    SEGMENT_HEADER_OCTETS,
    BadFrame,
    Frame,
    email_id_text,
    read_frame,
)
from postroom.store.segments import being_written, segment_name, segment_number, sync_folder

__all__ = ["Strays", "backup_stands_still", "compaction_lock", "empty_segments", "unlink_retired"]

_log = logging.getLogger("postroom.store")


# --- locks


@contextlib.contextmanager
def _flock(path: Path) -> Iterator[bool]:
    """Whether the lock on a file was free and is held until the end of the context. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def compaction_lock(root: Path) -> contextlib.AbstractContextManager[bool]:
    """There is one compaction at a time in a data directory: whether it may be this one. Raises OSError."""
    return _flock(root / "run" / "compaction.lock")


def backup_stands_still(root: Path) -> contextlib.AbstractContextManager[bool]:
    """Whether no backup is under way (it holds the lock shared), and none begins before the end of the context.
    Raises OSError."""
    return _flock(root / "run" / "backup.lock")


# --- retired segments


_EMPTY = "NOT EXISTS (SELECT 1 FROM messages WHERE segment = number)"


def empty_segments(connection: apsw.Connection, folder: Path) -> list[tuple[int, int]]:
    """Number and length of segments that no letter lies in, nobody will put one into, and that aren't retired yet.
    Raises OSError, apsw.Error."""
    sql = f"SELECT number, length FROM segments WHERE retired IS NULL AND {_EMPTY} ORDER BY number"
    rows = fetch_all(connection, sql)
    return [(number, length) for number, length in rows if not being_written(folder / segment_name(number))]


def unlink_retired(connection: apsw.Connection, folder: Path, before: float) -> tuple[int, tuple[int, ...]]:
    """Take away, for good, the files of segments that were retired before a time (seconds since 1970 UTC) and that
    nobody writes. Gives how many there were, and the numbers whose rows may go: also those without a file, where an
    earlier run was cut short, but for the highest, whose row stays. Raises OSError, apsw.Error."""
    rows = fetch_all(
        connection,
        f"""SELECT number, number < (SELECT max(number) FROM segments) FROM segments
        WHERE retired <= ? AND {_EMPTY} ORDER BY number""",
        (int(before),),
    )
    files, gone = 0, []
    for number, passed in rows:
        path = folder / segment_name(number)
        if being_written(path):
            continue
        if path.exists():
            path.unlink()
            files += 1
        if passed:
            gone.append(number)
    if files:
        sync_folder(folder)
    return files, tuple(gone)


# --- octets that no row knows


@dataclass(frozen=True, slots=True)
class _Stray:
    """Octets of a file from `start` on that no row may point to."""

    path: Path
    start: int
    length: int
    touched: float
    """When the file was last written to."""


class Strays:
    """Finds and removes octets that no row knows. `undelete` is in seconds. What is kept is told once."""

    def __init__(self, connection: apsw.Connection, folder: Path, undelete: int) -> None:
        self._connection = connection
        self._folder = folder
        self._undelete = undelete
        self._told: set[str] = set()

    def remove(self, now: float) -> int:
        """Take away what may go, with `now` in seconds since 1970 UTC; gives how many octets. Raises OSError,
        apsw.Error."""
        won = 0
        first = fetch_one(self._connection, "SELECT min(born) FROM segments")[0]
        for stray in self._find(now - STRAY_GRACE_SECONDS):
            if being_written(stray.path):
                continue
            letters = self._unknown_letters(stray)
            # Files from before the first that this index knows belong to one that was lost: they are all there is.
            if first is None or stray.touched < first or (letters and stray.touched > now - self._undelete):
                self._tell(stray, letters)
            elif self._cut(stray):
                won += stray.length
        return won

    def may_hold_letters(self, number: int, length: int, now: float) -> bool:
        """Whether whole letters that the index doesn't know stand behind the known length of a segment, and their
        time isn't over. Raises OSError."""
        path = self._folder / segment_name(number)
        state = path.stat()
        stray = _Stray(path, length, state.st_size - length, state.st_mtime)
        young = stray.length > 0 and stray.touched > now - self._undelete
        return young and self._unknown_letters(stray) > 0

    def _find(self, before: float) -> Iterator[_Stray]:
        with os.scandir(self._folder) as files:
            for file in files:
                number = segment_number(file.name)
                if number is None:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    state = file.stat()
                    start = self._known_length(number)
                    if (state.st_size > start or not start) and state.st_mtime < before:
                        yield _Stray(Path(file.path), start, state.st_size - start, state.st_mtime)

    def _known_length(self, number: int) -> int:
        """How much of a file rows may point to; 0 where none does."""
        row = fetch_one(self._connection, "SELECT length FROM segments WHERE number = ?", (number,))
        return 0 if row is None else int(row[0])

    def _unknown_letters(self, stray: _Stray) -> int:
        """How many whole letters are there that lie nowhere else, as far as records follow each other. Where a
        frame is damaged there may be some: that counts as one."""
        with stray.path.open("rb", buffering=0) as file:
            position, end, count = max(stray.start, SEGMENT_HEADER_OCTETS), stray.start + stray.length, 0
            while position + FRAME_OCTETS <= end:
                octets = os.pread(file.fileno(), FRAME_OCTETS, position)
                if not any(octets):
                    break  # written ahead, or a large letter's frame that was never written
                try:
                    frame = read_frame(octets)
                except BadFrame:
                    return count + 1
                position += frame.record_size
                if position <= end and frame.email_id != NO_LETTER:
                    count += not self._is_known(frame)
        return count

    def _is_known(self, frame: Frame) -> bool:
        sql = "SELECT 1 FROM messages WHERE email_id = ?"
        return fetch_one(self._connection, sql, (email_id_text(frame.email_id),)) is not None

    def _tell(self, stray: _Stray, letters: int) -> None:
        if stray.path.name not in self._told:
            self._told.add(stray.path.name)
            event(_log, logging.WARNING, "store.stray", file=stray.path.name, offset=stray.start, letters=letters)

    def _cut(self, stray: _Stray) -> bool:
        """Take it away, unless rows know it meanwhile."""
        if stray.start != self._known_length(int(stray.path.stem)):
            return False
        event(_log, logging.INFO, "store.stray-removed", file=stray.path.name, octets=stray.length)
        if stray.start:
            os.truncate(stray.path, stray.start)
        else:
            stray.path.unlink(missing_ok=True)
        return True
