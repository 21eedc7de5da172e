"""What the commands about letters share."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.imap.server.letters import slices


@pytest.mark.parametrize(
    ("ranges", "count", "expected"),
    [
        ([], 3, []),
        ([range(1, 4)], 3, [[range(1, 4)]]),
        ([range(1, 5)], 3, [[range(1, 4)], [range(4, 5)]]),
        ([range(1, 4), range(7, 9)], 2, [[range(1, 3)], [range(3, 4), range(7, 8)], [range(8, 9)]]),
        ([range(1, 2), range(3, 4), range(5, 6)], 2, [[range(1, 2), range(3, 4)], [range(5, 6)]]),
        ([range(1, 4294967295)], 4294967294, [[range(1, 4294967295)]]),
    ],
)
def test_ranges_are_cut_into_slices(ranges: list[range], count: int, expected: list[list[range]]) -> None:
    assert list(slices(ranges, count)) == expected


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20)).map(lambda pair: range(pair[0], sum(pair)))),
    st.integers(1, 30),
)
def test_no_number_is_lost_or_doubled_and_all_slices_but_the_last_are_full(ranges: list[range], count: int) -> None:
    cut = [list(chain(*slice)) for slice in slices(ranges, count)]
    assert list(chain(*cut)) == list(chain(*ranges))
    assert all(len(slice) == count for slice in cut[:-1])
    assert all(0 < len(slice) <= count for slice in cut)
