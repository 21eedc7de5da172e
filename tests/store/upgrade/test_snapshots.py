"""Copies of a database that others write to, and which of an upgrade's snapshots stay."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import apsw
import pytest

from postroom.net.limits import UPGRADE_SNAPSHOTS_KEPT
from postroom.store.index import open_index
from postroom.store.upgrade import snapshots
from postroom.store.upgrade.migrating import migrate
from postroom.store.upgrade.snapshots import (
    copy_database,
    open_copy,
    prune_snapshots,
    put_in_place,
    read_snapshots,
    take_snapshot,
)
from tests.store.earlier import rows

NOW = 1_700_000_000


def _fill(path: Path, count: int) -> apsw.Connection:
    connection = open_index(path, make=True)
    connection.execute("CREATE TABLE t (a INTEGER, b TEXT)").fetchall()
    connection.execute("BEGIN").fetchall()
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x" * 1000) for n in range(count)]).fetchall()
    connection.execute("COMMIT").fetchall()
    return connection


def test_a_copy_is_of_one_instant_whatever_is_written_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "BACKUP_CHUNK_OCTETS", 65536)
    heard = []
    with contextlib.closing(_fill(tmp_path / "live.db", 2000)) as writer:

        def progress(done: int, total: int) -> None:
            heard.append((done, total))
            writer.execute("UPDATE t SET a = a + 1").fetchall()

        copy_database(tmp_path / "live.db", tmp_path / "copy.db", progress)
    done, totals = [each[0] for each in heard], {each[1] for each in heard}
    assert len(heard) > 10 and done == sorted(done) and totals == {done[-1]}, "no commit makes it begin anew"
    with contextlib.closing(open_copy(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*), min(a), max(a) FROM t").fetchall() == [(2000, 0, 1999)]
        assert copy.pragma("integrity_check") == "ok"


def test_a_copy_is_one_file_of_its_owner_alone_that_can_be_read_where_nothing_can_be_written(
    tmp_path: Path,
) -> None:
    _fill(tmp_path / "live.db", 10).close()
    folder = tmp_path / "copies"
    folder.mkdir()
    copy_database(tmp_path / "live.db", folder / "copy.db")
    assert os.listdir(folder) == ["copy.db"]
    assert stat.S_IMODE((folder / "copy.db").stat().st_mode) == 0o600
    with contextlib.closing(open_copy(folder / "copy.db")) as copy:
        assert copy.pragma("journal_mode") == "delete"
        with pytest.raises(apsw.ReadOnlyError):
            copy.execute("DELETE FROM t").fetchall()
    assert os.listdir(folder) == ["copy.db"]


def test_a_copy_is_never_made_over_another_file(tmp_path: Path) -> None:
    _fill(tmp_path / "live.db", 1).close()
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(FileExistsError):
        copy_database(tmp_path / "live.db", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_a_database_that_takes_anothers_place_never_meets_its_log(tmp_path: Path) -> None:
    old = _fill(tmp_path / "index.db", 10)
    # What a killed process leaves: a log that was never written back.
    log = (tmp_path / "index.db-wal").read_bytes()
    octets = (tmp_path / "index.db").read_bytes()
    old.close()
    (tmp_path / "index.db").write_bytes(octets)
    (tmp_path / "index.db-wal").write_bytes(log)
    _fill(tmp_path / "new.db", 3).close()
    put_in_place(tmp_path / "new.db", tmp_path / "index.db", tmp_path / "aside.db")
    assert rows(tmp_path / "index.db", "SELECT count(*) FROM t") == [(3,)]
    assert rows(tmp_path / "aside.db", "SELECT count(*) FROM t") == [(10,)]
    assert not (tmp_path / "new.db").exists()


def test_a_snapshot_has_index_secrets_and_configuration(tmp_path: Path) -> None:
    root, config = tmp_path / "data", tmp_path / "postroom.toml"
    migrate(root)
    config.write_text('hostname = "a.test"\n')
    _fill(root / "secrets.db", 1).close()
    folder = take_snapshot(root, 1, NOW, config)
    (snapshot,) = read_snapshots(root)
    assert (snapshot.folder, snapshot.schema, snapshot.taken) == (folder, 1, NOW)
    assert snapshot.config_copy is not None and snapshot.config_copy.read_text() == config.read_text()
    assert sorted(each.name for each in folder.iterdir()) == [
        "index.db", "manifest.json", "postroom.toml", "secrets.db",
    ]  # fmt: skip
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in folder.iterdir())


def test_a_snapshot_that_could_not_be_finished_leaves_nothing(tmp_path: Path) -> None:
    migrate(tmp_path)
    (tmp_path / "secrets.db").write_bytes(b"no database" * 100)
    with pytest.raises(apsw.Error):
        take_snapshot(tmp_path, 1, NOW)
    assert list((tmp_path / "snapshots").iterdir()) == []


def test_snapshots_go_when_enough_newer_ones_follow_and_others_folders_stay(tmp_path: Path) -> None:
    migrate(tmp_path)
    taken = [take_snapshot(tmp_path, 1, NOW + n) for n in range(UPGRADE_SNAPSHOTS_KEPT + 2)]
    same_second = take_snapshot(tmp_path, 1, NOW + len(taken) - 1)
    killed = tmp_path / "snapshots" / "schema-1-20200101T000000Z"
    other = tmp_path / "snapshots" / "repair-20200101-000000"
    for folder in (killed, other):
        folder.mkdir()
        (folder / "index.db").write_bytes(b"")
    prune_snapshots(tmp_path)
    left = {*taken[-UPGRADE_SNAPSHOTS_KEPT + 1 :], same_second}
    assert {each.folder for each in read_snapshots(tmp_path)} == left
    assert set((tmp_path / "snapshots").iterdir()) == {*left, other}
