"""The index's file: how it is opened, and how its schema grows (docs/store.md).

Migrations are modules of `store.migrations`, numbered without gaps, forward only, one transaction each; the
number of the last one done is SQLite's user_version.
"""

from __future__ import annotations

import importlib
import pkgutil
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


def schema_version(connection: apsw.Connection) -> int:
    """The number of the last migration that this index has seen; 0 for an empty file."""
    return int(connection.pragma("user_version"))


def require_current(connection: apsw.Connection) -> None:
    """Raises `NewerSchema` or `OlderSchema` where this program and the index don't fit."""
    have, want = schema_version(connection), _numbers()[-1]
    if have > want:
        raise NewerSchema(f"the index has schema {have}, this Postroom knows up to {want}: use a newer Postroom")
    if have < want:
        raise OlderSchema(f"the index has schema {have}, this Postroom needs {want}: start the server once")


def migrate(connection: apsw.Connection) -> None:
    """Bring the index to the newest schema. The caller holds the write lock. Raises `NewerSchema`."""
    for number in _numbers():
        if number > schema_version(connection):
            sql = importlib.import_module(f"postroom.store.migrations.m{number:04}").SQL
            connection.execute("BEGIN IMMEDIATE").fetchall()
            try:
                connection.execute(sql).fetchall()
                connection.pragma("user_version", number)
                connection.execute("COMMIT").fetchall()
            except BaseException:
                connection.execute("ROLLBACK").fetchall()
                raise
    require_current(connection)
