"""Logins and load (docs/security.md), attacked over real sockets: guessing, the authority's death, floods."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.system.raw import PATIENCE, Raw, alive, imap, pop3, smtp

_CAROL = "carol@example.test"
_PLAIN = ("submission", "pop3", "imap")
_ALL = (*_PLAIN, "submissions", "pop3s", "imaps")
_TRIES = 8


# Who fails too often is delayed, whoever asks: each test here has its own victim, and Alice is looked in on.


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


def _counting(folder: Path, failures: int) -> House:
    """A house that counts failed logins from loopback too."""
    house = House(folder)
    text = house.config_path.read_text()
    house.config_path.write_text(
        text.replace('exempt_networks = ["127.0.0.0/8"]', f"exempt_networks = []\nlogin_failures = {failures}")
    )
    return house


def _greeted(house: House, protocol: str) -> Raw:
    raw = Raw(house, protocol)
    if protocol.startswith("submission"):
        assert raw.ask(b"EHLO client.test").startswith(b"250")
    return raw


def _try(raw: Raw, protocol: str, login: str, password: str) -> bytes:
    """Try to log in; the whole answer, without IMAP's tag."""
    kind = protocol.removesuffix("s")
    if kind == "submission":
        return raw.ask(b"AUTH PLAIN " + base64.b64encode(f"\0{login}\0{password}".encode()))
    if kind == "pop3":
        raw.say(b"USER %b\r\n" % login.encode())
        assert raw.line() == b"+OK Password, please"
        raw.say(b"PASS %b\r\n" % password.encode())
        return raw.line()
    return raw.answer(b'LOGIN %b "%b"' % (login.encode(), password.encode()))[0]


_DENIED = {
    "submission": b"535 5.7.8 Wrong name or password",
    "pop3": b"-ERR [AUTH] Wrong name or password",
    "imap": b"NO [AUTHENTICATIONFAILED] Login or password is wrong",
}
_UNAVAILABLE = {"submission": b"454 4.7.0 ", "pop3": b"-ERR [SYS/TEMP] ", "imap": b"NO [UNAVAILABLE] "}


# --- who exists


@pytest.mark.parametrize("protocol", _ALL)
@pytest.mark.parametrize(
    "login",
    [
        ALICE,
        _CAROL,
        "nobody@example.test",
        "nobody",
        "x@elsewhere.test",
        "../../etc/passwd",
        "a@b@c",
        "ä@example.test",
    ],
)
def test_all_that_is_wrong_with_a_login_sounds_alike(house: House, protocol: str, login: str) -> None:
    if not login.isascii() and protocol.startswith("imap"):
        login = login.encode("ascii", "replace").decode()
    with _greeted(house, protocol) as raw:
        assert _try(raw, protocol, login, "wrong") == _DENIED[protocol.removesuffix("s")]
    alive(house)


def test_an_unknown_account_costs_the_work_of_a_wrong_password(tmp_path: Path) -> None:
    """By the authority's own processor time: the wall clock tells more about other tests. All passwords have
    the hash that the program makes itself."""
    with House(tmp_path) as house:
        for address in (ALICE, BOB):
            done = house.run("account", "passwd", address, "--password-stdin", input="a new password\n")
            assert done.returncode == 0, done.stderr

        def work(login: str) -> float:
            before = _processor_seconds(house.pids()["authority"])
            for _ in range(_TRIES):
                with _greeted(house, "imap") as raw:
                    assert _try(raw, "imap", login, "wrong") == _DENIED["imap"]
            return _processor_seconds(house.pids()["authority"]) - before

        known, unknown = work(ALICE), work("nobody@example.test")
        assert known / 2 < unknown < known * 2


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("protocol", _PLAIN)
def test_five_failures_end_a_session(house: House, protocol: str) -> None:
    with _greeted(house, protocol) as raw:
        for at in range(5):
            assert _try(raw, protocol, f"nobody{at}@{protocol}.test", "x") == _DENIED[protocol]
        rest = raw.rest()
        assert rest in (
            b"421 4.7.0 Too many failed logins, closing\r\n",
            b"",
            b"* BYE Too many failed logins\r\n",
        )
    alive(house)


def test_no_password_is_in_the_log_or_the_trace(house: House) -> None:
    for protocol in _PLAIN:
        with _greeted(house, protocol) as raw:
            _try(raw, protocol, BOB, "Hunter2-guess")
            _try(raw, protocol, BOB, PASSWORDS[BOB])
    with Raw(house, "pop3") as raw:
        raw.say(b"PASS Hunter2-early\r\npass  Hunter2-spaced\r\nPASSHunter2-glued\r\nHunter2-alone\r\n")
        for _ in range(4):
            raw.line()
    with Raw(house, "imap") as raw:
        raw.say(
            b"a LOGIN alice Hunter2\\guess\r\nLOGIN alice Hunter2-untagged\r\na AUTHENTICATE PLAIN =Hunter2\r\n"
        )
        for _ in range(3):
            raw.line()
    with _greeted(house, "submission") as raw:
        raw.ask(b"AUTH LOGIN Hunter2!", b"AUTH Hunter2 Hunter2", b"AUTHPLAIN Hunter2", b"Hunter2")
    trace = house.run("trace")
    assert trace.returncode == 0
    assert "AUTH" in trace.stdout
    for told in (trace.stdout, house.log()):
        assert "Hunter2" not in told
        assert PASSWORDS[BOB] not in told
        assert base64.b64encode(f"\0{BOB}\0{PASSWORDS[BOB]}".encode()).decode() not in told


# --- guessing


def test_a_network_that_guesses_is_blocked_for_every_account_and_protocol(tmp_path: Path) -> None:
    with _counting(tmp_path, 3) as house:
        with imap(house, BOB, mailbox="INBOX") as before:
            for at in range(3):
                with _greeted(house, "imap") as raw:
                    assert _try(raw, "imap", f"guess{at}@example.test", "x") == _DENIED["imap"]
            for protocol in _PLAIN:
                # The right password, and the answer of a wrong one: who guesses never learns that it was found out.
                with _greeted(house, protocol) as raw:
                    assert _try(raw, protocol, ALICE, PASSWORDS[ALICE]) == _DENIED[protocol]
            # Who is in stays in, and mail goes on.
            assert before.answer(b"NOOP")[0].startswith(b"OK")
        with smtp(house) as raw:
            assert raw.ask(b"MAIL FROM:<a@b.test>", b"RCPT TO:<alice@example.test>", b"DATA").startswith(b"354")
            raw.say(b"Subject: x\r\n\r\n.\r\n")
            assert raw.reply().startswith(b"250 ")
        assert house.log().count("login-failed") == 6
        assert len(re.findall(r'login-failed .*peer=127\.0\.0\.1 .*reason="too many failures"', house.log())) == 3


def test_a_right_password_buys_no_guesses_at_others(tmp_path: Path) -> None:
    """One good account of a stranger's own between the guesses: the network's count goes on."""
    with _counting(tmp_path, 3) as house:
        for at in range(3):
            with _greeted(house, "imap") as raw:
                assert _try(raw, "imap", f"guess{at}@example.test", "x") == _DENIED["imap"]
                if at < 2:
                    assert _try(raw, "imap", BOB, PASSWORDS[BOB]).startswith(b"OK")
        with _greeted(house, "imap") as raw:
            assert _try(raw, "imap", BOB, PASSWORDS[BOB]) == _DENIED["imap"]


# --- the authority dies


def test_the_death_of_the_authority_is_told_and_healed(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        with imap(house, mailbox="INBOX") as inside, smtp(house) as stranger, contextlib.ExitStack() as waiting:
            raws = {protocol: waiting.enter_context(_greeted(house, protocol)) for protocol in _PLAIN}
            os.kill(house.pids()["authority"], signal.SIGKILL)
            for protocol, raw in raws.items():
                said = _try(raw, protocol, BOB, PASSWORDS[BOB])
                assert said.startswith((_UNAVAILABLE[protocol], b"235 ", b"+OK ", b"OK ")), said
            # Those who need no password are served all the time.
            assert inside.answer(b"NOOP")[0].startswith(b"OK")
            command = (b"MAIL FROM:<a@b.test>", b"RCPT TO:<alice@example.test>", b"DATA")
            assert stranger.ask(*command).startswith(b"354")
            stranger.say(b"Subject: while it was dead\r\n\r\n.\r\n")
            assert stranger.reply().startswith(b"250 ")
        until = time.monotonic() + PATIENCE
        for protocol in _PLAIN:
            while True:
                assert time.monotonic() < until
                with _greeted(house, protocol) as raw:
                    said = _try(raw, protocol, ALICE, PASSWORDS[ALICE])
                if not said.startswith(_UNAVAILABLE[protocol]):
                    break
            assert said.startswith((b"235 ", b"+OK ", b"OK ")), said
        assert "Traceback" not in house.log(), house.log()


def test_a_frozen_authority_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        with imap(house, mailbox="INBOX") as inside, _greeted(house, "imap") as waiting:
            pid = house.pids()["authority"]
            os.kill(pid, signal.SIGSTOP)
            try:
                waiting.say(b"t LOGIN %b %b\r\n" % (BOB.encode(), PASSWORDS[BOB].encode()))
                assert inside.answer(b"STATUS Drafts (MESSAGES)")[0].startswith(b"OK")
                for protocol in ("smtp", *_PLAIN):
                    with Raw(house, protocol) as raw:
                        assert raw.greeting
                # After its time it is told so, or the authority is back.
                assert waiting.tagged()[0].startswith(b"NO [UNAVAILABLE] ")
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        assert "Traceback" not in house.log(), house.log()


# --- accounts that change

_CHANGED = {
    "submission": b"421 4.7.0 The account was changed, log in again\r\n",
    "pop3": b"-ERR [AUTH] Account changed, log in again\r\n",
    "imap": b"* BYE [UNAVAILABLE] The account was changed, log in again\r\n",
}


@pytest.mark.parametrize("change", [("passwd", "--password-stdin"), ("remove",)], ids=lambda words: words[0])
def test_a_session_ends_when_its_account_changes(tmp_path: Path, change: tuple[str, ...]) -> None:
    with House(tmp_path) as house:
        assert house.run("account", "add", _CAROL, "--password-stdin", input="one\n").returncode == 0
        with contextlib.ExitStack() as held:
            raws = {protocol: held.enter_context(_greeted(house, protocol)) for protocol in _PLAIN}
            for protocol, raw in raws.items():
                assert _try(raw, protocol, _CAROL, "one").startswith((b"235 ", b"+OK ", b"OK "))
            assert house.run("account", *change, _CAROL, input="two\n").returncode == 0
            for protocol, raw in raws.items():
                assert raw.rest() == _CHANGED[protocol]
            with _greeted(house, "imap") as raw:
                assert _try(raw, "imap", _CAROL, "one") == _DENIED["imap"]
        alive(house)


# --- floods


@pytest.mark.parametrize("protocol", ["smtp", *_ALL])
def test_a_storm_of_connections_that_vanish_leaves_nothing_behind(house: House, protocol: str) -> None:
    pid = house.pids()["worker-0"]
    alive(house)
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for at in range(200):
        raw = Raw(house, protocol, greeted=False, tls=False)
        if at % 3 == 0:
            # RST instead of FIN.
            raw.sock.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        if at % 2:
            raw.say(b"EHLO x\r\nUSER x\r\na LOGIN {10}\r\n")
        raw.sock.close()
    until = time.monotonic() + PATIENCE
    while len(os.listdir(f"/proc/{pid}/fd")) > before + 5:
        assert time.monotonic() < until
        alive(house)
    alive(house)


def test_a_thousand_idle_strangers_hinder_nobody(house: House) -> None:
    pid = house.pids()["worker-0"]
    with contextlib.ExitStack() as held:
        before = _memory(pid)
        for protocol in ("imap", "pop3", "submission"):
            for _ in range(150):
                raw = held.enter_context(Raw(house, protocol))
                # As much as may lie here before a login, and no line end.
                with contextlib.suppress(BlockingIOError):
                    raw.sock.setblocking(False)
                    raw.sock.send(b"x" * 60_000)
                    raw.sock.setblocking(True)
        alive(house)
        with pop3(house) as raw:
            raw.say(b"NOOP\r\n")
            assert raw.line() == b"+OK Still here"
        assert (_memory(pid) - before) / 450 < 64 * 1024
    alive(house)


def _memory(pid: int) -> int:
    found = re.search(r"RssAnon:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024
