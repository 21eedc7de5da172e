"""All that is found in one pass over a letter: real ones, any octets, and whole answers that agree."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.casemap import casemap
from postroom.message.hashes import id_hash
from postroom.message.octets import crlf_size
from postroom.message.parts import read_parts
from postroom.message.structure import PARSER, Facts, parse
from postroom.net.limits import HEADER_FIELDS, HEADER_OCTETS, SORT_KEY_CHARACTERS
from tests.letters import letters
from tests.message import imapsyntax


def test_the_letter_of_the_rfc() -> None:
    # RFC 5322 A.2: a reply
    letter = (
        b"From: Mary Smith <mary@example.net>\r\nTo: John Doe <jdoe@machine.example>\r\n"
        b'Reply-To: "Mary Smith: Personal Account" <smith@home.example>\r\nSubject: Re: Saying Hello\r\n'
        b"Date: Fri, 21 Nov 1997 10:01:10 -0600\r\nMessage-ID: <3456@example.net>\r\n"
        b"In-Reply-To: <1234@local.machine.example>\r\nReferences: <1234@local.machine.example>\r\n\r\n"
        b"This is a reply to your hello.\r\n"
    )
    facts = parse(letter)
    assert facts.header_size == letter.index(b"This")
    assert (facts.sent, facts.sent_zone) == (880128070, -360)
    assert facts.message_id == id_hash(b"3456@example.net")
    assert facts.references == (id_hash(b"1234@local.machine.example"),)
    assert (facts.subject, facts.is_reply) == ("SAYING HELLO", True)
    assert (facts.sender, facts.to, facts.cc) == ("MARY", "JDOE", "")
    envelope = imapsyntax.envelope(facts.envelope)
    assert envelope[4] == [[b"Mary Smith: Personal Account", None, b"smith", b"home.example"]]
    assert len(read_parts(facts.parts)) == 2


def test_sort_keys_are_those_of_the_rfc() -> None:
    # RFC 5256 3: the first address's mailbox, group names count too
    facts = parse(
        b"From: Z <zoe@a>, adam@b\r\nTo: Friends: x@y;\r\nCc: =?utf-8?q?J=C3=B6rg?= <=?utf-8?q?j=C3=B6rg?=@z>\r\n"
        b"Subject: =?utf-8?q?Fwd=3A_Gr=C3=BC=C3=9Fe?=\r\n\r\n"
    )
    assert (facts.sender, facts.to, facts.cc) == ("ZOE", "FRIENDS", casemap("jörg"))
    assert facts.subject == casemap("Grüße")


@pytest.mark.parametrize("count", [SORT_KEY_CHARACTERS, SORT_KEY_CHARACTERS + 1])
def test_sort_keys_are_cut_at_their_limit(count: int) -> None:
    letter = b"Subject: %b\r\nFrom: %b@c\r\n\r\n" % (b"s" * count, b"f" * count)
    facts = parse(letter)
    assert (len(facts.subject), len(facts.sender)) == (SORT_KEY_CHARACTERS, SORT_KEY_CHARACTERS)


def test_sort_keys_hold_no_nul() -> None:
    facts = parse(b'Subject: a\0b\r\nFrom: "a\0b"@c\r\n\r\n')
    assert (facts.subject, facts.sender) == ("AB", "AB")


def test_a_letter_without_anything_has_facts_too() -> None:
    nil = b"(" + b" ".join([b"NIL"] * 10) + b")"
    text = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL)'
    assert parse(b"") == Facts(0, 0, nil, text, parse(b"").parts, None, None, None, (), "", False, "", "", "")


def test_the_answers_carry_the_version_of_their_maker() -> None:
    assert PARSER == 1


@pytest.mark.parametrize("filling", [HEADER_OCTETS - 12, HEADER_OCTETS - 11])
def test_a_header_is_looked_at_up_to_its_limit(filling: int) -> None:
    # The last octet looked at is the last of "Subject: hi\r\n", or the one before it.
    letter = b"X: " + b"x" * (filling - 5) + b"\r\nSubject: hi\r\n\r\nbody"
    facts = parse(letter)
    assert facts.header_size == letter.index(b"body")
    assert facts.subject == "HI"
    beyond = parse(b"X: " + b"x" * HEADER_OCTETS + b"\r\nSubject: hi\r\n\r\nbody")
    assert beyond.subject == ""


def test_a_header_bomb_has_facts() -> None:
    for field in (b"X: y\r\n", b"To: a@b\r\n", b"Subject: x\r\n", b" \r\n", b":\r\n", b"References: <a@b>\r\n"):
        letter = field * (HEADER_FIELDS * 3) + b"\r\nbody"
        facts = parse(letter)
        imapsyntax.envelope(facts.envelope)
        assert facts.header_size == len(letter) - 4
    folded = b"Subject: x\r\n" + b" y\r\n" * 200_000 + b"\r\nbody"
    assert len(parse(folded).subject) == SORT_KEY_CHARACTERS


@pytest.mark.parametrize("number", range(15))
def test_a_map_of_a_file_has_the_facts_of_its_octets(number: int, tmp_path: Path) -> None:
    letter = letters(15)[number]
    path = tmp_path / "letter"
    path.write_bytes(letter)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as map:
        assert parse(map) == parse(letter)


FIELDS = "From To Cc Bcc Sender Reply-To Subject Date Message-ID In-Reply-To References Content-Type X"


@settings(max_examples=250, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(FIELDS.split()).map(str.encode),
            st.text('ab <>@,;:()"\\\0=?{}üλ\u0345ﷺ', max_size=30).map(str.encode) | st.binary(max_size=30),
        ),
        max_size=8,
    ),
    st.binary(max_size=20),
)
def test_any_letter_has_wellformed_facts(fields: list[tuple[bytes, bytes]], text: bytes) -> None:
    letter = b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n" + text
    facts = parse(letter)
    imapsyntax.envelope(facts.envelope)
    imapsyntax.bodystructure(facts.bodystructure)
    assert 0 <= facts.header_size <= len(letter)
    assert facts.crlf_size == crlf_size(letter)
    for key in (facts.subject, facts.sender, facts.to, facts.cc):
        # What the index keeps as text.
        key.encode("utf-8")
        assert "\0" not in key
        assert len(key) <= 20 * SORT_KEY_CHARACTERS
    for number in (facts.message_id or 0, *facts.references):
        assert -(2**63) <= number < 2**63


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_have_wellformed_facts(letter: bytes) -> None:
    facts = parse(letter)
    imapsyntax.envelope(facts.envelope)
    imapsyntax.bodystructure(facts.bodystructure)
