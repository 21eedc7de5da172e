from __future__ import annotations

import re
from pathlib import Path

import pytest

import postroom
from postroom.smtp import replies
from postroom.smtp.grammar import read_reply_line
from postroom.smtp.replies import Reply

TABLE = {name: reply for name, reply in vars(replies).items() if isinstance(reply, Reply)}
WITHOUT_ENHANCED = {"R220_GREETING", "R250_GREETED", "R354_DATA"}
"""RFC 2034 4: no enhanced code in the greeting and in replies to HELO and EHLO, nor in 3yz."""
PAGE = Path(__file__).parents[2] / "docs" / "replies.md"


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


def test_the_page_of_replies_is_made_from_the_table() -> None:
    assert PAGE.read_text().endswith("\n\n" + replies.write_table()), (
        "docs/replies.md is not what the table says; make it anew: .venv/bin/python -m tests.smtp.test_replies"
    )


def test_help_finds_every_reply_by_its_code() -> None:
    assert {reply for code in range(200, 600) for reply in replies.with_code(str(code))} == set(TABLE.values())
    assert replies.with_code("") == replies.with_code("2") == replies.with_code("R250") == []


def test_another_text_can_be_said_and_never_makes_a_second_line() -> None:
    assert replies.R250_ACCEPTED.saying("as a1") == b"250 2.6.0 as a1\r\n"
    assert replies.R250_ACCEPTED.saying("a\r\n250 b") == b"250 2.6.0 a??250 b\r\n"


def test_several_lines_are_one_reply() -> None:
    assert replies.R250_VERIFIED.saying("<a@b>", "<ö@b>") == b"250-2.1.5 <a@b>\r\n250 2.1.5 <?@b>\r\n"
    assert replies.R250_VERIFIED.saying("<ö@b>", utf8=True) == "250 2.1.5 <ö@b>\r\n".encode()
    # What would end a line, or turn it round, stands in none.
    assert replies.R250_VERIFIED.saying("a\u2028b\u202ec\x85d", utf8=True) == b"250 2.1.5 a?b?c?d\r\n"


if __name__ == "__main__":
    text, _, _ = PAGE.read_text().partition("\n\n|")
    PAGE.write_text(f"{text.rstrip()}\n\n{replies.write_table()}")
