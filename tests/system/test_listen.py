"""Letters to terminals over two workers: SEND, SOML, SAML to IMAP sessions and `postroom listen` (RFC 821 3.4)."""

from __future__ import annotations

import imaplib
import json
import os
import poplib
import queue
import re
import signal
import smtplib
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import pytest

from tests.house import ALICE, BOB, PASSWORDS, PATIENCE, House

LETTER = b"From: Jo <jo@other.test>\r\nTo: Alice\r\nSubject: Lunch\r\n\r\nIt is ready.\r\nCome down.\r\n"
EVIL = (
    b"Subject: \x1b]0;owned\x07\r\n\r\n\x1b[2J* BYE injected\x08\xc2\x9b31m \xe2\x80\xae line\r\n"
    b"* 1 EXPUNGE\r\n\x1b[1;1Hfake\r\n"
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("listen"), workers=2) as house:
        yield house


class Idling:
    """An IMAP client that waits in IDLE."""

    def __init__(self, house: House, address: str) -> None:
        self.imap = imaplib.IMAP4("127.0.0.1", house.port("imap"), timeout=PATIENCE)
        self.imap.login(address, PASSWORDS[address])
        self.imap.select()
        self.imap.send(b"i IDLE\r\n")
        assert self.imap.readline().startswith(b"+ ")

    def line(self) -> bytes:
        """What the server says next."""
        return self.imap.readline()

    def __enter__(self) -> Idling:
        return self

    def __exit__(self, *_: object) -> None:
        self.imap.shutdown()


def worker_of(id: str) -> str:
    """Ids of conversations, and so of letters, begin with the worker's number."""
    return id[0]


@contextmanager
def idling_in_both(house: House) -> Iterator[list[Idling]]:
    """Sessions of Alice, at least one in each worker."""
    with ExitStack() as stack:
        idling: list[Idling] = []
        for _ in range(40):
            idling.append(stack.enter_context(Idling(house, ALICE)))
            if len(workers_with(house, "imap", ALICE)) == 2:
                break
        yield idling


def workers_with(house: House, protocol: str, account: str = "") -> dict[str, int]:
    """How many live conversations each worker has."""
    told = house.run("trace", "--json", "--protocol", protocol, "--last", "1000")
    assert told.returncode == 0, told.stderr
    found: dict[str, int] = {}
    for row in map(json.loads, told.stdout.splitlines()):
        if row["ended"] is None and account in ("", row["account"]):
            found[worker_of(row["id"])] = found.get(worker_of(row["id"]), 0) + 1
    return found


class Sender:
    """One SMTP conversation."""

    def __init__(self, house: House) -> None:
        self.smtp = smtplib.SMTP("127.0.0.1", house.port("smtp"), timeout=PATIENCE)
        self.smtp.ehlo("client.test")

    def send(self, verb: str, *recipients: str, letter: bytes = LETTER) -> tuple[int, str]:
        """Give a letter; the first reply that isn't what it takes, or the last."""
        for command in (f"{verb} FROM:<jo@other.test>", *(f"RCPT TO:<{each}>" for each in recipients)):
            code, text = self.smtp.docmd(command)
            if code != 250:
                self.smtp.rset()
                return code, text.decode()
        code, text = self.smtp.data(letter)
        return code, text.decode()

    def __enter__(self) -> Sender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.smtp.close()


@contextmanager
def sender_in(house: House, worker: str) -> Iterator[Sender]:
    """A conversation that one worker holds."""
    with ExitStack() as stack:
        for _ in range(40):
            sender = stack.enter_context(Sender(house))
            code, text = sender.send("MAIL", BOB)
            assert code == 250
            found = re.search(r"accepted as (\S+)", text)
            assert found is not None, text
            if worker_of(found[1]) == worker:
                yield sender
                return
        raise AssertionError("40 connections, and none came to that worker")


class Listening:
    """`postroom listen`, running."""

    def __init__(self, house: House, *words: str) -> None:
        self.process = subprocess.Popen(
            house.command("listen", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.out: queue.Queue[str] = queue.Queue()
        self.err: queue.Queue[str] = queue.Queue()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._threads = [
            threading.Thread(target=self._read, args=(stream.readline, lines), daemon=True)
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, readline: Callable[[], str], lines: queue.Queue[str]) -> None:
        while line := readline():
            lines.put(line)

    def until(self, lines: queue.Queue[str], sign: str) -> list[str]:
        """Lines up to the first one with the sign."""
        found: list[str] = []
        while not found or sign not in found[-1]:
            found.append(lines.get(timeout=PATIENCE))
        return found

    def __enter__(self) -> Listening:
        self.until(self.err, "listening for")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(PATIENCE) == 130
        for thread in self._threads:
            thread.join()
        assert "Traceback" not in "".join(self.err.queue)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def letters_of(house: House, address: str) -> int:
    """How many letters lie in the INBOX."""
    pop = poplib.POP3("127.0.0.1", house.port("pop3"), timeout=PATIENCE)
    try:
        pop.user(address)
        pop.pass_(PASSWORDS[address])
        return pop.stat()[0]
    finally:
        pop.quit()


def test_where_nobody_is_there_send_says_450_and_the_others_file_the_letter(house: House) -> None:
    before = letters_of(house, ALICE)
    with Sender(house) as sender:
        code, text = sender.send("SEND", ALICE)
        assert (code, text[:5]) == (450, "4.2.1")
        assert sender.send("SOML", ALICE)[0] == 250
        assert sender.send("SAML", ALICE)[0] == 250
        assert sender.send("SEND", "nobody@example.test")[0] == 550
    assert letters_of(house, ALICE) == before + 2


def test_send_alerts_the_idling_sessions_of_all_workers(house: House) -> None:
    before = letters_of(house, ALICE)
    with idling_in_both(house) as idling, Sender(house) as sender:
        assert sender.send("SEND", ALICE)[0] == 250
        for session in idling:
            assert session.line() == b"* OK [ALERT] Message from jo@other.test: It is ready.\r\n"
        assert sender.send("SEND", BOB)[0] == 450
    assert letters_of(house, ALICE) == before


def test_an_alert_comes_to_a_session_that_waits_for_a_command(house: House) -> None:
    imap = imaplib.IMAP4("127.0.0.1", house.port("imap"), timeout=PATIENCE)
    imap.login(ALICE, PASSWORDS[ALICE])
    with Sender(house) as sender:
        assert sender.send("SEND", ALICE)[0] == 250
    imap.noop()
    assert imap.untagged_responses["OK"][-1] == b"[ALERT] Message from jo@other.test: It is ready."
    imap.logout()
    with Sender(house) as sender:
        assert sender.send("SEND", ALICE)[0] == 450


def test_saml_alerts_and_files(house: House) -> None:
    before = letters_of(house, ALICE)
    with Idling(house, ALICE) as session, Sender(house) as sender:
        assert sender.send("SAML", ALICE)[0] == 250
        said = {session.line() for _ in range(3)}
        assert b"* OK [ALERT] Message from jo@other.test: It is ready.\r\n" in said
    assert letters_of(house, ALICE) == before + 1


def test_soml_alerts_and_does_not_file(house: House) -> None:
    before = letters_of(house, ALICE)
    with Idling(house, ALICE) as session, Sender(house) as sender:
        assert sender.send("SOML", ALICE)[0] == 250
        assert session.line().startswith(b"* OK [ALERT] Message from jo@other.test")
    assert letters_of(house, ALICE) == before


def test_a_hostile_letter_stays_one_line_of_plain_text(house: House) -> None:
    with Idling(house, ALICE) as session, Sender(house) as sender:
        assert sender.send("SEND", ALICE, letter=EVIL)[0] == 250
        line = session.line()
        assert re.fullmatch(rb"\* OK \[ALERT\] Message from jo@other\.test: [ -~]*\r\n", line), line
        session.imap.send(b"DONE\r\n")
        assert session.line().startswith(b"i OK")


def test_listen_prints_the_letter_and_nothing_that_a_terminal_would_obey(house: House) -> None:
    before = letters_of(house, ALICE)
    with Listening(house, "--account", ALICE) as terminal, Sender(house) as sender:
        assert sender.send("SEND", ALICE)[0] == 250
        assert terminal.until(terminal.out, "Come down") == [
            f"--- Message from jo@other.test for {ALICE}\n",
            "From: Jo <jo@other.test>\n",
            "To: Alice\n",
            "Subject: Lunch\n",
            "\n",
            "It is ready.\n",
            "Come down.\n",
        ]
        assert sender.send("SEND", ALICE, letter=EVIL)[0] == 250
        printed = "".join(terminal.until(terminal.out, "fake"))
        assert all(each.isprintable() or each == "\n" for each in printed)
        assert sender.send("SEND", BOB)[0] == 450
        assert sender.send("SOML", ALICE)[0] == 250
        terminal.until(terminal.out, "Come down")
    assert letters_of(house, ALICE) == before


def test_listen_prints_each_letter_once_whichever_worker_took_it(house: House) -> None:
    with Listening(house, "--json", "--account", ALICE) as terminal, ExitStack() as stack:
        senders = [stack.enter_context(sender_in(house, worker)) for worker in "01"]
        for number in range(3):
            for sender in senders:
                assert (
                    sender.send("SEND", ALICE, letter=b"Subject: %d\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n" % number)[0]
                    == 250
                )
        rows = [json.loads(terminal.out.get(timeout=PATIENCE)) for _ in range(6)]
        assert sorted(row["subject"] for row in rows) == ["0", "0", "1", "1", "2", "2"]
        assert len({row["id"] for row in rows}) == 6
        assert rows[0] | {"id": ""} == {
            "account": ALICE,
            "id": "",
            "sender": "jo@other.test",
            "from": "",
            "to": "",
            "date": "",
            "subject": "0",
            "text": "Grüße\n",
            "whole": True,
        }
        assert terminal.out.empty()


def test_who_listens_for_everybody_keeps_no_letter_from_a_mailbox(house: House) -> None:
    before = letters_of(house, BOB)
    with Listening(house) as terminal, Sender(house) as sender:
        assert sender.send("SEND", BOB)[0] == 250
        terminal.until(terminal.out, "Come down")
        assert letters_of(house, BOB) == before
        assert sender.send("SOML", BOB)[0] == 250
        terminal.until(terminal.out, "Come down")
    assert letters_of(house, BOB) == before + 1


def test_listen_says_what_is_wrong_in_one_line(house: House, tmp_path: Path) -> None:
    nobody = house.run("listen", "--account", "nobody@example.test")
    assert (nobody.returncode, nobody.stderr) == (1, "postroom: nobody@example.test: no such account\n")
    (tmp_path / "postroom.toml").write_text('hostname = "mx.example.test"\n[listen]\nsmtp = ["127.0.0.1:0"]\n')
    down = subprocess.run(
        [*house.command("listen")[:-1], str(tmp_path / "postroom.toml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert down.returncode == 1
    assert down.stderr.startswith("postroom")
    assert down.stderr.count("\n") == 1


def test_a_hanging_worker_holds_nobody_up_for_ever(house: House) -> None:
    with idling_in_both(house) as idling:
        here, there = sorted(workers_with(house, "imap", ALICE))
        with sender_in(house, here) as sender, Listening(house, "--account", BOB) as terminal:
            hanging = house.pids()[f"worker-{there}"]
            os.kill(hanging, signal.SIGSTOP)
            try:
                assert sender.send("SEND", ALICE)[0] == 250
                assert sender.send("SEND", BOB)[0] == 250
                terminal.until(terminal.out, "Come down")
                assert sender.send("SEND", "nobody@example.test")[0] == 550
            finally:
                os.kill(hanging, signal.SIGCONT)
        for session in idling:
            session.imap.send(b"DONE\r\n")
            while not session.line().startswith(b"i OK"):
                pass


def test_a_killed_worker_takes_its_sessions_with_it_and_nothing_else(house: House) -> None:
    before = letters_of(house, ALICE)
    with Listening(house, "--account", BOB) as terminal, Idling(house, ALICE):
        (there,) = workers_with(house, "imap", ALICE)
        with sender_in(house, "1" if there == "0" else "0") as sender:
            assert sender.send("SEND", ALICE)[0] == 250
            pid = house.pids()[f"worker-{there}"]
            os.kill(pid, signal.SIGKILL)
            house.wait_for_successor(f"worker-{there}", pid)
            assert sender.send("SEND", ALICE)[0] == 450
            assert sender.send("SOML", ALICE)[0] == 250
            assert letters_of(house, ALICE) == before + 1
            assert sender.send("SEND", BOB)[0] == 250
            terminal.until(terminal.out, "Come down")


def test_listen_goes_on_when_the_server_is_started_anew(house: House) -> None:
    with Listening(house, "--account", BOB) as terminal:
        house.stop()
        terminal.until(terminal.err, "the server has gone")
        house.start()
        terminal.until(terminal.err, "again")
        with Sender(house) as sender:
            assert sender.send("SEND", BOB)[0] == 250
        terminal.until(terminal.out, "Come down")
