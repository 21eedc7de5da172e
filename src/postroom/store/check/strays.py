"""Octets of segments that no row of the index may point to: files it doesn't know, and what stands behind the
lengths it knows. None of it was ever acknowledged by this index, so it is never a problem; but an index that is an
old copy knows less than was acknowledged, and then this is where the letters are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import apsw

from postroom.store.check.findings import Finding, note
from postroom.store.index import fetch_one
from postroom.store.records import (
    FRAME_OCTETS,
    NO_LETTER,
    SEGMENT_HEADER_OCTETS,
    BadFrame,
    Frame,
    email_id_text,
    read_frame,
)
from postroom.store.segments import being_written, segment_name, segment_number

__all__ = ["check_strangers", "check_tail", "count_of", "is_letter_known", "read_frame_of"]

_CHUNK: Final = 1 << 20
_ADVICE: Final = (
    "never acknowledged, or index.db is older than they are; `postroom fsck --rebuild-index` would bring them back"
)


def count_of(number: int, noun: str) -> str:
    """A number of things, for people.

    >>> count_of(2, "letter")
    '2 letters'
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def read_frame_of(file: BinaryIO, room: int) -> Frame:
    """The frame where the file stands, of a record that has `room` octets at most. Raises `BadFrame`, OSError."""
    frame = read_frame(file.read(FRAME_OCTETS))
    if frame.record_size > room:
        raise BadFrame("it runs past the end")
    return frame


def is_letter_known(connection: apsw.Connection, frame: Frame) -> bool:
    """Whether the index has the letter of this record, here or elsewhere."""
    sql = "SELECT 1 FROM messages WHERE email_id = ?"
    return fetch_one(connection, sql, (email_id_text(frame.email_id),)) is not None


def check_tail(connection: apsw.Connection, folder: Path, number: int, length: int) -> Iterator[Finding]:
    """What lies behind the known length of a segment that nobody writes any more. Raises OSError, apsw.Error."""
    path, name = folder / segment_name(number), f"segment file {segment_name(number)}"
    # Asked first: who has let go of it has committed what he could.
    if being_written(path):
        return
    row = fetch_one(connection, "SELECT length FROM segments WHERE number = ?", (number,))
    known = max(length, row[0] if row else 0)
    with path.open("rb") as file:
        octets = os.fstat(file.fileno()).st_size - known
        if octets <= 0 or _only_zeros(file, known):
            return
        letters = _unknown_letters(connection, file, known)
    if letters:
        what = f"{count_of(letters, 'whole letter')} that the index doesn't know: {_ADVICE}"
    else:
        what = f"{count_of(octets, 'octet')} that the index doesn't know: a write that was cut short"
    yield note(f"{name} ends with {what}")


def check_strangers(connection: apsw.Connection, folder: Path) -> Iterator[Finding]:
    """Files that the index doesn't know. One that holds no more than a header waits for its first letter, and one
    that somebody writes isn't looked at. Raises OSError, apsw.Error."""
    with os.scandir(folder) as files:
        for file in files:
            number = segment_number(file.name)
            if number is None:
                yield note(f"segments/{file.name}: not a file of this store")
            elif not _is_known(connection, number):
                yield from _stranger(connection, Path(file.path), number)


def _is_known(connection: apsw.Connection, number: int) -> bool:
    return fetch_one(connection, "SELECT 1 FROM segments WHERE number = ?", (number,)) is not None


def _stranger(connection: apsw.Connection, path: Path, number: int) -> Iterator[Finding]:
    try:
        if being_written(path):
            return
        with path.open("rb") as file:
            empty = _only_zeros(file, SEGMENT_HEADER_OCTETS)
            letters = 0 if empty else _unknown_letters(connection, file, SEGMENT_HEADER_OCTETS)
    except FileNotFoundError:
        return
    except OSError as error:
        yield note(f"segment file {path.name}, which the index doesn't know, can't be read: {error.strerror}")
        return
    # Asked once more: its first letter may have been acknowledged meanwhile.
    if not empty and not _is_known(connection, number):
        held = f"holds {count_of(letters, 'whole letter')}: {_ADVICE}" if letters else "holds no letter of its own"
        yield note(f"segment file {path.name} is not in the index; it {held}")


def _unknown_letters(connection: apsw.Connection, file: BinaryIO, position: int) -> int:
    """How many whole letters that lie nowhere else stand from `position` on, up to what is no record."""
    size, held = os.fstat(file.fileno()).st_size, 0
    while position < size:
        file.seek(position)
        try:
            frame = read_frame_of(file, size - position)
        except BadFrame:
            break
        held += frame.email_id != NO_LETTER and not is_letter_known(connection, frame)
        position += frame.record_size
    return held


def _only_zeros(file: BinaryIO, position: int) -> bool:
    """Whether nothing stands behind `position` but what was written ahead."""
    file.seek(position)
    while chunk := file.read(_CHUNK):
        if chunk.count(0) < len(chunk):
            return False
    return True
