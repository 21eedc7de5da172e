"""Copies of a database while others write to it, and the snapshots that an upgrade leaves under data/snapshots.

A copy is of one instant: a read transaction holds the database as it was when the copy began, so that no commit of
others starts it anew, and ends with the copy: only so long the write-ahead log grows behind it. It is synced piece
by piece, because one large sync would hold up those of a server on the same disk.

    data/snapshots/schema-<number>-<UTC time>/   index.db, secrets.db, the configuration; manifest.json last
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from postroom.net.limits import BACKUP_CHUNK_OCTETS, BACKUP_SYNC_OCTETS, UPGRADE_SNAPSHOTS_KEPT
from postroom.store.index import BUSY_MILLISECONDS
from postroom.store.segments import sync_folder

__all__ = [
    "Snapshot",
    "copy_database",
    "copy_file",
    "make_folder",
    "open_copy",
    "prune_snapshots",
    "put_in_place",
    "read_snapshots",
    "remove_database",
    "sha256_of",
    "sync_file",
    "take_snapshot",
    "write_document",
]

Progress = Callable[[int, int], None]
MANIFEST: Final = "manifest.json"
INDEX: Final = "index.db"
SECRETS: Final = "secrets.db"
_FOLDER: Final = re.compile(r"schema-([0-9]{1,9})-[0-9]{8}T[0-9]{6}Z(-[0-9]+)?", re.ASCII)
_FURTHER: Final = ("", "-wal", "-shm", "-journal")


def untold(done: int, total: int) -> None:
    """Nobody watches."""


# --- databases


def copy_database(source: Path, target: Path, progress: Progress = untold) -> None:
    """Make `target`, a new file, a copy of the database `source` as it is now: one file without a log, on stable
    storage when this returns. `progress` hears pages. Raises OSError, apsw.Error."""
    # Its name stays the caller's to sync. Closing this one ends SQLite's locks on it, which nobody asks for.
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with contextlib.closing(_open_for_reading(source)) as original:
            original.execute("BEGIN").fetchall()
            original.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            step = max(1, BACKUP_CHUNK_OCTETS // int(original.pragma("page_size")))
            with contextlib.closing(apsw.Connection(str(target))) as copy:
                copy.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").fetchall()
                unsynced = 0
                with _failing_as_the_system(copy, target), copy.backup("main", original, "main") as backup:
                    while not backup.done:
                        backup.step(step)
                        unsynced += BACKUP_CHUNK_OCTETS
                        if unsynced >= BACKUP_SYNC_OCTETS:
                            os.fdatasync(descriptor)
                            unsynced = 0
                        progress(backup.page_count - backup.remaining, backup.page_count)
                # A log's name in its header would ask whoever reads it for room to write one.
                copy.execute("PRAGMA journal_mode = DELETE").fetchall()
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _failing_as_the_system(connection: apsw.Connection, path: Path) -> Iterator[None]:
    """What the system said to SQLite, where it did: a full disk is to be called so."""
    try:
        yield
    except (apsw.FullError, apsw.IOError) as error:
        number = connection.system_errno or errno.ENOSPC
        raise OSError(number, os.strerror(number), str(path)) from error


def _open_for_reading(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    return connection


def open_copy(path: Path) -> apsw.Connection:
    """A database that nobody writes to, also on a medium where nothing can be written. Raises apsw.Error."""
    uri = f"{path.absolute().as_uri()}?immutable=1"
    return apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


def put_in_place(new: Path, place: Path, aside: Path | None) -> None:
    """Put the database `new` (closed and synced) where `place` is, of which nobody has anything open, and whose
    octets get a second name, `aside`. A kill at any instant leaves one of them there, whole. Raises OSError,
    apsw.Error."""
    if place.exists():
        # What is in its log must not be taken for the new one's.
        with contextlib.closing(apsw.Connection(str(place), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
            connection.set_busy_timeout(BUSY_MILLISECONDS)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        if aside is not None:
            os.link(place, aside)
            sync_folder(aside.parent)
    for suffix in _FURTHER[1:]:
        Path(f"{place}{suffix}").unlink(missing_ok=True)
    sync_folder(place.parent)
    os.rename(new, place)
    sync_folder(place.parent)


def remove_database(path: Path) -> None:
    """Take a database away, with what SQLite leaves beside it. Raises OSError."""
    for suffix in _FURTHER:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


# --- files


def sync_file(path: Path) -> None:
    """Put a file's octets on stable storage. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_file(source: Path, target: Path) -> str:
    """Make `target`, a new file of its owner's alone, a copy of `source`, on stable storage; gives the SHA-256 of
    its octets in hexadecimal. Raises OSError."""
    digest, unsynced = hashlib.sha256(), 0
    with source.open("rb", buffering=0) as reading:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb", buffering=0) as writing:
            while chunk := reading.read(BACKUP_CHUNK_OCTETS):
                digest.update(chunk)
                write_all(descriptor, chunk)
                unsynced += len(chunk)
                if unsynced >= BACKUP_SYNC_OCTETS:
                    os.fdatasync(descriptor)
                    unsynced = 0
            os.fsync(writing.fileno())
    return digest.hexdigest()


def write_all(descriptor: int, octets: bytes) -> None:
    """Write all of it where the descriptor stands. Raises OSError."""
    left = memoryview(octets)
    while left:
        left = left[os.write(descriptor, left) :]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's octets, in hexadecimal. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_document(path: Path, octets: bytes) -> None:
    """Make a small file, or another one in its place, whole or not at all, on stable storage with its name. Raises
    OSError."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, octets)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(new, path)
    sync_folder(path.parent)


def make_folder(parent: Path, stem: str) -> Path:
    """A new folder of its owner's alone, called `stem`, with a number behind where that is taken. Raises
    OSError."""
    parent.mkdir(mode=0o700, exist_ok=True)
    sync_folder(parent.parent)
    number = 1
    while True:
        folder = parent / (stem if number == 1 else f"{stem}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            sync_folder(parent)
            return folder
        number += 1


def time_name(now: float) -> str:
    """A time as folders have it in their names.

    >>> time_name(1_700_000_000)
    '20231114T221320Z'
    """
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


# --- snapshots before an upgrade


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was there before an upgrade. `config` is where the configuration lay."""

    folder: Path
    schema: int
    taken: int
    """Seconds since 1970 UTC."""
    config: str | None
    secrets: bool

    @property
    def index(self) -> Path:
        """The index as it was."""
        return self.folder / INDEX

    @property
    def config_copy(self) -> Path | None:
        """The configuration as it was."""
        return None if self.config is None else self.folder / Path(self.config).name


def take_snapshot(root: Path, schema: int, now: float, config: Path | None = None) -> Path:
    """Copy index, secrets (where they are) and configuration of a data directory; gives the folder. What is begun
    and not finished is taken away again. Raises OSError, apsw.Error."""
    folder = make_folder(root / "snapshots", f"schema-{schema}-{time_name(now)}")
    try:
        copy_database(root / INDEX, folder / INDEX)
        secrets = (root / SECRETS).exists()
        if secrets:
            copy_database(root / SECRETS, folder / SECRETS)
        there = config is not None and config.exists()
        if config is not None and there:
            copy_file(config, folder / config.name)
        facts: Mapping[str, object] = {
            "format": 1,
            "schema": schema,
            "time": int(now),
            "config": str(config) if there else None,
            "secrets": secrets,
        }
        sync_folder(folder)
        write_document(folder / MANIFEST, json.dumps(facts, indent=1).encode() + b"\n")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def read_snapshots(root: Path) -> list[Snapshot]:
    """The finished ones, oldest first. Raises OSError."""
    found = []
    for folder in _folders(root):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            facts = json.loads((folder / MANIFEST).read_bytes())
            config = facts["config"]
            found.append(
                Snapshot(
                    folder,
                    int(facts["schema"]),
                    int(facts["time"]),
                    None if config is None else str(config),
                    bool(facts["secrets"]),
                )
            )
    return sorted(found, key=lambda each: (each.taken, each.folder.stat().st_mtime_ns, each.folder.name))


def prune_snapshots(root: Path) -> None:
    """Take away those that UPGRADE_SNAPSHOTS_KEPT newer ones follow, and what a killed upgrade began. Folders of
    other names are left alone. Raises OSError."""
    kept = {each.folder for each in read_snapshots(root)[-UPGRADE_SNAPSHOTS_KEPT:]}
    for folder in _folders(root):
        if folder not in kept:
            # Without its manifest it is none, whatever is left of it.
            (folder / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(folder)


def _folders(root: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        for folder in (root / "snapshots").iterdir():
            if _FOLDER.fullmatch(folder.name):
                yield folder
