"""What the edge writes down (tests/faults/edge.c): records of all processes in one file, in order.

A write, or a file's new size, is written down before it is made, and once more where it failed or came out short; a
sync before and after; names after they have changed; a call that a plan made fail once. A test puts its own marks
between them.
"""

from __future__ import annotations

import enum
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("<IIIIBBHHHQqqq")
_MAGIC: Final = 0x45444745


class Kind(enum.IntEnum):
    """What was asked of the system. MARK is a test's own."""

    MARK = 0
    OPEN = 1
    """With O_CREAT, of a file that was not there."""
    WRITE = 2
    SYNC = 3
    TRUNCATE = 4
    """Also O_TRUNC."""
    RENAME = 5
    UNLINK = 6
    MKDIR = 7
    ALLOCATE = 8
    LINK = 9


class Phase(enum.IntEnum):
    """When a record was written."""

    BEGIN = 0
    """Before the call."""
    END = 1
    """After it, so that `result` counts."""
    NOT_MADE = 2
    """In its place: the system was never asked."""


@dataclass(frozen=True, slots=True)
class Record:
    """One. Paths are below the root, and empty for a mark's `other`."""

    kind: Kind
    phase: Phase
    pid: int
    thread: int
    path: str
    other: str
    """Where a RENAME or LINK leads."""
    inode: int
    offset: int
    length: int
    result: int
    """What the call gave; a failure as -errno."""
    data: bytes = b""
    """What a write wrote, or was to write."""

    @property
    def failed(self) -> bool:
        """Whether the call is over and gave an error."""
        return self.phase is not Phase.BEGIN and self.result < 0


def read_trace(path: Path) -> list[Record]:
    """All records. Raises ValueError for a trace that is not whole."""
    return list(_records(path.read_bytes()))


def _records(octets: bytes) -> Iterator[Record]:
    position = 0
    while position < len(octets):
        magic, total, pid, thread, kind, phase, first, second, _, inode, offset, length, result = _HEAD.unpack_from(
            octets, position
        )
        if magic != _MAGIC or position + total > len(octets):
            raise ValueError(f"no record at {position}")
        start = position + _HEAD.size
        path = os.fsdecode(octets[start : start + first])
        other = os.fsdecode(octets[start + first : start + first + second])
        data = octets[start + first + second : position + total]
        yield Record(Kind(kind), Phase(phase), pid, thread, path, other, inode, offset, length, result, data)
        position += total


def write_mark(descriptor: int, text: str) -> None:
    """Put a mark behind all that is written so far; the file is open for appending."""
    name = text.encode()
    head = _HEAD.pack(_MAGIC, _HEAD.size + len(name), os.getpid(), 0, Kind.MARK, 1, len(name), 0, 0, 0, 0, 0, 0)
    os.write(descriptor, head + name)
