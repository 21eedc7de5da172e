"""A data directory made ready for this version: the index at the newest schema, the folder of segments."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from postroom.store.interface import StoreFault
from postroom.store.lock import WriteLock
from postroom.store.segments import sync_folder
from postroom.store.upgrade.whole import Upgraded, upgrade

__all__ = ["migrate"]


def migrate(root: Path, *, config: Path | None = None, snapshot: bool = False) -> Upgraded | None:
    """Make the index and the folder of segments where they are missing, and bring the index to the newest schema;
    gives what was done to one that was there. Before that what is there is put aside (`store.upgrade.whole`),
    `config`, the configuration's file, with it; with `snapshot` also where the index is at the newest schema.

    Blocks while another process commits. Raises `NewerSchema`, `StoreFault`, OSError.
    """
    (root / "segments").mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = WriteLock(root)
    try:
        lock.wait()
        # SQLite gives its further files the mode of this one.
        os.close(os.open(root / "index.db", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        try:
            upgraded = upgrade(root, config=config, always=snapshot)
        except apsw.Error as error:
            raise StoreFault(f"the index: {error}") from error
        sync_folder(root)
        sync_folder(root.parent)
        return upgraded
    finally:
        lock.close()
