"""POP3 (docs/security.md), attacked over real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.system.raw import AUTH_PLAIN, Raw, alive, append, clear, imap, letters, pop3, smtp

_LETTER = b"Subject: one\r\nFrom: a@b.test\r\n\r\nfirst\r\n\r\nsecond\r\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house"), workers=2) as house:
        yield house


@pytest.fixture(autouse=True)
def _others_go_on(house: House) -> Iterator[None]:
    """Alice has two letters; Bob has his maildrop open all the time."""
    clear(house)
    with imap(house) as raw:
        append(raw, _LETTER)
        append(raw, b"Subject: two\r\n\r\n")
    with pop3(house, BOB) as other:
        yield
        other.say(b"NOOP\r\n")
        assert other.line() == b"+OK Still here"
    alive(house)


def _ask(raw: Raw, command: bytes) -> bytes:
    raw.say(command + b"\r\n")
    return raw.line()


# --- numbers


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (b"RETR 0", b"-ERR No such message"),
        (b"RETR 3", b"-ERR No such message"),
        (b"RETR 99999999999999999999", b"-ERR No such message"),
        (b"RETR 4294967297", b"-ERR No such message"),
        (b"RETR 18446744073709551617", b"-ERR No such message"),
        (b"RETR " + b"9" * 21, b"-ERR Bad argument"),
        (b"RETR -1", b"-ERR Bad argument"),
        (b"RETR +1", b"-ERR Bad argument"),
        (b"RETR 1_0", b"-ERR Bad argument"),
        (b"RETR 0x1", b"-ERR Bad argument"),
        (b"RETR \xd9\xa1", b"-ERR Bad argument"),
        (b"RETR \xb2", b"-ERR Bad argument"),
        (b"RETR 1 1", b"-ERR Bad argument"),
        (b"RETR *", b"-ERR Bad argument"),
        (b"RETR", b"-ERR This command needs an argument"),
        (b"DELE 0", b"-ERR No such message"),
        (b"DELE 1 2", b"-ERR Bad argument"),
        (b"LIST 0", b"-ERR No such message"),
        (b"LIST -1", b"-ERR Bad argument"),
        (b"LIST 99999999999999999999", b"-ERR No such message"),
        (b"UIDL 0", b"-ERR No such message"),
        (b"UIDL 99999999999999999999", b"-ERR No such message"),
        (b"UIDL " + b"1" * 200, b"-ERR Bad argument"),
        (b"TOP 1", b"-ERR Bad argument"),
        (b"TOP 1 -1", b"-ERR Bad argument"),
        (b"TOP 1 " + b"9" * 21, b"-ERR Bad argument"),
        (b"TOP 0 1", b"-ERR No such message"),
        (b"STAT 1", b"-ERR This command takes no argument"),
        (b"QUIT now", b"-ERR This command takes no argument"),
        (b"RETR 1\x00", b"-ERR Not a command of POP3"),
        (b"NOOP\x00", b"-ERR Not a command of POP3"),
        (b"\x00", b"-ERR Not a command of POP3"),
        (b"", b"-ERR Not a command of POP3"),
        (b"N\xc3\x96\xc3\x96P", b"-ERR Not a command of POP3"),
        (b"RETR 1\rDELE 1", b"-ERR Not a command of POP3"),
        (b"RETR " + b"1" * 249, b"-ERR Line too long"),
        (b"NOOP " + b"DELE 1 " * 100_000, b"-ERR Line too long"),
        (b"APOP alice c4c9334bac560ecc979e58001b3e22fb", b"-ERR Unknown command"),
        (b"XTND XMIT", b"-ERR Unknown command"),
        (b"USER alice@example.test", b"-ERR Already logged in"),
        (b"PASS x", b"-ERR Already logged in"),
        (b"STLS", b"-ERR Already logged in"),
        (b"AUTH PLAIN", b"-ERR Already logged in"),
    ],
    ids=lambda each: repr(each[:40]),
)
def test_a_hostile_command_is_one_refusal(house: House, command: bytes, told: bytes) -> None:
    with pop3(house) as raw:
        assert _ask(raw, command) == told
        assert _ask(raw, b"STAT") == b"+OK 2 %d" % (len(_LETTER) + 16)
    assert len(letters(house)) == 2


@pytest.mark.parametrize("lines", [b"2", b"3", b"4294967296", b"99999999999999999999", b"00000000000000000009"])
def test_top_beyond_the_end_is_the_whole_letter(house: House, lines: bytes) -> None:
    """CVE-2018-1060's kin."""
    with pop3(house) as raw:
        assert _ask(raw, b"TOP 1 " + lines) == b"+OK Top of message follows"
        whole = _LETTER.removesuffix(b"\r\n").split(b"\r\n")
        assert raw.listing() == (whole if lines != b"2" else whole[:-1])
        assert _ask(raw, b"NOOP") == b"+OK Still here"


@pytest.mark.parametrize("end", [b"\n", b"\r\r\n"], ids=repr)
def test_a_command_without_crlf_is_not_run(house: House, end: bytes) -> None:
    with pop3(house) as raw:
        raw.say(b"DELE 1" + end)
        assert raw.line().startswith(b"-ERR ")
        assert _ask(raw, b"LIST 1") == b"+OK 1 %d" % len(_LETTER)


# --- deletion


def test_what_is_marked_is_gone_for_this_session_alone(house: House) -> None:
    with pop3(house) as raw:
        assert _ask(raw, b"DELE 1") == b"+OK Marked for deletion"
        for command in (b"DELE 1", b"RETR 1", b"TOP 1 0", b"LIST 1", b"UIDL 1"):
            assert _ask(raw, command) == b"-ERR Message is marked for deletion"
        assert _ask(raw, b"STAT") == b"+OK 1 16"
        assert _ask(raw, b"LIST").startswith(b"+OK 1 messages")
        assert raw.listing() == [b"2 16"]
        assert _ask(raw, b"UIDL").startswith(b"+OK")
        assert len(raw.listing()) == 1
        assert len(letters(house)) == 2
    assert len(letters(house)) == 2


@pytest.mark.parametrize("words", [b"", b"QUIT", b"QUIT\n", b"QUI\r\n", b"QUIT \x00\r\n"], ids=repr)
def test_only_quit_deletes(house: House, words: bytes) -> None:
    with pop3(house) as raw:
        assert _ask(raw, b"DELE 1") == b"+OK Marked for deletion"
        raw.say(words)
    with _again(house) as raw:
        assert _ask(raw, b"STAT").startswith(b"+OK 2 ")


def _again(house: House) -> Raw:
    """Alice's maildrop, as soon as the session before has noticed that its client went."""
    while True:
        with contextlib.suppress(AssertionError):
            return pop3(house)


def test_nothing_behind_quit_is_heard(house: House) -> None:
    with pop3(house) as raw:
        raw.say(b"DELE 1\r\nQUIT\r\nRSET\r\nDELE 2\r\nNOOP\r\n")
        assert raw.rest() == b"+OK Marked for deletion\r\n+OK Goodbye, 1 messages deleted\r\n"
    assert len(letters(house)) == 1


def test_one_session_has_the_maildrop_whatever_the_worker(house: House) -> None:
    with pop3(house) as raw, contextlib.ExitStack() as others:
        for number in range(16):
            other = others.enter_context(Raw(house, "pop3"))
            if number % 2:
                other.say(b"AUTH PLAIN " + AUTH_PLAIN[ALICE] + b"\r\n")
            else:
                other.say(b"USER alice@example.test\r\nPASS %b\r\n" % PASSWORDS[ALICE].encode())
                assert other.line() == b"+OK Password, please"
            assert other.line() == b"-ERR [IN-USE] Another session has this maildrop open"
            assert _ask(other, b"STAT") == b"-ERR Log in first"
        assert _ask(raw, b"QUIT").startswith(b"+OK")
        # Given back before the answer: each of the others may have it now.
        assert _ask(other, b"AUTH PLAIN " + AUTH_PLAIN[ALICE]) == b"+OK 2 messages"


def test_the_snapshot_holds_while_imap_and_smtp_change_the_mailbox(house: House) -> None:
    with pop3(house) as raw, imap(house, mailbox="INBOX") as beside, smtp(house) as post:
        assert post.ask(b"MAIL FROM:<a@b.test>", b"RCPT TO:<alice@example.test>", b"DATA").startswith(b"354")
        post.say(b"Subject: new\r\n\r\n.\r\n")
        assert post.reply().startswith(b"250 ")
        assert beside.answer(b"STORE 1 +FLAGS (\\Deleted)")[0].startswith(b"OK")
        assert beside.answer(b"EXPUNGE")[0].startswith(b"OK")
        assert _ask(raw, b"STAT") == b"+OK 2 %d" % (len(_LETTER) + 16)
        assert _ask(raw, b"RETR 2") == b"+OK 16 octets"
        assert raw.listing() == [b"Subject: two", b""]
        status = _ask(raw, b"RETR 1")
        if status.startswith(b"+OK"):
            assert raw.listing() == _LETTER.removesuffix(b"\r\n").split(b"\r\n")
        assert _ask(raw, b"DELE 1").startswith(b"+OK")
        assert _ask(raw, b"QUIT").startswith(b"+OK")
    assert [b"Subject: two" in each or b"Subject: new" in each for each in letters(house)] == [True, True]


# --- what IMAP can store and SMTP can't


@pytest.mark.parametrize(
    ("stored", "lines"),
    [
        (b"S: x\r\n\r\n.\r\nDELE 1\r\n", [b"S: x", b"", b".", b"DELE 1"]),
        (b"S: x\n\n.\nQUIT\n", [b"S: x", b"", b".", b"QUIT"]),
        (b"S: x\r\r.\r+OK\r", [b"S: x", b"", b".", b"+OK"]),
        (b"S: x\r\n\r\na\n.\r\nb\r.\n", [b"S: x", b"", b"a", b".", b"b", b"."]),
        (b".", [b"."]),
        (b"..\r\n...\r\n", [b"..", b"..."]),
        (b"S: x\r\n\r\nno end", [b"S: x", b"", b"no end"]),
        (b"S: x\r\n\r\n\xff\xfe\x1b\x85\x0c", [b"S: x", b"", b"\xff\xfe\x1b\x85\x0c"]),
        (b"\r", [b""]),
    ],
    ids=repr,
)
def test_bare_line_ends_and_lone_dots_are_served_right(house: House, stored: bytes, lines: list[bytes]) -> None:
    with imap(house) as raw:
        append(raw, stored)
    size = sum(len(line) + 2 for line in lines)
    with pop3(house) as raw:
        assert _ask(raw, b"LIST 3") == b"+OK 3 %d" % size
        assert _ask(raw, b"RETR 3") == b"+OK %d octets" % size
        assert raw.listing() == lines
        assert _ask(raw, b"TOP 3 999") == b"+OK Top of message follows"
        assert raw.listing() == lines
        assert _ask(raw, b"NOOP") == b"+OK Still here"
    assert letters(house)[-1] == stored


# --- load


def test_who_asks_without_reading_costs_little_and_hinders_nobody(house: House) -> None:
    with imap(house) as raw:
        append(raw, b"Subject: large\r\n\r\n" + (b"y" * 998 + b"\r\n") * 5000)
    with pop3(house) as greedy:
        greedy.say(b"RETR 3\r\n" * 2000)
        alive(house)
        # It gets all of the first, in the end.
        assert greedy.line().startswith(b"+OK ")
        assert sum(len(line) + 2 for line in greedy.listing()) == 5_000_018


@pytest.mark.parametrize("flood", [b"\r\n", b"FOO\r\n", b"x\n", b"\x00\r\n", b"RETR 77\r\n"], ids=repr)
def test_too_many_errors_are_the_end(house: House, flood: bytes) -> None:
    with Raw(house, "pop3") as raw:
        raw.say(flood * 50)
        said = raw.rest().split(b"\r\n")
        assert len(said) == 21
        assert said[19:] == [b"-ERR Too many errors, closing", b""]


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b"Host: x\r\n"])
def test_http_is_hung_up_on(house: House, words: bytes) -> None:
    with Raw(house, "pop3") as raw:
        raw.say(words + b"\r\nUSER alice@example.test\r\n")
        assert raw.rest() == b""


# --- logins


@pytest.mark.parametrize(
    ("commands", "told"),
    [
        ([b"PASS x"], b"-ERR Send USER first"),
        ([b"USER"], b"-ERR This command needs an argument"),
        ([b"USER alice\x00"], b"-ERR Not a command of POP3"),
        ([b"USER " + b"a" * 240, b"PASS x"], b"-ERR [AUTH] Wrong name or password"),
        ([b"USER \xff\xfe", b"PASS x"], b"-ERR Malformed authentication exchange"),
        ([b"USER ../../etc", b"PASS x"], b"-ERR [AUTH] Wrong name or password"),
        ([b"USER alice@example.test", b"NOOP", b"PASS x"], b"-ERR [AUTH] Wrong name or password"),
        ([b"AUTH PLAIN", b"*"], b"-ERR Login cancelled"),
        ([b"AUTH PLAIN", b"!"], b"-ERR Malformed authentication exchange"),
        ([b"AUTH PLAIN", b"A" * 12_290], b"-ERR Line too long"),
        ([b"AUTH PLAIN AABiAGM="], b"-ERR Malformed authentication exchange"),
        ([b"AUTH CRAM-MD5"], b"-ERR Unknown authentication mechanism"),
        ([b"STAT"], b"-ERR Log in first"),
        ([b"RETR 1"], b"-ERR Log in first"),
    ],
    ids=repr,
)
def test_a_garbled_login_is_refused_and_may_be_tried_again(
    house: House, commands: list[bytes], told: bytes
) -> None:
    with Raw(house, "pop3") as raw:
        assert b"<" not in raw.greeting
        for command in commands:
            said = _ask(raw, command)
        assert said == told
        assert _ask(raw, b"AUTH PLAIN " + AUTH_PLAIN[ALICE]) == b"+OK 2 messages"
