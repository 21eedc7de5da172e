"""Whatever happened to a segment's file: what is whole in it is found, in time linear in its size."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postroom.store.rebuild.scan import DOUBT, Found, scan_segment, segment_files
from postroom.store.records import (
    FRAME_OCTETS,
    NO_LETTER,
    SEGMENT_HEADER_OCTETS,
    DeliveredTo,
    DeliveryFacts,
    frame_of,
    write_facts,
    write_filler,
    write_frame,
    write_segment_header,
)

FACTS = write_facts(DeliveryFacts(1700000000, 60, (DeliveredTo("a@example.test", "INBOX", b"", 0, ()),)))
HEADER = write_segment_header(1)


def letter(number: int, payload: bytes, facts: bytes = FACTS) -> bytes:
    return write_frame(frame_of(payload, facts, bytes([number] * 16))) + payload + facts


RECORDS = [letter(number, b"Subject: %d\r\n\r\n" % number + b"x" * 50 * number) for number in range(1, 7)]


def name(number: int) -> str:
    return "M" + bytes([number] * 16).hex()


def scan(path: Path, octets: bytes) -> list[Found]:
    path.write_bytes(octets)
    return list(scan_segment(1, path, lambda at: None))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0000000001.seg"


def test_a_sound_segment_gives_its_letters_in_order(path: Path) -> None:
    found = scan(path, HEADER + b"".join(RECORDS))
    assert [each.email_id for each in found] == [name(number) for number in range(1, 7)]
    assert all(each.whole and not each.doubtful and each.facts for each in found)
    assert found[0].offset == SEGMENT_HEADER_OCTETS + FRAME_OCTETS
    assert found[-1].end == path.stat().st_size
    assert [path.read_bytes()[each.offset :][: each.size] for each in found][1].startswith(b"Subject: 2\r\n")


def test_fillers_and_zeros_written_ahead_are_no_letters(path: Path) -> None:
    filler = write_filler(SEGMENT_HEADER_OCTETS, 4096)
    (only,) = scan(path, HEADER + filler + RECORDS[0] + bytes(5000))
    assert only.offset == 4096
    assert NO_LETTER.hex() not in only.email_id
    assert scan(path, b"") == scan(path, HEADER) == scan(path, HEADER + bytes(300_000)) == []


@pytest.mark.parametrize("damaged", range(6))
@pytest.mark.parametrize("at", [0, 10, 47, 60, -1], ids=["magic", "size", "checksum", "payload", "facts"])
def test_damage_to_one_letter_loses_no_other(path: Path, damaged: int, at: int) -> None:
    records = list(map(bytearray, RECORDS))
    records[damaged][at] ^= 1
    found = {each.email_id: each for each in scan(path, HEADER + b"".join(records))}
    for number in set(range(6)) - {damaged}:
        assert found[name(number + 1)].whole
        assert found[name(number + 1)].facts
    if at == -1:
        assert found[name(damaged + 1)].whole
        assert found[name(damaged + 1)].facts is None
    if at == 60:
        assert not found[name(damaged + 1)].whole


def test_a_damaged_header_of_the_segment_loses_nothing(path: Path) -> None:
    assert len(scan(path, b"\0" * SEGMENT_HEADER_OCTETS + b"".join(RECORDS))) == 6
    assert len(scan(path, HEADER[3:] + b"".join(RECORDS))) == 6


def test_a_record_that_runs_past_the_end_is_none(path: Path) -> None:
    found = scan(path, (HEADER + b"".join(RECORDS))[:-1])
    assert [each.email_id for each in found] == [name(number) for number in range(1, 6)]


def test_a_segment_in_a_letter_is_believed_only_where_its_letter_is_damaged(path: Path) -> None:
    forged = letter(9, b"Subject: forged\r\n\r\n")
    outer = bytearray(letter(1, b"Subject: a segment\r\n\r\n" + HEADER + forged + b"end"))
    found = scan(path, HEADER + outer + RECORDS[1])
    assert [each.email_id for each in found] == [name(1), name(2)]
    outer[FRAME_OCTETS - 1] ^= 1
    found = scan(path, HEADER + outer + RECORDS[1])
    assert [(each.email_id, each.doubtful) for each in found] == [(name(9), True), (name(2), True)]
    # One whose octets aren't what it says is not even doubtful.
    at = outer.index(b"forged")
    outer[at] ^= 1
    assert [each.email_id for each in scan(path, HEADER + outer + RECORDS[1])] == [name(2)]


def test_frames_that_claim_each_others_octets_cost_no_more_than_a_few_readings(path: Path) -> None:
    count, room = 2000, 400_000
    many = b"".join(_claim(room - number * FRAME_OCTETS) for number in range(count))
    octets = bytearray(letter(1, many + bytes(room)) + RECORDS[1])
    octets[0] ^= 1
    read = 0

    class Counting:
        def __call__(self, chunk: bytes, before: int = 0) -> int:
            nonlocal read
            read += len(chunk)
            return 0

    path.write_bytes(HEADER + octets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("postroom.store.rebuild.scan.checksum", Counting())
        list(scan_segment(1, path, lambda at: None))
    assert read <= (DOUBT + 2) * path.stat().st_size
    assert name(2) in [each.email_id for each in scan(path, HEADER + octets)]


def _claim(size: int) -> bytes:
    frame = frame_of(b"", b"", bytes([7] * 16))
    return write_frame(type(frame)(size, 0, 1, frame.facts_checksum, frame.email_id))


def test_only_segments_are_read(tmp_path: Path) -> None:
    for each in ("0000000002.seg", "0000000001.seg", "core", "1.seg", "0000000003.seg.bak", "aaaaaaaaaa.seg"):
        (tmp_path / each).write_bytes(b"")
    assert [number for number, _ in segment_files(tmp_path)] == [1, 2]


_SOUND = HEADER + b"".join(RECORDS)
_STARTS = [_SOUND.index(record) for record in RECORDS]
_damage = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, len(_SOUND) - 1), st.integers(1, 255)),
    st.tuples(st.just("zero"), st.integers(0, len(_SOUND) - 1), st.integers(1, 700)),
    st.tuples(st.just("cut"), st.integers(0, len(_SOUND) - 1), st.integers(1, 700)),
    st.tuples(st.just("insert"), st.integers(0, len(_SOUND) - 1), st.binary(min_size=1, max_size=100)),
)


@given(st.lists(_damage, max_size=4))
@example([("cut", _STARTS[2], len(RECORDS[2]) - 10)])
@example([("cut", _STARTS[4] + FRAME_OCTETS, len(RECORDS[5]))])
def test_no_damage_raises_and_none_loses_a_whole_record(
    tmp_path_factory: pytest.TempPathFactory, damages: list[tuple[str, int, int | bytes]]
) -> None:
    octets = bytearray(_SOUND)
    for kind, at, how in damages:
        if kind == "flip" and isinstance(how, int) and at < len(octets):
            octets[at] ^= how
        elif kind == "zero" and isinstance(how, int):
            octets[at : at + how] = bytes(len(octets[at : at + how]))
        elif kind == "cut" and isinstance(how, int):
            del octets[at : at + how]
        elif isinstance(how, bytes):
            octets[at:at] = how
    path = tmp_path_factory.getbasetemp() / "scan.seg"
    found = {each.email_id for each in scan(path, bytes(octets)) if each.whole and each.facts}
    for number, record in enumerate(RECORDS, 1):
        if record in octets:
            assert name(number) in found


def test_a_segment_of_nothing_but_magics_has_no_letters(path: Path) -> None:
    assert scan(path, HEADER + RECORDS[0][:4] * 100_000) == []
