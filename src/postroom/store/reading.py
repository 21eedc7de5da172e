"""Letters' octets as they are read: a few descriptors of segments kept open, and a check against flipped bits.

A letter that is read whole is held against its record's checksum and name (measured: see docs/store.md); a part of
it can't be, and isn't.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from pathlib import Path

from postroom.net.limits import BLOB_IN_MEMORY, OPEN_SEGMENTS
from postroom.store.faults import os_fault
from postroom.store.interface import Unreadable
from postroom.store.records import FRAME_OCTETS, vouches
from postroom.store.segments import segment_name
from postroom.store.values import Place

__all__ = ["SegmentReader"]


class SegmentReader:
    """Reads all processes' segments. At most OPEN_SEGMENTS are open, those that were read last. Every read may also
    raise `StoreFault`, where it is this process that can't open a file now."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder)
        self._descriptors: OrderedDict[int, int] = OrderedDict()

    def whole(self, place: Place, email_id: str) -> bytes:
        """All of a letter's payload. Raises `Unreadable` also where the record isn't this letter, unharmed."""
        if place.size > BLOB_IN_MEMORY:
            # Who reads a large letter in one piece would wait for its checksum, and so would all others.
            return self.part(place, 0, place.size)
        frame = self._pread(place.segment, place.offset - FRAME_OCTETS, FRAME_OCTETS)
        payload = self._pread(place.segment, place.offset, place.size)
        if not vouches(frame, payload, email_id):
            raise Unreadable(f"segment {place.segment}, offset {place.offset}: not the letter that was filed")
        return payload

    def part(self, place: Place, start: int, length: int) -> bytes:
        """Octets of a letter's payload from `start` on, fewer at its end. Raises `Unreadable`."""
        length = min(length, place.size - start)
        return self._pread(place.segment, place.offset + start, length) if length > 0 else b""

    def close(self) -> None:
        """Close all files."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def _pread(self, segment: int, position: int, length: int) -> bytes:
        descriptor = self._descriptor(segment)
        try:
            octets = os.pread(descriptor, length, position)
            while len(octets) < length:
                more = os.pread(descriptor, length - len(octets), position + len(octets))
                if not more:
                    raise Unreadable(f"segment {segment} ends before {position + length}")
                octets += more
        except OSError as error:
            raise Unreadable(f"segment {segment}: {error.strerror}") from error
        return octets

    def _descriptor(self, segment: int) -> int:
        descriptor = self._descriptors.get(segment)
        if descriptor is not None:
            self._descriptors.move_to_end(segment)
            return descriptor
        if len(self._descriptors) >= OPEN_SEGMENTS:
            self._close_oldest()
        descriptor = self._descriptors[segment] = self._open(segment)
        return descriptor

    def _open(self, segment: int) -> int:
        path = f"{self._folder}/{segment_name(segment)}"
        while True:
            try:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise Unreadable(f"segment {segment} is not there") from None
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._descriptors:
                    raise os_fault(error) from error
                self._close_oldest()

    def _close_oldest(self) -> None:
        os.close(self._descriptors.popitem(last=False)[1])

    def forget(self, segment: int) -> None:
        """Close a segment's file: its letters may lie elsewhere now."""
        descriptor = self._descriptors.pop(segment, None)
        if descriptor is not None:
            os.close(descriptor)
