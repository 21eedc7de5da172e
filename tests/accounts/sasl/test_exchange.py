"""The base64 that carries SASL: one spelling, and everything else is garbage."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.accounts.sasl import Cancelled, Malformed, decode_base64, decode_initial


@given(st.binary(max_size=60))
@settings(max_examples=60)
def test_base64_gives_back_what_was_encoded(octets: bytes) -> None:
    assert decode_base64(base64.b64encode(octets)) == octets


@pytest.mark.parametrize(
    "text",
    [
        b"=",
        b"A",
        b"AA",
        b"AAA",
        b"AB==",
        b"AAB=",
        b"AA==AA==",
        b"A A=",
        b"AAAA\n",
        b"AAA*",
        b"AA=A",
        b"\xff\xff\xff\xff",
        b"-_-_",
    ],
)
def test_base64_that_is_not_the_one_form_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        decode_base64(text)


@given(st.binary(max_size=60))
@settings(max_examples=100)
def test_hostile_base64_is_malformed_and_nothing_worse(text: bytes) -> None:
    try:
        decode_base64(text)
        decode_initial(text)
    except (Malformed, Cancelled):
        pass


def test_a_star_cancels_an_answer_but_is_no_initial_response() -> None:
    with pytest.raises(Cancelled):
        decode_base64(b"*")
    with pytest.raises(Malformed):
        decode_initial(b"*")
    assert decode_initial(b"=") == b"" == decode_base64(b"")
    assert decode_initial(b"AHRpbQB4") == b"\x00tim\x00x"
