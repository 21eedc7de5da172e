"""What has arrived and was not read yet: octets in, lines and counted octets out. Pure: no I/O, no asyncio.

Inside a batch only an index moves; the front is cut when something further arrives. What arrives while the buffer
is dry is kept as it came, so that a chunk of a letter's body passes through uncopied. A search for LF goes on where
the last one ended, so that a line in a thousand pieces costs no more than a line in one.
"""

from __future__ import annotations

from typing import Final

TAIL_OCTETS: Final = 32
"""Kept of a line that was too long."""


class LineTooLong(ValueError):
    """A line passed its limit. Its tail has been read and dropped up to the line's end, in constant memory, so
    that the next line is the next command. `tail` is how it ended, at most TAIL_OCTETS of it: IMAP announces there
    octets that are no command either."""

    tail: bytes = b""


class Buffer:
    """Octets between the transport and the conversation. `len(buffer)` is what lies unread."""

    __slots__ = ("_at", "_data", "_dropping", "_searched", "_tail")

    def __init__(self) -> None:
        self._data: bytes | bytearray = b""
        self._at = 0
        self._searched = 0
        self._dropping = False
        self._tail = b""

    def __len__(self) -> int:
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Take what arrived, at the end."""
        held = self._data
        if self._at == len(held):
            self._data = data
            self._at = self._searched = 0
            return
        if isinstance(held, bytearray):
            del held[: self._at]
            held += data
        else:
            self._data = bytearray(memoryview(held)[self._at :])
            self._data += data
        self._searched -= self._at
        self._at = 0

    def line(self, limit: int) -> bytes | None:
        """The next line with its LF, or None when more must arrive first.

        Raises LineTooLong for a line of over `limit` octets (LF included), once its end has been seen; until then
        None, and what there is of it is dropped.
        """
        data, at = self._data, self._at
        end = data.find(b"\n", self._searched) + 1
        if not end:
            if self._dropping or len(data) - at >= limit:
                tail = self._end_of(data, at, len(data))
                self.clear()
                self._dropping, self._tail = True, tail
            else:
                self._searched = len(data)
            return None
        if end == len(data):
            self._data = b""
            self._at = self._searched = 0
        else:
            self._at = self._searched = end
        if self._dropping or end - at > limit:
            fault = LineTooLong(f"a line of over {limit} octets")
            fault.tail = self._end_of(data, at, end)
            self._dropping, self._tail = False, b""
            raise fault
        return bytes(data[at:end])

    def _end_of(self, data: bytes | bytearray, at: int, end: int) -> bytes:
        """The last octets of a line that is being dropped, of which [at, end) has come now."""
        return (self._tail + bytes(data[max(at, end - TAIL_OCTETS) : end]))[-TAIL_OCTETS:]

    def exactly(self, count: int) -> bytes | None:
        """The next `count` octets, or None when more must arrive first."""
        if len(self._data) - self._at < count:
            return None
        return self._take(count)

    def some(self, limit: int) -> bytes:
        """At most `limit` octets, whatever is there; empty when nothing is."""
        return self._take(min(limit, len(self._data) - self._at))

    def _take(self, count: int) -> bytes:
        data, at = self._data, self._at
        end = at + count
        if end == len(data):
            self._data = b""
            self._at = self._searched = 0
        else:
            self._at = end
            self._searched = max(end, self._searched)
        return bytes(data[at:end])

    def unread(self, data: bytes) -> None:
        """Put octets back to the front."""
        if self._at == len(self._data):
            self._data = data
        else:
            self._data = data + self._data[self._at :]
        self._at = self._searched = 0

    def clear(self) -> None:
        """Drop everything, also the memory of an overlong line."""
        self._data = b""
        self._at = self._searched = 0
        self._dropping = False
        self._tail = b""
