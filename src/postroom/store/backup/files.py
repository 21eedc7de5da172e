"""Accounts' files into a backup and out of it: each content is kept once, under its SHA-256.

A file whose size and time are those of the last snapshot isn't read again. Symbolic links are kept as links and
never followed; what is neither file, folder nor link is left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from postroom.net.limits import BACKUP_CHUNK_OCTETS
from postroom.store.backup.folder import BackupFolder
from postroom.store.backup.manifest import TREE, TreeEntry, tree_lines
from postroom.store.check.findings import one_line
from postroom.store.segments import sync_folder
from postroom.store.upgrade.snapshots import sync_file, write_all

__all__ = ["TreeCopier", "restore_tree"]

_NEW: Final = ".new"
Heard = Callable[[int], None]


class TreeCopier:
    """Copies trees into `folder`; `before` are the last snapshot's files by root and path. What can't be read is
    told in `missed`."""

    def __init__(self, folder: BackupFolder, before: Mapping[tuple[str, str], TreeEntry], heard: Heard) -> None:
        self._folder = folder
        self._before = before
        self._heard = heard
        self._touched: set[Path] = set()
        self.missed: list[str] = []

    def copy(self, roots: Sequence[tuple[str, Path]], snapshot: Path) -> None:
        """Copy them (account or "", and its directory) and write the snapshot's files.jsonl; all is on stable
        storage but the list's name. Raises OSError."""
        own = self._folder.path.stat()
        with (snapshot / TREE).open("xb") as file:
            os.chmod(file.fileno(), 0o600)
            for root, path in roots:
                file.writelines(tree_lines(self._walk(root, path, (own.st_dev, own.st_ino))))
            file.flush()
            os.fsync(file.fileno())
        for folder in self._touched:
            sync_folder(folder)
        sync_folder(self._folder.files)

    def _walk(self, root: str, top: Path, own: tuple[int, int]) -> Iterator[TreeEntry]:
        if not top.is_dir():
            return
        for folder, folders, files, descriptor in os.fwalk(top, onerror=self._miss):
            inside = os.path.relpath(folder, top)
            for name in sorted(folders):
                state = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if (state.st_dev, state.st_ino) == own:
                    folders.remove(name)
                elif stat.S_ISDIR(state.st_mode):
                    path = os.path.normpath(os.path.join(inside, name))
                    yield TreeEntry(root, path, "folder", stat.S_IMODE(state.st_mode), state.st_mtime_ns)
                else:
                    files.append(name)
            for name in sorted(files):
                try:
                    entry = self._entry(root, os.path.normpath(os.path.join(inside, name)), name, descriptor)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self._miss(error, os.path.join(folder, name))
                else:
                    if entry is not None:
                        yield entry

    def _miss(self, error: OSError, name: str = "") -> None:
        self.missed.append(one_line(f"{name or error.filename}: {error.strerror}"))

    def _entry(self, root: str, path: str, name: str, folder: int) -> TreeEntry | None:
        state = os.stat(name, dir_fd=folder, follow_symlinks=False)
        mode, mtime = stat.S_IMODE(state.st_mode), state.st_mtime_ns
        if stat.S_ISLNK(state.st_mode):
            return TreeEntry(root, path, "link", mode, mtime, target=os.readlink(name, dir_fd=folder))
        if not stat.S_ISREG(state.st_mode):
            return None
        known = self._before.get((root, path))
        same = known is not None and (known.size, known.mtime) == (state.st_size, mtime)
        if known is not None and same and self._folder.file(known.sha256).exists():
            return TreeEntry(root, path, "file", mode, mtime, state.st_size, known.sha256)
        size, sha256 = self._keep(name, folder)
        return TreeEntry(root, path, "file", mode, mtime, size, sha256)

    def _keep(self, name: str, folder: int) -> tuple[int, str]:
        """Keep a file's octets; gives how many they are, and their name."""
        new, digest, size = self._folder.files / _NEW, hashlib.sha256(), 0
        new.unlink(missing_ok=True)
        reading = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            writing = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                while chunk := os.read(reading, BACKUP_CHUNK_OCTETS):
                    digest.update(chunk)
                    write_all(writing, chunk)
                    size += len(chunk)
                    self._heard(len(chunk))
                os.fsync(writing)
            finally:
                os.close(writing)
        finally:
            os.close(reading)
        place = self._folder.file(digest.hexdigest())
        if not place.parent.exists():
            place.parent.mkdir(mode=0o700)
        self._touched.add(place.parent)
        os.rename(new, place)
        return size, digest.hexdigest()


def restore_tree(folder: BackupFolder, entries: Iterator[TreeEntry], top: Path, heard: Heard) -> Iterator[str]:
    """Make files, folders and links below `top`, which is empty, as they were; what is damaged is told, a line
    each. Raises OSError."""
    folders: list[tuple[Path, TreeEntry]] = []
    for entry in entries:
        path = top / entry.path
        if entry.kind == "folder":
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folders.append((path, entry))
            continue
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if entry.kind == "link":
            os.symlink(entry.target, path)
            continue
        try:
            sha256 = _bring(folder.file(entry.sha256), path, heard)
        except FileNotFoundError:
            yield one_line(f"the file {entry.path} is not in the backup")
            continue
        os.chmod(path, entry.mode)
        os.utime(path, ns=(entry.mtime, entry.mtime))
        sync_file(path)
        if sha256 != entry.sha256:
            yield one_line(f"the file {entry.path} is damaged in the backup")
    # Behind their files, each of which has moved their time.
    for path, entry in reversed(folders):
        with contextlib.suppress(OSError):
            sync_folder(path)
        os.chmod(path, entry.mode)
        os.utime(path, ns=(entry.mtime, entry.mtime))
    if top.is_dir():
        sync_folder(top)


def _bring(source: Path, target: Path, heard: Heard) -> str:
    digest = hashlib.sha256()
    with source.open("rb", buffering=0) as reading, target.open("xb", buffering=0) as writing:
        while chunk := reading.read(BACKUP_CHUNK_OCTETS):
            digest.update(chunk)
            write_all(writing.fileno(), chunk)
            heard(len(chunk))
    return digest.hexdigest()
