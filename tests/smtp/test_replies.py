from __future__ import annotations

import re
from pathlib import Path

import pytest

import postroom
from postroom.smtp import replies
from postroom.smtp.grammar import read_reply_line
from postroom.smtp.replies import Reply

TABLE = {name: reply for name, reply in vars(replies).items() if isinstance(reply, Reply)}
WITHOUT_ENHANCED = {"R250_GREETED", "R354_DATA"}
"""RFC 2034 4: no enhanced code in replies to HELO and EHLO, nor in 3yz."""


@pytest.mark.parametrize("name", TABLE)
def test_a_reply_reads_back_from_its_octets(name: str) -> None:
    reply = TABLE[name]
    line = read_reply_line(reply.octets)
    assert (line.code, line.enhanced, line.text, line.last) == (reply.code, reply.enhanced, reply.text, True)


@pytest.mark.parametrize("name", TABLE)
def test_a_reply_is_named_by_its_code(name: str) -> None:
    assert re.fullmatch(rf"R{TABLE[name].code}_[A-Z0-9_]+", name)


@pytest.mark.parametrize("name", TABLE)
def test_the_class_of_the_enhanced_code_is_the_codes_own(name: str) -> None:
    reply = TABLE[name]
    assert (reply.enhanced == "") == (name in WITHOUT_ENHANCED)
    if reply.enhanced:
        assert reply.enhanced[0] == str(reply.code)[0]


def test_a_reply_line_has_at_most_512_octets() -> None:
    assert max(len(reply.octets) for reply in TABLE.values()) <= 512


def test_every_reply_is_given_somewhere() -> None:
    root = Path(postroom.__file__).parent
    sources = [*(root / "smtp").glob("*.py"), *(root / "intake").rglob("*.py")]
    code = "".join(path.read_text() for path in sources if path.name != "replies.py")
    assert [name for name in TABLE if not re.search(rf"\b{name}\b", code)] == []


def test_another_text_can_be_said_and_never_makes_a_second_line() -> None:
    assert replies.R250_ACCEPTED.saying("as a1") == b"250 2.6.0 as a1\r\n"
    assert replies.R250_ACCEPTED.saying("a\r\n250 b") == b"250 2.6.0 a??250 b\r\n"
