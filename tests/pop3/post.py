"""A post room for POP3's tests: two accounts, a store in memory that can be told to fail, a service over both."""

from __future__ import annotations

import asyncio
import functools
import ssl
from array import array
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

from postroom.accounts.authority import Attempt, Login, Outcome
from postroom.accounts.directory import Directory
from postroom.message.structure import parse
from postroom.net.tls import LoginPolicy
from postroom.pop3.server import serve
from postroom.pop3.session import Pop3Service
from postroom.store.changes import Expunge, Expunged, Reason, Refused
from postroom.store.drops import Drops
from postroom.store.interface import Store, Unreadable
from postroom.store.values import (
    Account,
    AccountId,
    Letter,
    Mailbox,
    MailboxId,
    MessageId,
    ModSeq,
    Uid,
    UidValidity,
)
from tests.talk import Handler

ALICE, BOB = "alice@example.test", "bob@example.test"
PASSWORDS = {ALICE: b"hunter2", BOB: b" two words "}
LETTER = b"Subject: one\r\n\r\nHello\r\n.\r\n..dots\r\n"
PREFIX = b"Return-Path: <>\r\n"
LOGIN = """
    S: +OK *
    C: USER alice@example.test
    S: +OK *
    C: PASS hunter2
    S: +OK *
"""
"""The beginning of a conversation that goes on in TRANSACTION."""


class Shelf:
    """A store in memory: one INBOX each, as much of `Store` as POP3 uses. All suspends, as with another engine."""

    def __init__(self) -> None:
        self.owners = {ALICE: Account(AccountId(1), ALICE), BOB: Account(AccountId(2), BOB)}
        self.inboxes: dict[MailboxId, list[Letter]] = {MailboxId(1): [], MailboxId(2): []}
        self.octets: dict[MessageId, bytes] = {}
        self.graves: list[Letter] = []
        """Letters that were taken away and are kept."""
        self.looked_at = 0
        """Letters that were looked at for binary parts."""
        self.commits: list[object] = []
        self.reads = 0
        self.fault: Exception | None = None
        """What every question to the index raises."""
        self.fail_commit: Exception | None = None
        """What a commit raises."""
        self.lose_inbox_at_commit = False
        self.readable = 1 << 60
        """Calls of `read` that still succeed."""

    def put(self, octets: bytes, *, prefix: bytes = PREFIX, email_id: str = "", mailbox: int = 1) -> Letter:
        """File a letter at the end of an INBOX."""
        inbox = self.inboxes[MailboxId(mailbox)]
        serial = len(self.octets) + 1
        message = next((each.message for each in inbox if each.email_id == email_id), MessageId(serial))
        self.octets[MessageId(serial)] = prefix + octets
        facts = parse(octets)
        letter = Letter(
            uid=Uid(4 + 3 * serial),
            message=message,
            email_id=email_id or f"M{serial}",
            thread_id="T1",
            segment=1,
            offset=serial,
            blob_size=len(octets),
            crlf_size=facts.crlf_size,
            prefix=prefix,
            header_size=facts.header_size,
            sent=None,
            sent_zone=None,
            internal_date=0,
            zone=0,
            save_date=0,
            envelope=facts.envelope,
            bodystructure=facts.bodystructure,
            parts=facts.parts,
        )
        inbox.append(letter)
        return letter

    async def account(self, address: str) -> Account | None:
        return self.owners.get(address)

    async def mailbox(self, account: AccountId, name: str) -> Mailbox | None:
        await self._index()
        number = MailboxId(int(account))
        if number not in self.inboxes:
            return None
        return Mailbox(number, account, name, UidValidity(1), None, f"F{number}")

    async def drops(self, mailbox: MailboxId, after: Uid, limit: int) -> Drops:
        await self._index()
        found = [each for each in self.inboxes[mailbox] if each.uid > after][:limit]
        return Drops(
            array("I", [each.uid for each in found]),
            array("Q", [len(each.prefix) + each.crlf_size for each in found]),
            array("Q", [each.message for each in found]),
            "\n".join([each.email_id for each in found]),
        )

    async def kept_letters(self, mailbox: MailboxId, uids: Sequence[Uid], *, answers: bool = True) -> list[Letter]:
        await self._index()
        found = [each for each in (*self.inboxes[mailbox], *self.graves) if each.uid in set(uids)]
        if not answers:
            found = [each._replace(envelope=b"", bodystructure=b"", parts=b"") for each in found]
        return sorted(found)

    async def with_binary(self, mailbox: MailboxId, after: Uid, limit: int) -> tuple[list[Uid], Uid | None]:
        await self._index()
        looked = [each for each in self.inboxes[mailbox] if each.uid > after][:limit]
        self.looked_at += len(looked)
        found = [each.uid for each in looked if b'"binary"' in each.bodystructure.lower()]
        return found, looked[-1].uid if len(looked) == limit else None

    async def read(self, letter: Letter, start: int, length: int) -> bytes:
        await asyncio.sleep(0)
        self.reads += 1
        self.readable -= 1
        if self.readable < 0:
            raise Unreadable("the segment is gone")
        return self.octets[MessageId(letter.offset)][start : start + length]

    async def commit(self, change: object) -> Expunged | Refused:
        await self._index()
        if self.fail_commit is not None:
            raise self.fail_commit
        self.commits.append(change)
        assert isinstance(change, Expunge)
        assert not change.deleted_only
        assert change.uids is not None
        if self.lose_inbox_at_commit:
            return Refused(Reason.NO_SUCH_MAILBOX)
        inbox = self.inboxes[change.mailbox]
        inbox[:] = [each for each in inbox if each.uid not in change.uids]
        return Expunged(ModSeq(2), change.uids)

    async def _index(self) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault


class Guard:
    """An authority that knows PASSWORDS."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.outcome: Outcome | None = None
        """What it says whatever it is asked."""

    async def login(self, attempt: Attempt) -> Login:
        self.attempts.append(attempt)
        if self.outcome is not None:
            return Login(self.outcome)
        right = PASSWORDS.get(attempt.login) == attempt.password
        return Login(Outcome.OK, attempt.login) if right else Login(Outcome.DENIED)

    async def set_password(self, address: str, password: bytes, *, ready_hash: bool = False) -> None:
        """Nobody changes a password here."""

    async def remove(self, address: str) -> None:
        """Nobody is removed here."""

    async def close(self) -> None:
        """Nothing to let go of."""


class Post:
    """All that a test of POP3 needs. `clock` counts what a test tells it to."""

    def __init__(self, folder: Path, *, require_tls: bool = False, tls: bool = True) -> None:
        self.shelf = Shelf()
        self.guard = Guard()
        self.folder = folder
        self.now = 0.0
        self.service = Pop3Service(
            hostname="mx.example.test",
            protocol="pop3",
            store=cast(Store, self.shelf),
            directory=self.directory(self.shelf.account),
            tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None,
            login=LoginPolicy(require_tls, loopback_plain=False),
            maildrops=folder,
            clock=self._clock,
        )

    def directory(self, lookup: Callable[[str], Awaitable[Account | None]]) -> Directory:
        """Logins by `guard`, of the accounts that `lookup` knows."""
        return Directory(lookup, self.guard)

    def _clock(self) -> float:
        return self.now

    @property
    def handler(self) -> Handler:
        return functools.partial(serve, service=self.service)
