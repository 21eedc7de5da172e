"""Transfer encodings undone (RFC 2045 6, RFC 2047 4), whatever stands there."""

from __future__ import annotations

import base64 as stdlib
import binascii

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.parts import Encoding
from postroom.message.transfer import base64, q_word, quoted_printable, undone


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        (b"aGVsbG8=", b"hello"),
        (b"aGVs\r\nbG8=\r\n", b"hello"),
        (b"aGVsbG8", b"hello"),
        (b"aGVsbG", b"hell"),
        (b"aGVsb", b"hel"),
        (b"a!G*V s\tbG8=", b"hello"),
        (b"aGVsbG8=\r\n-- \r\nlist footer?", b"hello"),
        (b"", b""),
        (b"=", b""),
        (b"A", b""),
        (b"\xff\xfe", b""),
    ],
)
def test_base64_is_undone(text: bytes, octets: bytes) -> None:
    assert base64(text)[: len(octets)] == octets


def test_what_is_not_of_the_alphabet_and_a_torn_end_cost_nothing_else() -> None:
    assert base64(b"aGVsbG8") == b"hello"
    assert base64(b"aGVs-bG8=") == b"hello"
    assert base64(b"aGVsb") == b"hel"


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        # RFC 2045 6.7's example
        (
            b"Now's the time =\r\nfor all folk to come=\r\n to the aid of their country.",
            b"Now's the time for all folk to come to the aid of their country.",
        ),
        (b"=C3=BC =c3=bc", b"\xc3\xbc \xc3\xbc"),
        (b"a=3Db", b"a=b"),
        (b"trailing=20\r\nnext", b"trailing \r\nnext"),
        (b"a_b", b"a_b"),
        (b"100 =", b"100 "),
        (b"soft =\nbreak", b"soft break"),
        (b"\xff=ZZ", b"\xff=ZZ"),
    ],
)
def test_quoted_printable_is_undone(text: bytes, octets: bytes) -> None:
    assert quoted_printable(text) == octets


def test_underscores_are_spaces_in_encoded_words_only() -> None:
    assert q_word(b"a_b=5Fc") == b"a b_c"
    assert quoted_printable(b"a_b") == b"a_b"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_what_a_program_encoded_comes_back(octets: bytes) -> None:
    assert undone(stdlib.encodebytes(octets), Encoding.BASE64) == octets
    # Not as a text, whose line ends it would make all alike.
    assert undone(binascii.b2a_qp(octets, istext=False), Encoding.QUOTED_PRINTABLE) == octets
    assert undone(octets, Encoding.IDENTITY) == undone(octets, Encoding.UNKNOWN) == octets


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=100) | st.text("=Az09+/ \r\n_", max_size=60).map(str.encode))
def test_any_octets_give_an_answer(text: bytes) -> None:
    for encoding in Encoding:
        assert len(undone(text, encoding)) <= len(text)
    assert len(q_word(text)) <= len(text)
