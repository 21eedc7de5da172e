"""The index's file: how it is opened, and how its schema grows (docs/store.md).

Migrations are modules of `store.migrations`, numbered without gaps, forward only; the number of the last one done
is SQLite's user_version. `SQL` is what each does, in a transaction. `BACK`, where it has one, is what
`store.upgrade.undo` runs when the older schema has been filled with the rows that are there by then: it sees them
as `main`, the newer index as `newer`, and the one before the upgrade as `older`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from postroom.store import migrations

__all__ = [
    "BUSY_MILLISECONDS",
    "NewerSchema",
    "OlderSchema",
    "fetch_all",
    "fetch_one",
    "migrate",
    "newest_schema",
    "open_index",
    "require_current",
    "schema_version",
]

_SETTINGS = """
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = OFF;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -16384;
PRAGMA mmap_size = 268435456;
PRAGMA journal_size_limit = 67108864;
"""
BUSY_MILLISECONDS = 5000
"""For outsiders (a sqlite3 shell, a backup); our own processes queue at the write lock. The writer's transactions
don't wait so (`apply.batch.begin`): the loop would stand still."""


class NewerSchema(Exception):
    """The index was written by a newer Postroom than this one."""


class OlderSchema(Exception):
    """The index needs migrations, and the caller asked for none."""


def open_index(path: Path, *, read_only: bool = False, make: bool = False) -> apsw.Connection:
    """Open the index; with `make` also where there is none. Raises apsw.Error."""
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    if make:
        flags |= apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute(_SETTINGS).fetchall()
    return connection


def fetch_all(connection: apsw.Connection, sql: str, bound: tuple[apsw.SQLiteValue, ...] = ()) -> list[Any]:
    """All rows of a question. Their columns have the types that the schema says (its tables are STRICT)."""
    return connection.execute(sql, bound).fetchall()


def fetch_one(connection: apsw.Connection, sql: str, bound: tuple[apsw.SQLiteValue, ...] = ()) -> Any:
    """The only row of a question, or None."""
    return connection.execute(sql, bound).fetchone()


def _numbers() -> list[int]:
    return sorted(int(module.name[1:]) for module in pkgutil.iter_modules(migrations.__path__))


def newest_schema() -> int:
    """The number of the last migration that this program has."""
    return _numbers()[-1]


def schema_version(connection: apsw.Connection) -> int:
    """The number of the last migration that this index has seen; 0 for an empty file."""
    return int(connection.pragma("user_version"))


def require_current(connection: apsw.Connection) -> None:
    """Raises `NewerSchema` or `OlderSchema` where this program and the index don't fit."""
    have, want = schema_version(connection), newest_schema()
    if have > want:
        raise NewerSchema(f"the index has schema {have}, this Postroom knows up to {want}: use a newer Postroom")
    if have < want:
        raise OlderSchema(f"the index has schema {have}, this Postroom needs {want}: start the server once")


def _unchecked(connection: apsw.Connection) -> None:
    """Nobody looks."""


def migrate(connection: apsw.Connection, check: Callable[[apsw.Connection], None] = _unchecked) -> None:
    """Bring the index to the newest schema. All migrations that are pending, and the `check` after the last one,
    are one transaction: what any of them raises leaves the index as it was. The caller holds the write lock. Raises
    `NewerSchema`."""
    pending = [number for number in _numbers() if number > schema_version(connection)]
    if pending:
        connection.execute("BEGIN IMMEDIATE").fetchall()
        try:
            for number in pending:
                sql = importlib.import_module(f"postroom.store.migrations.m{number:04}").SQL
                connection.execute(sql).fetchall()
                connection.pragma("user_version", number)
            check(connection)
            connection.execute("COMMIT").fetchall()
        except BaseException:
            # A full disk has rolled it back already.
            if connection.in_transaction:
                connection.execute("ROLLBACK").fetchall()
            raise
    require_current(connection)
