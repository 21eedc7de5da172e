"""FETCH's items and sections (RFC 3501 6.4.5)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.fetch import (
    Body,
    FetchItem,
    Item,
    Section,
    Text,
    read_fetch_items,
    read_section,
    write_section,
)
from postroom.net.limits import IMAP_ELEMENTS, MIME_DEPTH
from tests.imap.grammar.hostile import every_cut, octets, refuses_or_reads

FAST = (Item.FLAGS, Item.INTERNALDATE, Item.SIZE)


def read(text: bytes) -> tuple[FetchItem, ...]:
    items, end = read_fetch_items(text + b"\r\n", 0)
    assert end == len(text)
    return items


@pytest.mark.parametrize(
    ("text", "items"),
    [
        (b"FAST", FAST),
        (b"all", (*FAST, Item.ENVELOPE)),
        (b"FULL", (*FAST, Item.ENVELOPE, Item.BODY)),
        (b"BODY", (Item.BODY,)),
        (b"(bodystructure Uid)", (Item.BODYSTRUCTURE, Item.UID)),
        (b"(UID FLAGS UID)", (Item.UID, Item.FLAGS)),
        (b"RFC822", (Body(Section(), name=b"RFC822"),)),
        (b"RFC822.HEADER", (Body(Section(text=Text.HEADER), peek=True, name=b"RFC822.HEADER"),)),
        (b"RFC822.TEXT", (Body(Section(text=Text.TEXT), name=b"RFC822.TEXT"),)),
        (b"RFC822.SIZE", (Item.SIZE,)),
        (b"BODY[]", (Body(Section(), name=b"BODY[]"),)),
        (b"BODY[]<0.2048>", (Body(Section(), partial=(0, 2048), name=b"BODY[]<0>"),)),
        (b"body.peek[1.mime]", (Body(Section((1,), Text.MIME), peek=True, name=b"BODY[1.MIME]"),)),
        (b"BODY[4.2.2.1]", (Body(Section((4, 2, 2, 1)), name=b"BODY[4.2.2.1]"),)),
        (b"BODY[3.HEADER]", (Body(Section((3,), Text.HEADER), name=b"BODY[3.HEADER]"),)),
        (
            b"BODY.PEEK[HEADER.FIELDS (Date from)]",
            (Body(Section((), Text.FIELDS, (b"Date", b"from")), True, None, b"BODY[HEADER.FIELDS (Date from)]"),),
        ),
        (
            b'(FLAGS BODY[1.HEADER.FIELDS.NOT ("a b" c)]<7.9> UID)',
            (
                Item.FLAGS,
                Body(
                    Section((1,), Text.FIELDS_NOT, (b"a b", b"c")),
                    partial=(7, 9),
                    name=b'BODY[1.HEADER.FIELDS.NOT ("a b" c)]<7>',
                ),
                Item.UID,
            ),
        ),
        (
            b"BODY[HEADER.FIELDS ({3}\r\nX\x81Y)]",
            (Body(Section((), Text.FIELDS, (b"X\x81Y",)), name=b"BODY[HEADER.FIELDS ({3}\r\nX\x81Y)]"),),
        ),
        (
            b"BODY[]<9223372036854775807.1>",
            (Body(Section(), partial=(2**63 - 1, 1), name=b"BODY[]<9223372036854775807>"),),
        ),
    ],
)
def test_items_are_read(text: bytes, items: tuple[FetchItem, ...]) -> None:
    assert read(text) == items
    every_cut(read_fetch_items, text)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"()",
        b"(FLAGS",
        b"(FLAGS )",
        b"(FAST)",
        b"(ALL UID)",
        b"FLAGSX",
        b"X",
        b"BODY.PEEK",
        b"BODYSTRUCTURE[1]",
        b"BODYX[]",
        b"BODY.PEEKX[]",
        b"BODY[",
        b"BODY[0]",
        b"BODY[1.]",
        b"BODY[.1]",
        b"BODY[1..2]",
        b"BODY[01]",
        b"BODY[MIME]",
        b"BODY[1.X]",
        b"BODY[TEXT.1]",
        b"BODY[1TEXT]",
        b"BODY[HEADER.FIELDS]",
        b"BODY[HEADER.FIELDS ()]",
        b"BODY[HEADER (A)]",
        b"BODY[HEADER.FIELDS(A)]",
        b"BODY[ ]",
        b"BODY[4294967296]",
        b"BODY[1.99999999999]",
        b"BODY[]<0>",
        b"BODY[]<0.0>",
        b"BODY[]<1.2",
        b"BODY[]<-1.2>",
        b"BODY[]<.2>",
        b"BODY[]<0.9223372036854775808>",
        b"BODY[]<99999999999999999999.1>",
        b"RFC822[]",
        b"RFC822.PEEK",
    ],
)
def test_what_is_no_item_is_refused(wrong: bytes) -> None:
    with pytest.raises(SyntaxFault):
        items, end = read_fetch_items(wrong + b"\r\n", 0)
        assert end == len(wrong), items
        raise AssertionError(items)


def test_a_section_has_a_most_of_levels() -> None:
    path = b".".join([b"1"] * MIME_DEPTH)
    assert read_section(b"[%b]" % path, 0)[0] == Section((1,) * MIME_DEPTH)
    with pytest.raises(SyntaxFault):
        read_section(b"[%b.1]" % path, 0)


def test_lists_have_a_most_of_members() -> None:
    assert read(b"(%b)" % b" ".join([b"UID"] * IMAP_ELEMENTS)) == (Item.UID,)
    with pytest.raises(SyntaxFault):
        read(b"(%b)" % b" ".join([b"UID"] * (IMAP_ELEMENTS + 1)))
    fields = b" ".join([b"X"] * IMAP_ELEMENTS)
    assert len(read_section(b"[HEADER.FIELDS (%b)]" % fields, 0)[0].fields) == IMAP_ELEMENTS
    with pytest.raises(SyntaxFault):
        read_section(b"[HEADER.FIELDS (%b X)]" % fields, 0)


PATHS = st.lists(st.integers(1, 2**32 - 1), max_size=5).map(tuple)
FIELDS = st.lists(
    st.binary(min_size=1, max_size=8).filter(lambda field: b"\0" not in field), min_size=1, max_size=3
)
SECTIONS = st.one_of(
    st.builds(Section, PATHS, st.sampled_from([Text.ALL, Text.HEADER, Text.TEXT])),
    st.builds(Section, PATHS.filter(bool), st.just(Text.MIME)),
    st.builds(Section, PATHS, st.sampled_from([Text.FIELDS, Text.FIELDS_NOT]), FIELDS.map(tuple)),
)


@settings(deadline=None, max_examples=200)
@given(SECTIONS)
def test_sections_are_read_as_they_were_written(section: Section) -> None:
    written = write_section(section)
    assert read_section(written, 0) == (section, len(written))
    assert read(b"BODY.PEEK" + written) == (Body(section, peek=True, name=b"BODY" + written),)


@settings(deadline=None, max_examples=300)
@given(octets([b'(FLAGS BODY[1.HEADER.FIELDS.NOT ("a b" c)]<7.9> UID)', b"BODY.PEEK[1.MIME]", b"FULL"]))
def test_the_reader_refuses_or_reads_whatever_comes(buffer: bytes) -> None:
    refuses_or_reads(read_fetch_items, buffer)
