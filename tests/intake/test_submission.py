from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.intake.submission import HeaderRepair
from postroom.net.limits import HEADER_OCTETS
from tests.smtp.office import NOW

DATE = b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
HAS_BOTH = b"Date: x\r\nMessage-ID: <x@y>\r\n"


def repaired(letter: bytes, step: int = 0) -> bytes:
    """The letter as it is kept, its random Message-ID as <ID>."""
    repair = HeaderRepair("mx.example.test", NOW)
    step = step or len(letter) + 1
    kept = b"".join(repair.feed(letter[at : at + step]) for at in range(0, len(letter), step)) + repair.finish()
    return re.sub(rb"<[0-9a-f]+\.[0-9a-f]{16}@mx\.example\.test>", b"<ID>", kept)


LETTERS = [
    (HAS_BOTH + b"\r\nbody\r\n", HAS_BOTH + b"\r\nbody\r\n"),
    (b"Subject: x\r\n\r\nbody\r\n", b"Message-ID: <ID>\r\n" + DATE + b"Subject: x\r\n\r\nbody\r\n"),
    (b"Date: x\r\n\r\n", b"Message-ID: <ID>\r\nDate: x\r\n\r\n"),
    (b"MESSAGE-ID : <x@y>\r\n\r\n", DATE + b"MESSAGE-ID : <x@y>\r\n\r\n"),
    # a header alone, and nothing at all
    (b"Subject: x\r\n", b"Message-ID: <ID>\r\n" + DATE + b"Subject: x\r\n"),
    (b"", b"Message-ID: <ID>\r\n" + DATE),
    (b"\r\n", b"Message-ID: <ID>\r\n" + DATE + b"\r\n"),
    (b"\r\nDate: in the body\r\n", b"Message-ID: <ID>\r\n" + DATE + b"\r\nDate: in the body\r\n"),
    # no header: what came is the body
    (b"Hello\r\n\r\nthere\r\n", b"Message-ID: <ID>\r\n" + DATE + b"\r\nHello\r\n\r\nthere\r\n"),
    (b"Hello\r\nDate: x\r\n", b"Message-ID: <ID>\r\n" + DATE + b"\r\nHello\r\nDate: x\r\n"),
    # blind copies
    (HAS_BOTH + b"Bcc: a@b\r\n\r\nBcc: c@d\r\n", HAS_BOTH + b"\r\nBcc: c@d\r\n"),
    (b"bCC:\r\n" + HAS_BOTH + b"\r\n", HAS_BOTH + b"\r\n"),
    (HAS_BOTH + b"Bcc : a@b,\r\n c@d,\r\n\te@f\r\nTo: x\r\n\r\n", HAS_BOTH + b"To: x\r\n\r\n"),
    (HAS_BOTH + b"Resent-Bcc: a@b\r\nBcc: a@b\r\nBcc: c@d\r\n\r\n", HAS_BOTH + b"\r\n"),
    (
        HAS_BOTH + b"X-Bcc: a@b\r\nTo: Bcc: c\r\n Bcc: d\r\n\r\n",
        HAS_BOTH + b"X-Bcc: a@b\r\nTo: Bcc: c\r\n Bcc: d\r\n\r\n",
    ),
    # fields of other names
    (b"X-Date: x\r\n\r\n", b"Message-ID: <ID>\r\n" + DATE + b"X-Date: x\r\n\r\n"),
    (b"Subject: a\r\n Date: b\r\n\r\n", b"Message-ID: <ID>\r\n" + DATE + b"Subject: a\r\n Date: b\r\n\r\n"),
]


@pytest.mark.parametrize(("letter", "kept"), LETTERS)
def test_what_submission_repairs(letter: bytes, kept: bytes) -> None:
    # RFC 6409 8
    assert repaired(letter) == kept


@pytest.mark.parametrize(("letter", "kept"), LETTERS)
def test_a_letter_may_come_in_any_chunks(letter: bytes, kept: bytes) -> None:
    for step in (1, 2, 3, 5, 7):
        assert repaired(letter, step) == kept


def test_message_ids_are_all_different() -> None:
    kept = {HeaderRepair("mx.example.test", NOW).feed(b"\r\n") for _ in range(100)}
    assert len(kept) == 100


def test_a_body_passes_uncopied() -> None:
    repair = HeaderRepair("mx.example.test", NOW)
    repair.feed(HAS_BOTH + b"\r\n")
    chunk = b"Bcc: x\r\n" * 100
    assert repair.feed(chunk) is chunk
    assert repair.finish() == b""


def test_a_header_is_held_back_up_to_the_limit_and_a_longer_one_passes_as_it_is() -> None:
    line = b"X: " + b"y" * 59 + b"\r\n"
    fitting = line * ((HEADER_OCTETS - 2) // len(line)) + b"\r\n"
    assert repaired(fitting, 65536).startswith(b"Message-ID: <ID>\r\n" + DATE)
    longer = line * (HEADER_OCTETS // len(line) + 2000) + b"Bcc: x\r\n\r\n"
    assert repaired(longer, 65536) == longer


FIELDS = st.sampled_from(
    [
        b"Subject: x\r\n",
        b"Bcc: a\r\n",
        b" folded\r\n",
        b"\tfolded\r\n",
        b"Date: x\r\n",
        b"Message-Id:\r\n",
    ]
)
ODD = FIELDS | st.sampled_from([b"odd\r\n", b":\r\n", b"\xff\0:\r\n", b"\r\n", b"\r", b"\n", b"bcc"])


@settings(max_examples=150, deadline=None)
@given(st.lists(FIELDS, max_size=8).map(b"".join), st.booleans(), st.lists(FIELDS, max_size=3).map(b"".join))
def test_a_repaired_letter_needs_no_repair(header: bytes, ended: bool, body: bytes) -> None:
    letter = header + (b"\r\n" + body if ended else b"")
    once = repaired(letter)
    assert repaired(once) == once
    if ended:
        assert once.endswith(b"\r\n" + body)


@settings(max_examples=150, deadline=None)
@given(st.lists(ODD, max_size=10).map(b"".join), st.integers(1, 9))
def test_whatever_comes_the_chunks_do_not_matter(letter: bytes, step: int) -> None:
    # A CRLF is never cut: the data's reader holds a CR back.
    kept = repaired(letter)
    repair = HeaderRepair("mx.example.test", NOW)
    lines = letter.split(b"\r\n")
    chunks = [line + b"\r\n" for line in lines[:-1]] + [lines[-1]]
    pieces = [b"".join(chunks[at : at + step]) for at in range(0, len(chunks), step)]
    said = b"".join(repair.feed(piece) for piece in pieces) + repair.finish()
    assert re.sub(rb"<[0-9a-f]+\.[0-9a-f]{16}@mx\.example\.test>", b"<ID>", said) == kept
