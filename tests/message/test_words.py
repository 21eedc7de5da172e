"""Encoded words (RFC 2047), its own examples first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.words import decode_words

WORDS = [
    # RFC 2047 8
    (b"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
    (
        b"=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.dk>",
        "Keld Jørn Simonsen <keld@dkuug.dk>",
    ),
    (b"=?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>", "André Pirard <PIRARD@vm1.ulg.ac.be>"),
    (
        b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
        "If you can read this you understand the example.",
    ),
    (b"(=?ISO-8859-1?Q?a?=)", "(a)"),
    (b"(=?ISO-8859-1?Q?a?= b)", "(a b)"),
    (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
    (b"(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"),
    (b"(=?ISO-8859-1?Q?a?= \t =?ISO-8859-1?Q?b?=)", "(ab)"),
    (b"(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
    (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
    # a character cut in two, of words that stand side by side
    (b"=?utf-8?q?=C3?= =?UTF-8?b?vA==?=", "ü"),
    # RFC 2231 5: a language behind the charset
    (b"=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),
    # what is none
    (b"plain", "plain"),
    ("Grüße".encode(), "Grüße"),
    (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
    (b"=?utf-8?q?abc", "=?utf-8?q?abc"),
    (b"=??q?abc?=", "=??q?abc?="),
    (b"a=?utf-8?q?b?=c", "abc"),
    (b"  =?utf-8?q?b?=  ", "  b  "),
    (b"=?utf-8?q??=", ""),
    (b"=?utf-8?b?!!!?=", ""),
    (b"=?no-such?q?=FC?=", "\ufffd"),
    (b"=?utf-8?q?a?=\xff=?utf-8?q?b?=", "a\ufffdb"),
    (b"", ""),
]


@pytest.mark.parametrize(("value", "text"), WORDS)
def test_encoded_words_are_decoded(value: bytes, text: str) -> None:
    assert decode_words(value) == text


@pytest.mark.parametrize("name", [b"c" * 80, b"c" * 81])
def test_a_charsets_name_has_a_limit(name: bytes) -> None:
    word = b"=?" + name + b"?q?a?="
    assert decode_words(word) == ("a" if len(name) == 80 else word.decode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.text("=?utf8qbQB_ \t", max_size=60).map(str.encode))
def test_any_octets_are_text(value: bytes) -> None:
    assert isinstance(decode_words(value), str)


@pytest.mark.parametrize(
    "flood", [b"=?", b"=?a?q?", b"=?a?q?b?=", b"=?a?b?=?", b"=?utf-8?q?=C3?= ", b"?=", b"=?a?b?A?= =?b?q?x?="]
)
def test_a_flood_of_words_is_text_too(flood: bytes) -> None:
    assert isinstance(decode_words(flood * 20_000), str)
