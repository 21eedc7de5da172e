"""What checks remember of clients, over all workers and restarts: a small SQLite file in data/checks.

It is a memory and no record: nothing that was promised is in it, it is not synced, and may be deleted at any time.
Whatever goes wrong with it, the client passes. It is bounded: what no longer matters goes, and where there is still
too much, what would be forgotten next.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from postroom.net.limits import CHECK_KEYS_KEPT, CHECK_TRIES, CHECK_TRY_SECONDS
from postroom.net.log import event
from postroom.store.index import fetch_one

_logger = logging.getLogger("postroom.intake")

FILE: Final = "marks.db"
_SETTINGS: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
PRAGMA journal_size_limit = 4194304;
PRAGMA cache_size = -1024;
CREATE TABLE IF NOT EXISTS marks (
    key BLOB PRIMARY KEY,            -- a hash of whom it is about
    began REAL NOT NULL,             -- seconds since 1970 UTC
    times INTEGER NOT NULL,
    until REAL NOT NULL              -- when it may be forgotten, seconds since 1970 UTC
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS marks_until ON marks (until);
"""
_FORGET: Final = "DELETE FROM marks WHERE key IN (SELECT key FROM marks ORDER BY until LIMIT ?)"
_WRITES_BETWEEN_SWEEPS: Final = 1000
_KEY_OCTETS: Final = 16


class Mark(NamedTuple):
    """What is remembered of one key: since when, how many, and until when; in seconds since 1970 UTC."""

    began: float
    times: int
    until: float


def key_of(kind: str, *words: object) -> bytes:
    """The key of somebody; `kind` keeps the checks apart."""
    text = "\0".join([kind, *map(str, words)])
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=_KEY_OCTETS).digest()


class Memory:
    """See the module. It is opened when first needed. `clock` gives seconds since 1970 UTC."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._path = path
        self._connection: apsw.Connection | None = None
        self._writes = 0
        self._told = False

    async def change(self, key: bytes, made: Callable[[Mark | None], Mark]) -> Mark | None:
        """Put in place of what is remembered what is `made` of it; gives that. None: it can't be known now."""
        for attempt in range(CHECK_TRIES):
            if attempt:
                await asyncio.sleep(CHECK_TRY_SECONDS)
            try:
                return self._change(self._open(), key, made)
            except (apsw.BusyError, apsw.LockedError):
                continue
            except apsw.Error as fault:
                self._fail(fault)
                return None
        return None

    def close(self) -> None:
        """The file is closed; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            connection = apsw.Connection(str(self._path))
            try:
                connection.execute(_SETTINGS).fetchall()
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _change(self, connection: apsw.Connection, key: bytes, made: Callable[[Mark | None], Mark]) -> Mark:
        old = _read(connection, key)
        if old is not None and made(old) is old:
            return old
        connection.execute("BEGIN IMMEDIATE").fetchall()
        try:
            # Somebody else may have been here since the look that took no lock.
            new = made(_read(connection, key))
            connection.execute("REPLACE INTO marks VALUES (?, ?, ?, ?)", (key, *new)).fetchall()
            if self._writes % _WRITES_BETWEEN_SWEEPS == 0:
                self._sweep(connection)
            connection.execute("COMMIT").fetchall()
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK").fetchall()
            raise
        self._writes += 1
        return new

    def _sweep(self, connection: apsw.Connection) -> None:
        """Forget what no longer matters, and what is too much."""
        connection.execute("DELETE FROM marks WHERE until < ?", (self.clock(),)).fetchall()
        there: int = fetch_one(connection, "SELECT count(*) FROM marks")[0]
        too_many = there - CHECK_KEYS_KEPT
        if too_many > 0:
            connection.execute(_FORGET, (too_many,)).fetchall()

    def _fail(self, fault: apsw.Error) -> None:
        """Tell of it, once; a file that is none is made anew."""
        if not self._told:
            event(_logger, logging.WARNING, "checks.memory-failed", file=self._path, reason=type(fault).__name__)
        self._told = True
        with contextlib.suppress(apsw.Error):
            self.close()
        if isinstance(fault, apsw.NotADBError | apsw.CorruptError):
            for end in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + end).unlink(missing_ok=True)


def _read(connection: apsw.Connection, key: bytes) -> Mark | None:
    row = fetch_one(connection, "SELECT began, times, until FROM marks WHERE key = ?", (key,))
    return Mark(*row) if row else None
