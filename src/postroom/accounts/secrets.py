"""secrets.db: password hashes, SCRAM keys and room for app passwords, in SQLite with every commit on stable
storage.

Opened by the auth role alone (`accounts.local`), or by the command line while no server runs. The file is its
owner's only, and SQLite gives its -wal and -shm the same mode.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import apsw

from postroom.accounts.passwords import ScramKeys

FILE: Final = "secrets.db"
_MIGRATIONS: Final = (
    """
    CREATE TABLE credential (
        id INTEGER PRIMARY KEY,
        address TEXT NOT NULL,
        name TEXT NOT NULL DEFAULT '',
        protocols TEXT NOT NULL DEFAULT '',
        hash TEXT NOT NULL,
        scram_salt BLOB,
        scram_iterations INTEGER,
        scram_stored_key BLOB,
        scram_server_key BLOB,
        created INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        UNIQUE (address, name)
    ) STRICT;
    """,
)
"""Numbered from 1 by their place, forward only. An empty name is the account's own password, any other an app
password's; empty protocols are all of them."""


class SecretsFault(Exception):
    """secrets.db can't be used; the text says why."""


def schema_version(path: Path) -> int:
    """The number of the last migration that a secrets.db has seen; 0 where there is no file. Raises
    SecretsFault."""
    if not path.exists():
        return 0
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(5000)
            if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema'").fetchone():
                return 0
            return int(connection.execute("SELECT coalesce(max(version), 0) FROM schema").get)
        finally:
            connection.close()
    except apsw.Error as error:
        raise SecretsFault(f"{path}: {error}") from error


def is_behind(path: Path) -> bool:
    """Whether a secrets.db is there that will be migrated when it is opened. Raises SecretsFault."""
    return 0 < schema_version(path) < len(_MIGRATIONS)


class Secrets:
    """The open database. Every method raises SecretsFault where SQLite fails."""

    def __init__(self, path: Path) -> None:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.chmod(path, 0o600)
            self._connection = apsw.Connection(str(path))
            self._connection.set_busy_timeout(5000)
            self._connection.execute(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON"
            )
            self._migrate()
        except (OSError, apsw.Error) as error:
            raise SecretsFault(f"{path}: {error}") from error

    def _migrate(self) -> None:
        with self._connection:
            self._connection.execute("CREATE TABLE IF NOT EXISTS schema (version INTEGER NOT NULL) STRICT")
            version = self._connection.execute("SELECT max(version) FROM schema").get or 0
            if version > len(_MIGRATIONS):
                raise SecretsFault(f"schema {version} is newer than this program's {len(_MIGRATIONS)}")
            for number, statements in enumerate(_MIGRATIONS[version:], version + 1):
                self._connection.execute(statements)
                self._connection.execute("DELETE FROM schema")
                self._connection.execute("INSERT INTO schema VALUES (?)", (number,))

    def hash_of(self, address: str) -> str | None:
        """The hash of an account's own password; None also for a text that can be no account's name."""
        if not _is_text(address):
            return None
        return self._one("SELECT hash FROM credential WHERE address = ? AND name = ''", address)

    def scram_of(self, address: str) -> ScramKeys | None:
        """The SCRAM keys made with an account's own password; None where there are none."""
        query = """SELECT scram_salt, scram_iterations, scram_stored_key, scram_server_key FROM credential
            WHERE address = ? AND name = '' AND scram_salt IS NOT NULL"""
        try:
            for row in self._connection.execute(query, (address,)):
                return ScramKeys(*row)
        except apsw.Error as error:
            raise SecretsFault(str(error)) from error
        return None

    def any_hash(self, draw: int) -> str | None:
        """Some account's hash, the same for the same `draw` (0 to 2**32) while no account comes or goes: what an
        unknown login is checked against, so that it costs what a known one costs."""
        return self._one(
            """SELECT hash FROM credential WHERE id >= (SELECT max(id) FROM credential) * ? / 4294967296
            ORDER BY id LIMIT 1""",
            draw,
        )

    def keep(self, address: str, hashed: str, keys: ScramKeys | None) -> None:
        """Set an account's own password; on stable storage when this returns."""
        now = int(time.time())
        scram = (keys.salt, keys.iterations, keys.stored_key, keys.server_key) if keys else (None,) * 4
        self._change(
            """INSERT INTO credential (address, hash, scram_salt, scram_iterations, scram_stored_key,
                scram_server_key, created, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (address, name) DO UPDATE SET hash = excluded.hash, scram_salt = excluded.scram_salt,
                scram_iterations = excluded.scram_iterations, scram_stored_key = excluded.scram_stored_key,
                scram_server_key = excluded.scram_server_key, changed = excluded.changed""",
            (address, hashed, *scram, now, now),
        )

    def remove(self, address: str) -> None:
        """Forget all of an account's secrets."""
        self._change("DELETE FROM credential WHERE address = ?", (address,))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _one(self, query: str, value: str | int) -> str | None:
        try:
            found = self._connection.execute(query, (value,)).get
        except apsw.Error as error:
            raise SecretsFault(str(error)) from error
        return found if isinstance(found, str) else None

    def _change(self, statement: str, values: tuple[str | int | bytes | None, ...]) -> None:
        try:
            self._connection.execute(statement, values)
        except apsw.Error as error:
            raise SecretsFault(str(error)) from error


def known_addresses(root: Path) -> frozenset[str]:
    """Addresses that have secrets in this data directory, read without changing anything; none where that can't be
    done."""
    try:
        connection = apsw.Connection(str(root / FILE), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            rows = connection.execute("SELECT DISTINCT address FROM credential").fetchall()
        finally:
            connection.close()
    except apsw.Error:
        return frozenset()
    return frozenset([address for (address,) in rows if isinstance(address, str)])


def _is_text(name: str) -> bool:
    """Whether a name is Unicode text: a login may come with octets that are none (lone surrogates here)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
