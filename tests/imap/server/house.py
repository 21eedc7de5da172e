"""What an IMAP conversation needs behind it: the real store in a temporary directory, passwords that cost nothing.

    def test_noop(house: House) -> None:
        house.talk(f'''
            {login()}
            C: a NOOP
            S: a OK *
        ''')

`login()` and `select()` are lines of a conversation file (tests.talk): the greeting and Alice's login, and a
mailbox selected; `login("2")` is the second session's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postroom.accounts.authority import Attempt, Login, Outcome
from postroom.accounts.directory import Directory
from postroom.imap.server.server import serve
from postroom.imap.server.session import ImapService
from postroom.message.structure import parse
from postroom.net.tls import LoginPolicy
from postroom.store.changes import AddAccount, Filed, Target
from postroom.store.interface import Delivery, Store
from postroom.store.sqlite import open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import INBOX, Account, Flag, Mailbox, Uid
from tests.talk import Handler, Talked, converse

ALICE, BOB = "alice@example.test", "bob@example.test"
PASSWORDS = {ALICE: b"secret", BOB: b"other"}
NOON = 1_700_000_000
"""14 November 2023, 22:13:20 UTC: internal date of what `deliver` files."""
NO_FLAGS = Flag(0)
LETTER = b"From: Bob <bob@example.test>\r\nSubject: Hello\r\n\r\nHow are you?\r\n"


class Passwords:
    """An authority that compares; `outcome`, where set, is its word on everything."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.attempts: list[Attempt] = []

    async def login(self, attempt: Attempt) -> Login:
        self.attempts.append(attempt)
        right = PASSWORDS.get(attempt.login) == attempt.password
        outcome = self.outcome or (Outcome.OK if right else Outcome.DENIED)
        return Login(outcome, attempt.login if outcome is Outcome.OK else "")

    async def set_password(self, address: str, password: bytes, *, ready_hash: bool = False) -> None:
        raise AssertionError("a server sets no passwords")

    async def remove(self, address: str) -> None:
        raise AssertionError("a server removes nobody")

    async def close(self) -> None:
        pass


@dataclass
class Open:
    """A house with its store open, inside a running loop."""

    store: Store
    service: ImapService
    passwords: Passwords

    @property
    def handler(self) -> Handler:
        """What `tests.talk` wants."""
        return functools.partial(serve, service=self.service)

    async def account(self, address: str = ALICE) -> Account:
        account = await self.store.account(address)
        assert account is not None
        return account

    async def mailbox(self, name: str = INBOX, address: str = ALICE) -> Mailbox:
        mailbox = await self.store.mailbox((await self.account(address)).id, name)
        assert mailbox is not None
        return mailbox

    async def deliver(
        self,
        *letters: bytes,
        mailbox: str = INBOX,
        address: str = ALICE,
        flags: Flag = NO_FLAGS,
        keywords: Sequence[str] = (),
        prefix: bytes = b"",
        at: int = NOON,
    ) -> list[int]:
        """File letters; their UIDs."""
        target = Target((await self.mailbox(mailbox, address)).id, prefix, flags, tuple(keywords))
        uids = []
        for letter in letters:
            blob = self.store.blob()
            blob.write(letter)
            (filed,) = await self.store.deliver(Delivery(blob, parse(blob.contents()), (target,), at))
            assert isinstance(filed, Filed)
            uids.append(int(filed.uids[0]))
        return uids

    async def contents(self, mailbox: str = INBOX, address: str = ALICE) -> list[bytes]:
        """The octets of a mailbox's letters."""
        box = await self.mailbox(mailbox, address)
        entries = await self.store.entries(box.id, Uid(0), 1000)
        letters = await self.store.letters(box.id, [entry.uid for entry in entries])
        return [await self.store.read(letter, 0, len(letter.prefix) + letter.blob_size) for letter in letters]


Before = Callable[[Open], Awaitable[object]]


@dataclass
class House:
    """A data directory. The attributes are what its services are made with, for a test to change first."""

    root: Path
    tls: ssl.SSLContext | None = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    login: LoginPolicy = field(default_factory=lambda: LoginPolicy(require_tls=True, loopback_plain=True))
    max_message_size: int = 1_000_000
    clock: Callable[[], float] = time.monotonic
    wrap: Callable[[Store], Store] = lambda store: store
    """Puts something between the servers and the store."""
    passwords: Passwords = field(default_factory=Passwords)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Open]:
        """The house with its store, inside a running loop; Alice and Bob live there."""
        migrate(self.root)
        store = await open_store(self.root, name="test")
        try:
            for address in PASSWORDS:
                if await store.account(address) is None:
                    await store.commit(AddAccount(address))
            wrapped = self.wrap(store)
            service = ImapService(
                "mx.example.test",
                "imap",
                wrapped,
                Directory(wrapped.account, self.passwords),
                self.tls,
                self.login,
                self.max_message_size,
                self.clock,
            )
            yield Open(store, service, self.passwords)
        finally:
            await store.close()

    def talk(
        self,
        text: str,
        *,
        before: Before | None = None,
        after: Before | None = None,
        tls: bool = False,
        peer: str = "127.0.0.1",
    ) -> Talked:
        """Hold the server to a conversation (tests.talk), in a loop of its own; `before` and `after` it something
        may be done to the house, or looked at."""
        return asyncio.run(self._talk(text, before, after, tls, peer))

    async def _talk(self, text: str, before: Before | None, after: Before | None, tls: bool, peer: str) -> Talked:
        async with self.open() as opened:
            if before is not None:
                await before(opened)
            talked = await converse(opened.handler, text, tls=tls, peer=peer)
            if after is not None:
                await after(opened)
            return talked


def login(session: str = "", address: str = ALICE) -> str:
    """The lines of a greeting and a login."""
    password = PASSWORDS[address].decode()
    return f"S{session}: * OK *\nC{session}: in LOGIN {address} {password}\nS{session}: in OK *"


def select(session: str = "", mailbox: str = INBOX, *, letters: int, verb: str = "SELECT") -> str:
    """The lines that select a mailbox that holds so many letters."""
    return "\n".join(
        (
            f"C{session}: sel {verb} {mailbox}",
            f"S{session}: * FLAGS *",
            f"S{session}: * {letters} EXISTS",
            f"S{session}: * *",  # RECENT
            f"S{session}* * OK [UNSEEN *",
            f"S{session}: * OK [PERMANENTFLAGS *",
            f"S{session}* * OK [UNSEEN *",
            f"S{session}: * OK [UIDVALIDITY *",
            f"S{session}: * OK [UIDNEXT *",
            f"S{session}: sel OK *",
        )
    )
