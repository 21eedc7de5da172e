"""Frames, facts and headers of segments: both ways, at every cut, with every bit flipped."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.net.limits import RECORD_FACTS_OCTETS
from postroom.store.records import (
    FRAME_OCTETS,
    NO_LETTER,
    SEGMENT_HEADER_OCTETS,
    BadFrame,
    DeliveredTo,
    DeliveryFacts,
    Frame,
    checksum,
    email_id_text,
    frame_of,
    read_facts,
    read_frame,
    read_segment_header,
    vouches,
    write_facts,
    write_filler,
    write_frame,
    write_segment_header,
)

_u32 = st.integers(0, 2**32 - 1)
_frames = st.builds(
    Frame,
    st.integers(0, 2**64 - 1),
    st.integers(0, RECORD_FACTS_OCTETS),
    _u32,
    _u32,
    st.binary(min_size=16, max_size=16),
)
_targets = st.builds(
    DeliveredTo,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=50),
    st.integers(0, 31),
    st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=9), max_size=3).map(
        tuple
    ),
)
_facts = st.builds(
    DeliveryFacts,
    st.integers(-(2**62), 2**62),
    st.integers(-1440, 1440),
    st.lists(_targets, max_size=4).map(tuple),
)


@settings(max_examples=50, deadline=None)
@given(_frames)
def test_a_frame_reads_as_it_was_written(frame: Frame) -> None:
    octets = write_frame(frame)
    assert len(octets) == FRAME_OCTETS
    assert read_frame(octets) == read_frame(octets + b"more") == frame


def test_a_frame_is_refused_at_every_cut_and_with_any_bit_flipped() -> None:
    octets = write_frame(frame_of(b"payload", b"{}", bytes(range(16))))
    for cut in range(FRAME_OCTETS):
        with pytest.raises(BadFrame):
            read_frame(octets[:cut])
    for bit in range(8 * FRAME_OCTETS):
        flipped = bytearray(octets)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            read_frame(bytes(flipped))


def test_facts_have_a_greatest_size() -> None:
    read_frame(write_frame(Frame(1, RECORD_FACTS_OCTETS, 0, 0, bytes(16))))
    with pytest.raises(BadFrame):
        read_frame(write_frame(Frame(1, RECORD_FACTS_OCTETS + 1, 0, 0, bytes(16))))


@settings(max_examples=50, deadline=None)
@given(_facts)
def test_facts_read_as_they_were_written(facts: DeliveryFacts) -> None:
    octets = write_facts(facts)
    assert octets.isascii()
    assert read_facts(octets) == facts


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=40),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
            lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_what_is_no_facts_raises_bad_frame_and_nothing_else(octets: bytes) -> None:
    try:
        read_facts(octets)
    except BadFrame:
        pass


@pytest.mark.parametrize("octets", [b"[" * 100_000, b"[1e999,0,[]]", b"[0,0,[[1,2,3,4,5]]]"])
def test_facts_of_a_hostile_form_are_refused(octets: bytes) -> None:
    with pytest.raises(BadFrame):
        read_facts(octets)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_a_segments_header_tells_its_number(number: int) -> None:
    octets = write_segment_header(number)
    assert len(octets) == SEGMENT_HEADER_OCTETS
    assert read_segment_header(octets + b"more") == number


def test_a_segments_header_is_refused_at_every_cut_and_with_any_bit_flipped() -> None:
    octets = write_segment_header(7)
    for cut in range(SEGMENT_HEADER_OCTETS):
        with pytest.raises(BadFrame):
            read_segment_header(octets[:cut])
    for bit in range(8 * SEGMENT_HEADER_OCTETS):
        flipped = bytearray(octets)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            read_segment_header(bytes(flipped))


def test_a_filler_is_a_whole_record_that_ends_a_frame_before_the_boundary() -> None:
    octets = write_filler(SEGMENT_HEADER_OCTETS, 4096)
    frame = read_frame(octets)
    assert frame.email_id == NO_LETTER
    assert frame.record_size == len(octets) == 4096 - FRAME_OCTETS - SEGMENT_HEADER_OCTETS
    assert frame.payload_checksum == checksum(octets[FRAME_OCTETS:])


def test_a_letters_id_is_text_outside_and_octets_in_its_record() -> None:
    octets = bytes(range(16))
    text = email_id_text(octets)
    assert text[0].isalpha() and text.isalnum()
    assert bytes.fromhex(text[1:]) == octets


def test_a_frame_vouches_for_its_own_letter_only() -> None:
    email_id = bytes(range(16))
    frame = write_frame(frame_of(b"payload", b"{}", email_id))
    assert vouches(frame, b"payload", email_id_text(email_id))
    assert not vouches(frame, b"payloae", email_id_text(email_id))
    assert not vouches(frame, b"payload!", email_id_text(email_id))
    assert not vouches(frame, b"payload", email_id_text(NO_LETTER))
    assert not vouches(frame[:-1], b"payload", email_id_text(email_id))
    assert not vouches(bytes(FRAME_OCTETS), b"", email_id_text(NO_LETTER))
