"""Where a header ends and what stands in it (RFC 5322 2.2, 4.5), for letters of any line ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.headers import header_end, read_fields, unfolded
from postroom.net.limits import HEADER_FIELDS

WANTED = frozenset((b"subject", b"to", b"cc", b"bcc", b"from"))

ENDS = [
    (b"A: b\r\n\r\nbody", 8),
    (b"A: b\n\nbody", 6),
    (b"A: b\r\n\nbody", 7),
    (b"A: b\n\r\nbody", 7),
    (b"\r\nbody", 2),
    (b"\nbody", 1),
    (b"A: b\r\n\r\n", 8),
    (b"A: b\r\n", 6),
    (b"A: b", 4),
    (b"", 0),
    (b"\r", 1),
    (b"A: b\r\rbody\r\r", 12),
    (b"A: 1\n\n\r\n", 6),
    (b"A: 1\n\r\n\n", 7),
]


@pytest.mark.parametrize(("letter", "end"), ENDS)
def test_the_first_empty_line_ends_a_header(letter: bytes, end: int) -> None:
    assert header_end(letter, 0, len(letter)) == end
    assert header_end(b"\n\n" + letter + b"\n\n", 2, 2 + len(letter)) == 2 + end


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", ":", " ", "\n", "\r\n"]), max_size=20).map("".join))
def test_a_headers_end_is_where_its_lines_say(text: str) -> None:
    letter, at = text.encode(), 0
    for line in letter.splitlines(keepends=True):
        at += len(line)
        if line in (b"\n", b"\r\n"):
            break
    assert header_end(letter, 0, len(letter)) == at


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_folds_are_undone(end: bytes) -> None:
    # RFC 5322 2.2.3
    header = end.join([b"Subject: This", b" is a test", b"To: x,", b"\ty", b"\t z", b"", b""])
    assert unfolded(header) == [b"Subject: This is a test", b"To: x,\ty\t z", b"", b""]


def test_fields_are_found_in_any_case_and_stripped() -> None:
    header = b"SUBJECT:  hi \t\r\nX-Other: no\r\nfrom:\r\n\r\n"
    assert read_fields(header, WANTED) == {b"subject": b"hi", b"from": b""}


def test_white_space_before_the_colon_is_read() -> None:
    # RFC 5322 4.5
    assert read_fields(b"Subject \t: hi\r\n", WANTED) == {b"subject": b"hi"}


def test_of_repeated_fields_the_first_counts_and_destinations_are_put_together() -> None:
    header = b"Subject: 1\r\nTo: a\r\nCc: c\r\nSubject: 2\r\nto: b\r\nFrom: x\r\nFrom: y\r\nTO : d\r\n"
    assert read_fields(header, WANTED) == {b"subject": b"1", b"to": b"a, b, d", b"cc": b"c", b"from": b"x"}


def test_what_is_no_field_is_passed_over() -> None:
    header = b" starts with a fold\r\nno colon here\r\nSubject\r\n: nothing\r\nSubject: hi\r\n"
    assert read_fields(header, WANTED) == {b"subject": b"hi"}


def test_as_many_fields_as_may_be_and_one_more() -> None:
    header = b"X: 1\r\n" * (HEADER_FIELDS - 1)
    assert read_fields(header + b"Subject: in\r\n\r\n", WANTED) == {b"subject": b"in"}
    assert read_fields(header + b"X: 2\r\nSubject: out\r\n\r\n", WANTED) == {}


def test_a_letter_to_thousands_by_a_field_each_is_read_whole() -> None:
    header = b"".join(b"To: %d\r\n" % number for number in range(HEADER_FIELDS))
    value = read_fields(header, WANTED)[b"to"]
    assert value == b", ".join(b"%d" % number for number in range(HEADER_FIELDS))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_octets_give_fields(octets: bytes) -> None:
    fields = read_fields(octets, WANTED)
    assert fields.keys() <= WANTED
    assert all(b"\n" not in value for value in fields.values())
