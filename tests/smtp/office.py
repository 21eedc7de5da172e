"""What an SMTP conversation needs behind it, in memory: a store of letters, passwords, a clock; short ways to talk.

`Store` here is only what intake asks for; the real engine has a test of its own in test_whole_way.py.
"""

from __future__ import annotations

import functools
import ssl
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Final, cast

from postroom.accounts.authority import Attempt, Authority, Login, Outcome
from postroom.accounts.directory import Directory
from postroom.intake.accept import Intake
from postroom.intake.refusals import Refusals
from postroom.message.octets import Octets
from postroom.net.conversation import Tap
from postroom.net.networks import Network
from postroom.net.tls import LoginPolicy
from postroom.smtp.server import serve
from postroom.smtp.session import Role, SmtpService, Verify
from postroom.store.changes import Filed, Reason, Refused
from postroom.store.interface import Blob, Delivery, Store
from postroom.store.values import Account, AccountId, Alias, Mailbox, MailboxId, Quota, Uid, UidValidity
from tests.talk import Client, Talked, session, talk

NOW: Final = 1_700_000_000
"""14 November 2023, 22:13:20 UTC."""


class MemoryBlob:
    """A letter on its way in, in memory."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.size = 0
        self.discarded = False
        self.fault = fault
        """Raised by the next write."""
        self.writes = 0
        self._chunks: list[bytes] = []

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        if self.fault is not None:
            raise self.fault
        self._chunks.append(bytes(chunk))
        self.size += len(chunk)
        self.writes += 1

    def contents(self) -> Octets:
        return b"".join(self._chunks)

    def discard(self) -> None:
        self.discarded = True


class CountingBlob(MemoryBlob):
    """Counts what is written and keeps the first of it only."""

    KEPT: Final = 1000

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0
        """Octets of the largest write."""

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self.largest = max(self.largest, len(chunk))
        if self.size < self.KEPT:
            self._chunks.append(bytes(chunk[: self.KEPT]))
        self.size += len(chunk)


@dataclass
class MemoryStore:
    """Accounts, aliases, and the letters that were filed, by account."""

    people: dict[str, Account] = field(default_factory=dict)
    names: dict[str, Alias] = field(default_factory=dict)
    letters: dict[str, list[bytes]] = field(default_factory=dict)
    """By account, prefix and blob in one."""
    blobs: list[MemoryBlob] = field(default_factory=list)
    """All that were begun."""
    quotas: dict[str, Quota] = field(default_factory=dict)
    """Of those who have one."""
    told: list[tuple[str, str]] = field(default_factory=list)
    """Whose session brought each letter, and the note on it."""
    gone: set[str] = field(default_factory=set)
    """Accounts whose INBOX is gone."""
    fault: Exception | None = None
    """Raised by `deliver`."""
    blob_fault: Exception | None = None
    """Raised by a blob's writes."""
    lookup_fault: Exception | None = None
    """Raised by `account`."""
    blob_type: type[MemoryBlob] = MemoryBlob

    def add(self, address: str, *, admin: bool = False, disabled: bool = False) -> Account:
        account = Account(AccountId(len(self.people) + 1), address, disabled=disabled, admin=admin)
        self.people[address] = account
        self.letters[address] = []
        return account

    def also(self, name: str, *targets: str) -> None:
        self.names[name] = Alias(name, targets)

    async def account(self, address: str) -> Account | None:
        if self.lookup_fault is not None:
            raise self.lookup_fault
        return self.people.get(address)

    async def accounts(self) -> list[Account]:
        return [self.people[name] for name in sorted(self.people)]

    async def alias(self, name: str) -> Alias | None:
        return self.names.get(name)

    async def quota(self, account: AccountId) -> Quota | None:
        return self.quotas.get(self._owner(account) or "")

    async def mailbox(self, account: AccountId, name: str) -> Mailbox | None:
        owner = self._owner(account)
        if owner in self.gone:
            return None
        return Mailbox(MailboxId(account), account, name, UidValidity(1), None, "")

    def blob(self) -> Blob:
        blob = self.blob_type()
        blob.fault = self.blob_fault
        self.blobs.append(blob)
        return blob

    async def deliver(self, delivery: Delivery) -> tuple[Filed | Refused, ...]:
        if self.fault is not None:
            raise self.fault
        contents = bytes(delivery.blob.contents())
        answers: list[Filed | Refused] = []
        owners = [self._owner(AccountId(target.mailbox)) or "" for target in delivery.targets]
        full = [name in self.quotas and not self.quotas[name].has_room(len(contents)) for name in owners]
        if any(full):
            return tuple([Refused(Reason.OVER_QUOTA if each else Reason.TOGETHER) for each in full])
        self.told.append((delivery.by, delivery.note))
        for target in delivery.targets:
            owner = self._owner(AccountId(target.mailbox))
            if owner is None:
                answers.append(Refused(Reason.NO_SUCH_MAILBOX))
                continue
            self.letters[owner].append(target.prefix + contents)
            answers.append(Filed(UidValidity(1), (Uid(len(self.letters[owner])),)))
        return tuple(answers)

    def _owner(self, id: AccountId) -> str | None:
        return next((name for name, account in self.people.items() if account.id == id), None)


class Passwords:
    """An authority that knows passwords by heart."""

    def __init__(self, known: dict[str, bytes]) -> None:
        self.known = known
        self.outcome: Outcome | None = None
        """The word about everybody, where it is set."""
        self.attempts: list[Attempt] = []

    async def login(self, attempt: Attempt) -> Login:
        self.attempts.append(attempt)
        if self.outcome is not None:
            return Login(self.outcome)
        if self.known.get(attempt.login) == attempt.password:
            return Login(Outcome.OK, attempt.login)
        return Login(Outcome.DENIED)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Notes:
    """The records of what was refused."""

    def __init__(self) -> None:
        self.kept: list[dict[str, str]] = []

    def note(self, **fields: str) -> None:
        self.kept.append(fields)


@dataclass
class Office:
    """A site example.test with alice@ (administrator), bob@ and carol@ (disabled), and what talks to it."""

    store: MemoryStore = field(default_factory=MemoryStore)
    passwords: Passwords = field(default_factory=lambda: Passwords({"alice@example.test": b"secret"}))
    clock: Clock = field(default_factory=Clock)
    max_message_size: int = 100_000
    login: LoginPolicy = field(default_factory=lambda: LoginPolicy(require_tls=True, loopback_plain=False))
    verify: Verify = Verify.ACCOUNTS
    greeting_pause: float = 0.0
    xclient_networks: tuple[Network, ...] = ()
    domains: tuple[str, ...] = ("example.test", "example.org")
    refusals: Notes = field(default_factory=Notes)

    def __post_init__(self) -> None:
        self.store.add("alice@example.test", admin=True)
        self.store.add("bob@example.test")
        self.store.add("carol@example.test", disabled=True)

    def service(self, role: Role = Role.SMTP) -> SmtpService:
        return SmtpService(
            "mx.example.test",
            role,
            Intake(
                cast(Store, self.store),
                "mx.example.test",
                self.domains,
                refusals=cast(Refusals, self.refusals),
                clock=lambda: NOW,
            ),
            Directory(self.store.account, cast(Authority, self.passwords)),
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            self.login,
            self.max_message_size,
            self.clock,
            domains=self.domains,
            verify=self.verify,
            greeting_pause=self.greeting_pause,
            xclient_networks=self.xclient_networks,
        )

    def talk(self, text: str, role: Role = Role.SMTP, *, tls: bool = False, without_tls: bool = False) -> Talked:
        """Hold a conversation to a text."""
        service = self.service(role)
        if without_tls:
            service = replace(service, tls=None)
        return talk(functools.partial(serve, service=service), text, tls=tls, peer="192.0.2.1")

    def session(
        self, role: Role = Role.SMTP, *, tls: bool = False, tap: Tap | None = None, peer: str = "192.0.2.1"
    ) -> AbstractAsyncContextManager[Client]:
        """A closer look."""
        return session(functools.partial(serve, service=self.service(role)), tls=tls, peer=peer, tap=tap)

    def inbox(self, name: str) -> list[bytes]:
        """Letters of somebody@example.test, prefix and all."""
        return self.store.letters[f"{name}@example.test"]

    @property
    def empty(self) -> bool:
        """Whether nobody has got anything."""
        return not any(self.store.letters.values())


def below_prefix(letter: bytes) -> bytes:
    """What the sender sent: everything below our Received field."""
    _, date, rest = letter.partition(b"Tue, 14 Nov 2023 22:13:20 +0000\r\n")
    assert date
    return rest


HELLO: Final = """
    S: 220 mx.example.test ESMTP Postroom
    C: HELO client.test
    S: 250 mx.example.test
"""
"""Greeting done, without extensions."""
BEGUN: Final = (
    HELLO
    + """
    C: MAIL FROM:<jo@other.test>
    S: 250 2.1.0 *
    C: RCPT TO:<alice@example.test>
    S: 250 2.1.5 *
"""
)
"""A letter to alice is under way."""
OFFERED: Final = """
    S: 250-mx.example.test
    S: 250-8BITMIME
    S: 250-BINARYMIME
    S: 250-PIPELINING
    S: 250-ENHANCEDSTATUSCODES
    S: 250-SMTPUTF8
    S: 250-LIMITS RCPTMAX=1000
    S: 250-SIZE *
    S: 250-CHUNKING
    S* 250-EXPN
    S* 250-HELP
    S* 250-STARTTLS
    S* 250-AUTH *
    S* 250-SEND
    S* 250-SOML
    S* 250-SAML
    S* 250-XCLIENT *
    S: 250 *
"""
"""EHLO's whole reply."""
EXTENDED: Final = f"""
    S: 220 mx.example.test ESMTP Postroom
    C: EHLO client.test
    {OFFERED}
"""
"""Greeting done, with extensions."""
IN_DATA: Final = (
    BEGUN
    + """
    C: DATA
    S: 354 *
"""
)
LOGGED_IN: Final = (
    HELLO
    + """
    C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=
    S: 235 2.7.0 *
"""
)
"""As alice, password "secret"."""
