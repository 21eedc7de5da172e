"""Storage (docs/security.md), attacked from outside: no room, processes killed in the middle, then all is well."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ALICE, BOB, House
from tests.system.raw import PATIENCE, Raw, alive, append, imap, letters, pop3, smtp

_FULL_SMTP = b"452 4.3.1 No room in the mail system"
_FULL_IMAP = b"NO [OVERQUOTA] No room is left, nothing was changed"
_LINE = b"x" * 998 + b"\r\n"


def _send(raw: Raw, letter: bytes, recipient: bytes = b"alice@example.test") -> bytes:
    assert raw.ask(b"MAIL FROM:<a@b.test>", b"RCPT TO:<%b>" % recipient, b"DATA").startswith(b"354")
    raw.say(letter + b".\r\n")
    return raw.reply()


def _put(raw: Raw, letter: bytes) -> bytes:
    raw.say(b"t APPEND INBOX {%d}\r\n" % len(letter))
    assert raw.line().startswith(b"+ ")
    raw.say(letter + b"\r\n")
    return raw.tagged()[0]


def _letter(name: str, octets: int) -> bytes:
    return b"Subject: %b\r\n\r\n" % name.encode() + _LINE * (octets // len(_LINE))


def _names(house: House, address: str = ALICE) -> list[bytes]:
    """The subjects of the letters that are there, each of which is whole."""
    found = []
    for letter in letters(house, address):
        head, _, body = letter.partition(b"\r\n\r\n")
        assert body == _LINE * (len(body) // len(_LINE))
        found.append(head.rpartition(b"Subject: ")[2])
    return found


def _healthy(house: House) -> None:
    """The store holds nothing broken, by its own check, and has room again."""
    with smtp(house) as raw:
        assert _send(raw, _letter("healthy", 2000)).startswith(b"250 ")
    with imap(house) as raw:
        assert _put(raw, _letter("healthy", 2000)).startswith(b"OK ")
    assert _names(house)[-2:] == [b"healthy", b"healthy"]
    assert "Traceback" not in house.log(), house.log()
    done = house.run("fsck")
    assert done.returncode == 0, done.stdout + done.stderr


# --- EFBIG

_LIMIT = 2 * 1024 * 1024


def _lift(house: House) -> None:
    """Let files grow again (the limit was a soft one, so that nobody needs to be root)."""
    for pid in house.pids().values():
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


@pytest.mark.parametrize("octets", [_LIMIT + 100_000, 6 * 1024 * 1024])
def test_a_file_that_may_not_grow_is_no_room_and_nothing_is_half_visible(tmp_path: Path, octets: int) -> None:
    house = House(tmp_path)
    house.start("sh", "-c", f'ulimit -S -f {_LIMIT // 512}; exec "$@"', "sh")
    try:
        with smtp(house) as post, imap(house, mailbox="INBOX") as raw:
            assert _send(post, _letter("small", 2000)).startswith(b"250 ")
            assert _send(post, _letter("large", octets)) == _FULL_SMTP
            assert _put(raw, _letter("large", octets)) == _FULL_IMAP
            # The same sessions go on, with what fits.
            assert _send(post, _letter("small", 2000)).startswith(b"250 ")
            assert _put(raw, _letter("small", 2000)).startswith(b"OK ")
        assert _names(house) == [b"small"] * 3
        _lift(house)
        with smtp(house) as post:
            assert _send(post, _letter("large", octets)).startswith(b"250 ")
        assert _names(house) == [*[b"small"] * 3, b"large"]
        _healthy(house)
    finally:
        assert house.stop() == 0


def test_many_small_letters_until_nothing_fits_lose_none_that_was_accepted(tmp_path: Path) -> None:
    """The segment, the index and its log run against the limit, each at its own time."""
    house = House(tmp_path)
    house.start("sh", "-c", f'ulimit -S -f {_LIMIT // 512}; exec "$@"', "sh")
    try:
        accepted: list[bytes] = []
        with smtp(house) as post:
            for at in range(400):
                reply = _send(post, _letter(f"n{at}", 12_000))
                if reply.startswith(b"250 "):
                    accepted.append(b"n%d" % at)
                else:
                    assert reply in (_FULL_SMTP, b"451 4.3.0 Internal fault, try again later"), reply
        assert _names(house) == accepted
        _lift(house)
        _healthy(house)
        assert _names(house)[: len(accepted)] == accepted
    finally:
        assert house.stop() == 0


# --- ENOSPC


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "postroom-test", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system can't be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_no_room_for_everybody_and_heals(small_disk: Path) -> None:
    house = House(small_disk)
    house.log_path = small_disk.parent / "server.log"
    house.start()
    ballast = small_disk / "ballast"
    try:
        with smtp(house) as post, imap(house, mailbox="INBOX") as raw:
            assert _send(post, _letter("first", 2000)).startswith(b"250 ")
            assert _put(raw, _letter("second", 2000)).startswith(b"OK ")
            assert raw.answer(b"NOOP")[0].startswith(b"OK")
            _fill(ballast)
            for octets in (2000, 100_000, 2_000_000):
                assert _send(post, _letter("late", octets)) == _FULL_SMTP
                assert _put(raw, _letter("late", octets)) == _FULL_IMAP
            for command in (
                b"STORE 1 +FLAGS (\\Flagged)",
                b"COPY 1 Trash",
                b"MOVE 1 Trash",
                b"CREATE New",
                b"RENAME Drafts Other",
                b"SUBSCRIBE Drafts",
            ):
                said = raw.answer(command)[0]
                # What the store's own pages have room for may be done; what is not is said so, and not done.
                assert said.startswith((_FULL_IMAP, b"OK ")), (command, said)
            # Everything can be read meanwhile.
            assert raw.answer(b"FETCH 1:* (FLAGS BODY.PEEK[])")[0].startswith(b"OK")
        with pop3(house) as drop:
            drop.say(b"STAT\r\n")
            assert drop.line().startswith(b"+OK ")
            drop.say(b"QUIT\r\n")
            assert drop.line().startswith(b"+OK")
        ballast.unlink()
        assert b"late" not in _names(house)
        _healthy(house)
    finally:
        ballast.unlink(missing_ok=True)
        assert house.stop() == 0


def test_pop3_deletes_all_or_nothing_on_a_full_disk(small_disk: Path) -> None:
    house = House(small_disk)
    house.log_path = small_disk.parent / "server.log"
    house.start()
    ballast = small_disk / "ballast"
    try:
        with smtp(house) as post:
            for _ in range(5):
                assert _send(post, _letter("kept", 2000)).startswith(b"250 ")
        with pop3(house) as drop:
            for at in range(1, 6):
                drop.say(b"DELE %d\r\n" % at)
                assert drop.line().startswith(b"+OK")
            _fill(ballast)
            drop.say(b"QUIT\r\n")
            said = drop.line()
        ballast.unlink()
        if said == b"+OK Goodbye, 5 messages deleted":
            assert _names(house) == []
        else:
            assert said == b"-ERR [SYS/TEMP] Nothing was deleted, try again later"
            assert _names(house) == [b"kept"] * 5
        _healthy(house)
    finally:
        ballast.unlink(missing_ok=True)
        assert house.stop() == 0


def _fill(ballast: Path) -> None:
    """Leave not an octet."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)


# --- a locked index


def test_an_outsider_that_holds_the_index_keeps_writers_waiting_alone(tmp_path: Path) -> None:
    """A sqlite3 shell with an open transaction: a bounded wait, then "later"; all that is there stays readable."""
    with House(tmp_path) as house:
        with smtp(house) as post, imap(house, mailbox="INBOX") as raw, imap(house, mailbox="INBOX") as reader:
            assert _send(post, _letter("first", 2000)).startswith(b"250 ")
            assert reader.answer(b"NOOP")[0].startswith(b"OK")
            outsider = sqlite3.connect(house.data / "index.db", isolation_level=None)
            try:
                outsider.execute("BEGIN EXCLUSIVE")
                letter = _letter("late", 2000)
                assert post.ask(b"MAIL FROM:<a@b.test>", b"RCPT TO:<alice@example.test>", b"DATA").startswith(
                    b"354"
                )
                post.say(letter + b".\r\n")
                raw.say(b"t APPEND INBOX {%d}\r\n" % len(letter))
                assert raw.line().startswith(b"+ ")
                raw.say(letter + b"\r\n")
                # While those two wait, everybody else is served.
                read = 0
                waiting = [post.sock, raw.sock]
                while not select.select(waiting, [], [], 0)[0]:
                    assert reader.answer(b"FETCH 1 (FLAGS BODY.PEEK[])")[0].startswith(b"OK")
                    read += 1
                assert read > 10
                assert post.reply() == b"451 4.3.0 Internal fault, try again later"
                assert raw.tagged()[0].startswith(b"NO [INUSE] ")
            finally:
                outsider.close()
        assert _names(house) == [b"first"]
        _healthy(house)


# --- kill -9


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_a_worker_killed_within_a_letter_leaves_nothing_of_it(tmp_path: Path, large: bool) -> None:
    piece = _letter("cut", 2_000_000 if large else 20_000)
    with House(tmp_path) as house:
        with smtp(house) as whole:
            assert _send(whole, _letter("whole", 2000)).startswith(b"250 ")
        with smtp(house) as cut, imap(house) as beside:
            assert cut.ask(b"MAIL FROM:<a@b.test>", b"RCPT TO:<alice@example.test>", b"DATA").startswith(b"354")
            cut.say(piece)
            beside.say(b"t APPEND INBOX {%d}\r\n" % len(piece))
            assert beside.line().startswith(b"+ ")
            beside.say(piece[:-1])
            assert beside.sock.fileno() >= 0
            first = house.pids()["worker-0"]
            os.kill(first, signal.SIGKILL)
            assert cut.rest() == b""
            assert beside.rest() == b""
        # The successor has the same sockets: who comes now waits for it.
        assert _names(house) == [b"whole"]
        assert house.pids()["worker-0"] != first
        _healthy(house)


def test_the_others_go_on_while_one_worker_is_killed(tmp_path: Path) -> None:
    with House(tmp_path, workers=2) as house, contextlib.ExitStack() as held:
        sessions = [held.enter_context(imap(house, mailbox="INBOX")) for _ in range(12)]
        os.kill(house.pids()["worker-0"], signal.SIGKILL)
        alive_still = 0
        for raw in sessions:
            with contextlib.suppress(AssertionError, OSError):
                alive_still += raw.answer(b"NOOP")[0].startswith(b"OK")
        assert 0 < alive_still < 12
        _healthy(house)


@pytest.mark.parametrize("name", ["runner", "authority"])
def test_mail_goes_on_while_another_role_is_killed(tmp_path: Path, name: str) -> None:
    with House(tmp_path) as house:
        with smtp(house) as post, imap(house, mailbox="INBOX") as raw:
            os.kill(house.pids()[name], signal.SIGKILL)
            assert _send(post, _letter("whole", 2000)).startswith(b"250 ")
            assert _put(raw, _letter("whole", 2000)).startswith(b"OK ")
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(AssertionError):
                assert _names(house) == [b"whole"] * 2
                break
            assert time.monotonic() < until
        _healthy(house)


# --- who sees what


def test_a_letter_for_two_is_one_each_and_deleting_one_keeps_the_other(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        with smtp(house) as post:
            recipients = (
                b"RCPT TO:<alice@example.test>",
                b"RCPT TO:<bob@example.test>",
                b"RCPT TO:<alice+x@example.test>",
            )
            assert post.ask(b"MAIL FROM:<a@b.test>", *recipients, b"DATA").startswith(b"354")
            post.say(_letter("both", 2000) + b".\r\n")
            assert post.reply().startswith(b"250 ")
        assert _names(house) == _names(house, BOB) == [b"both"]
        assert b"bob@example.test" not in letters(house)[0]
        assert b"alice" not in letters(house, BOB)[0]
        with imap(house, mailbox="INBOX") as raw:
            raw.answer(b"STORE 1 +FLAGS (\\Deleted)")
            assert raw.answer(b"EXPUNGE")[0].startswith(b"OK")
        assert _names(house) == []
        assert _names(house, BOB) == [b"both"]
        _healthy(house)


_OCTETS = (b"S: x\n\n.\nbare", b"S: x\r\ry", b"\n", b"\r", b"x", b"\r\n.\r\n", bytes(range(1, 256)))


def test_appended_octets_are_kept_as_they_are_through_a_kill(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        with imap(house) as raw:
            for stored in _OCTETS:
                append(raw, stored)
        assert letters(house) == list(_OCTETS)
        house.kill()
        house.start()
        assert letters(house) == list(_OCTETS)
        alive(house)
