"""The index put aside before anything is changed: data/snapshots/<what>-<time>/index.db. Nothing there is ever
deleted by the program.

An index is put into the place of another one so that a kill at any instant leaves one of them whole. The old one's
log must not be there any more then (SQLite would take it for the new one's), and the old one must not be there
without it: so what is in the log is written into the old index first, and only an index of which SQLite can't even
read the log loses it, to the folder where both are put.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

import apsw

from postroom.store.index import open_index
from postroom.store.segments import sync_folder
from postroom.store.upgrade.snapshots import sync_file

__all__ = ["aside_folder", "copy_aside", "replace_index"]

_FURTHER = ("-wal", "-shm")


def aside_folder(root: Path, what: str, now: int) -> Path:
    """A new folder for what is put aside. Raises OSError."""
    stem = time.strftime(f"{what}-%Y%m%d-%H%M%S", time.gmtime(now))
    (root / "snapshots").mkdir(mode=0o700, exist_ok=True)
    number = 1
    while True:
        folder = root / "snapshots" / (stem if number == 1 else f"{stem}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            sync_folder(folder.parent)
            sync_folder(root)
            return folder
        number += 1


def copy_aside(root: Path, connection: apsw.Connection, now: int) -> Path:
    """A copy of the index as it is now; gives its folder. Raises OSError, apsw.Error."""
    folder = aside_folder(root, "repair", now)
    path = folder / "index.db"
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    copy = apsw.Connection(str(path))
    try:
        copy.execute("PRAGMA synchronous = OFF").fetchall()
        with copy.backup("main", connection, "main") as backup:
            while not backup.done:
                backup.step(1000)
    finally:
        copy.close()
    sync_file(path)
    sync_folder(folder)
    return folder


def replace_index(root: Path, new: Path, now: int) -> Path | None:
    """Put `new` (closed, without a log) into the place of the index; gives the folder of the old one, None where
    there was none. Raises OSError."""
    index = root / "index.db"
    sync_file(new)
    logs = [Path(f"{index}{suffix}") for suffix in _FURTHER]
    folder = None
    if index.exists() or logs[0].exists():
        folder = aside_folder(root, "rebuilt", now)
        for path in (logs[0], index):
            if path.exists():
                # A copy of the log: emptying it below must not empty this one.
                (shutil.copyfile if path == logs[0] else _link)(path, folder / path.name)
                sync_file(folder / path.name)
        sync_folder(folder)
        _empty_log(index)
        for path in logs:
            path.unlink(missing_ok=True)
    os.rename(new, index)
    sync_folder(root)
    return folder


def _link(path: Path, to: Path) -> None:
    try:
        os.link(path, to)
    except OSError:
        shutil.copyfile(path, to)


def _empty_log(index: Path) -> None:
    """Write what is in the log into the index, where SQLite still can."""
    with contextlib.suppress(apsw.Error):
        connection = open_index(index)
        with contextlib.closing(connection):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
