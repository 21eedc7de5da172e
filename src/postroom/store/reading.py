"""Letters' octets as they are read: a few descriptors of segments kept open, and a check against flipped bits.

A letter that is read whole is held against its record's checksum and name (measured: see docs/store.md); a part of
it can't be, and isn't.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from postroom.net.limits import BLOB_IN_MEMORY, OPEN_SEGMENTS
from postroom.store.faults import os_fault
from postroom.store.interface import Unreadable
from postroom.store.records import FRAME_OCTETS, vouches
from postroom.store.segments import segment_name
from postroom.store.values import Place

__all__ = ["Piece", "SegmentReader"]

_GAP: Final = 4096
"""Octets between two pieces that are read and dropped: they cost less than another call (measured: 1.2 µs for a
call, 1.4 µs for 11 KB more)."""
_RUN: Final = 256 * 1024
"""Octets of one call: they are still in the processor's cache when they are cut."""


Piece = tuple[int, int, int, str | None]
"""Octets of a segment that belong to one letter: its number, where they begin, how many they are, and the letter's
email id where they are a payload that is to be held against its frame, since all of it is there."""


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

    def each(self, pieces: Sequence[Piece]) -> list[bytes | None]:
        """Several letters' octets, with one call for those that lie close together in their order. None where
        anything is amiss: what that is, `whole` or `part` will tell."""
        found: list[bytes | None] = []
        at, count = 0, len(pieces)
        while at < count:
            segment, position, size, email_id = pieces[at]
            start = position if email_id is None else position - FRAME_OCTETS
            end = position + size
            first = at
            at += 1
            while at < count:
                # Only indexes: to unpack each piece twice would cost more than it saves.
                piece = pieces[at]
                position = piece[1]
                if not end <= position <= end + _GAP or piece[0] != segment or position + piece[2] - start > _RUN:
                    break
                end = position + piece[2]
                at += 1
            try:
                octets = self._pread(segment, start, end - start)
            except Unreadable:
                found += [None] * (at - first)
                continue
            if at - first == 1 and email_id is None:
                found.append(octets)
            else:
                found += [_cut(octets, start, piece) for piece in pieces[first:at]]
        return found

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

    def forget_unlinked(self) -> None:
        """Close files that compaction has taken away: until then the disk has their octets. To be called now and
        then, also where nobody reads."""
        for segment in [
            each for each, descriptor in self._descriptors.items() if not os.fstat(descriptor).st_nlink
        ]:
            self.forget(segment)

    def _close_oldest(self) -> None:
        os.close(self._descriptors.popitem(last=False)[1])

    def forget(self, segment: int) -> None:
        """Close a segment's file: its letters may lie elsewhere now."""
        descriptor = self._descriptors.pop(segment, None)
        if descriptor is not None:
            os.close(descriptor)


def _cut(octets: bytes, start: int, piece: Piece) -> bytes | None:
    """A piece out of octets that begin at `start`; None where it is not what its frame says."""
    _, position, size, email_id = piece
    at = position - start
    cut = octets[at : at + size]
    if email_id is None or vouches(octets[max(0, at - FRAME_OCTETS) : at], cut, email_id):
        return cut
    return None
