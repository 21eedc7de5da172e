"""The edge itself: it sees every call of Python's and SQLite's that changes a file, and does what a plan says."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.edge import EVERY, Action, Edge, Plan
from tests.faults.trace import Kind, Phase, Record

_SQLITE = """
import apsw
index = apsw.Connection("{root}/index.db")
index.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x)").fetchall()
index.close()
"""
_FILES = """
import os, shutil
os.mkdir("{root}/folder")
with open("{root}/folder/a", "wb", buffering=0) as file:
    file.write(b"one")
    os.pwritev(file.fileno(), [b"two", b"three"], 3)
    os.ftruncate(file.fileno(), 4)
    os.fsync(file.fileno())
shutil.copyfile("{root}/folder/a", "{root}/folder/b")
os.rename("{root}/folder/b", "{root}/folder/c")
os.link("{root}/folder/c", "{root}/folder/d")
folder = os.open("{root}/folder", os.O_RDONLY)
os.fsync(folder)
os.unlink("d", dir_fd=folder)
with open("{root}-beside", "w") as file:
    file.write("not ours")
"""


def _run(edge: Edge, root: Path, script: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", script.format(root=root)]
    return subprocess.run(words, env=edge.environment, capture_output=True, text=True, check=False)


def _told(records: list[Record]) -> list[tuple[Kind, str]]:
    """Each call once."""
    first = {Kind.WRITE: Phase.BEGIN, Kind.TRUNCATE: Phase.BEGIN}
    return [(one.kind, one.path) for one in records if one.phase is first.get(one.kind, Phase.END)]


def test_python_s_calls_are_seen(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with Edge(tmp_path, root, trace=True) as edge:
        done = _run(edge, root, _FILES)
        assert done.returncode == 0, done.stderr
        records = edge.records()
    assert _told(records) == [
        (Kind.MKDIR, "folder"),
        (Kind.OPEN, "folder/a"),
        (Kind.WRITE, "folder/a"),
        (Kind.WRITE, "folder/a"),
        (Kind.TRUNCATE, "folder/a"),
        (Kind.SYNC, "folder/a"),
        (Kind.OPEN, "folder/b"),
        (Kind.WRITE, "folder/b"),
        (Kind.RENAME, "folder/b"),
        (Kind.LINK, "folder/c"),
        (Kind.SYNC, "folder"),
        (Kind.UNLINK, "folder/d"),
    ]
    written = [(one.offset, one.data) for one in records if one.kind is Kind.WRITE]
    assert written == [(0, b"one"), (3, b"twothree"), (0, b"onet")]


def test_sqlite_s_calls_are_seen(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with Edge(tmp_path, root, trace=True) as edge:
        done = _run(edge, root, _SQLITE)
        assert done.returncode == 0, done.stderr
        seen = set(_told(edge.records()))
    log = {(kind, "index.db-wal") for kind in (Kind.OPEN, Kind.WRITE, Kind.SYNC, Kind.UNLINK)}
    index = {(kind, "index.db") for kind in (Kind.OPEN, Kind.WRITE, Kind.SYNC)}
    assert seen >= log | index | {(Kind.SYNC, ".")}
    assert not any(path.endswith("-shm") for _, path in seen)


@pytest.mark.parametrize("kind", sorted(EVERY - {Kind.ALLOCATE}))
def test_each_kind_of_call_can_fail(tmp_path: Path, kind: Kind) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with Edge(tmp_path, root) as edge:
        edge.arm(Plan(Action.FAIL, {kind}, error=errno.EDQUOT))
        done = _run(edge, root, _FILES)
        assert edge.fired == 1
    assert "Disk quota exceeded" in done.stderr


def test_a_write_can_come_out_short(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with Edge(tmp_path, root) as edge:
        edge.arm(Plan(Action.SHORT, {Kind.WRITE}, "folder/*", times=2, error=errno.ENOSPC))
        done = _run(edge, root, _FILES)
        assert edge.fired == 2
    assert "No space left" in done.stderr
    assert (root / "folder/a").read_bytes() == b"on"


@pytest.mark.parametrize(("action", "there"), [(Action.KILL_BEFORE, False), (Action.KILL_AFTER, True)])
def test_a_chosen_call_kills(tmp_path: Path, action: Action, there: bool) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with Edge(tmp_path, root) as edge:
        edge.arm(Plan(action, {Kind.RENAME}))
        assert _run(edge, root, _FILES).returncode == -signal.SIGKILL
    assert (root / "folder/c").exists() is there
    assert not (root / "folder/d").exists()


def test_the_counter_is_one_for_all_processes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with Edge(tmp_path, root) as edge:
        edge.arm(Plan(Action.FAIL, {Kind.MKDIR}, at=3, error=errno.EIO))
        mkdir = "import os; os.mkdir('{root}/NAME')"
        codes = [_run(edge, root, mkdir.replace("NAME", name)).returncode for name in "abcd"]
    assert codes == [0, 0, 1, 0]
