from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.octets import crlf_size
from postroom.pop3.grammar import (
    Lines,
    SyntaxFault,
    read_command,
    read_number,
    read_top,
    write_error,
    write_ok,
)


@pytest.mark.parametrize(
    ("line", "keyword", "argument"),
    [
        (b"STAT\r\n", b"STAT", b""),
        (b"stat \r\n", b"STAT", b""),
        (b"Retr 1\r\n", b"RETR", b"1"),
        (b"PASS  two words \r\n", b"PASS", b" two words "),
        (b"PASS \xff\tx\r\n", b"PASS", b"\xff\tx"),
        (b"top 1  10\r\n", b"TOP", b"1  10"),
    ],
)
def test_a_command_is_a_keyword_and_what_follows_its_space(line: bytes, keyword: bytes, argument: bytes) -> None:
    assert read_command(line) == (keyword, argument)


@pytest.mark.parametrize(
    "line",
    [b"", b"\r\n", b"NOOP\n", b"NOOP", b" NOOP\r\n", b"NOOP\r\r\n", b"NO\x00OP\r\n", b"NOOP \x00\r\n", b"\xff\r\n"],
)
def test_other_lines_are_no_commands(line: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_command(line)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.booleans())
def test_any_line_is_a_command_or_a_syntax_fault(line: bytes, ended: bool) -> None:
    try:
        keyword, argument = read_command(line + b"\r\n" * ended)
    except SyntaxFault:
        return
    assert keyword == keyword.upper()
    assert b"\n" not in keyword + argument
    assert b"\r" not in keyword + argument


@pytest.mark.parametrize(("word", "number"), [(b"1", 1), (b"007", 7), (b"9" * 20, int("9" * 20))])
def test_a_number_is_digits(word: bytes, number: int) -> None:
    assert read_number(word) == number


@pytest.mark.parametrize("word", [b"", b"-1", b"+1", b"1_0", b" 1", b"1.0", b"x", b"\xd9\xa1", b"\xb2", b"9" * 21])
def test_what_int_would_take_beside_digits_is_no_number(word: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_number(word)


def test_top_takes_two_numbers() -> None:
    assert read_top(b"1 0") == (1, 0)
    assert read_top(b"1  " + b"9" * 20) == (1, int("9" * 20))
    for argument in (b"1", b"1 2 3", b"1 -1", b"x 1", b"1 " + b"9" * 5000):
        with pytest.raises(SyntaxFault):
            read_top(argument)


def test_no_text_begins_a_line_of_its_own() -> None:
    assert write_ok("a\r\n+OK \u00e4") == b"+OK a??+OK ?\r\n"
    assert write_error("", "no") == b"-ERR no\r\n"
    assert write_error("SYS/TEMP", "a\nb") == b"-ERR [SYS/TEMP] a?b\r\n"


# --- letters as lines


def sent(letter: bytes, top: int | None = None, *, cut: int = 0) -> bytes:
    """A letter through `Lines`, whole or in pieces of `cut` octets."""
    lines = Lines(top)
    pieces = [letter[at : at + cut] for at in range(0, len(letter), cut)] if cut else [letter]
    return b"".join([*map(lines.feed, pieces), lines.finish()])


def received(octets: bytes) -> bytes:
    """What a client makes of it (RFC 1939 3)."""
    assert octets == b"" or octets.endswith(b"\r\n")
    lines = octets.split(b"\r\n")[:-1]
    assert b"." not in lines
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("letter", "wanted"),
    [
        (b"", b""),
        (b"a", b"a\r\n"),
        (b"a\r\n", b"a\r\n"),
        (b"a\n", b"a\r\n"),
        (b"a\r", b"a\r\n"),
        (b"a\r\r\nb", b"a\r\n\r\nb\r\n"),
        (b"a\n\rb", b"a\r\n\r\nb\r\n"),
        (b".\r\n", b"..\r\n"),
        (b"..\n.\n.", b"...\r\n..\r\n..\r\n"),
        (b"a\r.\rb", b"a\r\n..\r\nb\r\n"),
        (b"a\n.\n\nb", b"a\r\n..\r\n\r\nb\r\n"),
        (b"a.\r\nb", b"a.\r\nb\r\n"),
        (b"\r\n.a\r\n\r\n.", b"\r\n..a\r\n\r\n..\r\n"),
        (b"\r", b"\r\n"),
        (b"\n", b"\r\n"),
    ],
)
def test_every_line_ends_in_crlf_before_its_dot_is_stuffed(letter: bytes, wanted: bytes, cut: int) -> None:
    assert sent(letter, cut=cut) == wanted


LETTER = b"Subject: x\r\nTo: y\r\n\r\none\r\n.two\r\n\r\nfour\r\n"


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (0, b"Subject: x\r\nTo: y\r\n\r\n"),
        (1, b"Subject: x\r\nTo: y\r\n\r\none\r\n"),
        (2, b"Subject: x\r\nTo: y\r\n\r\none\r\n..two\r\n"),
        (3, b"Subject: x\r\nTo: y\r\n\r\none\r\n..two\r\n\r\n"),
        (4, b"Subject: x\r\nTo: y\r\n\r\none\r\n..two\r\n\r\nfour\r\n"),
        (10**20 - 1, b"Subject: x\r\nTo: y\r\n\r\none\r\n..two\r\n\r\nfour\r\n"),
    ],
)
def test_top_is_the_header_an_empty_line_and_so_many_lines(lines: int, wanted: bytes, cut: int) -> None:
    assert sent(LETTER, lines, cut=cut) == wanted
    assert sent(LETTER.replace(b"\r\n", b"\n"), lines, cut=cut) == wanted
    assert sent(LETTER.replace(b"\r\n", b"\r"), lines, cut=cut) == wanted


@pytest.mark.parametrize(
    ("letter", "lines", "wanted"),
    [
        (b"", 3, b""),
        (b"Subject: x", 0, b"Subject: x\r\n"),
        (b"Subject: x\r\n\r\n", 0, b"Subject: x\r\n\r\n"),
        (b"\r\nbody\r\nmore", 1, b"\r\nbody\r\n"),
        (b"\r\nbody\r\nmore", 2, b"\r\nbody\r\nmore\r\n"),
        (b"\r\nbody\r\nmore", 3, b"\r\nbody\r\nmore\r\n"),
    ],
)
def test_the_top_of_a_letter_without_header_or_body(letter: bytes, lines: int, wanted: bytes) -> None:
    for cut in (0, 1, 2):
        assert sent(letter, lines, cut=cut) == wanted


def test_a_top_says_when_it_needs_no_more() -> None:
    lines = Lines(0)
    lines.feed(b"a: b\r\n")
    assert not lines.finished
    lines.feed(b"\r\nbody")
    assert lines.finished
    assert lines.feed(b"more\r\n") == b""
    assert not Lines().finished


ODD = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b".", b"a", b"\r\n.\r\n", b"\n\n", b"Subject: x\r\n", b"\x00", b"\xff"]
    ),
    max_size=30,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(ODD, st.integers(0, 9), st.one_of(st.none(), st.integers(0, 6)))
def test_any_letter_arrives_as_its_lines_wherever_it_was_cut(letter: bytes, cut: int, top: int | None) -> None:
    whole = sent(letter, top)
    assert sent(letter, top, cut=cut) == whole
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", letter)
    if lines and not lines.endswith(b"\r\n"):
        lines += b"\r\n"
    rows = lines.split(b"\r\n")[:-1]
    if top is not None and b"" in rows:
        rows = rows[: rows.index(b"") + 1 + top]
    assert received(whole) == b"".join(row + b"\r\n" for row in rows)


@settings(max_examples=100, deadline=None)
@given(ODD, st.integers(1, 9))
def test_the_size_counts_what_is_sent_without_its_stuffing(letter: bytes, cut: int) -> None:
    assert crlf_size(letter) == len(received(sent(letter, cut=cut)))
