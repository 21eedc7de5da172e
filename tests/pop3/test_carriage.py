from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.octets import crlf_size
from postroom.message.structure import parse
from postroom.pop3.carriage import LINE_OCTETS, Scan, base64_lines, base64_size, binary_word, candidates
from tests.pop3.binaries import multipart, part


def scanned(octets: bytes, cut: int = 0) -> Scan:
    scan = Scan()
    for at in range(0, len(octets), cut or len(octets)):
        scan.feed(octets[at : at + (cut or len(octets))])
    return scan


# --- what lines can't carry


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 500])
@pytest.mark.parametrize(
    ("octets", "needs", "needs_at_end"),
    [
        (b"a\r\nb\r\n", False, False),
        (b"a\r\nb", False, True),
        (b"a\nb\r\n", True, True),
        (b"a\rb\r\n", True, True),
        (b"a\r\n\r", True, True),
        (b"a\r\r\n", True, True),
        (b"\n\r", True, True),
        (b"a\0\r\n", True, True),
        (b"\xff\x1a\x1b\r\n", False, False),
        (b"x" * LINE_OCTETS + b"\r\n", False, False),
        (b"x" * (LINE_OCTETS + 1) + b"\r\n", True, True),
        (b"a\r\n" + b"x" * LINE_OCTETS, False, True),
        (b"a\r\n" + b"x" * (LINE_OCTETS + 1), True, True),
        (b"x" * (100 * LINE_OCTETS), True, True),
    ],
    ids=lambda each: repr(each)[:30],
)
def test_octets_that_do_not_survive_as_lines_are_found(
    octets: bytes, needs: bool, needs_at_end: bool, cut: int
) -> None:
    scan = scanned(octets, cut)
    assert scan.octets == len(octets)
    assert scan.needs_base64(at_end=False) is needs
    assert scan.needs_base64(at_end=True) is needs_at_end


@settings(max_examples=200, deadline=None)
@given(st.text("a\r\n\0", min_size=1, max_size=30).map(str.encode), st.integers(1, 9))
def test_wherever_it_is_cut_a_part_is_counted_as_its_lines(octets: bytes, cut: int) -> None:
    scan = scanned(octets, cut)
    assert scan.as_lines + 2 * (not scan.ended) == crlf_size(octets)
    assert scan.ended == (octets[-1:] in (b"\r", b"\n"))
    assert scan.needs_base64(at_end=False) == scanned(octets).needs_base64(at_end=False)


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=400))
def test_base64_has_lines_of_76_and_the_size_that_was_told(octets: bytes) -> None:
    lines = base64_lines(octets)
    assert base64.b64decode(lines) == octets
    assert max(map(len, lines.split(b"\r\n"))) <= 76
    assert base64_size(len(octets), at_end=False) == len(lines)
    assert base64_size(len(octets), at_end=True) == len(lines) + 2


# --- who calls itself binary


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Transfer-Encoding: BINARY\r\n",
        b"content-transfer-encoding:binary\r\n",
        b"Content-Transfer-Encoding :\r\n\tBiNaRy (as it is)\r\n",
        b"Content-Transfer-Encoding: (7bit? no) (binary?)\n  BINARY; x=y\n",
        b"X: y\r\nContent-Transfer-Encoding: binary\r\nContent-Transfer-Encoding: 7bit\r\n",
    ],
    ids=repr,
)
def test_the_word_that_calls_a_part_binary_is_found_where_it_stands(field: bytes) -> None:
    found = binary_word(field + b"\r\n")
    assert found is not None
    start, end = found
    assert (field[start:end].lower(), field[:start].lower().count(b"-encoding")) == (b"binary", 1)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Content-Type: binary\r\n\r\n",
        b"Content-Transfer-Encoding: 8bit (binary)\r\n\r\n",
        b"Content-Transfer-Encoding: binary-ish\r\n\r\n",
        b"Content-Transfer-Encoding:\r\nbinary\r\n\r\n",
        b"X-Content-Transfer-Encoding: binary\r\n\r\n",
        b"X: y\r\n Content-Transfer-Encoding: binary\r\n\r\n",
        b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: binary\r\n\r\n",
        b"Content-Transfer-Encoding" + b"(" * 100_000,
        b"Content-Transfer-Encoding:" + b"(x" * 100_000 + b"\r\n\r\n",
    ],
    ids=lambda each: repr(each)[:60],
)
def test_what_is_not_called_binary_stays_as_it_is(header: bytes) -> None:
    assert binary_word(header) is None


def test_only_leaves_that_are_not_encoded_already_come_into_question() -> None:
    bodies = [part(b"a\0", each) for each in (b"binary", b"8bit", None, b"base64", b"quoted-printable", b"x-odd")]
    inner = part(part(b"in\0"), kind=b"message/rfc822")
    letter = multipart(*bodies, part(b""), inner)
    found = [letter[each.body : each.end] for each in candidates(parse(letter).parts)]
    assert found == [b"a\0", b"a\0", b"a\0", b"in\0"]
