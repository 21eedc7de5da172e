"""A letter's octets as the store hands them over: bytes, or a map of the file for a large letter.

Searching a map goes by windows: `mmap.find` of Python 3.11 compares octet by octet, `bytes.find` doesn't, and a
window's copy costs less than either.
"""

from __future__ import annotations

import mmap

Octets = bytes | mmap.mmap
"""What can be parsed. Slices of either are bytes, so only what is sliced is ever copied."""

WINDOW = 1 << 20
"""Octets of a map that are in memory at once."""


def find(data: Octets, needle: bytes, start: int, end: int) -> int:
    """Offset of the first `needle` that lies whole within [start, end), else -1."""
    if type(data) is bytes:
        return data.find(needle, start, end)
    while start < end:
        at = data[start : min(start + WINDOW + len(needle) - 1, end)].find(needle)
        if at >= 0:
            return start + at
        start += WINDOW
    return -1


def count_lines(data: Octets, start: int, end: int) -> int:
    """How many LF stand in [start, end)."""
    if type(data) is bytes:
        return data.count(b"\n", start, end)
    return sum(data[at : min(at + WINDOW, end)].count(b"\n") for at in range(start, end, WINDOW))
