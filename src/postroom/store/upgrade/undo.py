"""The way back from an upgrade: the older schema, with what is in the index now.

An index is made in the schema that the snapshot has, and gets the rows that are there now: letters, flags and UIDs
that came since stay. What the newer schema doesn't have any more comes from the snapshot, and what it has besides
is left behind. The newer index is put aside; until the older one takes its place, in one rename, nothing is
changed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from postroom.store.index import BUSY_MILLISECONDS, fetch_all, fetch_one
from postroom.store.lock import WriteLock
from postroom.store.segments import sync_folder
from postroom.store.upgrade.snapshots import (
    INDEX,
    SECRETS,
    Snapshot,
    make_folder,
    put_in_place,
    read_snapshots,
    remove_database,
    sync_file,
    time_name,
    write_document,
)
from postroom.store.upgrade.whole import UpgradeRefused, schemas

__all__ = ["Undone", "undo"]

_SUFFIX: Final = ".older"


@dataclass(frozen=True, slots=True)
class Undone:
    """What was done. `config` is the configuration that was put back, `newer_config` what it was until then."""

    before: int
    after: int
    aside: Path
    """The folder of the newer index."""
    config: Path | None = None
    newer_config: Path | None = None


def undo(root: Path, config: Path, now: float, secrets_version: Callable[[Path], int]) -> Undone:
    """Go back to the schema of the newest snapshot that has an older one. `config` is the configuration's file,
    `secrets_version` reads a secrets.db's schema. No server may run.

    Raises `UpgradeRefused`, `StoreFault`, OSError, apsw.Error; then the index is as it was.
    """
    lock = WriteLock(root)
    try:
        lock.wait()
        return _undo(root, config, now, secrets_version)
    finally:
        for name in (INDEX, SECRETS):
            remove_database(root / f"{name}{_SUFFIX}")
        lock.close()


def _undo(root: Path, config: Path, now: float, secrets_version: Callable[[Path], int]) -> Undone:
    have, _ = schemas(root)
    snapshot, secrets_too = _choose(root, have, secrets_version)
    new, new_secrets = (root / f"{name}{_SUFFIX}" for name in (INDEX, SECRETS))
    remove_database(new)
    remove_database(new_secrets)
    if snapshot.schema < have:
        _remake(snapshot.index, root / INDEX, new, _ways_back(have, snapshot.schema))
    if secrets_too:
        _remake(snapshot.folder / SECRETS, root / SECRETS, new_secrets, (), as_it_was=frozenset(("schema",)))
    aside = make_folder(root / "snapshots", f"undone-{time_name(now)}")
    newer_config = _put_config_back(snapshot, config)
    # The index is last: until it is done, all of this can be done once more.
    if secrets_too:
        put_in_place(new_secrets, root / SECRETS, aside / SECRETS)
    if snapshot.schema < have:
        put_in_place(new, root / INDEX, aside / INDEX)
    return Undone(have, snapshot.schema, aside, None if newer_config is None else config, newer_config)


def _choose(root: Path, have: int, secrets_version: Callable[[Path], int]) -> tuple[Snapshot, bool]:
    """The newest snapshot that is older than what is there, and whether its secrets are."""
    for snapshot in reversed(read_snapshots(root)):
        copy, there = snapshot.folder / SECRETS, root / SECRETS
        secrets = snapshot.secrets and there.exists() and secrets_version(copy) < secrets_version(there)
        if snapshot.schema < have or secrets:
            return snapshot, secrets
    raise UpgradeRefused(
        f"nothing to go back to: no snapshot in {root / 'snapshots'} has a schema before the index's, {have}"
    )


def _ways_back(have: int, schema: int) -> list[str]:
    """What the migrations between two schemas have to say about the way back, the newest first."""
    modules = [importlib.import_module(f"postroom.store.migrations.m{n:04}") for n in range(have, schema, -1)]
    return [module.BACK for module in modules if hasattr(module, "BACK")]


def _put_config_back(snapshot: Snapshot, config: Path) -> Path | None:
    """Where another configuration was put, since the snapshot's took its place; None where they are the same."""
    older = snapshot.config_copy
    if older is None or (config.exists() and older.read_bytes() == config.read_bytes()):
        return None
    newer = config.with_name(f"{config.name}.newer")
    if config.exists():
        was = config.stat()
        write_document(newer, config.read_bytes())
        write_document(config, older.read_bytes())
        for path in (newer, config):
            os.chmod(path, was.st_mode & 0o777)
            with contextlib.suppress(PermissionError):
                os.chown(path, was.st_uid, was.st_gid)
    else:
        write_document(config, older.read_bytes())
    return newer


# --- the older schema with the rows that are there now


class _Column(NamedTuple):
    name: str
    required: bool
    """A row can't be without it."""


def _remake(
    older: Path, newer: Path, new: Path, ways_back: Sequence[str], as_it_was: frozenset[str] = frozenset()
) -> None:
    """Make the database `new`: the schema of `older`, the rows of `newer`, but for the tables `as_it_was`. SQL of
    `ways_back` sees all three: main, newer, older. Raises `UpgradeRefused`, OSError, apsw.Error."""
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
    with contextlib.closing(apsw.Connection(str(new), flags=flags)) as connection:
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        run = connection.execute
        run("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY").fetchall()
        run("ATTACH ? AS older", (f"{older.absolute().as_uri()}?immutable=1",)).fetchall()
        run("ATTACH ? AS newer", (str(newer),)).fetchall()
        try:
            run("BEGIN").fetchall()
            counted = _fill(connection, as_it_was)
            for sql in ways_back:
                run(sql).fetchall()
            connection.pragma("user_version", int(connection.pragma("user_version", schema="older")))
            _check(connection, counted if not ways_back else ())
            run("COMMIT").fetchall()
        except apsw.Error as error:
            raise UpgradeRefused(f"the older schema can't take what is there now: {error}") from error
    sync_file(new)
    sync_folder(new.parent)


def _fill(connection: apsw.Connection, as_it_was: frozenset[str]) -> list[str]:
    """Tables, rows, and then what is built on them; gives the tables that have all of the newer ones' rows."""
    run = connection.execute
    tables = fetch_all(
        connection,
        "SELECT name, sql FROM older.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )
    counted = []
    for name, sql in tables:
        run(sql).fetchall()
        wanted = _columns(connection, name, "older")
        there = {column.name for column in _columns(connection, name, "newer")}
        if not there or name in as_it_was:
            run(f"INSERT INTO main.{_quoted(name)} SELECT * FROM older.{_quoted(name)}").fetchall()
        elif all(column.name in there for column in wanted if column.required):
            both = ", ".join(_quoted(column.name) for column in wanted if column.name in there)
            run(f"INSERT INTO main.{_quoted(name)} ({both}) SELECT {both} FROM newer.{_quoted(name)}").fetchall()
            counted.append(name)
        # Else it is another thing under the same name; what can be made of it is the migration's to say.
    if fetch_one(connection, "SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'"):
        run("DELETE FROM main.sqlite_sequence").fetchall()
        run(
            """INSERT INTO main.sqlite_sequence (name, seq) SELECT name, seq FROM newer.sqlite_sequence
            WHERE name IN (SELECT name FROM main.sqlite_schema)"""
        ).fetchall()
    for (sql,) in fetch_all(
        connection, "SELECT sql FROM older.sqlite_schema WHERE type <> 'table' AND sql IS NOT NULL ORDER BY rowid"
    ):
        run(sql).fetchall()
    return counted


def _columns(connection: apsw.Connection, table: str, schema: str) -> list[_Column]:
    rows = fetch_all(
        connection, 'SELECT name, "notnull" AND dflt_value IS NULL FROM pragma_table_info(?, ?)', (table, schema)
    )
    return [_Column(name, bool(required)) for name, required in rows]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _check(connection: apsw.Connection, counted: Sequence[str]) -> None:
    """SQLite's own check, and no row may be missing. Raises `UpgradeRefused`."""
    for (says,) in fetch_all(connection, "PRAGMA main.integrity_check(1)"):
        if says != "ok":
            raise UpgradeRefused(f"the older schema would not be sound: {says}")
    for table in counted:
        here, there = (
            fetch_one(connection, f"SELECT count(*) FROM {schema}.{_quoted(table)}")[0]
            for schema in ("main", "newer")
        )
        if here != there:
            raise UpgradeRefused(f"the older schema would have {here} of the {there} rows of {table}")
