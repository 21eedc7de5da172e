"""A secrets.db whose writer was killed: its journal is still to be rolled back, whoever looks first."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest

from postroom.accounts.secrets import FILE, Secrets, is_behind, schema_version


@pytest.fixture
def cut_short(tmp_path: Path) -> Path:
    """As a kill leaves it within a transaction with a rollback journal: some pages are written."""
    Secrets(tmp_path / FILE).close()
    connection = apsw.Connection(str(tmp_path / FILE))
    connection.execute("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN").fetchall()
    for number in range(200):
        connection.execute("INSERT INTO schema VALUES (?)", (1000 + number,)).fetchall()
        connection.execute("CREATE TABLE IF NOT EXISTS filler (octets BLOB)").fetchall()
        connection.execute("INSERT INTO filler VALUES (zeroblob(5000))").fetchall()
    folder = tmp_path / "killed"
    folder.mkdir()
    for name in (FILE, f"{FILE}-journal"):
        shutil.copy(tmp_path / name, folder / name)
    connection.execute("ROLLBACK").fetchall()
    connection.close()
    assert (folder / f"{FILE}-journal").read_bytes()[:8] != bytes(8)
    return folder / FILE


def test_its_schema_can_be_read(cut_short: Path) -> None:
    assert 0 < schema_version(cut_short) < 1000
    assert not is_behind(cut_short)
    Secrets(cut_short).close()


def test_one_that_is_just_being_made_has_no_schema_yet(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    assert schema_version(tmp_path / FILE) == 0
