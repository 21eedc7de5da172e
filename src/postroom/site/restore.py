"""A site out of a backup: its configuration where there is none, its data directory, and the files that the
configuration names, where they are missing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from postroom.config import Config, ConfigError, load, parse
from postroom.site.lock import ServerLock
from postroom.site.places import Places
from postroom.store.backup.folder import BackupFailed, BackupFolder, SnapshotFolder
from postroom.store.restore.whole import Progress, Restored, check_empty, restore
from postroom.store.segments import sync_folder
from postroom.store.upgrade.snapshots import copy_file

__all__ = ["Return", "choose", "restore_site"]


@dataclass(frozen=True, slots=True)
class Return:
    """What came back, where, and which files besides: the configuration, certificates, keys."""

    data: Path
    restored: Restored
    files: tuple[Path, ...]


def choose(folder: BackupFolder, name: str | None, until: int | None) -> SnapshotFolder:
    """The snapshot of this name; else the newest, not taken after `until` (seconds since 1970 UTC) where that is
    given. Raises `BackupFailed`, OSError."""
    finished = folder.finished()
    if not finished:
        raise BackupFailed(f"{folder.path} has no whole snapshot")
    for each in reversed(finished):
        if each.name == name if name is not None else until is None or each.manifest.time <= until:
            return each
    raise BackupFailed(f"{folder.path} has no such snapshot: --list shows them")


def restore_site(
    folder: BackupFolder, snapshot: SnapshotFolder, config_path: Path, now: int, progress: Progress
) -> Return:
    """Make a site of a snapshot. `config_path` is where its configuration is, or will be. Raises `BackupFailed`,
    ConfigError, `ServerRuns`, `NewerSchema`, OSError, apsw.Error."""
    was = snapshot.folder / snapshot.manifest.config
    there = config_path.exists()
    config = load(config_path) if there else _read(was, config_path)
    check_empty(config.root)
    places = Places(config.root)
    places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ServerLock(places):
        restored = restore(folder, snapshot, config.root, now, progress)
    places.make()
    files = [] if there else [_bring(was, config_path)]
    for each in snapshot.manifest.outside:
        path = config.place(each.place)
        if not path.exists():
            files.append(_bring(snapshot.folder / each.document, path))
    return Return(config.root, restored, tuple(files))


def _read(was: Path, config_path: Path) -> Config:
    try:
        return parse(was.read_text(encoding="utf-8"), config_path)
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError("", f"the backup's {was.name} can't be read: {fault}") from None


def _bring(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    copy_file(source, new)
    os.rename(new, target)
    sync_folder(target.parent)
    return target
