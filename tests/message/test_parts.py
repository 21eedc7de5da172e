"""The packed map of parts, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.parts import Encoding, Kind, Part, Record, read_parts, write_parts

LETTER = Record(0, Kind.MESSAGE, Encoding.IDENTITY, 0, 0, 10, 500)
RECORDS = [
    LETTER,
    Record(1, Kind.LEAF, Encoding.BASE64, 20, 30, 30, 40),
    Record(1, Kind.MULTIPART, Encoding.IDENTITY, 50, 60, 60, 200),
    Record(2, Kind.LEAF, Encoding.QUOTED_PRINTABLE, 61, 62, 62, 70),
    Record(2, Kind.MESSAGE, Encoding.IDENTITY, 71, 75, 80, 150),
    Record(3, Kind.LEAF, Encoding.UNKNOWN, 80, 85, 85, 150),
    Record(1, Kind.LEAF, Encoding.IDENTITY, 300, 310, 310, 400),
]
PATHS = [(), (1,), (2,), (2, 1), (2, 2), (2, 2, 1), (3,)]


def test_the_map_gives_each_part_its_number() -> None:
    parts = read_parts(write_parts(RECORDS))
    assert [part.path for part in parts] == PATHS
    for part, record in zip(parts, RECORDS, strict=True):
        assert part[1:] == record[1:]


@pytest.mark.parametrize(("end", "size"), [((1 << 32) - 1, 1 + 19), (1 << 32, 1 + 35)])
def test_offsets_beyond_four_gibibytes_are_kept_in_a_wider_map(end: int, size: int) -> None:
    record = LETTER._replace(text=end - 1, end=end)
    packed = write_parts([record])
    assert len(packed) == size
    assert read_parts(packed) == (Part((), Kind.MESSAGE, Encoding.IDENTITY, 0, 0, end - 1, end),)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(Kind), st.sampled_from(Encoding)), max_size=30))
def test_any_tree_keeps_its_numbers_apart(rows: list[tuple[int, Kind, Encoding]]) -> None:
    records, level = [LETTER], 0
    for down, kind, encoding in rows:
        level = min(level + 1, max(1, down))
        records.append(Record(level, kind, encoding, 1, 2, 3, 4))
    parts = read_parts(write_parts(records))
    assert len({part.path for part in parts}) == len(records)
    assert [len(part.path) for part in parts] == [record.level for record in records]
