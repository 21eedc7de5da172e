"""A data directory out of a backup: `postroom restore` (docs/backup.md).

Until all of it is there, synced, and looked at, a file called `restoring` says that it isn't: no server starts
there, and the next restore begins anew. Octets that are damaged in the backup are restored as they are, and told:
whoever has nothing else wants the other letters.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postroom.store.backup.files import restore_tree
from postroom.store.backup.folder import BackupFailed, BackupFolder, SnapshotFolder
from postroom.store.backup.manifest import BadManifest, read_tree
from postroom.store.backup.segments import restore_segment
from postroom.store.check.findings import Severity
from postroom.store.check.whole import check
from postroom.store.index import fetch_all, newest_schema, open_index
from postroom.store.restore.mark import RESTORING
from postroom.store.restore.rows import make_another
from postroom.store.segments import segment_name, sync_folder
from postroom.store.upgrade.snapshots import (
    INDEX,
    SECRETS,
    copy_file,
    remove_database,
    sync_file,
    write_document,
)

__all__ = ["Restored", "check_empty", "restore"]

_HARMLESS: Final = frozenset(("lost+found", "run"))
"""May be in a data directory that counts as empty."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back; `wrong` is what is damaged or missing, a line each, `left` are trees of files that were left
    alone, since their places have files."""

    accounts: int
    letters: int
    wrong: tuple[str, ...]
    left: tuple[str, ...]


def _untold(what: str, done: int, total: int) -> None:
    """Nobody watches."""


def check_empty(root: Path) -> None:
    """See that nothing is lost by a restore to this data directory. Raises `BackupFailed`, OSError."""
    try:
        there = {each.name for each in root.iterdir()}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise BackupFailed(f"{root} is no directory") from None
    if RESTORING not in there and not there <= _HARMLESS:
        raise BackupFailed(f"{root} is not empty: a restore wants an empty data directory (move this one away)")


def restore(
    folder: BackupFolder, snapshot: SnapshotFolder, root: Path, now: int, progress: Progress = _untold
) -> Restored:
    """Make the data directory `root`, empty or missing, of a snapshot. The caller sees to it that no server runs
    there. Raises `BackupFailed`, `NewerSchema`, OSError, apsw.Error."""
    check_empty(root)
    _check_schema(snapshot)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_document(root / RESTORING, b"")
    _empty(root)
    work = _Restore(folder, snapshot, root, progress)
    wrong = list(work.segments())
    work.documents()
    accounts, letters = work.index(now)
    trees, left = work.trees()
    wrong += trees
    sync_folder(root)
    sync_folder(root.parent)
    wrong += work.look()
    (root / RESTORING).unlink()
    sync_folder(root)
    return Restored(accounts, letters, tuple(wrong), tuple(left))


def _check_schema(snapshot: SnapshotFolder) -> None:
    if snapshot.manifest.schema > newest_schema():
        raise BackupFailed(
            f"the snapshot {snapshot.name} has schema {snapshot.manifest.schema}, this Postroom knows up to "
            f"{newest_schema()}: use a newer Postroom"
        )


def _empty(root: Path) -> None:
    """Take away what an earlier restore has begun."""
    for path in root.iterdir():
        if path.name != RESTORING and path.name not in _HARMLESS:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


@dataclass(frozen=True, slots=True)
class _Restore:
    folder: BackupFolder
    snapshot: SnapshotFolder
    root: Path
    progress: Progress

    def segments(self) -> Iterator[str]:
        """All segments; what is damaged."""
        manifest, target = self.snapshot.manifest, self.root / "segments"
        target.mkdir(mode=0o700)
        done = 0

        def heard(octets: int) -> None:
            nonlocal done
            done += octets
            self.progress("letters", done, manifest.octets)

        for copy in manifest.segments:
            name = segment_name(copy.number)
            try:
                whole = restore_segment(self.folder.segments, target, copy, heard)
            except FileNotFoundError:
                yield f"segments/{name} is missing in the backup"
            else:
                if not whole:
                    yield f"segments/{name} is damaged in the backup"
        sync_folder(target)

    def documents(self) -> None:
        """Secrets and the certificates that were made here."""
        wanted = {each.path: each.sha256 for each in self.snapshot.manifest.documents}
        (self.root / "tls").mkdir(mode=0o700)
        for path, sha256 in wanted.items():
            ours = path == SECRETS or path.startswith("tls/")
            if ours and copy_file(self.snapshot.folder / path, self.root / path) != sha256:
                raise BackupFailed(f"{self.snapshot.name}: {path} is damaged in the backup: try another snapshot")
        sync_folder(self.root / "tls")

    def index(self, now: int) -> tuple[int, int]:
        """The index, as another one; gives how many accounts and letters it has. Its name comes last."""
        new = self.root / f"{INDEX}.new"
        wanted = {each.path: each.sha256 for each in self.snapshot.manifest.documents}
        if copy_file(self.snapshot.folder / INDEX, new) != wanted[INDEX]:
            raise BackupFailed(f"{self.snapshot.name}: its index is damaged in the backup: try another snapshot")
        with contextlib.closing(open_index(new)) as connection:
            make_another(connection, now)
            ((accounts, letters),) = fetch_all(
                connection, "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM messages)"
            )
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        sync_file(new)
        os.rename(new, self.root / INDEX)
        remove_database(new)
        return accounts, letters

    def trees(self) -> tuple[list[str], list[str]]:
        """Accounts' files; what is wrong with them, and what was left alone."""
        wrong: list[str] = []
        left: list[str] = []
        done = 0

        def heard(octets: int) -> None:
            nonlocal done
            done += octets
            self.progress("files", done, done)

        roots: Sequence[tuple[str, Path]] = (
            ("", self.root / "files"),
            *[(account, Path(path)) for account, path in self.snapshot.manifest.roots],
        )
        for root, top in roots:
            if top.is_dir() and any(top.iterdir()):
                left.append(f"{top} has files: {root}'s were not restored")
                continue
            try:
                of_root = (each for each in read_tree(self.snapshot.folder) if each.root == root)
                wrong += restore_tree(self.folder, of_root, top, heard)
            except BadManifest as bad:
                wrong.append(str(bad))
        return wrong, left

    def look(self) -> list[str]:
        """What a full check finds."""
        findings = check(self.root, lambda done, total: self.progress("verifying", done, total))
        return [one.what for one in findings if one.severity is Severity.PROBLEM]
