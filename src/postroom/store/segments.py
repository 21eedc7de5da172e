"""Segments as they are written: files data/segments/<number>.seg that only grow (docs/store.md).

Nobody appends to a segment but the process that gave it birth: it holds a flock on its descriptor until it closes
it (or dies), by which others know a file that may still grow (`being_written`). No process appends to one after a
failed write or sync: what the kernel has of it is unknown then (a second fsync may succeed without having written
anything), so it is given up and the next one is begun. Numbers are never used twice for letters: a birth takes the
first free number above all that the index knows.

Behind the records of a segment that small batches go to lie zeros, written ahead: a sync that doesn't move the end
of the file leaves the file system's journal alone (measured on ext4: 0.15 ms in place of 0.32).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from postroom.net.limits import SEGMENT_AHEAD_BATCH, SEGMENT_AHEAD_OCTETS, SEGMENT_OCTETS
from postroom.store.faults import os_fault
from postroom.store.lock import is_locked
from postroom.store.records import SEGMENT_HEADER_OCTETS, write_segment_header

__all__ = ["Segment", "Segments", "being_written", "segment_name", "segment_number", "sync_folder"]

_PIECES = min(1024, os.sysconf("SC_IOV_MAX"))
"""Buffers that one writev takes."""

_NAME = re.compile(r"([0-9]{10,18})\.seg", re.ASCII)

Buffer = bytes | bytearray | memoryview


def segment_name(number: int) -> str:
    """The file's name.

    >>> segment_name(7)
    '0000000007.seg'
    """
    return f"{number:010}.seg"


def segment_number(name: str) -> int | None:
    """The number in a file's name; None where it is no segment's.

    >>> segment_number("0000000007.seg")
    7
    """
    found = _NAME.fullmatch(name)
    return None if found is None else int(found[1])


class Segment:
    """One that this process writes. `size` is where the next record goes; rows of the index may point before
    `kept`, and do so only after a sync."""

    def __init__(self, number: int, descriptor: int, path: Path) -> None:
        self.number = number
        self.size = SEGMENT_HEADER_OCTETS
        self.kept = SEGMENT_HEADER_OCTETS
        self.descriptor = descriptor
        self._path = path
        self._ahead = 0

    @property
    def closed(self) -> bool:
        """Whether it takes no more."""
        return self.descriptor < 0

    def append(self, pieces: Sequence[Buffer]) -> None:
        """Write octets behind what there is. Raises `StoreFault` or `StorageFull`, and the segment is given up."""
        try:
            for first in range(0, len(pieces), _PIECES):
                self._write(pieces[first : first + _PIECES])
        except OSError as error:
            self.give_up()
            raise os_fault(error) from error

    def append_batch(self, pieces: Sequence[Buffer]) -> None:
        """The same for a batch of records; a small one is followed by zeros where there are none. Raises as
        `append` does, but never for the zeros: where those can't be written there are none."""
        before = self.size
        self.append(pieces)
        if self.size > self._ahead and self.size - before <= SEGMENT_AHEAD_BATCH:
            with contextlib.suppress(OSError):
                self._ahead = self.size + os.pwrite(self.descriptor, bytes(SEGMENT_AHEAD_OCTETS), self.size)

    def _write(self, pieces: Sequence[Buffer]) -> None:
        wanted = sum(map(len, pieces))
        while wanted:
            written = os.pwritev(self.descriptor, pieces, self.size)
            self.size += written
            wanted -= written
            if wanted:
                pieces = _behind(pieces, written)

    def put(self, octets: Buffer, position: int) -> None:
        """Write within what there is. Raises as `append` does."""
        try:
            while octets:
                written = os.pwrite(self.descriptor, octets, position)
                octets, position = memoryview(octets)[written:], position + written
        except OSError as error:
            self.give_up()
            raise os_fault(error) from error

    def sync(self) -> None:
        """Put all of it on stable storage. Raises as `append` does."""
        try:
            os.fdatasync(self.descriptor)
        except OSError as error:
            self.give_up()
            raise os_fault(error) from error

    def keep(self) -> None:
        """From now on rows may point to all that is there: it is never cut off again."""
        self.kept = self.size

    def close(self) -> None:
        """It takes no more; zeros that were written ahead go."""
        if not self.closed:
            if self._ahead > self.size:
                with contextlib.suppress(OSError):
                    os.ftruncate(self.descriptor, self.size)
            os.close(self.descriptor)
            self.descriptor = -1

    def give_up(self) -> None:
        """Close it for good after a failure. What no row can point to is cut off, or the whole file taken away;
        where that can't be done it is no harm."""
        if self.closed:
            return
        with contextlib.suppress(OSError):
            if self.kept == SEGMENT_HEADER_OCTETS:
                # Before the close and not after it: the next birth may take the number.
                self._path.unlink()
            else:
                os.ftruncate(self.descriptor, self.kept)
                self._ahead = 0
        self.close()


def _behind(pieces: Sequence[Buffer], written: int) -> list[Buffer]:
    """What is left of the pieces after a short write."""
    left: list[Buffer] = []
    for piece in pieces:
        if written >= len(piece):
            written -= len(piece)
        else:
            left.append(memoryview(piece)[written:] if written else piece)
            written = 0
    return left


class Segments:
    """A process's way to new segments. `newest` gives the highest number that the index knows."""

    def __init__(self, folder: Path, newest: Callable[[], int]) -> None:
        self._folder = folder
        self._newest = newest
        self._last = 0
        self._open: Segment | None = None

    def open(self) -> Segment:
        """The segment that small letters go to; born when it is needed. Raises `StoreFault`."""
        if self._open is not None and self._open.size >= SEGMENT_OCTETS:
            self._open.close()
        if self._open is None or self._open.closed:
            self._open = self.birth()
        return self._open

    def birth(self) -> Segment:
        """A new segment, on stable storage with its name. Raises `StoreFault` or `StorageFull`."""
        number = max(self._last, self._newest())
        try:
            while True:
                number += 1
                path = self._folder / segment_name(number)
                try:
                    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                    break
                except FileExistsError:
                    continue
            # Whoever asks `being_written` at this very instant has it for some microseconds.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise os_fault(error) from error
        self._last = number
        segment = Segment(number, descriptor, path)
        segment.put(write_segment_header(number), 0)
        segment.sync()
        try:
            sync_folder(self._folder)
        except OSError as error:
            segment.give_up()
            raise os_fault(error) from error
        return segment

    def close(self) -> None:
        """Close the segment that small letters go to."""
        if self._open is not None:
            self._open.close()


def being_written(path: Path) -> bool:
    """Whether some process may still append to this segment; False where there is none. Raises OSError."""
    return is_locked(path)


def sync_folder(folder: Path) -> None:
    """Put a folder's names on stable storage. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
