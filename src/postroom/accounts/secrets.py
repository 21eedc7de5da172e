"""secrets.db: password hashes, SCRAM keys, app passwords and the site's own key, in SQLite with every commit on
stable storage.

Opened by the auth role alone (`accounts.local`), or by the command line while no server runs. The file is its
owner's only, and SQLite gives its -wal and -shm the same mode.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

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
    """
    CREATE TABLE site_key (octets BLOB NOT NULL) STRICT;
    """,
)
"""Numbered from 1 by their place, forward only. An empty name is the account's own password, any other an app
password's; empty protocols are all of them, else they are words with a space between. The site's key is drawn when
its table is found empty."""
_SITE_KEY_OCTETS: Final = 32
_KEYS: Final = "scram_salt, scram_iterations, scram_stored_key, scram_server_key"


class SecretsFault(Exception):
    """secrets.db can't be used; the text says why."""


def schema_version(path: Path) -> int:
    """The number of the last migration that a secrets.db has seen; 0 where there is no file. Raises
    SecretsFault."""
    if not path.exists():
        return 0
    try:
        # Not for reading alone: what a killed writer has left must be rolled back before anybody can read.
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
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
            if not self._connection.execute("SELECT count(*) FROM site_key").get:
                self._connection.execute("INSERT INTO site_key VALUES (?)", (os.urandom(_SITE_KEY_OCTETS),))

    def site_key(self) -> bytes:
        """Octets that this site alone has, the same for ever: what strangers' salts are made from."""
        try:
            key = self._connection.execute("SELECT octets FROM site_key").get
        except apsw.Error as error:
            raise SecretsFault(str(error)) from error
        if not isinstance(key, bytes):
            raise SecretsFault("the site's key is gone")
        return key

    def hash_of(self, address: str) -> str | None:
        """The hash of an account's own password; None also for a text that can be no account's name."""
        if not _is_text(address):
            return None
        return self._one("SELECT hash FROM credential WHERE address = ? AND name = ''", address)

    def scram_of(self, address: str, protocol: str = "") -> list[ScramKeys]:
        """The SCRAM keys made with an account's own password, and then those of its app passwords for
        `protocol`."""
        if not _is_text(address):
            return []
        rows = self._rows(
            f"""SELECT protocols, {_KEYS} FROM credential
            WHERE address = ? AND scram_salt IS NOT NULL ORDER BY name, id""",
            (address,),
        )
        return [ScramKeys(*keys) for protocols, *keys in rows if _holds_for(protocols, protocol)]

    def any_iterations(self, draw: int) -> int | None:
        """Some account's count of SCRAM iterations, the same for the same `draw` (see `any_hash`)."""
        found = self._value(
            """WITH own AS (SELECT * FROM credential WHERE name = '' AND scram_iterations IS NOT NULL)
            SELECT scram_iterations FROM own WHERE id >= (SELECT max(id) FROM own) * ? / 4294967296
            ORDER BY id LIMIT 1""",
            draw,
        )
        return found if isinstance(found, int) else None

    def all_have_scram(self) -> bool:
        """Whether there is no password without SCRAM keys."""
        try:
            return not self._connection.execute(
                "SELECT EXISTS (SELECT 1 FROM credential WHERE scram_salt IS NULL)"
            ).get
        except apsw.Error as error:
            raise SecretsFault(str(error)) from error

    def any_hash(self, draw: int) -> str | None:
        """Some account's hash, the same for the same `draw` (0 to 2**32) while no account comes or goes: what an
        unknown login is checked against, so that it costs what a known one costs."""
        return self._one(
            """SELECT hash FROM credential WHERE name = ''
            AND id >= (SELECT max(id) FROM credential WHERE name = '') * ? / 4294967296 ORDER BY id LIMIT 1""",
            draw,
        )

    def keep(self, address: str, hashed: str, keys: ScramKeys | None) -> None:
        """Set an account's own password; on stable storage when this returns."""
        now = int(time.time())
        self._change(
            """INSERT INTO credential (address, hash, scram_salt, scram_iterations, scram_stored_key,
                scram_server_key, created, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (address, name) DO UPDATE SET hash = excluded.hash, scram_salt = excluded.scram_salt,
                scram_iterations = excluded.scram_iterations, scram_stored_key = excluded.scram_stored_key,
                scram_server_key = excluded.scram_server_key, changed = excluded.changed""",
            (address, hashed, *_columns(keys), now, now),
        )

    def keep_app(
        self, address: str, name: str, protocols: Sequence[str], hashed: str, keys: ScramKeys | None, most: int
    ) -> None:
        """Add an app password. Raises ValueError where the account has one of that name, has `most`, or has no
        password of its own."""
        now = int(time.time())
        with self._transaction():
            names = [name for (name,) in self._rows("SELECT name FROM credential WHERE address = ?", (address,))]
            if "" not in names:
                raise ValueError("there is no such account")
            if name in names:
                raise ValueError(f"there is an app password of that name: {name}")
            if len(names) > most:
                raise ValueError(f"an account has at most {most} app passwords")
            self._change(
                f"""INSERT INTO credential (address, name, protocols, hash, {_KEYS}, created, changed)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (address, name, " ".join(protocols), hashed, *_columns(keys), now, now),
            )

    def app_hashes(self, address: str, protocol: str) -> list[str]:
        """The hashes of an account's app passwords that hold for a protocol."""
        if not _is_text(address):
            return []
        rows = self._rows("SELECT protocols, hash FROM credential WHERE address = ? AND name != ''", (address,))
        return [hashed for protocols, hashed in rows if _holds_for(protocols, protocol)]

    def apps(self, address: str) -> list[tuple[str, tuple[str, ...], int]]:
        """An account's app passwords: name, protocols (none: all) and when they were made, by name."""
        query = "SELECT name, protocols, created FROM credential WHERE address = ? AND name != '' ORDER BY name"
        return [(name, tuple(words.split()), created) for name, words, created in self._rows(query, (address,))]

    def remove_app(self, address: str, name: str) -> bool:
        """Take an app password away; False where there is none."""
        with self._transaction():
            there = bool(name) and any(name == each for each, _, _ in self.apps(address))
            if there:
                self._change("DELETE FROM credential WHERE address = ? AND name = ?", (address, name))
        return there

    def remove(self, address: str) -> None:
        """Forget all of an account's secrets."""
        self._change("DELETE FROM credential WHERE address = ?", (address,))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _one(self, query: str, value: str | int) -> str | None:
        found = self._value(query, value)
        return found if isinstance(found, str) else None

    def _value(self, query: str, value: str | int) -> object:
        try:
            return self._connection.execute(query, (value,)).get
        except apsw.Error as error:
            raise SecretsFault(str(error)) from error

    def _rows(self, query: str, values: tuple[str | int, ...]) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall()
        except apsw.Error as error:
            raise SecretsFault(str(error)) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """One of several statements; an exception takes them back."""
        try:
            with self._connection:
                yield
        except apsw.Error as error:
            raise SecretsFault(str(error)) from error

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


def _columns(keys: ScramKeys | None) -> tuple[bytes | int | None, ...]:
    return (keys.salt, keys.iterations, keys.stored_key, keys.server_key) if keys else (None,) * 4


def _holds_for(protocols: str, protocol: str) -> bool:
    return not protocols or protocol in protocols.split()


def _is_text(name: str) -> bool:
    """Whether a name is Unicode text: a login may come with octets that are none (lone surrogates here)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
