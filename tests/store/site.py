"""A data directory under test, and the few sentences that stories about a store are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from postroom.message.structure import parse
from postroom.store.changes import AddAccount, Change, CreateMailbox, Filed, Refused, Target
from postroom.store.check.whole import Finding, check
from postroom.store.interface import Delivery, Store
from postroom.store.sqlite import open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import (
    INBOX,
    NO_QUOTAS,
    Account,
    Entry,
    Flag,
    Letter,
    Mailbox,
    Quotas,
    SpecialUse,
    Status,
    Uid,
)

T = TypeVar("T")

NO_FLAGS = Flag(0)
ALICE, BOB = "alice@example.test", "bob@example.test"
LETTER = b"From: x@elsewhere.test\r\nSubject: hi\r\nMessage-ID: <1@elsewhere.test>\r\n\r\nA letter.\r\n"


@dataclass(frozen=True, slots=True)
class Site:
    """A data directory and how its store is reached."""

    root: Path
    wrap: Callable[[Store], Store] = lambda store: store
    quotas: Quotas = NO_QUOTAS

    def run(self, story: Callable[[Store], Awaitable[T]]) -> T:
        """Open the store, let the story happen, close it, and hold it against `check`."""
        migrate(self.root)

        async def tell() -> T:
            store = self.wrap(await open_store(self.root, quotas=self.quotas))
            try:
                return await story(store)
            finally:
                await store.close()

        result = asyncio.run(tell())
        assert self.findings() == []
        return result

    def findings(self) -> list[Finding]:
        """What a check finds."""
        return list(check(self.root))


async def new_account(store: Store, address: str = ALICE) -> Account:
    """A new account."""
    account = await store.commit(AddAccount(address))
    assert isinstance(account, Account)
    return account


async def new_mailbox(store: Store, account: Account, name: str, use: SpecialUse | None = None) -> Mailbox:
    """A new mailbox."""
    mailbox = await store.commit(CreateMailbox(account.id, name, use))
    assert isinstance(mailbox, Mailbox)
    return mailbox


async def find(store: Store, account: Account, name: str = INBOX) -> Mailbox:
    """A mailbox that is there."""
    mailbox = await store.mailbox(account.id, name)
    assert mailbox is not None
    return mailbox


async def deliver(
    store: Store, letter: bytes, *targets: Target, date: int = 1_700_000_000, zone: int = 0
) -> tuple[Filed | Refused, ...]:
    """A letter into mailboxes, given in chunks as a session would."""
    blob = store.blob()
    for start in range(0, len(letter), 65536):
        blob.write(memoryview(letter)[start : start + 65536])
    contents = blob.contents()
    facts = parse(contents)
    if not isinstance(contents, bytes):
        contents.close()
    try:
        return await store.deliver(Delivery(blob, facts, targets, date, zone))
    finally:
        blob.discard()


async def file(
    store: Store,
    mailbox: Mailbox,
    letter: bytes = LETTER,
    prefix: bytes = b"",
    flags: Flag = NO_FLAGS,
    keywords: tuple[str, ...] = (),
) -> Uid:
    """A letter into one mailbox; gives its UID."""
    (filed,) = await deliver(store, letter, Target(mailbox.id, prefix, flags, keywords))
    assert isinstance(filed, Filed)
    assert filed.uid_validity == mailbox.uid_validity
    (uid,) = filed.uids
    return uid


async def do(store: Store, change: Change, kind: type[T]) -> T:
    """A change whose answer must be of this kind."""
    answer = await store.commit(change)
    assert isinstance(answer, kind), answer
    return answer


async def status(store: Store, mailbox: Mailbox) -> Status:
    """The counters of a mailbox that is there."""
    found = await store.status(mailbox.id)
    assert found is not None
    return found


async def entries(store: Store, mailbox: Mailbox) -> list[Entry]:
    """All entries, read in small slices."""
    found: list[Entry] = []
    while more := await store.entries(mailbox.id, found[-1].uid if found else Uid(0), 3):
        found += more
    return found


async def uids(store: Store, mailbox: Mailbox) -> list[Uid]:
    """The UIDs of all entries."""
    return [entry.uid for entry in await entries(store, mailbox)]


async def letter_of(store: Store, mailbox: Mailbox, uid: Uid) -> Letter:
    """A letter that is there."""
    (letter,) = await store.letters(mailbox.id, [uid])
    return letter


async def octets_of(store: Store, mailbox: Mailbox, uid: Uid) -> bytes:
    """All that a client sees of a letter."""
    letter = await letter_of(store, mailbox, uid)
    return await store.read(letter, 0, len(letter.prefix) + letter.blob_size)
