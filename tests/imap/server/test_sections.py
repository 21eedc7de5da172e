"""What octets a section means, held against letters that are cut by splitting."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.imap.grammar.fetch import Section, Text, read_section
from postroom.imap.server.sections import (
    CHOOSER_NAMES,
    Sections,
    Span,
    choose_fields,
    chooser,
    extents,
    field_names,
    size_of,
)
from postroom.message import structure
from postroom.net.limits import HEADER_OCTETS
from postroom.store.values import Letter, MessageId, Uid
from tests.imap.server.zoo import LARGE, ZOO, naive

PREFIX = b"Return-Path: <a@example.test>\r\nDelivered-To: bob@example.test\r\n"


def letter_of(source: bytes, prefix: bytes = b"") -> Letter:
    facts = structure.parse(source)
    return Letter(
        uid=Uid(7),
        message=MessageId(1),
        email_id="M1",
        thread_id="T1",
        segment=1,
        offset=0,
        blob_size=len(source),
        crlf_size=facts.crlf_size,
        prefix=prefix,
        header_size=facts.header_size,
        sent=facts.sent,
        sent_zone=facts.sent_zone,
        internal_date=0,
        zone=0,
        save_date=0,
        envelope=facts.envelope,
        bodystructure=facts.bodystructure,
        parts=facts.parts,
    )


def cut(source: bytes, section: bytes, prefix: bytes = b"") -> bytes | None:
    span = Sections(letter_of(source, prefix)).locate(read_section(b"[%b]" % section, 0)[0])
    return None if span is None else (prefix + source)[span.start : span.end]


# --- every section of every letter


CRLF = {
    name: source for name, source in (ZOO | {"large": LARGE}).items() if b"\n" not in source.replace(b"\r\n", b"")
}


@pytest.mark.parametrize("name", CRLF)
def test_each_section_is_what_splitting_at_the_boundaries_gives(name: str) -> None:
    source = CRLF[name]
    for section, octets in naive(source).items():
        assert cut(source, section) == octets, section


@pytest.mark.parametrize("name", CRLF)
def test_a_prefix_belongs_to_the_letter_and_its_header_and_to_no_part(name: str) -> None:
    source = CRLF[name]
    for section, octets in naive(source).items():
        if section in (b"", b"HEADER"):
            octets = PREFIX + octets
        assert cut(source, section, PREFIX) == octets, section


def test_the_example_of_the_rfc_has_its_numbers() -> None:
    sections = naive(ZOO["RFC 3501"])
    for name in (
        b"1",
        b"2",
        b"3",
        b"3.HEADER",
        b"3.TEXT",
        b"3.1",
        b"3.2",
        b"4",
        b"4.1",
        b"4.1.MIME",
        b"4.2.HEADER",
    ):
        assert name in sections


def test_a_letter_with_bare_line_feeds_is_cut_where_they_stand() -> None:
    source = ZOO["bare LF"]
    assert cut(source, b"HEADER") == source[:-5]
    assert cut(source, b"TEXT") == cut(source, b"1") == b"Text\n"


@pytest.mark.parametrize(
    "section", [b"9", b"2", b"1.1", b"1.HEADER", b"1.TEXT", b"1.HEADER.FIELDS (TO)", b"1.2.3.4.5", b"4294967295"]
)
def test_a_section_that_the_letter_has_not_is_none(section: bytes) -> None:
    assert cut(ZOO["plain"], section) is None


def test_a_part_that_is_a_multipart_has_neither_header_nor_text() -> None:
    assert cut(ZOO["RFC 3501"], b"4.HEADER") is None
    assert cut(ZOO["RFC 3501"], b"4.TEXT") is None
    assert cut(ZOO["RFC 3501"], b"4.MIME") is not None


def test_the_size_counts_prefix_and_blob() -> None:
    source = ZOO["plain"]
    assert size_of(letter_of(source, PREFIX)) == len(PREFIX + source)


# --- partial


@pytest.mark.parametrize(
    ("partial", "octets"),
    [
        (None, b"3456789"),
        ((0, 3), b"345"),
        ((2, 2), b"56"),
        ((0, 7), b"3456789"),
        ((0, 100), b"3456789"),
        ((6, 1), b"9"),
        ((6, 2), b"9"),
        ((7, 1), b""),
        ((1000, 1000), b""),
        ((2**63 - 1, 2**63 - 1), b""),
    ],
)
def test_a_partial_fetch_is_cut_to_what_is_there(partial: tuple[int, int] | None, octets: bytes) -> None:
    span = Span(3, 10).part(partial)
    assert b"0123456789abc"[span.start : span.end] == octets
    assert span.size == len(octets)


# --- fields of a header


HEADER = b"From: a\r\nTo: b,\r\n c\r\nX-From: d\r\nfrom : e\r\nTo\r\n\tg\r\nSubject: To: h\r\n\r\n"


@pytest.mark.parametrize(
    ("names", "fields"),
    [
        ((b"FROM",), b"From: a\r\nfrom : e\r\n"),
        ((b"to",), b"To: b,\r\n c\r\n"),
        ((b"Subject", b"X-FROM"), b"X-From: d\r\nSubject: To: h\r\n"),
        ((b"Nothing",), b""),
        ((b"", b"To\r\n\tg\r\n"), b""),
    ],
)
def test_fields_come_whole_in_their_order_with_the_empty_line(names: tuple[bytes, ...], fields: bytes) -> None:
    assert choose_fields(HEADER, field_names(names), matching=True) == fields + b"\r\n"


def test_fields_not_named_are_all_the_others() -> None:
    chosen = choose_fields(HEADER, field_names([b"from", b"to"]), matching=False)
    assert chosen == b"X-From: d\r\nTo\r\n\tg\r\nSubject: To: h\r\n\r\n"


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (b"", b""),
        (b"\r\n", b"\r\n"),
        (b"\n", b"\n"),
        (b"A: 1\r\n", b"A: 1\r\n"),
        (b"A: 1", b"A: 1"),
        (b"B: 1\r\n\r\n", b"\r\n"),
        (b"B: 1", b""),
        (b"A: 1\nB: 2\n\n", b"A: 1\n\n"),
        (b" A: 1\r\nA: 2\r\n\r\n", b"A: 2\r\n\r\n"),
        (b"A: 1\r\n \r\n\r\n", b"A: 1\r\n \r\n\r\n"),
        (b"A: 1\r\n \r\nB: 2\r\n\r\n", b"A: 1\r\n \r\n\r\n"),
        (b"B: 1\rA: 2\r\n\r\n", b"\r\n"),
    ],
)
def test_a_header_of_any_end_keeps_it(header: bytes, chosen: bytes) -> None:
    assert choose_fields(header, frozenset([b"a"]), matching=True) == chosen


@settings(max_examples=300, deadline=None)
@given(
    header=st.lists(
        st.sampled_from(
            [b"A", b"a", b"b-", b"B", b":", b" ", b"\t", b"\r\n", b"\n", b"\r", b"\xff", b"a: 1\r\n", b"\n\n"]
        )
    ).map(b"".join),
    names=st.sets(st.sampled_from([b"a", b"b-", b"ab-", b"\xff", b"^]", b"-", b"b"])).map(frozenset),
)
def test_a_chooser_chooses_the_same(header: bytes, names: frozenset[bytes]) -> None:
    for each in (header, header + b"\n\n", header + b"\r\n\r\n"):
        assert chooser(names)(each) == choose_fields(each, names, matching=True)


def test_a_chooser_takes_linear_time_with_as_many_names_as_it_may_have() -> None:
    names = frozenset([b"a" * length for length in range(1, CHOOSER_NAMES + 1)])
    header = b"A" * 300_000 + b"\r\n" + b"a: 1\r\n" * 20_000 + b"a\n" * 50_000 + b"\n"
    assert chooser(names)(header).count(b"a: 1") == 20_000
    for more in (b"b", b"c" * 60_000):
        assert chooser(names | {more})(header + b"\n") == choose_fields(header + b"\n", names, matching=True)


def test_what_can_be_no_name_names_nothing() -> None:
    assert field_names([b"", b"a b", b"a:", b"To\r\n\tg", b"X-1", b"\xe4", b"\0"]) == {b"x-1", b"\xe4"}


@pytest.mark.parametrize("text", list(Text))
def test_one_section_alone_is_where_it_is_among_others(text: Text) -> None:
    for source in (*ZOO.values(), LARGE, b"x: " + b"y" * HEADER_OCTETS):
        letter, section = letter_of(source, PREFIX), Section(text=text)
        if text is not Text.MIME:
            assert extents([(section, None)])(letter) == (extents([(section, None)] * 2)(letter)[0],)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([b"A", b"b", b":", b" ", b"\t", b"\r\n", b"\n", b"\r", b"\xff", b"1"])).map(b"".join)
)
def test_no_octet_is_lost_between_the_named_and_the_others(header: bytes) -> None:
    names = frozenset([b"a", b"b1"])
    named = choose_fields(header, names, matching=True)
    others = choose_fields(header, names, matching=False)
    ending = choose_fields(header, frozenset(), matching=True)
    assert sorted(named + others) == sorted(header + ending)
    assert choose_fields(header, frozenset(), matching=False) == header


def test_a_long_name_and_many_fields_take_linear_time() -> None:
    header = b"A" * 300_000 + b"\r\n" + b"a: 1\r\n" * 50_000 + b"\n " * 50_000
    assert choose_fields(header, frozenset([b"a"]), matching=True).count(b"a: 1") == 50_000


def test_of_a_header_beyond_the_limit_nothing_is_looked_at() -> None:
    line = b"X: " + b"y" * 95 + b"\r\n"
    source = line * (HEADER_OCTETS // len(line) + 1) + b"\r\n"
    sections = Sections(letter_of(source))
    assert sections.locate(Section(text=Text.FIELDS, fields=(b"X",))) == Span(0, HEADER_OCTETS)
    assert sections.locate(Section(text=Text.FIELDS_NOT, fields=(b"X",))) == Span(0, HEADER_OCTETS)
    assert sections.locate(Section(text=Text.HEADER)) == Span(0, len(source))
    exact = b"x" * (HEADER_OCTETS - 4) + b"\r\n\r\n"
    assert Sections(letter_of(exact)).locate(Section(text=Text.FIELDS)) == Span(0, HEADER_OCTETS)
