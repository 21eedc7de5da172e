"""Content-Type and Content-Disposition (RFC 2045 5.1, RFC 2183, RFC 2231), of real and of hostile letters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.parameters import (
    boundary,
    content_type,
    disposition,
    joined_parameter,
    parameter,
    read_parameters,
    token,
)
from postroom.net.limits import MIME_BOUNDARY_OCTETS, MIME_PARAMETERS

TYPES = [
    (b"text/plain", (b"text", b"plain", ())),
    (b"Text/HTML; charset=UTF-8", (b"Text", b"HTML", ((b"charset", b"UTF-8"),))),
    # RFC 2045 5.1's three ways of one value
    (b"text/plain; charset=us-ascii (Plain text)", (b"text", b"plain", ((b"charset", b"us-ascii"),))),
    (b'text/plain; charset="us-ascii"', (b"text", b"plain", ((b"charset", b"us-ascii"),))),
    (b"text / plain ; charset = us-ascii", (b"text", b"plain", ((b"charset", b"us-ascii"),))),
    (b"(a) text (b) / (c) plain", (b"text", b"plain", ())),
    # RFC 2046 5.1.1
    (
        b'multipart/mixed; boundary="gc0pJq0M:08jU534c0p"',
        (b"multipart", b"mixed", ((b"boundary", b"gc0pJq0M:08jU534c0p"),)),
    ),
    (b'a/b; x="a\\"b\\\\c;d"; y=z', (b"a", b"b", ((b"x", b'a"b\\c;d'), (b"y", b"z")))),
    (b"a/b; name=a file.txt; y=z", (b"a", b"b", ((b"name", b"a file.txt"), (b"y", b"z")))),
    (b"a/b; x=; y=z", (b"a", b"b", ((b"x", b""), (b"y", b"z")))),
    (b'a/b; x=""; y="z', (b"a", b"b", ((b"x", b""), (b"y", b"z")))),
    (b"a/b;;; x=y;", (b"a", b"b", ((b"x", b"y"),))),
    (b"a/b; garbage; x=y", (b"a", b"b", ((b"x", b"y"),))),
    (b"a/b; =y; x=z", (b"a", b"b", ((b"x", b"z"),))),
    (b"a/b garbage; x=y", (b"a", b"b", ((b"x", b"y"),))),
    # RFC 2045 5.1, RFC 5322 3.2.2: a comment may stand between any two words
    (b"a/b (c) ; (c) x (c) = (c) y (c); z=1", (b"a", b"b", ((b"x", b"y"), (b"z", b"1")))),
    (b"a/b; name=(1).txt", (b"a", b"b", ((b"name", b"(1).txt"),))),
]


@pytest.mark.parametrize(("value", "expected"), TYPES)
def test_a_type_is_read(value: bytes, expected: tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...]]) -> None:
    found = content_type(value)
    assert found is not None
    assert found[:3] == expected
    assert found.kind == (expected[0] + b"/" + expected[1]).lower()


@pytest.mark.parametrize("value", [b"", b"text", b"text/", b"/plain", b"text plain", b"(a/b", b"\xff/x", b'"a"/b'])
def test_what_is_no_type_is_none(value: bytes) -> None:
    assert content_type(value) is None


def test_a_disposition_is_read() -> None:
    # RFC 2183 2.10
    value = b'attachment; filename=genome.jpeg; modification-date="Wed, 12 Feb 1997 16:29:51 -0500"'
    assert disposition(value) == (
        b"attachment",
        ((b"filename", b"genome.jpeg"), (b"modification-date", b"Wed, 12 Feb 1997 16:29:51 -0500")),
    )
    assert disposition(b"inline") == (b"inline", ())
    assert disposition(b"") is None
    assert disposition(b"; filename=x") is None


def test_one_word_is_read_past_its_comments() -> None:
    assert token(b" (how) base64 (it is)") == b"base64"
    assert token(b"8bit;") == b"8bit"
    assert token(b"") is token(b"()") is token(b'"x"') is None


def test_as_many_parameters_as_may_be_and_one_more() -> None:
    value = b"".join(b"; p%d=v" % number for number in range(MIME_PARAMETERS))
    assert len(read_parameters(value)) == MIME_PARAMETERS
    assert read_parameters(value + b"; more=v") == read_parameters(value)


def test_a_parameter_is_found_in_any_case_the_first_of_its_name() -> None:
    parameters = read_parameters(b"; CharSet=a; charset=b")
    assert parameter(parameters, b"charset") == b"a"
    assert parameter(parameters, b"name") is None


JOINED = [
    # RFC 2231 3, 4, 4.1
    (
        b'; URL*0="ftp://"; URL*1="cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"',
        b"url",
        (b"ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar", b""),
    ),
    (
        b"; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
        b"title",
        (b"This is ***fun***", b"us-ascii"),
    ),
    (
        b"; title*0*=us-ascii'en'This%20is%20even%20more%20 ; title*1*=%2A%2A%2Afun%2A%2A%2A%20;"
        b' title*2="isn\'t it!"',
        b"title",
        (b"This is even more ***fun*** isn't it!", b"us-ascii"),
    ),
    (b"; name*1=b; name*0=a", b"name", (b"ab", b"")),
    (b"; name*0=a; name*2=c", b"name", (b"a", b"")),
    (b"; name*1=b; name=plain", b"name", (b"plain", b"")),
    (b"; name=plain; name*=utf-8''%C3%BC", b"name", (b"\xc3\xbc", b"utf-8")),
    (b"; name*=no-quotes%20", b"name", (b"no-quotes ", b"")),
    (b"; name*=utf-8''%zz%", b"name", (b"%zz%", b"utf-8")),
    (b"; names=x", b"name", None),
    (b"", b"name", None),
]


@pytest.mark.parametrize(("value", "name", "expected"), JOINED)
def test_pieces_and_percent_signs_are_undone(
    value: bytes, name: bytes, expected: tuple[bytes, bytes] | None
) -> None:
    assert joined_parameter(read_parameters(value), name) == expected


@pytest.mark.parametrize(
    ("value", "mark"),
    [
        (b"; boundary=abc", b"abc"),
        (b'; boundary="a b "', b"a b"),
        (b"; boundary*0=a; boundary*1=b", b"ab"),
        (b"; boundary=", None),
        (b'; boundary="  "', None),
        (b"; other=x", None),
        (b"; boundary=" + b"x" * MIME_BOUNDARY_OCTETS, b"x" * MIME_BOUNDARY_OCTETS),
        (b"; boundary=" + b"x" * (MIME_BOUNDARY_OCTETS + 1), None),
    ],
)
def test_a_boundary_is_found_within_its_limit(value: bytes, mark: bytes | None) -> None:
    assert boundary(read_parameters(value)) == mark


@settings(max_examples=300, deadline=None)
@given(st.text("ab/;=\"\\ ()*0%'", max_size=50).map(str.encode) | st.binary(max_size=50))
def test_any_octets_are_a_type_or_none(value: bytes) -> None:
    found = content_type(value)
    if found is not None:
        assert found.type and found.subtype
        joined_parameter(found.parameters, b"a")
        boundary(found.parameters)
    disposition(value)
    token(value)


@pytest.mark.parametrize(
    "flood",
    [b"(", b"()", b"(a", b";", b"; ", b";a=", b';a="', b";a=b c", b'"', b"\\", b"a/", b" ", b";a=b (", b";\\"],
)
def test_a_flood_is_read_too(flood: bytes) -> None:
    for start in (b"", b"a/b", b"a/b;"):
        value = start + flood * 200_000
        content_type(value)
        disposition(value)
        token(value)
