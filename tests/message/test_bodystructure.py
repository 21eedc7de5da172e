"""BODYSTRUCTURE and the map of parts (RFC 9051 7.5.2, RFC 2046 5.1)."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.bodystructure import walk
from postroom.message.parts import read_parts
from tests.letters import letters
from tests.message.mime import HOSTILE, consistent, kinds, mixed, nested, text_of

# --- the RFCs' examples


def test_a_plain_letter_has_the_structure_of_the_rfc() -> None:
    # RFC 3501 7.4.2: a simple text of 48 lines and 2279 octets
    text = b"x" * 45 + b"\r\n"
    text = text * 47 + b"y" * (2279 - 47 * 47 - 2) + b"\r\n"
    assert len(text) == 2279
    letter = b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n" + text
    assert walk(letter).bodystructure == (
        b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7bit" 2279 48 NIL NIL NIL NIL)'
    )


def test_a_text_and_a_file_have_the_structure_of_the_rfc() -> None:
    # RFC 9051 7.5.2's second example, in its form
    first = b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\nhello\r\n"
    second = (
        b'Content-Type: TEXT/PLAIN; CHARSET=US-ASCII; NAME="cc.diff"\r\n'
        b"Content-ID: <960723163407.20117h@cac.washington.edu>\r\nContent-Description: Compiler diff\r\n"
        b"Content-Transfer-Encoding: BASE64\r\n\r\nYQ==\r\n"
    )
    assert walk(mixed(first, second, kind=b"MULTIPART/MIXED")).bodystructure.startswith(
        b'(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7bit" 7 1 NIL NIL NIL NIL)'
        b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII" "NAME" "cc.diff") "<960723163407.20117h@cac.washington.edu>"'
        b' "Compiler diff" "BASE64" 6 1 NIL NIL NIL NIL) "MIXED" '
    )


def test_extension_data_is_whole() -> None:
    letter = (
        b"Content-Type: image/png\r\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n"
        b'Content-Disposition: attachment; filename="a b.png"; size=3\r\nContent-Language: de, en-GB (yes)\r\n'
        b"Content-Location: http://example.test/a.png\r\n\r\nabc"
    )
    assert walk(letter).bodystructure == (
        b'("image" "png" NIL NIL NIL "7bit" 3 "Q2hlY2sgSW50ZWdyaXR5IQ=="'
        b' ("attachment" ("filename" "a b.png" "size" "3")) ("de" "en-GB") "http://example.test/a.png")'
    )
    outer = mixed(b"\r\nx").replace(b"boundary=x\r\n", b"boundary=x\r\nContent-Language: de\r\n")
    assert walk(outer).bodystructure.endswith(b' "mixed" ("boundary" "x") NIL ("de") NIL)')


def test_the_complex_multipart_of_the_rfc_has_its_parts() -> None:
    # RFC 2046 A
    letter = b"""MIME-Version: 1.0
From: Nathaniel Borenstein <nsb@nsb.fv.com>
To: Ned Freed <ned@innosoft.com>
Date: Fri, 07 Oct 1994 16:15:05 -0700 (PDT)
Subject: A multipart example
Content-Type: multipart/mixed;
              boundary=unique-boundary-1

This is the preamble area of a multipart message.

--unique-boundary-1

  ... Some text appears here ...

--unique-boundary-1
Content-type: text/plain; charset=US-ASCII

This could have been part of the previous part.

--unique-boundary-1
Content-Type: multipart/parallel; boundary=unique-boundary-2

--unique-boundary-2
Content-Type: audio/basic
Content-Transfer-Encoding: base64

  ... base64-encoded 8000 Hz single-channel

--unique-boundary-2
Content-Type: image/jpeg
Content-Transfer-Encoding: base64

  ... base64-encoded image data goes here ...

--unique-boundary-2--

--unique-boundary-1
Content-type: text/enriched

This is <bold><italic>enriched.</italic></bold>

--unique-boundary-1
Content-Type: message/rfc822

From: (mailbox in US-ASCII)
To: (address in US-ASCII)
Subject: (subject in US-ASCII)
Content-Type: Text/plain; charset=ISO-8859-1
Content-Transfer-Encoding: Quoted-printable

  ... Additional text in ISO-8859-1 goes here ...

--unique-boundary-1--
"""
    for each in (letter, letter.replace(b"\n", b"\r\n")):
        assert kinds(each) == [
            ((), "multipart/mixed"),
            ((1,), "text/plain"),
            ((2,), "text/plain"),
            ((3,), "multipart/parallel"),
            ((3, 1), "audio/basic"),
            ((3, 2), "image/jpeg"),
            ((4,), "text/enriched"),
            ((5,), "message/rfc822"),
            ((5, 1), "text/plain"),
        ]
    assert text_of(letter, (1,)) == b"  ... Some text appears here ...\n"
    assert text_of(letter, (4,)) == b"This is <bold><italic>enriched.</italic></bold>\n"


def test_parts_are_numbered_as_the_rfc_numbers_them() -> None:
    # RFC 9051 6.4.5's example: a letter within the letter has its parts under its own number
    inner = mixed(b"\r\n1", b"Content-Type: a/b\r\n\r\n2", boundary=b"in")
    deep = mixed(
        b"Content-Type: image/gif\r\n\r\ng", b"Content-Type: message/rfc822\r\n\r\n" + inner, boundary=b"d"
    )
    letter = mixed(b"\r\n1", b"Content-Type: a/b\r\n\r\n2", b"Content-Type: message/rfc822\r\n\r\n" + inner, deep)
    assert [path for path, kind in kinds(letter) if not kind.startswith("multipart/")] == [
        (1,),
        (2,),
        (3,),
        (3, 1),
        (3, 2),
        (4, 1),
        (4, 2),
        (4, 2, 1),
        (4, 2, 2),
    ]


# --- what a part is that doesn't say, or says it badly


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        (b"", "text/plain"),
        (b"Content-Type:\r\n", "text/plain"),
        (b"Content-Type: nonsense\r\n", "text/plain"),
        (b"Content-Type: a/b\r\n", "a/b"),
        (b"Content-Type: multipart/mixed\r\n", "text/plain"),
        (b"Content-Type: multipart/mixed; boundary=nowhere\r\n", "text/plain"),
        (b"Content-Type: multipart/mixed; boundary=\r\n", "text/plain"),
        (b"Content-Type: message/partial; id=1\r\n", "message/partial"),
        (b"Content-Type: message/rfc822\r\n", "message/rfc822"),
        (b"Content-Type: MESSAGE/Global\r\n", "message/global"),
    ],
)
def test_a_letter_of_any_type_has_a_structure(type: bytes, kind: str) -> None:
    letter = type + b"\r\n--x\r\nSubject: hi\r\n\r\ntext"
    assert kinds(letter)[0][1] == kind
    assert kinds(mixed(letter, boundary=b"o"))[1][1] == kind


def test_a_part_of_a_digest_is_a_letter_where_it_does_not_say() -> None:
    # RFC 2046 5.1.5
    letter = mixed(b"\r\nSubject: 1\r\n\r\na", b"Content-Type: text/plain\r\n\r\nb", kind=b"multipart/digest")
    assert kinds(letter) == [
        ((), "multipart/digest"),
        ((1,), "message/rfc822"),
        ((1, 1), "text/plain"),
        ((2,), "text/plain"),
    ]


def test_a_text_without_charset_is_said_to_be_ascii() -> None:
    (part,) = consistent(b"Content-Type: text/html; x=y\r\n\r\n")[1]
    assert part.parameters == {b"x": b"y", b"charset": b"us-ascii"}


@pytest.mark.parametrize(
    ("letter", "parts"),
    [
        (b"--x\r\n\r\na\r\n--x\r\n\r\nb\r\n--x--\r\nepilogue", [b"a", b"b"]),
        (b"preamble\r\n--x\r\n\r\na\r\n--x--", [b"a"]),
        (b"--x\r\n\r\na\r\n--x\r\n\r\nb", [b"a", b"b"]),
        (b"--x\r\n\r\na\r\n--x\r\n", [b"a", b""]),
        (b"--x\r\n--x\r\n--x--", [b"", b""]),
        (b"--x\n\na\n--x\n\nb\n--x--\n", [b"a", b"b"]),
        (b"--x \t \r\n\r\na\r\n--x--  \r\n", [b"a"]),
        (
            b"--x\r\n\r\na\r\n--xy\r\n--x-\r\n-- x\r\n --x\r\n--x--z\r\nb\r\n--x--",
            [b"a\r\n--xy\r\n--x-\r\n-- x\r\n --x\r\n--x--z\r\nb"],
        ),
        (b"--x\r\n\r\na\r\n\r\n--x--", [b"a\r\n"]),
        (b"--x\r\n\r\na--x--\r\n--x--\r\n--x\r\n\r\nb", [b"a--x--"]),
        (b"--x\r\nno header", [b""]),
    ],
)
def test_boundaries_part_as_the_rfc_says(letter: bytes, parts: list[bytes]) -> None:
    # RFC 2046 5.1.1: the line break before a boundary is the boundary's
    letter = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + letter
    consistent(letter)
    found = [part for part in read_parts(walk(letter).parts) if part.path]
    assert [letter[part.body : part.end] for part in found] == parts


def test_an_outer_boundary_ends_what_is_inside() -> None:
    # RFC 2046 5.1.2
    inner = b"Content-Type: multipart/mixed; boundary=in\r\n\r\n--in\r\n\r\na\r\n"
    assert kinds(mixed(inner, b"\r\nb", boundary=b"out")) == [
        ((), "multipart/mixed"),
        ((1,), "multipart/mixed"),
        ((1, 1), "text/plain"),
        ((2,), "text/plain"),
    ]


def test_two_multiparts_of_one_boundary_end_together() -> None:
    inner = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x--\r\n"
    consistent(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + inner + b"--x--\r\n")


# --- maps, cuts, anything


def test_a_map_of_a_file_has_the_structure_of_its_octets(tmp_path: Path) -> None:
    for number, letter in enumerate([*letters(15), nested(20), HOSTILE["many letters"](50)]):
        path = tmp_path / str(number)
        path.write_bytes(letter)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as map:
            assert walk(map) == walk(letter)


@pytest.mark.parametrize("number", range(15))
def test_varied_letters_have_wellformed_structures(number: int) -> None:
    consistent(letters(15)[number])


def test_a_letter_cut_anywhere_has_a_wellformed_structure() -> None:
    inner = mixed(b"\r\n1", b"Content-Type: a/b\r\n\r\n2", boundary=b"in")
    letter = mixed(b"\r\n1", b"Content-Type: message/rfc822\r\n\r\n" + inner, b"Content-Type: text/x\r\n\r\n")
    for end in range(len(letter) + 1):
        consistent(letter[:end])


PIECES = [
    b"Content-Type: multipart/mixed; boundary=x\r\n",
    b"Content-Type: multipart/digest; boundary=y\n",
    b"Content-Type: message/rfc822\r\n",
    b'Content-Type: text/plain; charset="\\"\r\n',
    b'Content-Disposition: attachment; filename="\xff"\r\n',
    b"Content-Language: de,(,en\r\n",
    b"Content-ID: {5}\r\n",
    b"Content-MD5: \0\r\n",
    b"Subject: a\r\n b\r\n",
    b"From: a <b@c>\r\n",
    b"\r\n",
    b"\n",
    b"--x\r\n",
    b"--x--\r\n",
    b"--y\n",
    b"\r\n--y--",
    b"text\r\n",
    b"\r",
    b"-",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=25).map(b"".join))
def test_any_octets_have_a_wellformed_structure(letter: bytes) -> None:
    consistent(letter)
