"""Whether a letter matches, and how little of it had to be known for that."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.imap.grammar.commands import read_search
from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.server.candidates import Candidate, Header, Need
from postroom.imap.server.matching import matcher
from postroom.imap.view import View
from postroom.message import structure
from postroom.message.text import body_text, folded
from postroom.store.values import Entry, Flag, Letter, MessageId, ModSeq, Uid

DAY = 86_400
SENT = b"Tue, 01 Jul 2003 23:52:37 -0700"
"""On 2 July in UTC."""
SOURCE = (
    b"From: =?utf-8?q?J=C3=BCrgen?= Smith <js@example.test>\r\n"
    b"To: Bob <bob@example.test>,\r\n carol@example.test\r\n"
    b"Cc: dave@example.test\r\nBcc: eve@example.test\r\nSubject: The plan =?iso-8859-1?q?f=FCr?=\r\n\t2003\r\n"
    b"Date: " + SENT + b"\r\nX-Empty:\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZSBhdXMgS8O2bG4sIGEgc2VjcmV0\r\n"
)


@dataclass
class Known:
    """What was asked of the letter until it was decided."""

    verdict: bool
    need: Need


def view_of(*entries: Entry) -> View:
    view = View(ModSeq(1))
    view.load(entries)
    view.opening()
    return view


def entry(uid: int, flags: int = 0, keywords: str = "", at: int = 0, zone: int = 0, size: int = 100) -> Entry:
    return Entry(Uid(uid), flags, keywords, ModSeq(1), at, zone, size)


def decide(
    arguments: bytes, view: View, number: int = 1, source: bytes = SOURCE, one: Entry | None = None
) -> Known:
    """Go the way that the searcher goes."""
    search = read_search(b" %b\r\n" % arguments, 0)
    assert search.key is not None
    asked = matcher(search.key, view)
    if not any(number in numbers for numbers in asked.ranges):
        return Known(False, Need.VIEW)
    candidate = Candidate(number, view.uid_of(number), view.flags_at(number), view.keywords_at(number))
    if (verdict := asked.check(candidate)) is not None:
        return Known(verdict, Need.VIEW)
    facts = structure.parse(source)
    candidate.search_on(10**6)
    if Need.ENTRY in asked.needs:
        candidate.entry = one or entry(view.uid_of(number))
        if (verdict := asked.check(candidate)) is not None:
            return Known(verdict, Need.ENTRY)
    assert Need.LETTER in asked.needs
    sent = (facts.sent, facts.sent_zone)
    rest = (b"", facts.header_size, *sent, 0, 0, 0, facts.envelope, facts.bodystructure, facts.parts)
    candidate.letter = Letter(
        view.uid_of(number), MessageId(1), "M1", "T1", 1, 0, len(source), facts.crlf_size, *rest
    )
    need = Need.LETTER
    candidate.search_on(10**6)
    while (verdict := asked.check(candidate)) is None:
        look = candidate.asked
        assert look is not None
        assert look.need in asked.needs
        need = max(need, look.need)
        if look.need is Need.HEADER:
            assert candidate.header is None
            candidate.header = Header(source[: facts.header_size])
        else:
            assert candidate.body is None
            candidate.body = folded(body_text(source, facts.parts))
        candidate.search_on(10**6)
    return Known(verdict, need)


# --- flags and sets


FLAGS = {
    b"ANSWERED": Flag.ANSWERED,
    b"DELETED": Flag.DELETED,
    b"DRAFT": Flag.DRAFT,
    b"FLAGGED": Flag.FLAGGED,
    b"SEEN": Flag.SEEN,
}


@pytest.mark.parametrize("word", FLAGS)
def test_flags_are_known_from_the_view(word: bytes) -> None:
    view = view_of(entry(1, FLAGS[word]), entry(2, 31 & ~FLAGS[word]))
    for number, has in ((1, True), (2, False)):
        assert decide(word, view, number) == Known(has, Need.VIEW)
        assert decide(b"UN" + word, view, number) == Known(not has, Need.VIEW)


def test_recent_letters_are_this_sessions() -> None:
    view = View(ModSeq(1))
    view.load([entry(1), entry(2), entry(3, Flag.SEEN)])
    view.recent(Uid(2))
    view.opening()
    words = {b"RECENT": (0, 1, 1), b"OLD": (1, 0, 0), b"NEW": (0, 1, 0), b"NOT NEW": (1, 0, 1)}
    for word, expected in words.items():
        assert tuple(decide(word, view, number) == Known(True, Need.VIEW) for number in (1, 2, 3)) == expected


def test_keywords_are_compared_whole_and_without_case() -> None:
    view = view_of(entry(1, keywords="$Forwarded Work"), entry(2))
    for word, expected in ((b"work", True), (b"$FORWARDED", True), (b"$Forward", False), (b"other", False)):
        assert decide(b"KEYWORD " + word, view) == Known(expected, Need.VIEW)
        assert decide(b"UNKEYWORD " + word, view) == Known(not expected, Need.VIEW)
        assert decide(b"UNKEYWORD " + word, view, 2) == Known(True, Need.VIEW)


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (b"ALL", {1, 2, 3}),
        (b"1,3", {1, 3}),
        (b"2:*", {2, 3}),
        (b"NOT 1,3", {2}),
        (b"UID 20", {2}),
        (b"UID 11:29,1000", {2}),
        (b"UID 31:*", {3}),
        (b"NOT UID 1:20", {3}),
        (b"1:2 UID 20:30", {2}),
        (b"OR 1 UID 30", {1, 3}),
        (b"UID 4000000000", {3} - {3}),
        (b"NOT ALL", set()),
        (b"(1) (2)", set()),
    ],
)
def test_sets_choose_by_number_and_uid(arguments: bytes, numbers: set[int]) -> None:
    view = view_of(entry(10), entry(20), entry(30))
    assert {n for n in (1, 2, 3) if decide(arguments, view, n).verdict} == numbers


@pytest.mark.parametrize("arguments", [b"4", b"NOT 1:4", b"OR 1 (ALL 4)"])
def test_a_number_that_is_not_there_is_a_fault(arguments: bytes) -> None:
    with pytest.raises(SyntaxFault):
        decide(arguments, view_of(entry(10), entry(20), entry(30)))


def test_sets_that_stand_alone_narrow_the_letters_that_are_looked_at() -> None:
    view = view_of(*[entry(uid) for uid in range(1, 1001)])
    search = read_search(b' UID 500:501 SUBJECT "x"\r\n', 0)
    assert search.key is not None
    assert matcher(search.key, view).ranges == [range(500, 502)]


# --- sizes and dates


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [(b"LARGER 99", True), (b"LARGER 100", False), (b"SMALLER 100", False), (b"SMALLER 101", True)],
)
def test_a_size_is_larger_or_smaller_and_never_just_as_large(arguments: bytes, verdict: bool) -> None:
    assert decide(arguments, view_of(entry(1))) == Known(verdict, Need.ENTRY)


@pytest.mark.parametrize(
    ("at", "zone", "day"),
    [(0, 0, 1), (DAY - 1, 0, 1), (DAY, 0, 2), (DAY - 1, 60, 2), (DAY, -1, 1), (DAY + 3600, -120, 1)],
)
def test_the_internal_date_is_that_of_its_own_zone(at: int, zone: int, day: int) -> None:
    one = entry(1, at=at, zone=zone)
    for asked in (1, 2, 3):
        for word, verdict in ((b"BEFORE", day < asked), (b"ON", day == asked), (b"SINCE", day >= asked)):
            known = decide(b"%b %d-Jan-1970" % (word, asked), view_of(one), one=one)
            assert known == Known(verdict, Need.ENTRY)


@pytest.mark.parametrize("asked", [1, 2, 3])
@pytest.mark.parametrize(
    ("date", "day"),
    [
        (SENT, 1),
        (b"2 Jul 2003 00:00:00 +0000", 2),
        (b"2 Jul 2003 00:30:00 +1400", 2),
        (b"2 Jul 2003 23:59:60 -1200", 3),
        (b"1 Jul 2003 23:30:00 EST", 1),
        (b"2 Jul 2003", 2),
        (b"2 Jul 2003 12:00:00 +9959", 2),
    ],
)
def test_the_date_field_counts_as_it_is_written(date: bytes, day: int, asked: int) -> None:
    source = b"Date: " + date + b"\r\n\r\n"
    for word, verdict in ((b"BEFORE", day < asked), (b"ON", day == asked), (b"SINCE", day >= asked)):
        known = decide(b"SENT%b %d-Jul-2003" % (word, asked), view_of(entry(1)), source=source)
        assert known == Known(verdict, Need.LETTER)


@pytest.mark.parametrize("source", [b"Subject: undated\r\n\r\n", b"Date: never\r\n\r\n"])
def test_a_letter_without_a_date_was_sent_on_no_day(source: bytes) -> None:
    for word in (b"BEFORE", b"ON", b"SINCE"):
        assert decide(b"SENT%b 1-Jul-2003" % word, view_of(entry(1)), source=source) == Known(False, Need.LETTER)


# --- what stands in the letter


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        (b"FROM smith", True),
        (b"FROM {7}\r\nj\xc3\xbcrgen", True),
        (b"FROM {7}\r\nJ\xc3\x9cRGEN", True),
        (b"FROM bob", False),
        (b"TO BOB", True),
        (b'TO "bob@example.test>, carol"', True),
        (b"CC dave", True),
        (b"CC bob", False),
        (b"BCC eve", True),
        (b"SUBJECT {9}\r\nf\xc3\xbcr\t2003", True),
        (b'SUBJECT "the PLAN"', True),
        (b'SUBJECT ""', True),
        (b'HEADER X-Empty ""', True),
        (b'HEADER X-Other ""', False),
        (b"HEADER x-empty x", False),
        (b'HEADER "From " smith', False),
        (b"HEADER date jul", True),
        (b"HEADER date example", False),
    ],
)
def test_a_field_is_held_against_the_text_decoded_and_unfolded(arguments: bytes, verdict: bool) -> None:
    assert decide(arguments, view_of(entry(1))) == Known(verdict, Need.HEADER)


@pytest.mark.parametrize(
    ("arguments", "verdict", "need"),
    [
        (b"BODY {9}\r\nGR\xc3\x9c\xc3\x9fE a", True, Need.BODY),
        (b"BODY {6}\r\nk\xc3\xb6ln,", True, Need.BODY),
        (b"BODY smith", False, Need.BODY),
        (b"BODY R3LD", False, Need.BODY),
        (b"TEXT smith", True, Need.HEADER),
        (b"TEXT x-empty", True, Need.HEADER),
        (b"TEXT secret", True, Need.BODY),
        (b"TEXT nowhere", False, Need.BODY),
        (b"NOT BODY secret", False, Need.BODY),
        (b'BODY ""', True, Need.BODY),
    ],
)
def test_the_text_is_looked_into_where_the_header_does_not_decide(
    arguments: bytes, verdict: bool, need: Need
) -> None:
    assert decide(arguments, view_of(entry(1))) == Known(verdict, need)


@pytest.mark.parametrize(
    ("arguments", "verdict", "need"),
    [
        (b"BODY secret SEEN", False, Need.VIEW),
        (b"OR BODY secret UNSEEN", True, Need.VIEW),
        (b"BODY secret LARGER 100", False, Need.ENTRY),
        (b"BODY secret SENTSINCE 1-Jan-2010", False, Need.LETTER),
        (b"BODY secret FROM nobody", False, Need.HEADER),
        (b"NOT (BODY secret SEEN)", True, Need.VIEW),
        (b"OR (BODY x SEEN) (BODY y ANSWERED)", False, Need.VIEW),
        (b"(OR SEEN BODY secret) (OR ANSWERED LARGER 1000)", False, Need.ENTRY),
        (b"FROM smith TO bob BODY secret", True, Need.BODY),
        (b"OR BODY secret OR SUBJECT plan SEEN", True, Need.HEADER),
    ],
)
def test_the_cheapest_key_that_decides_is_asked_first(arguments: bytes, verdict: bool, need: Need) -> None:
    assert decide(arguments, view_of(entry(1))) == Known(verdict, need)


# --- all of it together


LEAVES = {
    b"SEEN": True,
    b"UNSEEN": False,
    b"LARGER 99": True,
    b"SMALLER 5": False,
    b"SENTBEFORE 1-Jan-2004": True,
    b"SENTON 2-Jul-2003": False,
    b"FROM smith": True,
    b"FROM nobody": False,
    b"BODY secret": True,
    b"TEXT nowhere": False,
}
Key = tuple[bytes, bool]


def negated(key: Key) -> Key:
    return b"NOT " + key[0], not key[1]


def either(keys: tuple[Key, Key]) -> Key:
    return b"OR %b %b" % (keys[0][0], keys[1][0]), keys[0][1] or keys[1][1]


def both(keys: list[Key]) -> Key:
    return b"(%b)" % b" ".join(key for key, _ in keys), all(value for _, value in keys)


KEYS = st.recursive(
    st.sampled_from(list(LEAVES.items())),
    lambda inner: st.one_of(
        inner.map(negated), st.tuples(inner, inner).map(either), st.lists(inner, min_size=1, max_size=4).map(both)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(KEYS)
def test_any_combination_is_what_logic_makes_of_it(key: Key) -> None:
    arguments, verdict = key
    assert decide(arguments, view_of(entry(1, Flag.SEEN))).verdict is verdict


def test_a_look_waits_for_its_turn_where_much_was_looked_through() -> None:
    view = view_of(entry(1))
    search = read_search(b" NOT HEADER A x NOT HEADER B x NOT HEADER C x\r\n", 0)
    assert search.key is not None
    asked = matcher(search.key, view)
    candidate = Candidate(1, 1, 0, "", header=Header(b"A: 1\r\n\r\n"))
    turns = 0
    candidate.search_on(1)
    while asked.check(candidate) is None:
        turns += 1
        assert len(candidate.looks) == turns
        candidate.search_on(1)
    assert turns == 2
