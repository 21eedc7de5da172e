"""Letters on their way in: in memory while they are small, in a segment of their own from BLOB_IN_MEMORY on.

A large letter's segment holds its header, a filler, and the letter, whose payload begins at a page's boundary so
that it can be mapped for parsing. Its frame is written last, when the letter is delivered: until then (and after a
crash) the file holds no letter.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Final

from postroom.message.octets import Octets
from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.interface import StoreFault
from postroom.store.records import (
    FRAME_OCTETS,
    SEGMENT_HEADER_OCTETS,
    Frame,
    checksum,
    write_filler,
    write_frame,
)
from postroom.store.segments import Segment

__all__ = ["LargeBody", "StoredBlob"]

_PAYLOAD: Final = mmap.ALLOCATIONGRANULARITY
"""Where a large letter's payload begins."""


class LargeBody:
    """A large letter's octets in a segment of its own."""

    def __init__(self, segment: Segment) -> None:
        """Raises `StoreFault` or `StorageFull`."""
        self.segment = segment
        self.size = 0
        self._checksum = 0
        segment.append([write_filler(SEGMENT_HEADER_OCTETS, _PAYLOAD), bytes(FRAME_OCTETS)])

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next octets. Raises `StoreFault` or `StorageFull`."""
        self.segment.append([chunk])
        self._checksum = checksum(chunk, self._checksum)
        self.size += len(chunk)

    def map(self) -> mmap.mmap:
        """The payload as far as it is written. Raises `StoreFault`."""
        try:
            return mmap.mmap(
                self.segment.descriptor, self.size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=_PAYLOAD
            )
        except (OSError, ValueError) as error:
            raise StoreFault("a large letter can't be mapped") from error

    def sync(self) -> None:
        """Put the payload on stable storage; this may take long, and is made to be called in a thread."""
        self.segment.sync()

    def finish(self, facts: bytes, email_id: bytes) -> int:
        """Complete the record and put it on stable storage; gives the payload's offset. Raises as `write` does."""
        self.segment.append([facts])
        frame = Frame(self.size, len(facts), self._checksum, checksum(facts), email_id)
        self.segment.put(write_frame(frame), _PAYLOAD - FRAME_OCTETS)
        self.segment.sync()
        return _PAYLOAD


class StoredBlob:
    """See `interface.Blob`. `birth` makes a segment for a letter that grows large."""

    def __init__(self, birth: Callable[[], Segment]) -> None:
        self.size = 0
        self._birth = birth
        self._chunks: list[bytes] = []
        self._large: LargeBody | None = None
        self._fault: StoreFault | None = None
        self._taken = False

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next octets, unchanged. Raises `StorageFull` or `StoreFault`; after that nothing but `discard`
        makes sense."""
        self._check()
        try:
            if self._large is not None:
                self._large.write(chunk)
            elif self.size + len(chunk) > BLOB_IN_MEMORY:
                self._spill(chunk)
            else:
                self._chunks.append(bytes(chunk))
        except StoreFault as fault:
            self._fault = fault
            self._let_go()
            raise
        self.size += len(chunk)

    def _spill(self, chunk: bytes | bytearray | memoryview) -> None:
        self._large = LargeBody(self._birth())
        for each in (*self._chunks, chunk):
            self._large.write(each)
        self._chunks.clear()

    def contents(self) -> Octets:
        """All octets written so far: bytes, or a map of the file for a large letter. Raises `StoreFault`."""
        self._check()
        if self._large is not None:
            return self._large.map()
        if len(self._chunks) != 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]

    def take(self) -> bytes | LargeBody:
        """Hand the octets to the writer, once; `discard` does nothing from then on. Raises `StoreFault`."""
        self._check()
        body = self._large or b"".join(self._chunks)
        self._taken = True
        self._chunks, self._large = [], None
        return body

    def discard(self) -> None:
        """Forget it; a second call, or one after the delivery, does nothing."""
        self._fault = self._fault or StoreFault("the letter was discarded")
        self._let_go()

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault
        if self._taken:
            raise StoreFault("the letter was delivered")

    def _let_go(self) -> None:
        self._chunks.clear()
        if self._large is not None:
            self._large.segment.give_up()
            self._large = None
