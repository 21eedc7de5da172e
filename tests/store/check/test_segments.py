"""Every octet of a segment that is not what was written is found, and the letter that it concerns is named."""

from __future__ import annotations

import fcntl
import re
import zlib
from pathlib import Path

import pytest

from postroom.store.check import segments as checksegments
from postroom.store.check.whole import Severity, check
from postroom.store.index import open_index
from postroom.store.records import (
    FRAME_OCTETS,
    SEGMENT_HEADER_OCTETS,
    frame_of,
    write_frame,
    write_segment_header,
)
from tests.store.damage import alter, damage, email_id, flip, found, record, segment
from tests.store.site import (
    LETTER,
)


def test_every_flipped_bit_of_a_segment_is_found(root: Path) -> None:
    path = segment(root)
    sound = path.read_bytes()
    connection = open_index(root / "index.db", read_only=True)
    for at in range(len(sound)):
        flipped = bytearray(sound)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        assert any(list(checksegments.check_segments(connection, root / "segments", lambda done, total: None))), at
    path.write_bytes(sound)
    connection.close()
    assert list(check(root)) == []


def test_a_flipped_bit_of_a_letter_names_where_it_lies(root: Path) -> None:
    offset, _ = record(root, 3)
    flip(segment(root), offset + 2)
    (only,) = found(root)
    assert only == (
        "alice@example.test, INBOX, UID 3: its octets are not those that came in: wrong checksum"
        f" (segment file 0000000001.seg, offset {offset})"
    )


def test_a_flipped_bit_of_a_large_letter_is_found(root: Path) -> None:
    offset, size = record(root, 5)
    flip(segment(root, 2), offset + size - 1)
    (only,) = found(root)
    assert only.startswith("alice@example.test, INBOX, UID 5: its octets are not those that came in")


def test_a_letter_is_read_in_chunks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counting(octets: bytes, before: int = 0) -> int:
        seen.append(len(octets))
        return zlib.crc32(octets, before)

    monkeypatch.setattr(checksegments, "_CHUNK", 1000)
    monkeypatch.setattr(checksegments, "checksum", counting)
    assert list(check(root)) == []
    assert max(seen) == 1000


def test_rows_are_read_in_slices(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksegments, "_SLICE", 1)
    assert list(check(root)) == []
    damage(root, "UPDATE messages SET offset = (SELECT offset FROM messages WHERE id = 2) WHERE id = 3")
    problems = found(root)
    assert sum("its record is another letter's" in one for one in problems) == 1


def test_damaged_facts_are_found(root: Path) -> None:
    offset, size = record(root, 2)
    flip(segment(root), offset + size + 1)
    (only,) = found(root)
    assert only.startswith("alice@example.test, INBOX, UID 2: what its record says of the delivery is damaged")


def test_behind_a_damaged_frame_the_next_letter_is_found_again(root: Path) -> None:
    offset, _ = record(root, 2)
    behind, _ = record(root, 3)
    flip(segment(root), offset - 1)
    problems = found(root)
    assert problems == [
        "alice@example.test, INBOX, UID 2: its record can't be read: wrong checksum"
        f" (segment file 0000000001.seg, offset {offset})",
        f"segment file 0000000001.seg: from offset {offset - FRAME_OCTETS} to {behind - FRAME_OCTETS} there is no"
        " record: wrong checksum",
    ]


def test_a_damaged_header_of_a_segment_is_found(root: Path) -> None:
    flip(segment(root), 3)
    assert found(root) == ["segment file 0000000001.seg has a damaged header: wrong checksum"]


def test_a_segment_under_another_number_is_found(root: Path) -> None:
    alter(
        segment(root), lambda octets: octets.__setitem__(slice(0, SEGMENT_HEADER_OCTETS), write_segment_header(9))
    )
    assert found(root) == ["segment file 0000000001.seg calls itself by another number"]


def test_a_segment_that_is_gone_is_found(root: Path) -> None:
    segment(root).unlink()
    assert found(root) == ["segment file 0000000001.seg is missing: 4 letters of the index were in it"]


def test_a_segment_that_cannot_be_read_is_found(root: Path) -> None:
    segment(root).unlink()
    segment(root).mkdir()
    assert found(root) == ["segment file 0000000001.seg can't be read: Is a directory"]


def test_a_segment_that_is_cut_off_names_the_letters_that_are_lost(root: Path) -> None:
    offset, _ = record(root, 3)
    alter(segment(root), lambda octets: octets.__delitem__(slice(offset + 1, None)))
    problems = found(root)
    assert any(re.search(rf"has {offset + 1} octets of the \d+ that the index knows", one) for one in problems)
    assert any("INBOX, UID 3: its record can't be read: it runs past the end" in one for one in problems)
    assert any(f"letter {email_id(root, 4)}, in no mailbox: no record begins" in one for one in problems)
    assert not any("UID 2" in one for one in problems)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("UPDATE messages SET size = size - 1 WHERE id = 3", "UID 3: the index says 81 octets, its record 82"),
        (
            "UPDATE messages SET email_id = 'M' || printf('%032d', 7) WHERE id = 3",
            "UID 3: its record is another letter's",
        ),
        ("UPDATE messages SET offset = offset + 1 WHERE id = 3", "UID 3: no record begins where the index says"),
    ],
    ids=["size", "email id", "offset"],
)
def test_a_row_that_does_not_fit_its_record_is_found(root: Path, sql: str, says: str) -> None:
    damage(root, sql)
    assert any(says in one for one in found(root)), found(root)


def test_many_lost_letters_of_a_segment_are_told_as_that(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.store.check.findings.FINDINGS_OF_A_KIND", 2)
    for number in (1, 2, 3, 4):
        flip(segment(root), record(root, number)[0])
    problems = found(root)
    assert len(problems) == 3
    assert problems[-1] == "segment file 0000000001.seg: 2 more, not told one by one"


# --- what is no harm


STRAY_RECORD = write_frame(frame_of(LETTER, b"", b"x" * 16)) + LETTER
ADVICE = (
    "never acknowledged, or index.db is older than they are; `postroom fsck --rebuild-index` would bring them back"
)


def test_an_unfinished_write_is_a_note(root: Path) -> None:
    with segment(root).open("ab") as out:
        out.write(b"half a let")
    assert found(root, Severity.NOTE) == [
        "segment file 0000000001.seg ends with 10 octets that the index doesn't know: a write that was cut short"
    ]
    assert found(root) == []


def test_an_index_that_is_older_than_its_segments_is_a_note(root: Path) -> None:
    with segment(root).open("ab") as out:
        out.write(STRAY_RECORD * 2)
    assert found(root, Severity.NOTE) == [
        f"segment file 0000000001.seg ends with 2 whole letters that the index doesn't know: {ADVICE}"
    ]
    assert found(root) == []


def test_a_segment_that_is_being_written_has_no_end_to_look_at(root: Path) -> None:
    with segment(root).open("ab") as out:
        out.write(b"half a let")
        out.flush()
        fcntl.flock(out, fcntl.LOCK_EX)
        segment(root, 9).write_bytes(write_segment_header(9) + STRAY_RECORD)
        with segment(root, 9).open("rb") as another:
            fcntl.flock(another, fcntl.LOCK_EX)
            assert list(check(root)) == []


def test_a_letter_that_nobody_knows_is_a_note(root: Path) -> None:
    with segment(root).open("ab") as out:
        out.write(STRAY_RECORD)
    damage(root, f"UPDATE segments SET length = length + {len(STRAY_RECORD)} WHERE number = 1")
    assert found(root, Severity.NOTE) == [
        "segments hold 1 letter that the index doesn't know: forgotten after their time or never acknowledged;"
        " compaction takes them away"
    ]
    assert found(root) == []
    flip(segment(root), segment(root).stat().st_size - 1)
    (only,) = found(root, Severity.NOTE)
    assert only.endswith("a record that no letter needs is damaged")
    flip(segment(root), segment(root).stat().st_size - len(STRAY_RECORD))
    (only,) = found(root, Severity.NOTE)
    assert only.endswith("there is no record: wrong checksum")
    assert found(root) == []


def test_an_older_copy_of_a_letter_is_no_finding(root: Path) -> None:
    offset, size = record(root, 2)
    whole = segment(root).read_bytes()
    end = record(root, 3)[0] - FRAME_OCTETS
    copy = write_segment_header(9) + whole[offset - FRAME_OCTETS : end]
    segment(root, 9).write_bytes(copy)
    damage(
        root,
        f"UPDATE messages SET segment = 9, offset = {SEGMENT_HEADER_OCTETS + FRAME_OCTETS} WHERE id = 2",
        f"INSERT INTO segments VALUES (9, {len(copy)}, 0, {size}, NULL)",
        f"UPDATE segments SET live = live - {size} WHERE number = 1",
    )
    assert list(check(root)) == []


def test_a_segment_that_is_to_go_may_be_gone_and_nobody_asks_what_is_in_it(root: Path) -> None:
    damage(root, "INSERT INTO segments VALUES (9, 5000, 0, 0, 1), (10, 5000, 0, 0, 1)")
    segment(root, 10).write_bytes(b"whatever")
    assert list(check(root)) == []


def test_a_segment_that_the_index_does_not_know_is_a_note(root: Path) -> None:
    segment(root, 9).write_bytes(write_segment_header(9) + STRAY_RECORD + STRAY_RECORD + b"torn")
    assert found(root, Severity.NOTE) == [
        f"segment file 0000000009.seg is not in the index; it holds 2 whole letters: {ADVICE}"
    ]
    assert found(root) == []


def test_a_segment_that_waits_for_its_first_letter_is_no_finding(root: Path) -> None:
    segment(root, 9).write_bytes(write_segment_header(9))
    segment(root, 10).write_bytes(b"")
    assert list(check(root)) == []


def test_foreign_files_among_the_segments_are_a_note(root: Path) -> None:
    for name in ("core", "1.seg", "0000000001.seg.bak"):
        (root / "segments" / name).write_bytes(b"")
    assert sorted(found(root, Severity.NOTE)) == [
        "segments/0000000001.seg.bak: not a file of this store",
        "segments/1.seg: not a file of this store",
        "segments/core: not a file of this store",
    ]
