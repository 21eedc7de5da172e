"""Letters by SMTP and APPEND from several clients at once, with a record of what was acknowledged."""

from __future__ import annotations

import contextlib
import imaplib
import random
import smtplib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.house import ALICE, BOB, PASSWORDS, House

_LOST = (OSError, smtplib.SMTPException, imaplib.IMAP4.error)
"""How a client hears that the server is gone."""


@dataclass
class Record:
    """What the clients know. Ids are in each letter's Message-ID."""

    acknowledged: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    """Sent, perhaps not answered: may be there, once for each time that it was sent."""
    refused: set[str] = field(default_factory=set)
    """Answered by a temporary failure: never to be there."""
    uids: dict[int, str] = field(default_factory=dict)
    """What APPENDUID told."""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def begin(self, id: str) -> None:
        with self.changed:
            self.begun.add(id)

    def acknowledge(self, id: str, uid: int | None = None) -> None:
        with self.changed:
            self.acknowledged.add(id)
            if uid is not None:
                self.uids[uid] = id
            self.changed.notify_all()

    def refuse(self, id: str) -> None:
        with self.changed:
            self.refused.add(id)

    def wait_for(self, count: int, seconds: float = 30.0) -> None:
        """Until so many letters are acknowledged in all."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.acknowledged) >= count, seconds), "the load stands still"


def body(id: str) -> bytes:
    """The letter of an id: between a few octets and 40 KB, its size told by the id alone."""
    size = random.Random(id).choice((0, 10, 1000, 40_000))
    lines = (b"0123456789 %b\r\n" % id.encode()) * (size // 20)
    return b"Message-ID: <%b>\r\nSubject: load\r\n\r\n%bend\r\n" % (id.encode(), lines)


class Load:
    """Clients that send until they are told to stop or lose the server; with `stay` they come again."""

    def __init__(self, house: House, record: Record, name: str, clients: int = 4, stay: bool = False) -> None:
        self._house = house
        self._record = record
        self._stay = stay
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(f"{name}-{number}", by), daemon=True)
            for number, by in enumerate([self._by_smtp, self._by_append] * (clients // 2))
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a client hangs"

    def _run(self, name: str, by: Callable[[str, int], int]) -> None:
        count = 0
        while not self._stop.is_set():
            with contextlib.suppress(*_LOST):
                count = by(name, count)
            count += 1000
            if not self._stay:
                return

    def _by_smtp(self, name: str, count: int) -> int:
        with smtplib.SMTP("127.0.0.1", self._house.port("smtp"), timeout=20) as client:
            while not self._stop.is_set():
                count += 1
                id = f"{name}-{count}"
                self._record.begin(id)
                try:
                    client.sendmail("load@elsewhere.test", [ALICE], body(id))
                except smtplib.SMTPDataError as refusal:
                    assert refusal.smtp_code == 451, refusal
                    self._record.refuse(id)
                else:
                    self._record.acknowledge(id)
        return count

    def _by_append(self, name: str, count: int) -> int:
        client = imaplib.IMAP4("127.0.0.1", self._house.port("imap"), timeout=20)
        try:
            client.login(BOB, PASSWORDS[BOB])
            while not self._stop.is_set():
                count += 1
                id = f"{name}-{count}"
                self._record.begin(id)
                status, answer = client.append("INBOX", "", "", body(id))
                if status == "NO":
                    assert b"[UNAVAILABLE]" in answer[0], answer
                    self._record.refuse(id)
                    continue
                assert status == "OK", answer
                uid = int(answer[0].split(b"]")[0].split()[-1])
                self._record.acknowledge(id, uid)
        finally:
            with contextlib.suppress(*_LOST):
                client.shutdown()
        return count
