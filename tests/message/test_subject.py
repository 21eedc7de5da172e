"""The base subject (RFC 5256 2.1)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.subject import base_subject

SUBJECTS = [
    ("the subject", "the subject", False),
    ("", "", False),
    ("   two   spaces\tand\ttabs  ", "two spaces and tabs", False),
    # (5) subj-leader
    ("Re: the subject", "the subject", True),
    ("RE:the subject", "the subject", True),
    ("re : the subject", "the subject", True),
    ("Fw: the subject", "the subject", True),
    ("FWD: the subject", "the subject", True),
    ("Re[2]: the subject", "the subject", True),
    ("Re [2] : the subject", "the subject", True),
    ("Re: Re: Fwd: re: the subject", "the subject", True),
    ("[list] Re: the subject", "the subject", True),
    ("Re: [list] Re: the subject", "the subject", True),
    ("[a] [b] Re: the subject", "the subject", True),
    # (2) subj-trailer
    ("the subject (fwd)", "the subject", True),
    ("the subject (FWD) (fwd)  ", "the subject", True),
    # (4) subj-blob: removed where something is left
    ("[list] the subject", "the subject", False),
    ("[a] [b] the subject", "the subject", False),
    ("[list]", "[list]", False),
    ("[a] [b]", "[b]", False),
    ("Re: [list]", "[list]", True),
    # (6) subj-fwd-hdr and subj-fwd-trl
    ("[fwd: the subject]", "the subject", True),
    ("[Fwd: Re: the subject (fwd)]", "the subject", True),
    ("[fwd: [fwd: the subject]]", "the subject", True),
    ("[fwd: the subject", "[fwd: the subject", False),
    # what only looks so
    ("Regarding: x", "Regarding: x", False),
    ("re the subject", "re the subject", False),
    ("Ref: x", "Ref: x", False),
    ("AW: x", "AW: x", False),
    ("fwdd: x", "fwdd: x", False),
    ("[[a]] x", "[[a]] x", False),
    ("re[: x", "re[: x", False),
    ("(fwd)", "", True),
    ("Re:", "", True),
    ("Re: ", "", True),
    # encoded words first (step 1)
    ("=?utf-8?q?Re=3A_Gr=C3=BC=C3=9Fe?=", "Grüße", True),
    ("Re: =?utf-8?q?=5Blist=5D_x?=", "x", True),
]


@pytest.mark.parametrize(("subject", "base", "is_reply"), SUBJECTS)
def test_a_subject_has_its_base(subject: str, base: str, is_reply: bool) -> None:
    assert base_subject(subject.encode()) == (base, is_reply)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*"[]():- ", "re", "fwd", "[fwd:", "(fwd)", "x", "\t"]), max_size=14))
def test_a_base_subject_is_its_own_base(pieces: list[str]) -> None:
    once = base_subject("".join(pieces).encode())
    again = base_subject(once.text.encode())
    assert again.text == once.text
    assert not again.is_reply


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80))
def test_any_octets_have_a_base(value: bytes) -> None:
    assert isinstance(base_subject(value).text, str)


@pytest.mark.parametrize(
    "flood",
    [b"re:", b"[a]", b"[a] ", b"(fwd)", b"[fwd:", b"[", b"]", b"re[", b" ", b"[a]re:", b"[fwd:[a]", b"fwd", b"[ "],
)
@pytest.mark.parametrize("end", [b"", b"]" * 30_000, b"x", b"re:", b"[a]"])
def test_a_flood_of_marks_has_a_base_too(flood: bytes, end: bytes) -> None:
    assert isinstance(base_subject(flood * 30_000 + end).text, str)
