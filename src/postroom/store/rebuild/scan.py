"""Every record of a segment's file, whatever happened to the file: what a new index is made from.

Records follow each other, and a good frame tells where the next one begins. Where none is, the next magic with a
good frame behind it is looked for. What is found so is *doubtful*: a letter may hold the octets of a segment
(somebody mailed one), so it is believed only where its octets have the checksum that it names, or where another
frame follows it; and it never takes the place of a record that was found by its predecessor.

A file is read once, in chunks, and doubtful records cost at most DOUBT times as much again: then checksums are no
longer computed for them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from postroom.store.records import (
    FRAME_OCTETS,
    NO_LETTER,
    SEGMENT_HEADER_OCTETS,
    BadFrame,
    DeliveryFacts,
    Frame,
    checksum,
    email_id_text,
    read_facts,
    read_frame,
    write_frame,
)

__all__ = ["DOUBT", "Found", "scan_segment", "segment_files"]

_CHUNK: Final = 1 << 20
"""Octets in memory at a time."""
_MAGIC: Final = write_frame(Frame(0, 0, 0, 0, NO_LETTER))[:4]
DOUBT: Final = 4
"""So many times its own size is read of a file, at most, to find out which doubtful records are whole."""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A letter's record."""

    segment: int
    offset: int
    """Of the payload."""
    size: int
    email_id: str
    end: int
    """Where the record ends."""
    whole: bool
    """Whether the payload has its checksum."""
    doubtful: bool
    facts: DeliveryFacts | None
    """None where they are damaged."""


def segment_files(folder: Path) -> list[tuple[int, Path]]:
    """All segments' files, by number. Raises OSError."""
    found = []
    for path in folder.iterdir():
        if path.suffix == ".seg" and path.stem.isascii() and path.stem.isdigit() and len(path.stem) >= 10:
            found.append((int(path.stem), path))
    return sorted(found)


def scan_segment(number: int, path: Path, progress: Progress) -> Iterator[Found]:
    """All letters' records that can be recognised, by place. `progress` hears how far it is. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        yield from _Scan(number, file, progress).records()


class _Scan:
    """One file being read."""

    def __init__(self, number: int, file: BinaryIO, progress: Progress) -> None:
        self._number = number
        self._descriptor = file.fileno()
        self._progress = progress
        self._size = os.fstat(self._descriptor).st_size
        self._doubt = DOUBT * self._size

    def records(self) -> Iterator[Found]:
        position, doubtful = SEGMENT_HEADER_OCTETS, False
        frame = self._frame(position)
        if frame is None:
            # Octets may be missing, or too many, from the header on.
            position, frame, doubtful = self._search(0)
        while frame is not None:
            whole = self._is_whole(position, frame, doubtful)
            end = position + frame.record_size
            follower = self._frame(end)
            believed = whole or not doubtful or follower is not None or end == self._size
            if believed and frame.email_id != NO_LETTER:
                yield self._found(position, frame, whole, doubtful)
            if follower is not None and (whole or not doubtful or self._doubt < 0):
                position, frame = end, follower
            else:
                # Octets may be missing: of its facts where the payload is whole, else anywhere.
                behind = end - frame.facts_size if whole else position + 1
                position, frame, doubtful = self._search(behind)
            self._progress(position)
        self._progress(self._size)

    def _frame(self, position: int) -> Frame | None:
        """The frame that stands there, of a record that fits into the file."""
        try:
            frame = read_frame(os.pread(self._descriptor, FRAME_OCTETS, position))
        except BadFrame:
            return None
        return frame if position + frame.record_size <= self._size else None

    def _is_whole(self, position: int, frame: Frame, doubtful: bool) -> bool:
        if doubtful:
            self._doubt -= frame.payload_size
            if self._doubt < 0:
                return False
        crc, at, end = 0, position + FRAME_OCTETS, position + FRAME_OCTETS + frame.payload_size
        while at < end and (chunk := os.pread(self._descriptor, min(_CHUNK, end - at), at)):
            crc = checksum(chunk, crc)
            at += len(chunk)
            if at < end and not doubtful:
                self._progress(at)
        return at == end and crc == frame.payload_checksum

    def _found(self, position: int, frame: Frame, whole: bool, doubtful: bool) -> Found:
        offset = position + FRAME_OCTETS
        octets = os.pread(self._descriptor, frame.facts_size, offset + frame.payload_size)
        facts = None
        if checksum(octets) == frame.facts_checksum:
            with contextlib.suppress(BadFrame):
                facts = read_facts(octets)
        return Found(
            self._number,
            offset,
            frame.payload_size,
            email_id_text(frame.email_id),
            position + frame.record_size,
            whole,
            doubtful,
            facts,
        )

    def _search(self, start: int) -> tuple[int, Frame | None, bool]:
        """The next frame from `start` on that is good and fits; None where there is none."""
        while chunk := os.pread(self._descriptor, _CHUNK, start):
            at = chunk.find(_MAGIC)
            while at >= 0:
                frame = self._frame(start + at)
                if frame is not None:
                    return start + at, frame, True
                at = chunk.find(_MAGIC, at + 1)
            if len(chunk) < len(_MAGIC):
                break
            start += len(chunk) - len(_MAGIC) + 1
            self._progress(start)
        return self._size, None, True
