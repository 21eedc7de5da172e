"""Sets of sequence numbers and UIDs (RFC 3501 9, sequence-set), held as intervals and never spread out.

>>> chosen, end = read_sequence_set(b"2,4:7,12:*", 0)
>>> chosen.intervals(15)
[(2, 2), (4, 7), (12, 15)]
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.tokens import NUMBER_MAX
from postroom.net.limits import IMAP_ELEMENTS

STAR: Final = 0
"""Stands for "*" in a range: the largest number in use."""

_RANGE: Final = rb"(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?"
_SET: Final = re.compile(_RANGE + rb"(?:," + _RANGE + rb")*+(?![0-9:,*])")


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Ranges as the peer gave them, in its order; both ends belong, either may be the larger, `STAR` is "*"."""

    ranges: tuple[tuple[int, int], ...]

    def intervals(self, maximum: int) -> list[tuple[int, int]]:
        """Ascending intervals that neither overlap nor touch, with "*" standing for `maximum`.

        A range such as 3291:* holds `maximum` even where that is less (RFC 3501 9).
        """
        ends = ((first or maximum, last or maximum) for first, last in self.ranges)
        merged: list[tuple[int, int]] = []
        for low, high in sorted((min(pair), max(pair)) for pair in ends):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return merged

    def over(self, uids: Sequence[int]) -> list[range]:
        """Where those UIDs of an ascending sequence stand that are in the set: ranges of indices, ascending."""
        if not uids:
            return []
        found = []
        start = 0
        for low, high in self.intervals(uids[-1]):
            start = bisect_left(uids, low, start)
            stop = bisect_right(uids, high, start)
            if start < stop:
                found.append(range(start, stop))
            start = stop
        return found

    def highest(self) -> int:
        """The largest number that is named; 0 where there is only "*"."""
        return max(max(pair) for pair in self.ranges)


def read_sequence_set(buffer: bytes, position: int) -> tuple[SequenceSet, int]:
    """A set of at most IMAP_ELEMENTS ranges, its numbers of 32 bits."""
    found = _SET.match(buffer, position)
    if found is None:
        raise SyntaxFault("a set of messages is malformed")
    members = found.group().split(b",")
    if len(members) > IMAP_ELEMENTS:
        raise SyntaxFault("a set of messages has too many ranges")
    return SequenceSet(tuple([_range(member) for member in members])), found.end()


def _range(member: bytes) -> tuple[int, int]:
    first, colon, last = member.partition(b":")
    low = _seq_number(first)
    return low, _seq_number(last) if colon else low


def _seq_number(digits: bytes) -> int:
    number = STAR if digits == b"*" else int(digits)
    if number > NUMBER_MAX:
        raise SyntaxFault("a number in a set of messages is too large")
    return number


def write_sequence_set(chosen: SequenceSet) -> bytes:
    """The set as `read_sequence_set` reads it."""
    return b",".join(_write_range(first, last) for first, last in chosen.ranges)


def write_numbers(numbers: Iterable[int]) -> bytes:
    """The shortest set of ascending numbers: 1, 2, 3 and 7 are `1:3,7`. Empty for none."""
    ranges: list[bytes] = []
    first = last = -1
    for number in numbers:
        if first >= 0 and number == last + 1:
            last = number
            continue
        if first >= 0:
            ranges.append(_write_range(first, last))
        first = last = number
    if first >= 0:
        ranges.append(_write_range(first, last))
    return b",".join(ranges)


def _write_range(first: int, last: int) -> bytes:
    if first == last:
        return b"%d" % first if first else b"*"
    return b":".join(b"%d" % number if number else b"*" for number in (first, last))
