"""Flags and keywords (RFC 3501 2.3.2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.flags import (
    RECENT,
    SYSTEM_FLAGS,
    SYSTEM_NAMES,
    FlagList,
    read_flag_list,
    read_keyword,
    read_store_flags,
    write_flags,
)
from postroom.net.limits import IMAP_ELEMENTS, IMAP_KEYWORD_OCTETS, IMAP_KEYWORDS
from postroom.store.values import Flag
from tests.imap.grammar.hostile import octets, refuses_or_reads

KEYWORDS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='(){%*"\\]'), min_size=1, max_size=12
)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (b"()", FlagList()),
        (b"(\\Seen)", FlagList(Flag.SEEN)),
        (b"(\\seen \\DELETED $Forwarded)", FlagList(Flag.SEEN | Flag.DELETED, ("$Forwarded",))),
        (b"(NonJunk nonjunk Junk)", FlagList(keywords=("NonJunk", "Junk"))),
        (b"(\\Extension \\Draft)", FlagList(Flag.DRAFT)),
    ],
)
def test_flags_are_read(text: bytes, flags: FlagList) -> None:
    assert read_flag_list(text + b" x", 0) == (flags, len(text))
    assert read_store_flags(text + b"\r\n", 0) == (flags, len(text))


def test_store_may_go_without_parentheses() -> None:
    assert read_store_flags(b"\\Seen $a\r\n", 0) == (FlagList(Flag.SEEN, ("$a",)), 8)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"(",
        b"( )",
        b"(\\Seen",
        b"(\\Seen )",
        b"(\\)",
        b"(\\Recent)",
        b"(\\rEcEnt)",
        b'("x")',
        b"(a]b)",
        b"(\\*)",
    ],
)
def test_what_is_no_list_of_flags_is_refused(wrong: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_flag_list(wrong + b"\r\n", 0)


def test_a_keyword_has_a_longest_size() -> None:
    keyword = "k" * IMAP_KEYWORD_OCTETS
    assert read_keyword(keyword.encode(), 0) == (keyword, IMAP_KEYWORD_OCTETS)
    with pytest.raises(SyntaxFault):
        read_keyword(keyword.encode() + b"k", 0)


def test_a_letter_has_a_most_of_keywords() -> None:
    most = [b"k%d" % number for number in range(IMAP_KEYWORDS)]
    assert len(read_flag_list(b"(%b)" % b" ".join(most), 0)[0].keywords) == IMAP_KEYWORDS
    with pytest.raises(SyntaxFault):
        read_flag_list(b"(%b x)" % b" ".join(most), 0)


def test_a_list_of_flags_has_a_most_of_members() -> None:
    most = b" ".join([b"\\Seen"] * IMAP_ELEMENTS)
    assert read_store_flags(most + b"\r\n", 0)[0] == FlagList(Flag.SEEN)
    with pytest.raises(SyntaxFault):
        read_store_flags(most + b" \\Seen\r\n", 0)


def test_flags_are_written() -> None:
    assert write_flags(0, "") == b"()"
    assert write_flags(Flag.SEEN | Flag.DRAFT, "") == b"(\\Seen \\Draft)"
    assert write_flags(RECENT, "$a b") == b"(\\Recent $a b)"
    assert write_flags(0, "$a", recent=True) == b"(\\Recent $a)"
    assert write_flags(0, "$a") == b"($a)"
    assert write_flags(31, "")[1:-1] == SYSTEM_NAMES


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(range(32)), st.lists(KEYWORDS, max_size=5, unique_by=str.upper))
def test_flags_are_read_as_they_were_written(flags: int, keywords: list[str]) -> None:
    written = write_flags(flags, " ".join(keywords))
    assert read_flag_list(written, 0) == (FlagList(Flag(flags), tuple(keywords)), len(written))


def test_every_system_flag_is_listed() -> None:
    assert [name.upper() for name in SYSTEM_NAMES.split(b" ")] == list(SYSTEM_FLAGS)


@settings(deadline=None, max_examples=300)
@given(octets([b"(\\Seen $Forwarded x)", b"\\Seen \\Deleted", b"()"]))
def test_readers_refuse_or_read_whatever_comes(buffer: bytes) -> None:
    for read in (read_flag_list, read_store_flags, read_keyword):
        refuses_or_reads(read, buffer)
