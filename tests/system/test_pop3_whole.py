"""POP3 whole, over real sockets: capabilities, the standard library's client, letters that lines can't carry, and a
maildrop whose letters, workers and account go away meanwhile."""

from __future__ import annotations

import contextlib
import email.header
import os
import poplib
import signal
import ssl
import struct
from collections.abc import Iterator
from socket import SO_LINGER, SOL_SOCKET

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.pop3.binaries import ALL_OCTETS, leaves, multipart, part
from tests.system.raw import AUTH_PLAIN, Raw, alive, append, clear, imap, letters, pop3, smtp, trusting

_CYRILLIC = "Subject: \N{CYRILLIC CAPITAL LETTER YA}\r\n\r\nbody\r\n".encode()
_VARIED = [
    b"Subject: one\r\n\r\n.\r\n..two dots\r\n",
    multipart(part(b"text\r\n", b"8bit", b"text/plain"), part(b"AAEC\r\n", b"base64")),
    b"Subject: long\r\n\r\n" + b"z" * 1500 + b"\r\n",
    b"Subject: 8bit\r\n\r\n\xff\xfe\xe4\r\n",
    _CYRILLIC,
    b"\r\n",
]
_ALWAYS = [
    "TOP",
    "UIDL",
    "RESP-CODES",
    "AUTH-RESP-CODE",
    "PIPELINING",
    "EXPIRE NEVER",
    "LOGIN-DELAY 0",
    "UTF8 USER",
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house"), workers=2) as house:
        yield house


@pytest.fixture(autouse=True)
def _others_go_on(house: House) -> Iterator[None]:
    clear(house)
    yield
    alive(house)


def _ask(raw: Raw, command: bytes) -> bytes:
    raw.say(command + b"\r\n")
    return raw.line()


def _again(house: House) -> Raw:
    """Alice's maildrop, as soon as the session before has noticed that its client went."""
    while True:
        with contextlib.suppress(AssertionError, OSError):
            return pop3(house)


def _fill(house: House, *octets: bytes) -> None:
    with imap(house) as raw:
        for each in octets:
            append(raw, each)


# --- capabilities


def _told(raw: Raw) -> list[str]:
    assert _ask(raw, b"CAPA").startswith(b"+OK")
    return [line.decode() for line in raw.listing()]


def test_capabilities_tell_what_goes_before_and_after_tls_and_login(house: House) -> None:
    with Raw(house, "pop3") as raw:
        clear_ = _told(raw)
        assert set(_ALWAYS) < set(clear_)
        assert {"LANG", "USER", "STLS", "IMPLEMENTATION Postroom"} < set(clear_)
        assert "PLAIN" in next(line for line in clear_ if line.startswith("SASL ")).split()
        assert _ask(raw, b"STLS").startswith(b"+OK")
        raw.shake()
        within = _told(raw)
        assert "STLS" not in within
        assert set(_ALWAYS) < set(within)
        assert _ask(raw, b"STLS") == b"-ERR TLS is already on"
        assert _ask(raw, b"AUTH PLAIN " + AUTH_PLAIN[ALICE]) == b"+OK 0 messages"
        assert "STLS" not in _told(raw)
        assert {each.split()[0] for each in _told(raw)} == {each.split()[0] for each in within}


def test_what_came_in_clear_behind_stls_is_never_heard(house: House) -> None:
    with Raw(house, "pop3") as raw:
        raw.say(b"USER %b\r\nSTLS\r\nPASS %b\r\nCAPA\r\n" % (ALICE.encode(), PASSWORDS[ALICE].encode()))
        assert raw.line() == b"+OK Password, please"
        assert raw.line().startswith(b"+OK")
        raw.shake()
        assert _ask(raw, b"STAT") == b"-ERR Log in first"
        assert _ask(raw, b"PASS %b" % PASSWORDS[ALICE].encode()) == b"-ERR Send USER first"


def test_utf8_and_lang(house: House) -> None:
    with Raw(house, "pop3") as raw:
        assert _ask(raw, b"LANG").startswith(b"+OK")
        assert {line.split()[0] for line in raw.listing()} == {b"en", b"i-default"}
        assert _ask(raw, b"LANG en").startswith(b"+OK en ")
        assert _ask(raw, b"LANG xx").startswith(b"-ERR ")
        assert _ask(raw, b"UTF8").startswith(b"+OK")
        assert _ask(raw, b"STLS").startswith(b"-ERR")


# --- a client that isn't ours


@pytest.mark.parametrize("secure", [False, True])
def test_poplib_gets_every_letter_as_imap_has_it(house: House, secure: bool) -> None:
    _fill(house, *_VARIED)
    if secure:
        client: poplib.POP3 = poplib.POP3_SSL("127.0.0.1", house.port("pop3s"), context=trusting())
    else:
        client = poplib.POP3("127.0.0.1", house.port("pop3"))
        assert client.stls(trusting()).startswith(b"+OK")
        assert client.utf8().startswith(b"+OK")
    client.user(ALICE)
    client.pass_(PASSWORDS[ALICE])
    assert client.stat() == (len(_VARIED), sum(map(len, _VARIED)))
    assert [line.decode() for line in client.list()[1]] == [f"{n} {len(each)}" for n, each in enumerate(_VARIED, 1)]
    ids = [line.split()[1] for line in client.uidl()[1]]
    assert len(set(ids)) == len(_VARIED)
    for number, letter in enumerate(_VARIED, 1):
        assert b"".join(line + b"\r\n" for line in client.retr(number)[1]) == letter
        assert b"".join(line + b"\r\n" for line in client.top(number, 10_000)[1]) == letter
        assert client.uidl(number).split()[2] == ids[number - 1]
    client.dele(2)
    client.rset()
    client.dele(1)
    client.quit()
    assert letters(house) == _VARIED[1:]


def test_a_hundred_commands_in_one_write_get_a_hundred_answers_in_order(house: House) -> None:
    _fill(house, *(b"Subject: %d\r\n\r\n" % number for number in range(1, 6)))
    with pop3(house) as raw:
        orders = [
            (b"LIST %d" if n % 3 else b"RETR %d" if n % 20 else b"NOPE %d") % (n % 6 or 1) for n in range(100)
        ]
        raw.say(b"".join(order + b"\r\n" for order in orders) + b"LIST 6\r\nCAPA\r\n")
        for order in (*orders, b"LIST 6"):
            _hear(raw, order)
        assert raw.line().startswith(b"+OK")
        assert raw.listing()


def _hear(raw: Raw, order: bytes) -> None:
    keyword, number = order.split()
    status = raw.line()
    if keyword == b"NOPE":
        assert status == b"-ERR Unknown command"
    elif not 1 <= int(number) <= 5:
        assert status == b"-ERR No such message"
    elif keyword == b"LIST":
        assert status == b"+OK %b 14" % number
    else:
        assert status == b"+OK 14 octets"
        assert raw.listing() == [b"Subject: " + number, b""]


# --- what lines can't carry


def _bdat(house: House, letter: bytes) -> None:
    """Bring a letter as BODY=BINARYMIME (RFC 3030)."""
    with smtp(house) as raw:
        assert raw.ask(b"MAIL FROM:<a@b.test> BODY=BINARYMIME", b"RCPT TO:<%b>" % ALICE.encode()).startswith(b"250")
        raw.say(b"BDAT %d LAST\r\n" % len(letter) + letter)
        assert raw.reply().startswith(b"250")


def test_binary_parts_come_as_base64_with_sizes_to_match(house: House) -> None:
    text = part(b"plain\r\n", b"7bit", b"text/plain")
    bodies = [ALL_OCTETS, b"nul\0only" * 50, b"bare\nlf", b"bare\rcr", b"x" * 200_000 + b"\0"]
    whole = [multipart(text, *map(part, bodies)), b"Subject: single\r\n" + part(b"\0\r\n\xff")]
    for letter in whole:
        _bdat(house, letter)
    assert [each[-len(letter) :] for each, letter in zip(letters(house), whole, strict=True)] == whole
    with pop3(house) as raw:
        assert _ask(raw, b"LIST").startswith(b"+OK 2 ")
        sizes = [int(line.split()[1]) for line in raw.listing()]
        assert _ask(raw, b"STAT") == b"+OK 2 %d" % sum(sizes)
        for number, wanted in ((1, [b"plain\r\n", *bodies]), (2, [b"\0\r\n\xff"])):
            assert _ask(raw, b"RETR %d" % number) == b"+OK %d octets" % sizes[number - 1]
            lines = raw.listing()
            octets = b"".join(line + b"\r\n" for line in lines)
            assert len(octets) == sizes[number - 1]
            assert b"\0" not in octets
            assert [body.removesuffix(b"\r\n") for body in leaves(octets)] == [
                body.removesuffix(b"\r\n") for body in wanted
            ]
            assert max(map(len, lines)) <= 998
            header = lines.index(b"") + 1
            for count in (0, 3, 99_999):
                assert _ask(raw, b"TOP %d %d" % (number, count)).startswith(b"+OK")
                assert raw.listing() == lines[: header + count]


def test_headers_in_utf8_are_octets_like_others(house: House) -> None:
    _fill(house, _CYRILLIC)
    with pop3(house) as raw:
        assert _ask(raw, b"RETR 1") == b"+OK %d octets" % len(_CYRILLIC)
        assert b"\r\n".join(raw.listing()) + b"\r\n" == _CYRILLIC
    assert (
        email.header.decode_header(_CYRILLIC.decode().splitlines()[0][9:])[0][0] == "\N{CYRILLIC CAPITAL LETTER YA}"
    )


# --- cut sessions


def test_a_quit_whose_client_is_gone_deletes_all_or_nothing(house: House) -> None:
    for rounds in range(5):
        clear(house)
        _fill(house, *(b"Subject: %d\r\n\r\n" % number for number in range(20)))
        with pop3(house) as raw:
            raw.say(b"".join(b"DELE %d\r\n" % number for number in range(1, 21)) + b"QUIT\r\n"[: 6 - rounds % 2])
            # A reset, so that nothing that is said is heard any more.
            raw.sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        with _again(house) as raw:
            left = int(_ask(raw, b"STAT").split()[1])
        assert left in ((0, 20) if rounds % 2 == 0 else (20,))


def test_a_killed_worker_frees_the_maildrop_and_deletes_nothing(house: House) -> None:
    _fill(house, *_VARIED)
    with pop3(house) as raw:
        assert _ask(raw, b"DELE 1").startswith(b"+OK")
        workers = {role: pid for role, pid in house.pids().items() if role.startswith("worker")}
        assert len(workers) == 2
        for pid in workers.values():
            os.kill(pid, signal.SIGKILL)
        for role, pid in workers.items():
            house.wait_for_successor(role, pid)
    with _again(house) as raw:
        assert _ask(raw, b"STAT") == b"+OK %d %d" % (len(_VARIED), sum(map(len, _VARIED)))


# --- letters that go away


@pytest.mark.parametrize("how", [b"MOVE 1:2 Trash", b"UID EXPUNGE 1:*"])
def test_letters_that_imap_takes_away_are_read_or_refused_and_never_mixed_up(house: House, how: bytes) -> None:
    _fill(house, *_VARIED[:4])
    with pop3(house) as raw, imap(house, mailbox="INBOX") as beside:
        assert _ask(raw, b"UIDL").startswith(b"+OK")
        ids = raw.listing()
        assert beside.answer(b"STORE 1:2 +FLAGS (\\Deleted)")[0].startswith(b"OK")
        assert beside.answer(how)[0].startswith(b"OK")
        append(beside, b"Subject: new\r\n\r\n")
        for number, letter in enumerate(_VARIED[:4], 1):
            status = _ask(raw, b"RETR %d" % number)
            if status.startswith(b"+OK"):
                assert b"".join(line + b"\r\n" for line in raw.listing()) == letter
            else:
                assert number <= 2
                assert status.startswith(b"-ERR [")
        assert _ask(raw, b"UIDL").startswith(b"+OK")
        assert raw.listing() == ids
        assert _ask(raw, b"DELE 1").startswith(b"+OK")
        assert _ask(raw, b"QUIT").startswith(b"+OK")
    assert letters(house) == [*_VARIED[2:4], b"Subject: new\r\n\r\n"]


def test_a_session_whose_account_is_removed_ends_and_its_name_is_a_stranger(house: House) -> None:
    carol = "carol@example.test"
    added = house.run("account", "add", carol, "--password-stdin", input="Secret-pw-3\n")
    assert added.returncode == 0, added.stderr
    with Raw(house, "pop3") as raw:
        raw.say(b"USER %b\r\nPASS Secret-pw-3\r\n" % carol.encode())
        assert raw.line().startswith(b"+OK")
        assert raw.line() == b"+OK 0 messages"
        removed = house.run("account", "remove", carol)
        assert removed.returncode == 0, removed.stderr
        assert raw.rest().startswith(b"-ERR [AUTH] Account changed")
    with Raw(house, "pop3") as raw:
        raw.say(b"USER %b\r\nPASS Secret-pw-3\r\n" % carol.encode())
        assert raw.line().startswith(b"+OK")
        assert raw.line() == b"-ERR [AUTH] Wrong name or password"


def test_another_session_of_the_same_account_is_told_in_use(house: House) -> None:
    with pop3(house), Raw(house, "pop3s") as other, pop3(house, BOB):
        assert _ask(other, b"AUTH PLAIN " + AUTH_PLAIN[ALICE]).startswith(b"-ERR [IN-USE]")
        assert isinstance(other.sock, ssl.SSLSocket)
