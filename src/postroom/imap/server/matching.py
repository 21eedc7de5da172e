"""Whether a letter is what SEARCH asks for (RFC 3501 6.4.4), found out with as little of it as will do. Pure.

Each key becomes a `Check` of a `Candidate`: true, false, or None where not enough is known of the letter yet.
Strings are compared decoded, unfolded and by i;unicode-casemap (RFC 5051), as substrings.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from postroom.imap.grammar.dates import day_of
from postroom.imap.grammar.flags import RECENT
from postroom.imap.grammar.search import (
    All,
    And,
    HasFlag,
    HasKeyword,
    InBody,
    InHeader,
    InText,
    IsRecent,
    Not,
    Numbers,
    Or,
    Relation,
    SearchKey,
    Size,
    Uids,
    When,
)
from postroom.imap.server.candidates import Candidate, Look, Need
from postroom.imap.server.narrowing import Narrow, all_of, anybody, one_of, suspects_of
from postroom.imap.view import View
from postroom.message.text import folded
from postroom.store.search.clues import Where, clue

Check = Callable[[Candidate], bool | None]


@dataclass(frozen=True, slots=True)
class Matcher:
    """A search, made ready."""

    ranges: list[range]
    """The numbers of those letters that can match at all."""
    check: Check
    needs: frozenset[Need]
    keys: int
    """How many were asked for: what a check costs."""
    looks: tuple[Look, ...]
    """Those that the search index may know something of."""
    narrow: Narrow
    """To be called when they have been told of it."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One key, made ready."""

    check: Check
    needs: frozenset[Need]
    keys: int = 1
    looks: tuple[Look, ...] = ()
    narrow: Narrow = anybody

    @property
    def cost(self) -> tuple[Need, int]:
        """Cheap ones are tried first."""
        return max(self.needs), self.keys


def matcher(key: SearchKey, view: View) -> Matcher:
    """Make a search ready to be held against the letters of a view.

    Raises SyntaxFault for a sequence number that isn't there (RFC 3501 9).
    """
    ranges = [range(1, len(view) + 1)] if len(view) else []
    rest: list[SearchKey] = []
    narrowed = False
    for each in key.keys if isinstance(key, And) else (key,):
        if isinstance(each, Numbers | Uids) and not narrowed:
            ranges = view.chosen(each.chosen, by_uid=isinstance(each, Uids))
            narrowed = True
        elif not isinstance(each, All):
            rest.append(each)
    part = _all_of([_part(each, view) for each in rest])
    return Matcher(ranges, part.check, part.needs, part.keys, part.looks, part.narrow)


def _part(key: SearchKey, view: View) -> _Part:
    match key:
        case Not(inner):
            part = _part(inner, view)
            return _Part(_negated(part.check), part.needs, part.keys, part.looks)
        case And(keys):
            return _all_of([_part(each, view) for each in keys])
        case Or(keys):
            return _any_of([_part(each, view) for each in keys])
        case InText(text):
            return _any_of([_in_header(text), _in_body(text)])
        case InBody(text):
            return _in_body(text)
        case InHeader(name, text):
            return _in_field(name, text)
        case When(relation, day, sent):
            return _sent(relation, day) if sent else _arrived(relation, day)
        case Size(octets, larger):
            return _size(octets, larger)
        case HasFlag(flag, present):
            return _flag(int(flag), present)
        case IsRecent(present):
            return _flag(RECENT, present)
        case HasKeyword(keyword, present):
            return _keyword(keyword.lower(), present)
        case Numbers(chosen):
            return _numbered(view.chosen(chosen, by_uid=False))
        case Uids(chosen):
            return _numbered(view.chosen(chosen, by_uid=True))
        case All():
            return _all_of([])


# --- keys put together


def _negated(check: Check) -> Check:
    def negated(candidate: Candidate) -> bool | None:
        verdict = check(candidate)
        return verdict if verdict is None else not verdict

    return negated


def _all_of(parts: Sequence[_Part]) -> _Part:
    return _together(parts, until=False)


def _any_of(parts: Sequence[_Part]) -> _Part:
    return _together(parts, until=True)


def _together(parts: Sequence[_Part], *, until: bool) -> _Part:
    """Checks in the order of their cost, up to the first that says `until`."""
    parts = sorted(parts, key=lambda part: part.cost)
    checks = tuple([part.check for part in parts])

    def together(candidate: Candidate) -> bool | None:
        verdict: bool | None = not until
        for check in checks:
            each = check(candidate)
            if each is until:
                return until
            if each is None:
                verdict = None
        return verdict

    needs = frozenset([Need.VIEW]).union(*[part.needs for part in parts])
    looks = tuple(chain.from_iterable([part.looks for part in parts]))
    narrow = (one_of if until else all_of)([part.narrow for part in parts])
    check = checks[0] if len(checks) == 1 else together
    return _Part(check, needs, max(1, sum(part.keys for part in parts)), looks, narrow)


# --- what the view knows


def _flag(bit: int, present: bool) -> _Part:
    wanted = bit if present else 0
    return _Part(lambda candidate: candidate.flags & bit == wanted, frozenset([Need.VIEW]))


def _keyword(keyword: str, present: bool) -> _Part:
    def check(candidate: Candidate) -> bool:
        return (keyword in candidate.keywords.lower().split(" ")) is present

    return _Part(check, frozenset([Need.VIEW]))


def _numbered(ranges: list[range]) -> _Part:
    starts = [numbers.start for numbers in ranges]

    def check(candidate: Candidate) -> bool:
        at = bisect_right(starts, candidate.number) - 1
        return at >= 0 and candidate.number in ranges[at]

    return _Part(check, frozenset([Need.VIEW]))


# --- what the entry knows


def _size(octets: int, larger: bool) -> _Part:
    def check(candidate: Candidate) -> bool | None:
        entry = candidate.entry
        if entry is None:
            return None
        return entry.size > octets if larger else entry.size < octets

    return _Part(check, frozenset([Need.ENTRY]))


def _arrived(relation: Relation, day: int) -> _Part:
    def check(candidate: Candidate) -> bool | None:
        entry = candidate.entry
        return None if entry is None else _holds(relation, day_of(entry.internal_date, entry.zone), day)

    return _Part(check, frozenset([Need.ENTRY]))


def _holds(relation: Relation, day: int, asked: int) -> bool:
    if relation is Relation.BEFORE:
        return day < asked
    return day >= asked if relation is Relation.SINCE else day == asked


# --- what the letter knows


def _sent(relation: Relation, day: int) -> _Part:
    """By the day that the Date field names (RFC 3501 6.4.4: "disregarding time and timezone")."""

    def check(candidate: Candidate) -> bool | None:
        letter = candidate.letter
        if letter is None:
            return None
        sent, zone = letter.sent, letter.sent_zone
        return sent is not None and zone is not None and _holds(relation, day_of(sent, zone), day)

    return _Part(check, frozenset([Need.LETTER]))


# --- what stands in the letter


def _in_field(name: str, text: str) -> _Part:
    field, sought = name.encode("utf-8", "replace").lower(), folded(text)

    def look(candidate: Candidate) -> bool:
        header = candidate.header
        assert header is not None
        # What isn't in the header at all is in no field: few headers are taken apart.
        return sought in header.text() and any(sought in value for value in header.values(field))

    return _looking(Look(Need.HEADER, look, clue(Where.HEADER, sought)))


def _in_header(text: str) -> _Part:
    sought = folded(text)

    def look(candidate: Candidate) -> bool:
        assert candidate.header is not None
        return sought in candidate.header.text()

    return _looking(Look(Need.HEADER, look, clue(Where.HEADER, sought)))


def _in_body(text: str) -> _Part:
    sought = folded(text)

    def look(candidate: Candidate) -> bool:
        assert candidate.body is not None
        return sought in candidate.body

    return _looking(Look(Need.BODY, look, clue(Where.BODY, sought)))


def _looking(look: Look) -> _Part:
    needs = frozenset([Need.LETTER, look.need])
    return _Part(look, needs, 1, (look,), suspects_of(look)) if look.clue else _Part(look, needs)
