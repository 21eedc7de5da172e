"""Message-IDs and what refers to them (RFC 5322 3.6.4, RFC 5256 3), as numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.hashes import first_id, id_hash, references
from postroom.net.limits import REFERENCES


def test_an_id_is_a_signed_64_bit_number_always_the_same() -> None:
    number = id_hash(b"1@example.test")
    assert number == first_id(b"<1@example.test>") == first_id(b"  <1@example.test> (comment) <2@example.test>")
    assert -(2**63) <= number < 2**63
    # The index keeps these numbers for ever.
    assert number == int.from_bytes(bytes.fromhex(f"{number & (2**64 - 1):016x}"), "big", signed=True)
    assert id_hash(b"1@example.test") != id_hash(b"2@example.test") != id_hash(b"1@Example.test")


@pytest.mark.parametrize(
    "same",
    [
        b'<"01KF8JCEOCBS0045PS"@xxx.yyy.com>',
        b"<01KF8JCEOCBS0045PS@xxx.yyy.com>",
        b"<01KF8JCEOCBS0045PS @ xxx.yyy.com>",
    ],
)
def test_quotes_that_change_nothing_count_for_nothing(same: bytes) -> None:
    # The example of RFC 5256 3
    assert first_id(same) == id_hash(b"01KF8JCEOCBS0045PS@xxx.yyy.com")
    assert first_id(b'<"a\\"b"@c>') != id_hash(b"ab@c")


@pytest.mark.parametrize("value", [b"", b"1@example.test", b"<>", b"<unclosed@example.test", b"unopened>", b"<<>"])
def test_what_is_no_id_is_none(value: bytes) -> None:
    assert first_id(value) is None


def test_references_are_read_oldest_first() -> None:
    value = b"<1@a> <2@a> words <3@a>,<4@a>"
    assert references(value, b"<5@a>") == tuple(id_hash(b"%d@a" % number) for number in (1, 2, 3, 4))


@pytest.mark.parametrize("no_references", [None, b"", b"words", b"<>"])
def test_without_references_the_first_id_of_in_reply_to_counts(no_references: bytes | None) -> None:
    assert references(no_references, b"Your letter <1@a> of today <2@a>") == (id_hash(b"1@a"),)
    assert references(no_references, b"your letter") == ()
    assert references(no_references, None) == ()


def test_as_many_references_as_may_be_and_one_more() -> None:
    value = b"".join(b"<%d@a>" % number for number in range(REFERENCES))
    found = references(value, None)
    assert (len(found), found[0], found[-1]) == (REFERENCES, id_hash(b"0@a"), id_hash(b"%d@a" % (REFERENCES - 1)))
    found = references(value + b"<x@a>", None)
    assert (len(found), found[0], found[-1]) == (REFERENCES, id_hash(b"1@a"), id_hash(b"x@a"))


@settings(max_examples=150, deadline=None)
@given(st.text('<>@a"\\ ', max_size=40).map(str.encode) | st.binary(max_size=40))
def test_any_octets_give_numbers(value: bytes) -> None:
    for number in references(value, value):
        assert -(2**63) <= number < 2**63
