"""Atoms, strings, numbers, literals (RFC 3501 9)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.imap.grammar import tokens
from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.tokens import LiteralHead
from postroom.net.limits import IMAP_BASE64_OCTETS, IMAP_TAG_OCTETS
from tests.imap.grammar.hostile import Reader, octets, refuses_or_reads

READ = [
    (tokens.read_tag, b"a001 NOOP", b"a001"),
    (tokens.read_tag, b"]. x", b"]."),
    (tokens.read_atom, b"$Forwarded)", b"$Forwarded"),
    (tokens.read_atom, b"body[x]", b"body[x"),
    (tokens.read_word, b"body.peek[", b"BODY.PEEK["),
    (tokens.read_quoted, b'"a \\"b\\" \\\\c" ', b'a "b" \\c'),
    (tokens.read_quoted, b'""', b""),
    (tokens.read_literal, b"{5}\r\na\r\nb\xff!", b"a\r\nb\xff"),
    (tokens.read_literal, b"{2+}\r\nab", b"ab"),
    (tokens.read_literal, b"{0}\r\n", b""),
    (tokens.read_literal, b"{3}\nbob", b"bob"),
    (tokens.read_string, b'"x"', b"x"),
    (tokens.read_string, b"{1}\r\nx", b"x"),
    (tokens.read_astring, b"a]b c", b"a]b"),
    (tokens.read_astring, b'"a b"', b"a b"),
    (tokens.read_list_mailbox, b"%/*", b"%/*"),
    (tokens.read_list_mailbox, b'"% %"', b"% %"),
    (tokens.read_nstring, b"nil)", None),
    (tokens.read_nstring, b'"NIL"', b"NIL"),
    (tokens.read_number, b"0007,", 7),
    (tokens.read_number, b"4294967295", 2**32 - 1),
    (tokens.read_number64, b"9223372036854775807", 2**63 - 1),
    (tokens.read_base64, b"AGJvYgBwdw==\r\n", b"\0bob\0pw"),
]

REFUSED = [
    (tokens.read_tag, b"+ NOOP"),
    (tokens.read_tag, b"* NOOP"),
    (tokens.read_tag, b""),
    (tokens.read_atom, b"]"),
    (tokens.read_atom, b"\x80"),
    (tokens.read_word, b"(x"),
    (tokens.read_quoted, b'"a\0b"'),
    (tokens.read_quoted, b'"a\r\nb"'),
    (tokens.read_quoted, b'"a\\b"'),
    (tokens.read_quoted, b'"a\\'),
    (tokens.read_quoted, b'"a\\"'),
    (tokens.read_quoted, b'"\xc3\xa4"'),
    (tokens.read_quoted, b'"open'),
    (tokens.read_literal, b"{2}\r\na"),
    (tokens.read_literal, b"{1}\r\n\0"),
    (tokens.read_literal, b"{-1}\r\n"),
    (tokens.read_literal, b"{1_0}\r\n0123456789"),
    (tokens.read_literal, b"{\xd9\xa1}\r\nx"),
    (tokens.read_literal, b"{1}x"),
    (tokens.read_literal, b"{18446744073709551617}\r\nx"),
    (tokens.read_literal, b"{" + b"1" * 5000 + b"}\r\nx"),
    (tokens.read_astring, b"(x)"),
    (tokens.read_nstring, b"nul"),
    (tokens.read_number, b"4294967296"),
    (tokens.read_number, b"+1"),
    (tokens.read_number, b"\xc2\xb2"),
    (tokens.read_number64, b"9223372036854775808"),
    (tokens.read_number64, b"99999999999999999999"),
]


@pytest.mark.parametrize(("read", "buffer", "value"), READ)
def test_a_word_is_read_in_the_midst_of_a_buffer(read: Reader, buffer: bytes, value: object) -> None:
    end = read(buffer, 0)[1]  # type: ignore[index]
    assert read(b"12345" + buffer, 5) == (value, end + 5)


@pytest.mark.parametrize(("read", "buffer"), REFUSED)
def test_what_is_no_word_is_refused(read: Reader, buffer: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read(b"12345" + buffer, 5)


def test_quoted_utf8_is_read_where_it_is_allowed() -> None:
    assert tokens.read_quoted('"ä\\""'.encode(), 0, utf8=True) == ('ä"'.encode(), 6)
    for wrong in (b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"'):
        with pytest.raises(SyntaxFault):
            tokens.read_quoted(wrong, 0, utf8=True)


def test_a_number_of_many_digits_is_read_by_its_first_twenty_and_refused() -> None:
    with pytest.raises(SyntaxFault):
        tokens.read_number64(b"9" * 5000, 0)
    assert tokens.read_number64(b"0" * 19 + b"7", 0) == (7, 20)


def test_a_tag_has_a_longest_size() -> None:
    tag = b"t" * IMAP_TAG_OCTETS
    assert tokens.read_tag(tag + b" NOOP", 0) == (tag, IMAP_TAG_OCTETS)
    with pytest.raises(SyntaxFault):
        tokens.read_tag(tag + b"t NOOP", 0)


def test_base64_has_a_longest_size() -> None:
    encoded = base64.b64encode(b"x" * (IMAP_BASE64_OCTETS // 4 * 3))
    assert len(encoded) == IMAP_BASE64_OCTETS
    assert tokens.read_base64(encoded, 0)[1] == IMAP_BASE64_OCTETS
    with pytest.raises(SyntaxFault):
        tokens.read_base64(encoded + b"eHh4", 0)


@pytest.mark.parametrize(
    ("line", "head"),
    [
        (b"a LOGIN {3}\r\n", LiteralHead(3, False, False)),
        (b"a LOGIN {3+}\r\n", LiteralHead(3, True, False)),
        (b"a APPEND x ~{03}\r\n", LiteralHead(3, False, True)),
        (b"a APPEND x {3}\n", LiteralHead(3, False, False)),
        (b"a X {" + b"9" * 5000 + b"+}\r\n", LiteralHead(2**63 - 1, True, False)),
        (b"a X {" + b"0" * 5000 + b"1}\r\n", LiteralHead(1, False, False)),
        (b"a X {9223372036854775808}\r\n", LiteralHead(2**63 - 1, False, False)),
        (b"a X {3} \r\n", None),
        (b'a X "{3}"\r\n', None),
        (b"a X {}\r\n", None),
        (b"a X {-3}\r\n", None),
        (b"a X {3}", None),
        (b"", None),
    ],
)
def test_a_literal_is_announced_at_the_end_of_a_line_only(line: bytes, head: LiteralHead | None) -> None:
    assert tokens.literal_at_end(line) == head


def test_the_head_of_a_literal_is_the_last_thing_in_the_buffer() -> None:
    assert tokens.read_literal_head(b"x {310+}\r\n", 2) == LiteralHead(310, True, False)
    for wrong in (b"x {310+}\r\ny", b"x  {310}\r\n", b"x 310\r\n"):
        with pytest.raises(SyntaxFault):
            tokens.read_literal_head(wrong, 2)


def test_a_list_goes_on_or_ends() -> None:
    assert tokens.read_next(b" x", 0) == (True, 1)
    assert tokens.read_next(b")", 0) == (False, 1)
    for wrong in (b"", b"x", b"\r\n"):
        with pytest.raises(SyntaxFault):
            tokens.read_next(wrong, 0)


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_command_ends_with_its_line(end: bytes) -> None:
    tokens.read_end(b"NOOP" + end, 4)
    for wrong in (b"NOOP " + end, b"NOOP" + end + b"x", b"NOOP", b"NOOP\r\r\n", b"NOOP\r"):
        with pytest.raises(SyntaxFault):
            tokens.read_end(wrong, 4)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=40).filter(lambda value: b"\0" not in value))
def test_strings_are_read_as_they_were_written(value: bytes) -> None:
    for write, read in (
        (tokens.write_string, tokens.read_string),
        (tokens.write_astring, tokens.read_astring),
    ):
        written = write(value)
        assert read(written + b" x", 0) == (value, len(written))


@given(st.text(max_size=20).map(str.encode))
@settings(deadline=None, max_examples=200)
def test_stored_octets_never_break_out_of_their_string(value: bytes) -> None:
    written = tokens.write_string(value)
    if written.startswith(b'"'):
        assert all(0x20 <= octet < 0x7F for octet in written)
    else:
        assert written == b"{%d}\r\n%b" % (len(value), value)


def test_long_strings_are_written_as_literals_and_nil_as_a_string() -> None:
    longest = b"x" * tokens.QUOTED_MAX
    assert tokens.write_string(longest) == b'"%b"' % longest
    assert tokens.write_string(longest + b"x").startswith(b"{1001}\r\n")
    assert tokens.write_astring(b"nil") == b'"nil"'
    assert tokens.write_astring(b"") == b'""'


READERS: list[Reader] = [
    tokens.read_tag,
    tokens.read_atom,
    tokens.read_word,
    tokens.read_quoted,
    tokens.read_literal,
    tokens.read_string,
    tokens.read_astring,
    tokens.read_list_mailbox,
    tokens.read_nstring,
    tokens.read_number,
    tokens.read_number64,
    tokens.read_base64,
    tokens.read_literal_head,
    tokens.read_open,
    tokens.read_next,
    tokens.read_space,
    tokens.read_end,
]


@settings(deadline=None, max_examples=300)
@given(octets([buffer for _, buffer, _ in READ]), st.integers(0, 5))
def test_readers_refuse_or_read_whatever_comes(buffer: bytes, position: int) -> None:
    for read in READERS:
        refuses_or_reads(read, buffer, position)
    tokens.literal_at_end(buffer)
