"""IMAP (docs/security.md), attacked over real sockets: commands, literals, numbers, names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.system.raw import AUTH_PLAIN, Raw, alive, append, clear, imap, letters, parse

_LETTER = b"Subject: one\r\nFrom: a@b.test\r\n\r\nfirst\r\n"
_LOGIN = b"LOGIN %b %b" % (ALICE.encode(), PASSWORDS[ALICE].encode())
_MOST_GROWTH = 16 * 1024 * 1024


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(autouse=True)
def _others_go_on(house: House) -> Iterator[None]:
    """Alice has two letters; each attack stands between two commands of Bob."""
    clear(house)
    with imap(house) as raw:
        append(raw, _LETTER)
        append(raw, b"Subject: two\r\n\r\n")
    with imap(house, BOB, mailbox="INBOX") as other:
        yield
        assert other.answer(b"NOOP")[0].startswith(b"OK")
    alive(house)


def _memory(house: House) -> int:
    status = Path(f"/proc/{house.pids()['worker-0']}/status").read_text()
    found = re.search(r"RssAnon:\s+([0-9]+) kB", status)
    assert found
    return int(found[1]) * 1024


# --- literals


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (b"LOGIN {4294967296}", b"BAD The literal is too big"),
        (b"LOGIN {99999999999999999999}", b"BAD The literal is too big"),
        (b"LOGIN {" + b"9" * 5000 + b"}", b"BAD The literal is too big"),
        (b"LOGIN {16384}", b"BAD The literal is too big"),
        (b"APPEND INBOX {5}", b"BAD Log in first"),
        (b"APPEND {5}", b"BAD Log in first"),
        (b"APPEND INBOX {99999999999}", b"BAD Log in first"),
        (b"NOSUCH {5}", b"BAD There is no such command"),
        (b"SELECT {5}", b"BAD Log in first"),
        (b"LOGIN {-5}", b"BAD "),
        (b"LOGIN {+5}", b"BAD "),
        (b"LOGIN {5_0}", b"BAD "),
        (b"LOGIN {0x5}", b"BAD "),
        (b"LOGIN {}", b"BAD "),
        (b"LOGIN {\xd9\xa1}", b"BAD "),
        (b"LOGIN {5", b"BAD "),
        (b"LOGIN " + b"(" * 10_000, b"BAD "),
        (b"LOGIN " + b'"' + b"a" * 10_000 + b'" x', b"BAD "),
        (b'LOGIN "a\x00b" x', b"BAD "),
        (b'LOGIN "a\\b" x', b"BAD "),
        (b'LOGIN "a\xff" x', b"BAD "),
        (b"LOGIN a\x00 b", b"BAD "),
        (b"AUTHENTICATE PLAIN " + b"A" * 13_000, b"BAD "),
        (b"ID (" + b'"a" "b" ' * 31 + b'"a" "b")', b"BAD "),
        (b"x" * 16_381, b"BAD "),
        (b"x" * 1_000_000, b"BAD The command is too long"),
    ],
    ids=lambda each: repr(each[:40]),
)
def test_before_the_login_little_is_taken(house: House, command: bytes, told: bytes) -> None:
    """Cyrus' CVE-2024-34055: refused before a "+" is said."""
    with Raw(house, "imap") as raw:
        raw.say(b"t " + command + b"\r\n")
        line = raw.line()
        assert line.removeprefix(b"t ").removeprefix(b"* ").startswith(told), line
        assert raw.answer(_LOGIN)[0].startswith(b"OK")


@pytest.mark.parametrize(
    "command",
    [
        b"LOGIN {4294967296+}",
        b"LOGIN {99999999999999999999999+}",
        b"LOGIN {16384+}",
        b"APPEND INBOX {1+}",
        b"APPEND INBOX ~{1+}",
        b"APPEND INBOX {99999999999999999999+}",
        b"NOSUCH {99999999999999999999+}",
        b"x" * 20_000 + b" {100+}",
    ],
    ids=lambda each: repr(each[:40]),
)
def test_a_huge_literal_that_comes_unasked_ends_the_session(house: House, command: bytes) -> None:
    with Raw(house, "imap") as raw:
        with contextlib.suppress(ConnectionError):
            raw.say(b"a " + command + b"\r\n", (b"b %b\r\n" % _LOGIN) * 3, b"c LOGOUT\r\n")
        said = raw.rest()
        assert said.startswith(b"* BYE [TOOBIG] ")
        assert said.count(b"\r\n") == 1


@pytest.mark.parametrize("command", [b"NOSUCH {20+}", b"SELECT {20+}", b"NOOP {20+}", b"APPENDX INBOX {20+}"])
def test_a_small_literal_of_a_refused_command_is_never_run(house: House, command: bytes) -> None:
    with Raw(house, "imap") as raw:
        inside = b"b LOGOUT\r\nc LOGOUT\r\n"
        raw.say(b"a " + command + b"\r\n" + inside + b"\r\nd NOOP\r\n")
        assert raw.line().startswith(b"a BAD ")
        assert raw.line().startswith(b"d OK ")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (b"APPEND INBOX {52428801}", b"NO [TOOBIG]"),
        (b"APPEND INBOX {4294967296}", b"NO [TOOBIG]"),
        (b"APPEND INBOX {99999999999999999999}", b"NO [TOOBIG]"),
        (b"APPEND INBOX {" + b"9" * 5000 + b"}", b"NO [TOOBIG]"),
        (b"APPEND INBOX {0}", b"NO [CANNOT]"),
        (b"APPEND INBOX ~{5}", b"BAD "),
        (b"APPEND Nowhere {5}", b"NO [TRYCREATE]"),
        (b"APPEND INBOX (\\Seen \\Recent) {5}", b"BAD "),
        (b"APPEND INBOX (" + b"k " * 200 + b"k) {5}", b""),
        (b'APPEND INBOX " 1-Jan-99999 00:00:00 +0000" {5}', b"BAD "),
        (b'APPEND INBOX "32-Jan-2026 00:00:00 +0000" {5}', b"BAD "),
        (b"APPEND INBOX", b"BAD "),
        (b"SELECT {99999999999999999999}", b"BAD The literal is too big"),
        (b"SEARCH TEXT {65536}", b"BAD "),
        (b"X" * 70_000, b"BAD The command is too long"),
    ],
    ids=lambda each: repr(each[:40]),
)
def test_behind_the_login_it_is_refused_before_it_is_asked_for(house: House, command: bytes, told: bytes) -> None:
    with imap(house) as raw:
        raw.say(b"t " + command + b"\r\n")
        line = raw.line()
        if not told and line.startswith(b"+"):
            raw.say(b"S: x\r\n"[:5] + b"\r\n")
            line = raw.line()
        assert line.removeprefix(b"t ").removeprefix(b"* ").startswith(told), line
        assert raw.answer(b"NOOP")[0].startswith(b"OK")


@pytest.mark.parametrize(
    "letter", [b"S: x\r\n\r\na\x00b\r\n", b"\x00", b"x" * 70_000 + b"\x00"], ids=lambda it: repr(it[:9])
)
@pytest.mark.parametrize("plus", [b"", b"+"])
def test_a_letter_with_nul_is_refused_whole(house: House, letter: bytes, plus: bytes) -> None:
    with imap(house) as raw:
        raw.say(b"t APPEND INBOX {%d%b}\r\n" % (len(letter), plus))
        if not plus:
            assert raw.line().startswith(b"+ ")
        raw.say(letter + b"\r\n")
        assert raw.tagged() == (b"BAD A letter has no NUL", [])
        assert raw.answer(b"NOOP")[0].startswith(b"OK")
    assert len(letters(house)) == 2


def test_commands_in_a_refused_letter_are_never_run(house: House) -> None:
    inside = b"b DELETE Drafts\r\nc LOGOUT\r\n" * 100
    with imap(house) as raw:
        for head in (b"APPEND Nowhere", b"APPEND INBOX (bad", b"APPEND", b"APPEND INBOX (\\Recent)"):
            raw.say(b"t %b {%d+}\r\n%b\r\n" % (head, len(inside), inside))
            assert raw.tagged()[0][:3] in (b"NO ", b"BAD"), head
        assert raw.answer(b"STATUS Drafts (MESSAGES)")[0].startswith(b"OK")


@pytest.mark.parametrize("tail", [b" b NOOP\r\n", b"x\r\n", b" {3}\r\n", b" {7+}\r\nt NOOP\n\r\n"], ids=repr)
def test_a_letter_with_more_behind_it_is_refused(house: House, tail: bytes) -> None:
    with imap(house) as raw:
        raw.say(b"t APPEND INBOX {5}\r\n")
        assert raw.line().startswith(b"+ ")
        raw.say(b"S: x\n" + tail)
        assert raw.tagged() == (b"BAD APPEND takes one letter", [])
        assert raw.answer(b"NOOP")[0].startswith(b"OK")
    assert len(letters(house)) == 2


# --- nesting, sets, numbers


def _nested(count: int, inner: bytes = b"ALL") -> bytes:
    return b"(" * count + inner + b")" * count


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (b"SEARCH " + _nested(29), b"OK"),
        (b"SEARCH " + _nested(31), b"BAD"),
        (b"SEARCH " + _nested(30_000), b"BAD"),
        (b"SEARCH " + b"(" * 60_000, b"BAD"),
        (b"SEARCH " + b"NOT " * 15_000 + b"ALL", b"BAD"),
        (b"SEARCH " + b"OR ALL " * 8000 + b"ALL", b"BAD"),
        (b"SEARCH " + b"ALL " * 9999 + b"ALL", b"OK"),
        (b"SEARCH " + b"ALL " * 10_000 + b"ALL", b"BAD"),
        (b"FETCH 1 " + b"(" * 60_000, b"BAD"),
        (b"STORE 1 FLAGS " + b"(" * 60_000, b"BAD"),
        (b"STATUS INBOX " + b"(" * 60_000, b"BAD"),
        (b"LIST " + b"(" * 60_000, b"BAD"),
        (b"LIST " + b"(" * 5 + b') "" *', b"BAD"),
        (b"ID " + b"(" * 60_000, b"BAD"),
        (b"FETCH 1:4294967295 FLAGS", b"BAD"),
        (b"UID FETCH 1:4294967295 FLAGS", b"OK"),
        (b"UID FETCH *:* FLAGS", b"OK"),
        (b"FETCH *:* FLAGS", b"OK"),
        (b"FETCH *:1 FLAGS", b"OK"),
        (b"FETCH 3 FLAGS", b"BAD"),
        (b"FETCH 0 FLAGS", b"BAD"),
        (b"UID FETCH 0 FLAGS", b"BAD"),
        (b"UID FETCH 0:* FLAGS", b"BAD"),
        (b"UID FETCH 4294967296 FLAGS", b"BAD"),
        (b"UID FETCH 4294967297 FLAGS", b"BAD"),
        (b"UID FETCH 18446744073709551617 FLAGS", b"BAD"),
        (b"UID FETCH " + b"9" * 5000 + b" FLAGS", b"BAD"),
        (b"UID FETCH +1 FLAGS", b"BAD"),
        (b"UID FETCH 1_0 FLAGS", b"BAD"),
        (b"UID FETCH 1: FLAGS", b"BAD"),
        (b"UID FETCH 1,,2 FLAGS", b"BAD"),
        (b"UID FETCH \xd9\xa1 FLAGS", b"BAD"),
        (b"UID FETCH " + b"1," * 9999 + b"1 FLAGS", b"OK"),
        (b"UID FETCH " + b"1," * 10_000 + b"1 FLAGS", b"BAD"),
        (b"UID FETCH " + b"1:*," * 9000 + b"* (FLAGS UID)", b"OK"),
        (b"UID STORE 1:4294967295 FLAGS.SILENT ()", b"OK"),
        (b"UID COPY 4294967295 INBOX", b"OK"),
        (b"UID EXPUNGE 1:4294967295", b"OK"),
        (b"SEARCH UID 1:4294967295", b"OK"),
        (b"SEARCH 1:4294967295", b"BAD"),
        (b"SEARCH LARGER 9223372036854775807", b"OK"),
        (b"SEARCH LARGER 9223372036854775808", b"BAD"),
        (b"SEARCH LARGER 99999999999999999999", b"BAD"),
        (b"SEARCH ON 31-Feb-2026", b"BAD"),
        (b"SEARCH ON 1-Jan-0000", b"BAD"),
        (b"SEARCH CHARSET KOI8-R ALL", b"NO [BADCHARSET"),
        (b"SEARCH CHARSET zlib TEXT x", b"NO [BADCHARSET"),
        (b"SEARCH CHARSET idna TEXT x", b"NO [BADCHARSET"),
        (b'SEARCH CHARSET UTF-8 TEXT "\xff"', b"BAD"),
        (b'SEARCH TEXT "' + b"a" * 65_000 + b'"', b"OK"),
        (b'SEARCH BODY "((((((((((.*)*)*)*)*)*)*)*)*)*"', b"OK"),
        (b'SEARCH HEADER "" ""', b"OK"),
        (b'SEARCH HEADER "a:b" "x"', b"OK"),
        (b"SEARCH KEYWORD " + b"k" * 256, b"BAD"),
        (b"FETCH 1 BODY[" + b"1." * 48 + b"1]", b"OK"),
        (b"FETCH 1 BODY[" + b"1." * 60 + b"1]", b"BAD"),
        (b"FETCH 1 BODY[" + b"1." * 20_000 + b"1]", b"BAD"),
        (b"FETCH 1 BODY[4294967295]", b"OK"),
        (b"FETCH 1 BODY[4294967296]", b"BAD"),
        (b"FETCH 1 BODY[0]", b"BAD"),
        (b"FETCH 1 BODY[1.0]", b"BAD"),
        (b"FETCH 1 BODY[]<0.9223372036854775807>", b"OK"),
        (b"FETCH 1 BODY[]<9223372036854775807.9223372036854775807>", b"OK"),
        (b"FETCH 1 BODY[]<9223372036854775808.1>", b"BAD"),
        (b"FETCH 1 BODY[]<0.9223372036854775808>", b"BAD"),
        (b"FETCH 1 BODY[]<18446744073709551616.1>", b"BAD"),
        (b"FETCH 1 BODY[]<0.0>", b"BAD"),
        (b"FETCH 1 BODY[]<-1.5>", b"BAD"),
        (b"FETCH 1 BODY[]<5>", b"BAD"),
        (b"FETCH 1 BODY[HEADER.FIELDS ()]", b"BAD"),
        (b"FETCH 1 BODY[HEADER.FIELDS (" + b"x " * 9999 + b"x)]", b"OK"),
        (b'FETCH 1 BODY[HEADER.FIELDS ("a\\"]) x" ")")]', b"OK"),
        (b"FETCH 1 BODY[MIME]", b"BAD"),
        (b"FETCH 1 (" + b"FLAGS " * 10_000 + b"FLAGS)", b"BAD"),
        (b"FETCH 1 BINARY[1]", b"BAD"),
        (b"STORE 1 FLAGS (\\Recent)", b"BAD"),
        (b"STORE 1 FLAGS (" + b"k" * 256 + b")", b"BAD"),
        (b"STORE 1 FLAGS (" + b" ".join(b"k%d" % each for each in range(101)) + b")", b"BAD"),
        (b"STORE 1 FLAGS (a\x00b)", b"BAD"),
        (b"STORE 1 FLAGS (\xff)", b"BAD"),
        (b"STORE 1 FLAGS (a]b)", b"BAD"),
        (b"EXPUNGE 1", b"BAD"),
        (b"NOOP\x00", b"BAD"),
        (b"NO\xc3\x96P", b"BAD"),
        (b"UID NOOP", b"BAD"),
        (b"UID UID FETCH 1 FLAGS", b"BAD"),
        (b"LOGIN a b", b"BAD"),
        (b"STARTTLS x", b"BAD"),
        (b"IDLE x", b"BAD"),
        (b"", b"BAD"),
        (b" NOOP", b"BAD"),
    ],
    ids=lambda each: repr(each[:40]),
)
def test_a_hostile_command_is_one_answer(house: House, command: bytes, told: bytes) -> None:
    with imap(house, mailbox="INBOX") as raw:
        raw.say(b"t " + command + b"\r\n")
        answer, untagged = raw.tagged()
        assert answer.startswith(told), answer
        for response in untagged:
            parse(response)
        assert answer.isascii()
        assert raw.answer(b"UID SEARCH ALL")[0].startswith(b"OK")
    assert letters(house)[0] == _LETTER


@pytest.mark.parametrize("command", [b"FETCH 1:* FLAGS", b"FETCH * FLAGS", b"FETCH *:* FLAGS", b"FETCH 1 FLAGS"])
def test_a_sequence_set_in_an_empty_mailbox_names_nothing(house: House, command: bytes) -> None:
    with imap(house, mailbox="Drafts") as raw:
        answer, untagged = raw.answer(command)
        assert answer[:3] in (b"BAD", b"OK ")
        assert untagged == []
        for by_uid in (b"UID " + command, b"UID STORE 1:* FLAGS (x)", b"UID COPY *:* INBOX", b"UID SEARCH UID *"):
            answer, untagged = raw.answer(by_uid)
            assert answer.startswith(b"OK"), by_uid
            assert untagged in ([], [b"* SEARCH"])


@pytest.mark.parametrize(
    "tag", [b"+", b"a+b", b"*", b'"a"', b"{5}", b"(", b"a\\b", b"\xff", b"a" * 256, b"%", b"\x00", b"]" * 256]
)
def test_a_tag_that_is_none_is_never_repeated(house: House, tag: bytes) -> None:
    with imap(house) as raw:
        raw.say(tag + b" NOOP\r\n")
        assert raw.line().startswith(b"* BAD ")
        assert raw.answer(b"NOOP")[0].startswith(b"OK")


def test_twenty_bad_commands_are_the_end(house: House) -> None:
    with imap(house) as raw:
        raw.say(b"t FOO\r\n" * 50)
        said = raw.rest().split(b"\r\n")
        assert said[:20] == [b"t BAD There is no such command"] * 20
        assert said[20:] == [b"* BYE Too many errors", b""]


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n"])
def test_http_is_hung_up_on(house: House, words: bytes) -> None:
    with Raw(house, "imap") as raw:
        raw.say(words + b"\r\nt NOOP\r\n")
        assert raw.rest() == b""


# --- several sessions, slow readers


def test_no_expunge_is_told_during_fetch_store_search(house: House) -> None:
    with imap(house, mailbox="INBOX") as one, imap(house, mailbox="INBOX") as two:
        one.answer(b"STORE 1 +FLAGS (\\Deleted)")
        assert one.answer(b"EXPUNGE")[0].startswith(b"OK")
        for command in (b"FETCH 1:2 FLAGS", b"STORE 2 FLAGS ()", b"SEARCH ALL", b"FETCH 2 BODY.PEEK[]"):
            answer, untagged = two.answer(command)
            assert not any(b"EXPUNGE" in line.partition(b"{")[0] for line in untagged), command
            assert answer[:2] in (b"OK", b"NO"), command
        assert b"* 1 EXPUNGE" in two.answer(b"NOOP")[1]


def test_who_asks_without_reading_costs_little_and_hinders_nobody(house: House) -> None:
    with imap(house) as raw:
        append(raw, b"Subject: large\r\n\r\n" + (b"y" * 998 + b"\r\n") * 20_000)
    before = _memory(house)
    with imap(house, mailbox="INBOX") as greedy:
        greedy.say(b"t FETCH 1:* BODY.PEEK[]\r\n" * 500)
        alive(house)
        assert _memory(house) - before < _MOST_GROWTH
        assert greedy.response().startswith(b"* 1 FETCH")


def test_idle_ends_by_done_alone(house: House) -> None:
    with imap(house, mailbox="INBOX") as raw:
        raw.say(b"t IDLE\r\n")
        assert raw.line().startswith(b"+ ")
        raw.say(b"DONE\r\n")
        assert raw.tagged()[0].startswith(b"OK")
        raw.say(b"t IDLE\r\n")
        assert raw.line().startswith(b"+ ")
        raw.say(b"x LOGOUT\r\n")
        assert raw.tagged()[0].startswith(b"BAD")
        assert raw.answer(b"NOOP")[0].startswith(b"OK")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([b"AUTHENTICATE PLAIN", b"*"], b"BAD "),
        ([b"AUTHENTICATE PLAIN", b"!!!"], b"BAD "),
        ([b"AUTHENTICATE PLAIN", b"AABiAGM="], b"NO [AUTHENTICATIONFAILED]"),
        ([b"AUTHENTICATE PLAIN", b"A" * 12_300], b"BAD "),
        ([b"AUTHENTICATE PLAIN ="], b"NO [AUTHENTICATIONFAILED]"),
        ([b"AUTHENTICATE LOGIN", b"*"], b"BAD "),
        ([b"AUTHENTICATE CRAM-MD5"], b"NO [CANNOT]"),
        ([b"LOGIN " + b"a" * 256 + b" b"], b"BAD "),
        ([b"LOGIN \xff b"], b"BAD "),
        ([b'LOGIN "" ""'], b"NO [AUTHENTICATIONFAILED]"),
        ([b'LOGIN "../../x" "y"'], b"NO [AUTHENTICATIONFAILED]"),
    ],
    ids=lambda each: repr(each)[:50],
)
def test_a_garbled_login_is_refused_and_may_be_tried_again(house: House, lines: list[bytes], told: bytes) -> None:
    with Raw(house, "imap") as raw:
        raw.say(b"t " + lines[0] + b"\r\n")
        for line in lines[1:]:
            assert raw.line().startswith(b"+ ")
            raw.say(line + b"\r\n")
        assert raw.tagged()[0].startswith(told)
        assert raw.answer(b"AUTHENTICATE PLAIN " + AUTH_PLAIN[ALICE])[0].startswith(b"OK")
