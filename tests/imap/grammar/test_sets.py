"""Sets of sequence numbers and UIDs: intervals, never spread out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.sets import (
    STAR,
    SequenceSet,
    read_sequence_set,
    write_numbers,
    write_sequence_set,
)
from postroom.net.limits import IMAP_ELEMENTS
from tests.imap.grammar.hostile import octets, refuses_or_reads

NUMBER = st.one_of(st.integers(1, 40), st.integers(1, 2**32 - 1), st.just(STAR))
SETS = st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=8).map(lambda ranges: SequenceSet(tuple(ranges)))


def read(text: bytes) -> SequenceSet:
    chosen, end = read_sequence_set(text + b" ", 0)
    assert end == len(text)
    return chosen


def test_the_rfcs_examples() -> None:
    assert read(b"2,4:7,9,12:*").intervals(15) == [(2, 2), (4, 7), (9, 9), (12, 15)]
    assert read(b"*:4,5:7").intervals(10) == [(4, 10)]
    assert read(b"3291:*").intervals(3000) == [(3000, 3291)]
    assert read(b"2:4").intervals(9) == read(b"4:2").intervals(9) == [(2, 4)]


def test_a_set_of_billions_costs_two_numbers() -> None:
    assert read(b"1:4294967295,*:*").intervals(4294967295) == [(1, 4294967295)]


def test_letters_of_a_set_are_found_by_uid() -> None:
    uids = [3, 5, 6, 7, 20]
    assert read(b"1:5,20").over(uids) == [range(2), range(4, 5)]
    assert read(b"8:19").over(uids) == []
    assert read(b"*").over(uids) == [range(4, 5)]
    assert read(b"100:*").over(uids) == [range(4, 5)]
    assert read(b"1:*").over([]) == []


def test_the_highest_number_is_known() -> None:
    assert read(b"3,9:2,*").highest() == 9
    assert read(b"*").highest() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            b"",
            b"0",
            b"01",
            b"0:5",
            b"1:0",
            b"1,",
            b",1",
            b"1::2",
            b"1:",
            b"1:2:3",
            b"**",
            b"1*",
            b"*1",
            b"-1",
            b"x",
        ),
        *(b"4294967296", b"1:4294967296", b"99999999999", b"18446744073709551617", b"1" * 5000),
    ],
)
def test_what_is_no_set_is_refused(wrong: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_sequence_set(wrong + b" ", 0)


def test_a_set_has_a_most_of_ranges() -> None:
    most = b",".join([b"1"] * IMAP_ELEMENTS)
    assert len(read(most).ranges) == IMAP_ELEMENTS
    with pytest.raises(SyntaxFault):
        read(most + b",1")


@settings(deadline=None, max_examples=200)
@given(SETS)
def test_sets_are_read_as_they_were_written(chosen: SequenceSet) -> None:
    assert read(write_sequence_set(chosen)) == chosen


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=5),
    st.lists(st.integers(1, 30), unique=True, max_size=20).map(sorted),
)
def test_intervals_hold_just_what_the_ranges_hold(ranges: list[tuple[int, int]], uids: list[int]) -> None:
    chosen = SequenceSet(tuple(ranges))
    if not uids:
        assert chosen.over(uids) == []
        return
    wanted: set[int] = set()
    for first, last in ((first or uids[-1], last or uids[-1]) for first, last in ranges):
        wanted.update(range(min(first, last), max(first, last) + 1))
    intervals = chosen.intervals(uids[-1])
    assert {number for low, high in intervals for number in range(low, high + 1)} == wanted
    assert all(before[1] + 1 < after[0] for before, after in pairwise(intervals))
    found = [uids[index] for run in chosen.over(uids) for index in run]
    assert found == [uid for uid in uids if uid in wanted]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 60), unique=True, min_size=1).map(sorted))
def test_numbers_are_written_as_the_shortest_set(numbers: list[int]) -> None:
    chosen = read(write_numbers(numbers))
    assert [number for low, high in chosen.intervals(0) for number in range(low, high + 1)] == numbers
    assert list(chosen.intervals(0)) == list(chosen.ranges)


def test_numbers_for_uidplus() -> None:
    assert write_numbers([1, 2, 3, 7]) == b"1:3,7"
    assert write_numbers([304, 319, 320]) == b"304,319:320"
    assert write_numbers([]) == b""


@settings(deadline=None, max_examples=300)
@given(octets([b"2,4:7,9,12:*", b"*:1", b"4294967295"]))
def test_the_reader_refuses_or_reads_whatever_comes(buffer: bytes) -> None:
    refuses_or_reads(read_sequence_set, buffer)
