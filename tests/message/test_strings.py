"""Text as IMAP strings (RFC 9051 4.3): whatever it holds, it ends where it ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.strings import QUOTED_OCTETS, nstring, string
from tests.message.imapsyntax import read


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"", b'""'),
        (b"hi there", b'"hi there"'),
        (b"a\tb", b'"a\tb"'),
        (b'say "hi"', b'"say \\"hi\\""'),
        (b"a\\b", b'"a\\\\b"'),
        (b"NIL", b'"NIL"'),
        ("ü".encode(), b"{2}\r\n\xc3\xbc"),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"a\rb", b"{3}\r\na\rb"),
        (b"a\x7fb", b"{3}\r\na\x7fb"),
        (b"a\0b", b"{2}\r\nab"),
        (b"\0", b"{0}\r\n"),
    ],
)
def test_a_string_is_quoted_or_a_literal(value: bytes, written: bytes) -> None:
    assert string(value) == nstring(value) == written


def test_nothing_is_nil() -> None:
    assert nstring(None) == b"NIL"


@pytest.mark.parametrize("filling", [b"x", b'"'])
def test_the_longest_quoted_string_and_one_octet_more(filling: bytes) -> None:
    assert string(filling * QUOTED_OCTETS).startswith(b'"')
    longer = filling * (QUOTED_OCTETS + 1)
    assert string(longer) == b"{%d}\r\n" % len(longer) + longer


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text('ab"\\\r\n\0 {3}', max_size=40).map(str.encode))
def test_any_octets_are_one_string(value: bytes) -> None:
    assert read(string(value)) == value.replace(b"\0", b"")
    assert read(b"(" + string(value) + b" " + nstring(value) + b" NIL)")[2] is None
