"""Octets that no row knows: what is removed, and what is kept for whoever put an old index back."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

import pytest

from postroom.net.limits import BLOB_IN_MEMORY, SEGMENT_AHEAD_OCTETS, STRAY_GRACE_SECONDS
from postroom.store.blobs import LargeBody
from postroom.store.changes import Target
from postroom.store.compaction.files import Strays
from postroom.store.index import open_index
from postroom.store.records import frame_of, write_frame
from postroom.store.segments import Segments
from postroom.store.sqlite import SqliteStore
from tests.store.compactions import (
    DAY,
    UNDELETE,
    body,
    compact,
    files,
    fill,
    inbox_of_alice,
    letters,
    rows,
    segment_file,
    tell,
)
from tests.store.site import deliver, find, new_account

_ID = b"0123456789abcdef"
_HOURS = STRAY_GRACE_SECONDS / DAY * 2


def _record(octets: bytes, email_id: bytes = _ID) -> list[bytes]:
    return [write_frame(frame_of(octets, b"{}", email_id)), octets, b"{}"]


def _leave(root: Path, *pieces: bytes, ends: bool = True) -> Segments:
    """What a process leaves that dies before its first commit: segment 2."""
    segments = Segments(root / "segments", lambda: 1)
    segments.open().append(pieces)
    if ends:
        segments.close()
    return segments


def _removed(root: Path, days: float) -> int:
    """What is removed so many days from now."""
    index = open_index(root / "index.db", read_only=True)
    try:
        return Strays(index, root / "segments", UNDELETE).remove(time.time() + days * DAY)
    finally:
        index.close()


# --- files


def test_a_file_without_a_letter_goes_after_an_hour(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    _leave(tmp_path)
    segment_file(tmp_path, 3).touch()  # it died before it could write the header
    assert _removed(tmp_path, 0) == 0
    assert _removed(tmp_path, _HOURS) == 24
    assert list(files(tmp_path)) == [1]


def test_a_file_that_somebody_writes_stays(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    segments = _leave(tmp_path, *_record(b"x"), ends=False)
    assert _removed(tmp_path, 30) == 0
    segments.close()
    assert _removed(tmp_path, 30) > 0


def test_letters_that_nobody_knows_stay_as_long_as_expunged_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, 2)
    _leave(tmp_path, *_record(b"x"), *_record(b"y"))
    with caplog.at_level(logging.INFO):
        assert _removed(tmp_path, _HOURS) == 0
        assert _removed(tmp_path, 13.9) == 0
        assert _removed(tmp_path, 14.1) > 0
    assert "store.stray file=0000000002.seg offset=0 letters=2" in caplog.text
    assert list(files(tmp_path)) == [1]


def test_a_torn_record_and_a_large_letter_that_never_ended_go_after_an_hour(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    frame, octets, _ = _record(b"x" * 1000)
    _leave(tmp_path, frame, octets[:500])
    body = LargeBody(Segments(tmp_path / "segments", lambda: 2).birth())
    body.write(bytes(range(256)) * (BLOB_IN_MEMORY // 128))
    body.segment.close()
    assert _removed(tmp_path, _HOURS) > BLOB_IN_MEMORY
    assert list(files(tmp_path)) == [1]


def test_where_a_frame_is_damaged_there_may_be_letters(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    frame, octets, facts = _record(b"x")
    _leave(tmp_path, frame[:20] + b"\xff" + frame[21:], octets, facts, *_record(b"y"))
    assert _removed(tmp_path, 13.9) == 0
    assert _removed(tmp_path, 14.1) > 0


def test_copies_of_a_compaction_that_was_cut_short_go_after_an_hour(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    whole = segment_file(tmp_path, 1).read_bytes()
    _leave(tmp_path, whole[24:])
    # The dead letters among them are known to nobody, and the live ones are somewhere else.
    assert _removed(tmp_path, _HOURS) == 0
    segment_file(tmp_path, 2).unlink()
    tell(tmp_path, lambda store: compact(tmp_path, store))
    whole = segment_file(tmp_path, 2).read_bytes()
    segment_file(tmp_path, 3).write_bytes(whole[:24] + whole[24:])
    assert _removed(tmp_path, _HOURS) == len(whole)
    assert list(files(tmp_path)) == [2]


def test_the_segments_of_an_index_that_was_lost_stay_for_ever(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    os.utime(segment_file(tmp_path, 1), (time.time() - 100, time.time() - 100))

    async def story(store: SqliteStore) -> None:
        inbox = await find(store, await new_account(store))
        await deliver(store, body(1), Target(inbox.id))

    tell(tmp_path, lambda store: asyncio.sleep(0))
    assert _removed(tmp_path, 1000) == 0, "nothing is known yet"
    tell(tmp_path, story)
    assert _removed(tmp_path, 1000) == 0
    assert list(files(tmp_path)) == [1, 2]


def test_other_files_are_nobodys_business(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    (tmp_path / "segments" / "notes.txt").write_text("mine")
    assert _removed(tmp_path, 1000) == 0


# --- tails


def test_zeros_written_ahead_are_cut_off_after_an_hour(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    before = files(tmp_path)[1]
    with segment_file(tmp_path, 1).open("ab") as file:
        file.write(bytes(SEGMENT_AHEAD_OCTETS))
    assert _removed(tmp_path, 0) == 0
    assert _removed(tmp_path, _HOURS) == SEGMENT_AHEAD_OCTETS
    assert files(tmp_path)[1] == before
    assert tell(tmp_path, letters) == {number: body(number) for number in range(1, 11, 2)}


def test_a_segment_with_letters_behind_its_known_end_is_not_compacted_before_their_time(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    with segment_file(tmp_path, 1).open("ab") as file:
        file.write(b"".join(_record(b"x")))
    assert tell(tmp_path, lambda store: compact(tmp_path, store)).letters == 0
    assert tell(tmp_path, lambda store: compact(tmp_path, store, days=13)).strays == 0
    done = tell(tmp_path, lambda store: compact(tmp_path, store, days=15))
    assert done.letters == 5
    assert done.strays == 48 + 1 + 2


def test_a_letter_that_arrives_meanwhile_is_not_cut_off(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        await deliver(store, body(1), Target((await inbox_of_alice(store)).id))
        assert _removed(tmp_path, 1000) == 0
        await deliver(store, body(2), Target((await inbox_of_alice(store)).id))

    fill(tmp_path, 0)
    tell(tmp_path, story)
    assert tell(tmp_path, letters) == {1: body(1), 2: body(2)}
    assert rows(tmp_path, "SELECT length FROM segments") == [(files(tmp_path)[1],)]
