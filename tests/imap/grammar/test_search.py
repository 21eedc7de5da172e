"""SEARCH's keys (RFC 3501 6.4.4)."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.search import (
    CHARSETS,
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
    Search,
    SearchKey,
    Size,
    Uids,
    When,
    read_search,
    write_search,
)
from postroom.imap.grammar.sets import SequenceSet
from postroom.net.limits import IMAP_ELEMENTS, IMAP_NESTING
from postroom.store.values import Flag
from tests.imap.grammar.hostile import every_cut, octets, refuses_or_reads

UNSEEN = HasFlag(Flag.SEEN, present=False)


def read(text: bytes) -> SearchKey | None:
    search, end = read_search(b"SEARCH " + text + b"\r\n", 7)
    assert end == 7 + len(text)
    return search.key


def days(year: int, month: int, day: int) -> int:
    return (date(year, month, day) - date(1970, 1, 1)).days


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (b"ALL", All()),
        (b"answered", HasFlag(Flag.ANSWERED)),
        (b"UNANSWERED", HasFlag(Flag.ANSWERED, present=False)),
        (b"DELETED", HasFlag(Flag.DELETED)),
        (b"UNDELETED", HasFlag(Flag.DELETED, present=False)),
        (b"DRAFT", HasFlag(Flag.DRAFT)),
        (b"UNDRAFT", HasFlag(Flag.DRAFT, present=False)),
        (b"FLAGGED", HasFlag(Flag.FLAGGED)),
        (b"UNFLAGGED", HasFlag(Flag.FLAGGED, present=False)),
        (b"SEEN", HasFlag(Flag.SEEN)),
        (b"UNSEEN", UNSEEN),
        (b"RECENT", IsRecent()),
        (b"OLD", IsRecent(present=False)),
        (b"NEW", And((IsRecent(), UNSEEN))),
        (b"KEYWORD $Junk", HasKeyword("$Junk")),
        (b"UNKEYWORD $Junk", HasKeyword("$Junk", present=False)),
        (b"BCC x", InHeader("BCC", "x")),
        (b"CC x", InHeader("CC", "x")),
        (b'FROM "Smith John"', InHeader("FROM", "Smith John")),
        (b"SUBJECT {3}\r\na\rb", InHeader("SUBJECT", "a\rb")),
        (b"TO x", InHeader("TO", "x")),
        (b'HEADER message-id ""', InHeader("MESSAGE-ID", "")),
        (b"BODY x", InBody("x")),
        (b"TEXT x", InText("x")),
        (b"BEFORE 1-Feb-1994", When(Relation.BEFORE, days(1994, 2, 1))),
        (b'ON "01-Feb-1994"', When(Relation.ON, days(1994, 2, 1))),
        (b"SINCE 1-Feb-1994", When(Relation.SINCE, days(1994, 2, 1))),
        (b"SENTBEFORE 1-Jan-1969", When(Relation.BEFORE, -365, sent=True)),
        (b"SENTON 1-Jan-1970", When(Relation.ON, 0, sent=True)),
        (b"SENTSINCE 1-Jan-1970", When(Relation.SINCE, 0, sent=True)),
        (b"LARGER 0", Size(0, larger=True)),
        (b"SMALLER 9223372036854775807", Size(2**63 - 1, larger=False)),
        (b"2,4:*", Numbers(SequenceSet(((2, 2), (4, 0))))),
        (b"*", Numbers(SequenceSet(((0, 0),)))),
        (b"UID 1:5", Uids(SequenceSet(((1, 5),)))),
        (b"NOT SEEN", Not(HasFlag(Flag.SEEN))),
        (b"NOT NOT SEEN", HasFlag(Flag.SEEN)),
        (b"not (not not seen)", Not(HasFlag(Flag.SEEN))),
        (b"NOT (NOT SEEN)", HasFlag(Flag.SEEN)),
        (b"OR SEEN ALL", Or((HasFlag(Flag.SEEN), All()))),
        (b"OR OR ALL SEEN OLD", Or((All(), HasFlag(Flag.SEEN), IsRecent(present=False)))),
        (b"OR ALL OR SEEN OLD", Or((All(), HasFlag(Flag.SEEN), IsRecent(present=False)))),
        (b"OR (OR ALL SEEN) (OLD)", Or((All(), HasFlag(Flag.SEEN), IsRecent(present=False)))),
        (b"OR (ALL SEEN) NOT OLD", Or((And((All(), HasFlag(Flag.SEEN))), Not(IsRecent(present=False))))),
        (b"(((ALL)))", All()),
        (b"ALL (SEEN (NEW))", And((All(), HasFlag(Flag.SEEN), IsRecent(), UNSEEN))),
        (
            b'FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"',
            And((HasFlag(Flag.FLAGGED), When(Relation.SINCE, 8797), Not(InHeader("FROM", "Smith")))),
        ),
        (b'TEXT "string not in mailbox"', InText("string not in mailbox")),
        (b"CHARSET UTF-8 TEXT {6}\r\n\xd0\xbc\xd0\xb8\xd1\x80", InText("мир")),
        (b'CHARSET "us-ascii" TEXT x', InText("x")),
        (b"TEXT {2}\r\n\xc3\xa4", InText("ä")),
    ],
)
def test_keys_are_read(text: bytes, key: SearchKey) -> None:
    assert read(text) == key
    every_cut(read_search, text)


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            b"",
            b" ",
            b"()",
            b"(",
            b"(ALL",
            b"(ALL ",
            b"ALL ",
            b"( ALL)",
            b"(ALL )",
            b"SEENX",
            b"X",
            b"FROM",
            b"FROM ",
        ),
        *(b"OR", b"OR ", b"OR ALL", b"OR ALL ", b"NOT", b"NOT ", b"HEADER x", b"KEYWORD \\Seen", b"KEYWORD (x)"),
        *(b"LARGER -1", b"LARGER x", b"LARGER 9223372036854775808", b"UID 0", b"0", b"UID x", b"UID"),
        *(b"SINCE 31-Feb-1994", b"SINCE yesterday", b"CHARSET", b"CHARSET UTF-8", b"CHARSET UTF-8 ", b"\\Seen"),
        *(b'FROM "\xc3\xa4"', b'FROM "a\0"', b"FROM {1}\r\n\0", b"TEXT {1}\r\n\xff", b"TEXT {3}\r\n\xed\xa0\x80"),
        *(
            b"CHARSET US-ASCII TEXT {2}\r\n\xc3\xa4",
            b"CHARSET UTF-8 TEXT {2}\r\n\xe4\xf6",
            b"HEADER {2}\r\n\xc3\xa4 x",
        ),
        *(
            b"CHARSET X-NONE",
            b"CHARSET X-NONE SEENX",
            b"CHARSET X-NONE FROM",
            b"4294967296",
            b"1:18446744073709551617",
        ),
    ],
)
def test_what_is_no_key_is_refused(wrong: bytes) -> None:
    with pytest.raises(SyntaxFault):
        _, end = read_search(wrong + b"\r\n", 0)
        assert end == len(wrong)
        raise AssertionError(wrong)


def test_an_unknown_charset_is_no_fault_of_the_grammar() -> None:
    assert read(b"CHARSET KOI8-R OR FROM {3}\r\n\xcd\xc9\xd2 SEEN") is None
    assert read(b'CHARSET "x y" ALL') is None


@pytest.mark.parametrize("charset", CHARSETS)
def test_known_charsets_are_known_in_any_case(charset: bytes) -> None:
    assert read(b"charset %b ALL" % charset.lower()) == All()


@pytest.mark.parametrize(
    ("level", "leaf", "end"),
    [(b"(", b"ALL", b")"), (b"NOT (", b"ALL", b")"), (b"OR ALL NOT (", b"ALL", b")"), (b"(NOT ", b"ALL", b")")],
)
def test_keys_nest_to_a_depth_and_no_further(level: bytes, leaf: bytes, end: bytes) -> None:
    each = level.count(b"(") + level.count(b"NOT") + level.count(b"OR ")
    most = IMAP_NESTING // each
    read(level * most + leaf + end * most)
    for many in (IMAP_NESTING + 1, 9_000):
        with pytest.raises(SyntaxFault):
            read(level * many + leaf + end * many)


def test_parentheses_nest_to_the_limit_and_not_one_more() -> None:
    assert read(b"(" * IMAP_NESTING + b"ALL" + b")" * IMAP_NESTING) == All()
    with pytest.raises(SyntaxFault):
        read(b"(" * (IMAP_NESTING + 1) + b"ALL" + b")" * (IMAP_NESTING + 1))


def test_long_chains_of_alternatives_are_flat() -> None:
    """What webmails make of "any of these senders"."""
    senders = [b"FROM a%d" % number for number in range(1000)]
    key = read(b"OR " * 999 + b" ".join(senders))
    assert isinstance(key, Or)
    assert len(key.keys) == 1000
    assert read(b" ".join(b"OR " + sender for sender in senders[:-1]) + b" " + senders[-1]) == key
    assert read(b"NOT " * 1001 + b"ALL") == Not(All())


def test_a_search_has_a_most_of_keys() -> None:
    assert read(b" ".join([b"ALL"] * IMAP_ELEMENTS)) == And((All(),) * IMAP_ELEMENTS)
    for many in (
        b" ".join([b"ALL"] * (IMAP_ELEMENTS + 1)),
        b"NOT " * IMAP_ELEMENTS + b"ALL",
        b"OR " * IMAP_ELEMENTS + b"ALL " * IMAP_ELEMENTS + b"ALL",
        b"(ALL) " * (IMAP_ELEMENTS // 2) + b"ALL",
    ):
        with pytest.raises(SyntaxFault):
            read(many)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
NUMBERS = st.integers(0, 2**32 - 1)
SETS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=3).map(lambda ranges: SequenceSet(tuple(ranges)))
LEAVES: st.SearchStrategy[SearchKey] = st.one_of(
    st.just(All()),
    st.builds(IsRecent, st.booleans()),
    st.builds(HasFlag, st.sampled_from(list(Flag)), st.booleans()),
    st.builds(HasKeyword, st.sampled_from(["$Junk", "x"]), st.booleans()),
    st.builds(When, st.sampled_from(Relation), st.integers(-700_000, 2_900_000), st.booleans()),
    st.builds(Size, st.integers(0, 2**63 - 1), st.booleans()),
    st.builds(InHeader, st.sampled_from(["FROM", "X-A"]), TEXTS),
    st.builds(InBody, TEXTS),
    st.builds(InText, TEXTS),
    st.builds(Numbers, SETS),
    st.builds(Uids, SETS),
)


def flat(kind: type[And] | type[Or], keys: list[SearchKey]) -> SearchKey:
    members: list[SearchKey] = []
    for key in keys:
        members += key.keys if isinstance(key, (And, Or)) and isinstance(key, kind) else (key,)
    return kind(tuple(members))


KEYS = st.recursive(
    LEAVES,
    lambda keys: st.one_of(
        keys.map(lambda key: key.key if isinstance(key, Not) else Not(key)),
        st.lists(keys, min_size=2, max_size=3).map(lambda keys: flat(And, keys)),
        st.lists(keys, min_size=2, max_size=3).map(lambda keys: flat(Or, keys)),
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(KEYS)
def test_keys_are_read_as_they_were_written(key: SearchKey) -> None:
    assert read(write_search(Search(key))) == key


@settings(deadline=None, max_examples=300)
@given(
    octets(
        [
            b'OR (FROM "x" NOT SEEN) HEADER X-Y {2}\r\nab 1:*',
            b"CHARSET UTF-8 SINCE 1-Feb-1994 LARGER 5 KEYWORD a UID 4",
            b"CHARSET ",
            b"NOT ",
            b"(",
        ]
    )
)
def test_the_reader_refuses_or_reads_whatever_comes(buffer: bytes) -> None:
    refuses_or_reads(read_search, buffer)
