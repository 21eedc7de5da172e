"""ENVELOPE (RFC 3501 7.4.2, RFC 9051 7.5.2)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.envelope import FIELDS, Correspondents, envelope
from postroom.net.limits import ADDRESSES
from tests.message import imapsyntax


def written(fields: Mapping[bytes, bytes]) -> bytes:
    return envelope(fields, Correspondents(fields))


def test_the_letter_of_the_rfc_has_the_envelope_of_the_rfc() -> None:
    # RFC 3501 8's example
    fields = {
        b"date": b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)",
        b"subject": b"IMAP4rev1 WG mtg summary and minutes",
        b"from": b"Terry Gray <gray@cac.washington.edu>",
        b"to": b"imap@cac.washington.edu",
        b"cc": b"minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>",
        b"message-id": b"<B27397-0100000@cac.washington.edu>",
    }
    terry = b'(("Terry Gray" NIL "gray" "cac.washington.edu"))'
    assert written(fields) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" '
        + terry
        + b" "
        + terry
        + b" "
        + terry
        + b' ((NIL NIL "imap" "cac.washington.edu"))'
        b' ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU"))'
        b' NIL NIL "<B27397-0100000@cac.washington.edu>")'
    )


def test_a_letter_without_fields_has_ten_times_nil() -> None:
    assert written({}) == b"(" + b" ".join([b"NIL"] * 10) + b")"


@pytest.mark.parametrize("value", [b"", b" , ", b"(nobody)"])
def test_sender_and_reply_to_are_the_author_where_they_say_nothing(value: bytes) -> None:
    fields = imapsyntax.envelope(written({b"from": b"a@b", b"sender": value, b"reply-to": value}))
    assert fields[2] == fields[3] == fields[4] == [[None, None, b"a", b"b"]]


def test_sender_and_reply_to_are_their_own_where_they_say_something() -> None:
    fields = imapsyntax.envelope(written({b"from": b"a@b", b"sender": b"c@d", b"reply-to": b"e@f"}))
    assert [field[0][2] for field in fields[2:5]] == [b"a", b"c", b"e"]


def test_groups_begin_and_end_with_a_host_of_nil() -> None:
    fields = imapsyntax.envelope(written({b"to": b"friends: a@b;, c"}))
    assert fields[5] == [
        [None, None, b"friends", None],
        [None, None, b"a", b"b"],
        [None, None, None, None],
        [None, None, b"c", b""],
    ]


def test_an_empty_field_is_an_empty_string_and_a_missing_one_nil() -> None:
    # RFC 9051 7.5.2: date, subject, in-reply-to, message-id
    fields = imapsyntax.envelope(written({b"subject": b"", b"in-reply-to": b""}))
    assert (fields[0], fields[1], fields[8], fields[9]) == (None, b"", b"", None)


def test_as_many_addresses_as_may_be_in_one_envelope_and_one_more() -> None:
    half = ADDRESSES // 2
    fields = {b"from": b"a@b," * half, b"to": b"c@d," * half, b"cc": b"e@f"}
    found = imapsyntax.envelope(written(fields))
    assert (len(found[2]), len(found[5]), found[6]) == (half, half, None)
    found = imapsyntax.envelope(written({**fields, b"from": b"a@b," * (half - 1)}))
    assert (len(found[2]), len(found[5]), len(found[6])) == (half - 1, half, 1)
    found = imapsyntax.envelope(written({**fields, b"to": b"c@d," * (half + 1)}))
    assert (len(found[5]), found[6]) == (half, None)


def test_a_flood_of_authors_is_not_told_three_times_over() -> None:
    # From stands in for Sender and Reply-To: the answer is bounded all the same
    assert len(written({b"from": b"a@b," * ADDRESSES})) < 100 * ADDRESSES


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(FIELDS)),
        st.text('ab <>@,;:()"\\\r\n\0{5}ü', max_size=30).map(str.encode) | st.binary(max_size=30),
    )
)
def test_any_octets_make_a_wellformed_envelope(fields: dict[bytes, bytes]) -> None:
    imapsyntax.envelope(written(fields))
