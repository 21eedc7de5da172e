"""SMTP and submission (docs/security.md), attacked over real sockets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ALICE, House
from tests.system.raw import AUTH_PLAIN, Raw, alive, clear, letters, smtp

_MAIL = b"MAIL FROM:<sender@elsewhere.test>"
_RCPT = b"RCPT TO:<alice@example.test>"
_MOST_GROWTH = 16 * 1024 * 1024
"""Octets that a worker may grow by while a letter of 50 MiB streams through it."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(autouse=True)
def _others_go_on(house: House) -> Iterator[None]:
    """Each attack starts from an empty mailbox, and stands between two commands of somebody else."""
    clear(house)
    with smtp(house) as other:
        yield
        assert other.ask(b"NOOP") == b"250 2.0.0 Ok"
    alive(house)


def _begin(house: House, protocol: str = "smtp") -> Raw:
    """A connection at which the letter is awaited."""
    raw = smtp(house, protocol)
    sender = _MAIL if protocol == "smtp" else b"MAIL FROM:<alice@example.test>"
    assert raw.ask(sender, _RCPT).startswith(b"250")
    assert raw.ask(b"DATA").startswith(b"354")
    return raw


# --- command lines


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (b"NOOP\x00", b"501 5.5.2 "),
        (b"MAIL FROM:<a\x00@b.test>", b"501 5.5.2 "),
        (b"EHLO a\x00b", b"501 5.5.2 "),
        (b"EHLO a\rb", b"501 5.5.2 "),
        (b"HELO \xc3\xa4.test", b"501 5.5.4 "),
        (b"EHLO a b", b"501 5.5.4 "),
        (b"EHLO " + b"a" * 256, b"501 5.5.4 "),
        (b"\x00" * 100, b"501 5.5.2 "),
        (b"MAIL FROM:<\xc3\xa4@b.test>", b"553 5.6.7 "),
        (b"MAIL FROM:<\xff\xfe@b.test>", b"553 5.6.7 "),
        (b"MAIL FROM:<a@\xc3\xa4.test>", b"553 5.6.7 "),
        (b"MAIL FROM:<a@b.test> SIZE=" + b"9" * 20, b"552 5.3.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=" + b"9" * 21, b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=" + b"9" * 1900, b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=52428801", b"552 5.3.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=1_0", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=+1", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=-1", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=\xd9\xa1", b"553 5.6.7 "),
        (b"MAIL FROM:<a@b.test> SIZE=1 SIZE=2", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> SIZE", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> BODY=OTHER", b"501 5.5.4 "),
        (b"MAIL FROM:<\xff\xfe@b.test> SMTPUTF8", b"553 5.1.7 "),
        (b"MAIL FROM:<a@b.test> SMTPUTF8=1", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> AUTH=<>", b"555 5.5.4 "),
        (b"MAIL FROM:<a@b.test> RET=HDRS", b"555 5.5.4 "),
        (b"MAIL FROM:<a@b.test> XFOO=" + b"x" * 1000, b"555 5.5.4 "),
        (b"MAIL FROM:a@b.test", b"501 5.1.7 "),
        (b"MAIL FROM:<a@b@c.test>", b"501 5.1.7 "),
        (b"MAIL FROM:<a..b@c.test>", b"501 5.1.7 "),
        (b"MAIL FROM:<@a.test>", b"501 5.1.7 "),
        (b"MAIL FROM:<" + b"a" * 65 + b"@b.test>", b"501 5.1.7 "),
        (b"MAIL FROM:<a@" + b"b." * 130 + b"test>", b"501 5.1.7 "),
        (b"MAIL FROM:<a@[127.0.0.1.1]>", b"501 5.1.7 "),
        (b'MAIL FROM:<"a\\', b"501 5.1.7 "),
        (b'MAIL FROM:<"' + b"\\" * 1900, b"501 5.1.7 "),
        (b"MAIL FROM:<" + b"@a.test," * 230 + b"@b.test", b"501 5.1.7 "),
        (b"MAIL FROM:<a@b.test>x", b"501 5.5.4 "),
        (b"MAIL TO:<a@b.test>", b"501 5.5.4 "),
        (b"MAIL", b"501 5.5.4 "),
        (b"DATA x", b"503 5.5.1 "),
        (b"QUIT now", b"501 5.5.4 "),
        (b"", b"500 5.5.1 "),
        (b" NOOP", b"500 5.5.1 "),
        (b"N\xc3\x96\xc3\x96P", b"500 5.5.1 "),
        (b"XCLIENT ADDR=127.0.0.1", b"550 5.7.0 "),
        (b"XFORWARD ADDR=127.0.0.1", b"550 5.7.0 "),
        (b"EXPN staff", b"252 2.5.0 "),
        (b"TURN", b"502 5.7.0 "),
        (b"LHLO x", b"500 5.5.1 "),
        (b"VRFY alice", b"252 2.5.0 "),
        (b"VRFY nobody", b"252 2.5.0 "),
        (b"AUTH PLAIN AGEAYg==", b"502 5.5.1 "),
    ],
    ids=lambda each: repr(each[:40]),
)
def test_a_hostile_command_line_is_one_reply(house: House, command: bytes, told: bytes) -> None:
    with smtp(house) as raw:
        reply = raw.ask(command)
        assert reply.startswith(told)
        assert reply.isascii()
        assert raw.ask(b"RSET") == b"250 2.0.0 Ok"


@pytest.mark.parametrize("end", [b"\n", b"\r\r\n", b" \n"], ids=repr)
def test_a_command_without_crlf_is_not_run(house: House, end: bytes) -> None:
    with smtp(house) as raw:
        raw.say(b"QUIT" + end)
        assert raw.reply()[:4] in (b"500 ", b"501 ")
        assert raw.ask(b"NOOP") == b"250 2.0.0 Ok"


@pytest.mark.parametrize(("length", "told"), [(2048, b"250 "), (2049, b"500 5.5.2 "), (5_000_000, b"500 5.5.2 ")])
def test_an_overlong_line_is_one_reply_and_its_tail_no_command(house: House, length: int, told: bytes) -> None:
    command = b"NOOP " + b"QUIT " * (length // 5)
    with smtp(house) as raw:
        raw.say(command[: length - 2] + b"\r\nVRFY x\r\n")
        assert raw.reply().startswith(told)
        assert raw.reply().startswith(b"252 ")


def test_twenty_bad_commands_are_the_end(house: House) -> None:
    with smtp(house) as raw:
        raw.say(b"FOO\r\n" * 50)
        told = [raw.reply() for _ in range(21)]
        assert told[:20] == [b"500 5.5.1 Command unrecognized"] * 20
        assert told[20] == b"421 4.7.0 Too many errors, closing"
        assert raw.rest() == b""


@pytest.mark.parametrize(
    "method", [b"GET / HTTP/1.1", b"POST /x HTTP/1.0", b"Host: mx.example.test", b"PRI * HTTP/2.0"]
)
def test_http_is_hung_up_on(house: House, method: bytes) -> None:
    """CVE-2021-3618: the commands in a request's body are never reached."""
    with smtp(house) as raw:
        raw.say(method + b"\r\n\r\nMAIL FROM:<e@e.test>\r\nNOOP\r\n")
        assert raw.rest() == b""


@pytest.mark.parametrize("word", [b"EHLO early.test\r\n", b"\r\n", b"x"])
def test_who_talks_before_the_greeting_is_sent_away(house: House, word: bytes) -> None:
    """A connection whose words are there before the server looks; what comes a little later may pass."""
    with Raw(house, "smtp", greeted=False) as raw:
        raw.say(word)
        first = raw.line()
        if first.startswith(b"554 5.5.1 "):
            assert raw.rest() == b""
        else:
            assert first.startswith(b"220 ")


# --- relaying


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (b"<x@elsewhere.test>", b"550 5.7.1 "),
        (b"<alice%elsewhere.test@example.test>", b"550 5.1.1 "),
        (b"<elsewhere.test!alice@example.test>", b"550 5.1.1 "),
        (b"<@example.test:x@elsewhere.test>", b"550 5.7.1 "),
        (b"<@elsewhere.test,@b.test:alice@example.test>", b"250 2.1.5 "),
        (b'<"x@elsewhere.test"@example.test>', b"550 5.1.1 "),
        (b'<"alice"@example.test>', b"250 2.1.5 "),
        (b"<x@elsewhere.test@example.test>", b"501 5.1.3 "),
        (b"<x@[127.0.0.1]>", b"550 5.1.1 "),
        (b"<x@[127.0.0.2]>", b"550 5.7.1 "),
        (b"<x@[IPv6:::1]>", b"550 5.7.1 "),
        (b"<x@localhost>", b"550 5.7.1 "),
        (b"<alice@example.test.>", b"501 5.1.3 "),
        (b"<alice@EXAMPLE.test>", b"250 2.1.5 "),
        (b"<|/bin/sh@example.test>", b"550 5.1.1 "),
        (b"<../../etc/passwd@example.test>", b"501 5.1.3 "),
        (b"</etc/passwd@example.test>", b"550 5.1.1 "),
        (b"<${run{/bin/sh}}@example.test>", b"550 5.1.1 "),
        (b'<"; touch /tmp/x;"@example.test>', b"550 5.1.1 "),
        (b"<alice\xc3\xa4@example.test>", b"553 5.6.7 "),
        (b"<alice@example.test> NOTIFY=NEVER", b"555 5.5.4 "),
        (b"<>", b"501 5.1.3 "),
        (b"<nobody@example.test>", b"550 5.1.1 "),
        (b"<Postmaster>", b"250 2.1.5 "),
    ],
    ids=repr,
)
def test_nothing_is_relayed_or_run(house: House, path: bytes, told: bytes) -> None:
    with smtp(house) as raw:
        raw.ask(_MAIL)
        assert raw.ask(b"RCPT TO:" + path).startswith(told)


@pytest.mark.parametrize("sender", [b"<bob@example.test>", b"<x@elsewhere.test>", b"<nobody@example.test>"])
def test_a_login_sends_in_its_own_name_only(house: House, sender: bytes) -> None:
    with smtp(house, "submission") as raw:
        assert raw.ask(b"MAIL FROM:" + sender).startswith(b"550 5.7.1 ")
        assert raw.ask(b"MAIL FROM:<alice+tag@example.test>").startswith(b"250 ")


def test_ten_thousand_recipients_are_a_thousand(house: House) -> None:
    with smtp(house) as raw:
        assert raw.ask(_MAIL).startswith(b"250")
        raw.say(b"".join(b"RCPT TO:<alice+%d@example.test>\r\n" % number for number in range(10_000)))
        told = [raw.reply()[:9] for _ in range(10_000)]
        assert told == [b"250 2.1.5"] * 1000 + [b"452 4.5.3"] * 9000
        assert raw.ask(b"DATA").startswith(b"354")
        raw.say(b"Subject: one\r\n\r\n.\r\n")
        assert raw.reply().startswith(b"250 ")
    assert len(letters(house)) == 1


def test_who_guesses_recipients_is_closed(house: House) -> None:
    with smtp(house) as raw:
        assert raw.ask(_MAIL).startswith(b"250")
        raw.say(b"".join(b"RCPT TO:<u%d@example.test>\r\n" % number for number in range(300)))
        told = [raw.reply()[:9] for _ in range(101)]
        assert told == [b"550 5.1.1"] * 100 + [b"421 4.7.0"]
        assert raw.rest() == b""


# --- what is written into a letter


@pytest.mark.parametrize(
    "name", [b"x.test\tInjected:", b"(comment", b"a;by=evil", b"a)b", b"<a@b>", b"[::1]", b"%0d%0a"]
)
def test_the_name_in_ehlo_writes_no_header(house: House, name: bytes) -> None:
    with Raw(house, "smtp") as raw:
        if raw.ask(b"EHLO " + name)[:3] != b"250":
            return
        raw.ask(_MAIL, _RCPT, b"DATA")
        raw.say(b"Subject: named\r\n\r\n.\r\n")
        assert raw.reply().startswith(b"250 ")
    (kept,) = letters(house)
    fields = re.findall(rb"^([^\s:]+):", kept.partition(b"\r\n\r\n")[0], re.MULTILINE)
    assert fields == [b"Return-Path", b"Delivered-To", b"Received", b"Subject"]


def test_a_letter_that_goes_round_in_circles_is_stopped(house: House) -> None:
    for hops, told in ((50, b"250 "), (51, b"554 5.4.6 ")):
        with _begin(house) as raw:
            raw.say(b"Received: from a by b; now\r\n" * hops + b"\r\nx\r\n.\r\n")
            assert raw.reply().startswith(told)


# --- size and memory


def _grown(house: House) -> int:
    """Octets of memory of its own that the worker has had at most, by the kernel's count."""
    status = Path(f"/proc/{house.pids()['worker-0']}/status").read_text()
    found = re.search(r"RssAnon:\s+([0-9]+) kB", status)
    assert found
    return int(found[1]) * 1024


@pytest.mark.parametrize(("octets", "told"), [(50 * 2**20, b"250 2.6.0 "), (51 * 2**20, b"552 5.3.4 ")])
def test_the_largest_letter_and_one_larger_stream(house: House, octets: int, told: bytes) -> None:
    line = b"x" * 998 + b"\r\n"
    head = b"Subject: large\r\n\r\n"
    lines, last = divmod(octets - len(head) - 2, len(line))
    with _begin(house) as raw:
        before = _grown(house)
        most = 0
        raw.say(head)
        for _ in range(0, lines, 1000):
            raw.say(line * min(1000, lines))
            lines -= 1000
            most = max(most, _grown(house) - before)
        raw.say(b"y" * last + b"\r\n.\r\n")
        assert raw.reply().startswith(told)
        assert max(most, _grown(house) - before) < _MOST_GROWTH
        assert raw.ask(b"NOOP") == b"250 2.0.0 Ok"
    assert len(letters(house)) == (told[:3] == b"250")


def test_a_line_without_end_is_refused_in_constant_memory(house: House) -> None:
    with _begin(house) as raw:
        before = _grown(house)
        for _ in range(32):
            raw.say(b"z" * 2**20)
        assert _grown(house) - before < _MOST_GROWTH
        raw.say(b"\r\n.\r\n")
        assert raw.reply().startswith(b"554 5.6.0 ")
        assert raw.ask(b"NOOP") == b"250 2.0.0 Ok"
    assert letters(house) == []


def test_a_letter_that_comes_octet_by_octet_is_whole_and_hinders_nobody(house: House) -> None:
    letter = b"Subject: slow\r\n\r\n..dot\r\n.\r\n"
    with _begin(house) as raw:
        for at in range(len(letter)):
            raw.say(letter[at : at + 1])
            if not at % 8:
                alive(house)
        assert raw.reply().startswith(b"250 ")
    (kept,) = letters(house)
    assert kept.endswith(b"Subject: slow\r\n\r\n.dot\r\n")


def test_a_cut_letter_is_not_kept(house: House) -> None:
    for piece in (b"", b"Subject: cut\r\n\r\n", b"Subject: cut\r\n\r\n.", b"Subject: cut\r\n\r\nx\r\n.\r"):
        with _begin(house) as raw:
            raw.say(piece)
    assert letters(house) == []


# --- logins


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([b"AUTH PLAIN", b"*"], b"501 5.7.0 "),
        ([b"AUTH PLAIN", b"!!!!"], b"501 5.5.2 "),
        ([b"AUTH PLAIN", b"a\x00b"], b"501 5.5.2 "),
        ([b"AUTH PLAIN", b"=" * 100], b"501 5.5.2 "),
        ([b"AUTH PLAIN", b"A" * 12_290], b"500 5.5.6 "),
        ([b"AUTH PLAIN", b""], b"501 5.5.2 "),
        ([b"AUTH PLAIN AA=A"], b"501 5.5.2 "),
        ([b"AUTH PLAIN AGFsaWNl"], b"501 5.5.2 "),
        ([b"AUTH PLAIN Ym9iQGV4YW1wbGUudGVzdABhbGljZUBleGFtcGxlLnRlc3QAU2VjcmV0LXB3LTE="], b"501 5.5.2 "),
        ([b"AUTH PLAIN AABiAGM="], b"501 5.5.2 "),
        ([b"AUTH LOGIN", b"YWxpY2U=", b"*"], b"501 5.7.0 "),
        ([b"AUTH LOGIN", b"YQBi", b"YQ=="], b"501 5.5.2 "),
        ([b"AUTH LOGIN " + b"QUFB" * 400, b"YQ=="], b"501 5.5.2 "),
        ([b"AUTH EXTERNAL ="], b"504 5.5.4 "),
        ([b"AUTH \xc3\xa4"], b"504 5.5.4 "),
        ([b"AUTH CRAM-MD5"], b"504 5.5.4 "),
        ([b"AUTH PLAIN " + b"A" * 3000], b"500 5.5.2 "),
        ([b"AUTH"], b"501 5.5.4 "),
    ],
    ids=repr,
)
def test_a_garbled_login_is_refused_and_may_be_tried_again(house: House, lines: list[bytes], told: bytes) -> None:
    with Raw(house, "submission") as raw:
        raw.ask(b"EHLO client.test")
        assert raw.ask(*lines).startswith(told)
        assert raw.ask(b"AUTH PLAIN " + AUTH_PLAIN[ALICE]) == b"235 2.7.0 Logged in"
        assert raw.ask(b"AUTH PLAIN " + AUTH_PLAIN[ALICE]).startswith(b"503 5.5.1 ")


def test_nobody_sends_without_a_login(house: House) -> None:
    with Raw(house, "submission") as raw:
        raw.ask(b"EHLO client.test")
        for command in (_MAIL, _RCPT, b"DATA"):
            assert raw.ask(command).startswith(b"530 5.7.0 "), command
