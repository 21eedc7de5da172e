"""A backup's directory: whose it is, its snapshots, and what no snapshot needs any more.

backup.json                which site's backup this is
backup.lock                an empty file; whoever writes holds a flock on it, whoever restores a shared one
segments/<number>.seg      as under data, as far as some snapshot knows them; they only grow
files/<2 digits>/<sha256>  files of accounts, by what is in them
snapshots/<UTC time>/      index.db, secrets.db, the configuration, tls/, files.jsonl, manifest.json
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postroom.store.backup.manifest import FILE, FORMAT, BadManifest, Manifest, SegmentCopy, read_tree
from postroom.store.segments import segment_name, segment_number, sync_folder
from postroom.store.upgrade.snapshots import time_name, write_document

__all__ = ["BackupFailed", "BackupFolder", "SnapshotFolder"]

_MARK: Final = "backup.json"
_LOCK: Final = "backup.lock"
_SNAPSHOT: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z(-[0-9]+)?", re.ASCII)


class BackupFailed(Exception):
    """No backup was made, or none can be read here; the text says why, in one line."""


class SnapshotFolder:
    """A finished snapshot."""

    def __init__(self, folder: Path) -> None:
        """Raises FileNotFoundError where it isn't finished, other OSErrors, `BadManifest`."""
        self.folder = folder
        self.manifest = Manifest.read(folder)

    @property
    def name(self) -> str:
        """What `--snapshot` calls it: its time, UTC."""
        return self.folder.name


class BackupFolder:
    """One that is there; `made` makes one. Raises `BackupFailed` where it is no backup's directory, OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            facts = json.loads((path / _MARK).read_bytes())
            form, self.site = facts["format"], str(facts["site"])
        except (FileNotFoundError, NotADirectoryError):
            raise BackupFailed(f"{path} is no directory of a backup") from None
        except (ValueError, KeyError, TypeError) as fault:
            raise BackupFailed(f"{path / _MARK} is damaged ({fault})") from fault
        if form != FORMAT:
            raise BackupFailed(f"{path}: a backup of format {form}: use a newer Postroom")

    @staticmethod
    def made(path: Path, site: str) -> BackupFolder:
        """The one of a site (its index's name), made where there is none. Raises `BackupFailed` where it is another
        one's, or has other things in it; OSError."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (path / _MARK).exists():
            if any(each.name not in ("lost+found", f".{_MARK}.new") for each in path.iterdir()):
                raise BackupFailed(f"{path} is not empty, and no directory of a backup")
            sync_folder(path.parent)
            write_document(path / _MARK, json.dumps({"format": FORMAT, "site": site}).encode("ascii") + b"\n")
        folder = BackupFolder(path)
        if folder.site != site:
            raise BackupFailed(
                f"{path} has the backup of another index (another site's, or this one's before a restore or a "
                "rebuild): give another directory"
            )
        for each in (folder.segments, folder.snapshots, folder.files):
            each.mkdir(mode=0o700, exist_ok=True)
        sync_folder(path)
        return folder

    @property
    def segments(self) -> Path:
        """Copies of segments."""
        return self.path / "segments"

    @property
    def snapshots(self) -> Path:
        """All snapshots."""
        return self.path / "snapshots"

    @property
    def files(self) -> Path:
        """Accounts' files, by what is in them."""
        return self.path / "files"

    def file(self, sha256: str) -> Path:
        """Where a file with these octets is."""
        return self.files / sha256[:2] / sha256

    @contextlib.contextmanager
    def held(self, *, writing: bool) -> Iterator[None]:
        """No other backup writes here until the end of the context, and nobody reads where this one is `writing`.
        Raises `BackupFailed`, OSError."""
        flags = os.O_RDWR | os.O_CREAT if writing else os.O_RDONLY
        try:
            descriptor = os.open(self.path / _LOCK, flags | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            # A copy of a backup, perhaps on a medium where nothing can be written.
            yield
            return
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if writing else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise BackupFailed(f"{self.path}: another backup or restore is at it") from None
        try:
            yield
        finally:
            os.close(descriptor)

    def finished(self) -> list[SnapshotFolder]:
        """All whole snapshots, oldest first. Raises OSError, `BackupFailed` where a manifest is damaged."""
        found = []
        for folder in self._folders():
            with contextlib.suppress(FileNotFoundError):
                try:
                    found.append(SnapshotFolder(folder))
                except BadManifest as bad:
                    raise BackupFailed(f"{self.path}: {bad}") from None
        return sorted(found, key=lambda each: each.manifest.number)

    def begin(self, now: float) -> Path:
        """The folder of a new snapshot. Raises OSError."""
        stem, number = time_name(now), 1
        while True:
            folder = self.snapshots / (stem if number == 1 else f"{stem}-{number}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                sync_folder(self.snapshots)
                return folder
            number += 1

    def known_segments(self) -> dict[int, SegmentCopy]:
        """What is known to be whole of each segment: the longest that a snapshot has."""
        known: dict[int, SegmentCopy] = {}
        for snapshot in self.finished():
            for copy in snapshot.manifest.segments:
                if copy.number not in known or known[copy.number].length < copy.length:
                    known[copy.number] = copy
        return known

    # --- taking away

    def clean(self) -> None:
        """Take away snapshots that were begun and never finished. Raises OSError."""
        for folder in self._folders():
            if not (folder / FILE).exists():
                shutil.rmtree(folder)

    def prune(self, keep: int) -> int:
        """Take away all snapshots but the newest `keep`, and then what none needs; gives how many snapshots went.
        Raises OSError, `BackupFailed`."""
        finished = self.finished()
        for snapshot in finished[:-keep]:
            # From here on it is none: what it names may go.
            (snapshot.folder / FILE).unlink()
            sync_folder(snapshot.folder)
            shutil.rmtree(snapshot.folder)
        kept = finished[-keep:]
        self._prune_segments(kept)
        self._prune_files(kept)
        return len(finished) - len(kept)

    def _prune_segments(self, kept: list[SnapshotFolder]) -> None:
        needed = {segment_name(copy.number) for each in kept for copy in each.manifest.segments}
        for path in self.segments.iterdir():
            if segment_number(path.name) is not None and path.name not in needed:
                path.unlink()
        sync_folder(self.segments)

    def _prune_files(self, kept: list[SnapshotFolder]) -> None:
        needed = {entry.sha256 for each in kept for entry in read_tree(each.folder)}
        for folder in self.files.iterdir():
            if folder.is_dir():
                for path in folder.iterdir():
                    if path.name not in needed:
                        path.unlink()

    def _folders(self) -> list[Path]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(each for each in self.snapshots.iterdir() if _SNAPSHOT.fullmatch(each.name))
        return []
