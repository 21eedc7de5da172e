"""How the index is opened, and how its schema grows."""

from __future__ import annotations

import asyncio
import importlib
import stat
from pathlib import Path

import apsw
import pytest

from postroom.store import index
from postroom.store.index import NewerSchema, OlderSchema, open_index, schema_version
from postroom.store.interface import StoreFault
from postroom.store.sqlite import open_store
from postroom.store.upgrade.migrating import migrate


def _set_version(root: Path, version: int) -> None:
    connection = open_index(root / "index.db")
    connection.pragma("user_version", version)
    connection.close()


def test_migrate_makes_what_is_missing_for_its_owner_alone(tmp_path: Path) -> None:
    root = tmp_path / "data"
    migrate(root)
    assert stat.S_IMODE((root / "index.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((root / "segments").stat().st_mode) == 0o700
    connection = open_index(root / "index.db")
    assert schema_version(connection) >= 1
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    connection.close()


def test_migrate_twice_changes_nothing(tmp_path: Path) -> None:
    migrate(tmp_path)
    before = (tmp_path / "index.db").read_bytes()
    migrate(tmp_path)
    assert (tmp_path / "index.db").read_bytes() == before


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    migrate(tmp_path)
    _set_version(tmp_path, 9999)
    before = (tmp_path / "index.db").read_bytes()
    with pytest.raises(NewerSchema, match="9999"):
        migrate(tmp_path)
    with pytest.raises(NewerSchema):
        asyncio.run(open_store(tmp_path))
    assert (tmp_path / "index.db").read_bytes() == before


def test_an_older_schema_is_refused_by_who_only_opens(tmp_path: Path) -> None:
    migrate(tmp_path)
    _set_version(tmp_path, 0)
    with pytest.raises(OlderSchema):
        asyncio.run(open_store(tmp_path))


def test_a_store_that_was_never_made_is_a_fault_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreFault):
        asyncio.run(open_store(tmp_path))
    assert not (tmp_path / "index.db").exists()


def test_an_index_that_is_no_database_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreFault):
        migrate(tmp_path)
    with pytest.raises(StoreFault):
        asyncio.run(open_store(tmp_path))


def test_a_migration_is_done_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = importlib.import_module("postroom.store.migrations.m0001")
    monkeypatch.setattr(first, "SQL", first.SQL + "CREATE TABLE accounts (twice INTEGER);")
    connection = open_index(tmp_path / "index.db", make=True)
    with pytest.raises(apsw.SQLError):
        index.migrate(connection)
    assert schema_version(connection) == 0
    assert connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
    monkeypatch.undo()
    index.migrate(connection)
    assert schema_version(connection) >= 1
    connection.close()


def test_what_the_check_says_after_the_last_migration_takes_all_of_them_back(tmp_path: Path) -> None:
    connection = open_index(tmp_path / "index.db", make=True)

    def check(seen: apsw.Connection) -> None:
        assert schema_version(seen) == index.newest_schema()
        raise ValueError("not so")

    with pytest.raises(ValueError, match="not so"):
        index.migrate(connection, check)
    assert schema_version(connection) == 0
    assert connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
    index.migrate(connection)
    index.migrate(connection, check)
    connection.close()


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = index._numbers()
    assert numbers == list(range(1, len(numbers) + 1))
