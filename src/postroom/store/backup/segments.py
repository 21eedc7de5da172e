"""Segments into a backup and out of it: only octets that aren't there yet, with a checksum that goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from postroom.net.limits import BACKUP_CHUNK_OCTETS, BACKUP_SYNC_OCTETS
from postroom.store.backup.folder import BackupFailed
from postroom.store.backup.manifest import SegmentCopy
from postroom.store.records import checksum
from postroom.store.segments import segment_name
from postroom.store.upgrade.snapshots import write_all

__all__ = ["checksum_of", "copy_segment", "restore_segment"]

_SAME: Final = 4096
"""Octets before the new ones that must be the same here and there."""

Heard = Callable[[int], None]
"""Hears how many octets more are done."""


def copy_segment(
    source: Path, target: Path, number: int, length: int, known: SegmentCopy | None, heard: Heard
) -> int:
    """Bring the copy of a segment to `length` octets, on stable storage; gives the checksum of all of them.
    `source` and `target` are the folders, `known` is what the copy is known to have. Raises `BackupFailed` where
    the segment is not the one that was copied before; OSError."""
    name = segment_name(number)
    start, crc = (0, 0) if known is None else (known.length, known.checksum)
    with _opened(source / name, os.O_RDONLY) as reading, _opened(target / name, os.O_RDWR | os.O_CREAT) as writing:
        if known is not None:
            _check_same(reading, writing, known, length)
        if start > length:
            return checksum_of(writing, 0, length, 0)
        # What stands behind was begun by a run that never finished.
        os.ftruncate(writing, start)
        os.lseek(writing, start, os.SEEK_SET)
        crc = _copy(reading, writing, start, length, crc, heard)
        os.fsync(writing)
        # So that what is read to be verified comes from the disk.
        os.posix_fadvise(writing, 0, 0, os.POSIX_FADV_DONTNEED)
    return crc


def _check_same(reading: int, writing: int, known: SegmentCopy, length: int) -> None:
    start = min(known.length, length)
    before = max(0, start - _SAME) if start == known.length else 0
    if checksum_of(reading, before, start, 0) != checksum_of(writing, before, start, 0):
        raise BackupFailed(
            f"segments/{segment_name(known.number)} of the backup has other letters than the store's: give another "
            "directory"
        )


def restore_segment(source: Path, target: Path, copy: SegmentCopy, heard: Heard) -> bool:
    """Make a segment, a new file, of its copy, on stable storage; `source` and `target` are the folders. Gives
    whether its octets are those that were copied once: it has them in any case. Raises OSError."""
    name = segment_name(copy.number)
    with (
        _opened(source / name, os.O_RDONLY) as reading,
        _opened(target / name, os.O_RDWR | os.O_CREAT | os.O_EXCL) as writing,
    ):
        length = min(copy.length, os.fstat(reading).st_size)
        crc = _copy(reading, writing, 0, length, 0, heard)
        os.fsync(writing)
    return (length, crc) == (copy.length, copy.checksum)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _copy(reading: int, writing: int, start: int, end: int, crc: int, heard: Heard) -> int:
    unsynced = 0
    for chunk in _chunks(reading, start, end):
        write_all(writing, chunk)
        crc = checksum(chunk, crc)
        unsynced += len(chunk)
        if unsynced >= BACKUP_SYNC_OCTETS:
            os.fdatasync(writing)
            unsynced = 0
        heard(len(chunk))
    return crc


def _nobody(octets: int) -> None:
    """Nobody listens."""


def checksum_of(descriptor: int, start: int, end: int, crc: int, heard: Heard = _nobody) -> int:
    """The checksum of octets of a file, going on from `crc`. Raises `BackupFailed` where it is shorter; OSError."""
    for chunk in _chunks(descriptor, start, end):
        crc = checksum(chunk, crc)
        heard(len(chunk))
    return crc


def _chunks(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        chunk = os.pread(descriptor, min(BACKUP_CHUNK_OCTETS, end - start), start)
        if not chunk:
            raise BackupFailed(f"a segment ends before {end}, up to which the index knows letters in it")
        start += len(chunk)
        yield chunk
