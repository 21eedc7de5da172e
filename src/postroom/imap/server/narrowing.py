"""Which letters a whole SEARCH can match, by what the search index said of its words. Pure.

Each key becomes a `Narrow`: the indexed letters that it can be true of, or None for any. So the letters of a large
mailbox that are ruled out are never so much as counted; those that remain are checked one by one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from postroom.imap.server.candidates import Look
from postroom.imap.view import View

__all__ = ["Narrow", "all_of", "anybody", "first_behind", "numbers_of", "one_of", "runs_within", "suspects_of"]

Narrow: TypeAlias = "Callable[[], array[int] | None]"
"""UIDs, ascending."""


def anybody() -> None:
    """Of a key that says nothing."""


def suspects_of(look: Look) -> Narrow:
    """Of one word."""
    return lambda: None if look.suspects is None else look.suspects.uids


def all_of(parts: Sequence[Narrow]) -> Narrow:
    """Where all must hold: the shortest of their lists. To cut it by the others would cost as much as checking."""
    parts = _that_say_something(parts)
    if not parts:
        return anybody
    return lambda: min([found for part in parts if (found := part()) is not None], key=len, default=None)


def one_of(parts: Sequence[Narrow]) -> Narrow:
    """Where one will do: all of theirs."""
    if len(_that_say_something(parts)) < len(parts) or not parts:
        return anybody

    def narrow() -> array[int] | None:
        found = array("I")
        for part in parts:
            uids = part()
            if uids is None:
                return None
            found += uids
        return array("I", dict.fromkeys(sorted(found)))

    return narrow


def _that_say_something(parts: Sequence[Narrow]) -> list[Narrow]:
    return [part for part in parts if part is not anybody]


def first_behind(uid: int, view: View) -> int:
    """The sequence number of the first letter with a UID above this one; where there is none, that of the next to
    come."""
    return 1 + bisect_right(range(1, len(view) + 1), uid, key=view.uid_of)


def numbers_of(uids: Iterable[int], view: View) -> list[int]:
    """Sequence numbers of those UIDs that the view has, ascending as they do."""
    return [number for number in map(view.number_of, uids) if number is not None]


def runs_within(numbers: Iterable[int], ranges: Sequence[range]) -> Iterator[range]:
    """Those ascending numbers that lie in ascending ranges, as ranges.

    >>> list(runs_within([1, 2, 3, 7, 9], [range(2, 8)]))
    [range(2, 4), range(7, 8)]
    """
    at = 0
    start = stop = 0
    for number in numbers:
        while at < len(ranges) and number >= ranges[at].stop:
            at += 1
        if at == len(ranges):
            break
        if number < ranges[at].start:
            continue
        if number != stop:
            if stop:
                yield range(start, stop)
            start = number
        stop = number + 1
    if stop:
        yield range(start, stop)
