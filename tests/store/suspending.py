"""A store that suspends at every call, as one over a network does: what holds only by standing still breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from postroom.store.changes import Answer, Change, Filed, Refused
from postroom.store.columns import Columns
from postroom.store.drops import Drops
from postroom.store.graves import Buried, Grave, Known, Sought
from postroom.store.interface import Blob, Delivery, Store, Unreadable
from postroom.store.search.clues import Candidates, Clue
from postroom.store.values import (
    Account,
    AccountId,
    Alias,
    Changes,
    Entry,
    Happening,
    Letter,
    Mailbox,
    MailboxId,
    MessageId,
    ModSeq,
    Quota,
    RefusedLetter,
    Span,
    Status,
    Uid,
)

T = TypeVar("T")


class SuspendingStore:
    """Another store, asked and answered a turn of the loop later each."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def account(self, address: str) -> Account | None:
        await asyncio.sleep(0)
        return await _late(await self._store.account(address))

    async def account_by_short(self, short: str) -> Account | None:
        await asyncio.sleep(0)
        return await _late(await self._store.account_by_short(short))

    async def refused(self, word: str, limit: int) -> list[RefusedLetter]:
        await asyncio.sleep(0)
        return await _late(await self._store.refused(word, limit))

    async def account_by_id(self, account: AccountId) -> Account | None:
        await asyncio.sleep(0)
        return await _late(await self._store.account_by_id(account))

    async def accounts(self) -> list[Account]:
        await asyncio.sleep(0)
        return await _late(await self._store.accounts())

    async def alias(self, name: str) -> Alias | None:
        await asyncio.sleep(0)
        return await _late(await self._store.alias(name))

    async def aliases(self) -> list[Alias]:
        await asyncio.sleep(0)
        return await _late(await self._store.aliases())

    async def quota(self, account: AccountId) -> Quota | None:
        await asyncio.sleep(0)
        return await _late(await self._store.quota(account))

    async def mailboxes(self, account: AccountId) -> list[Mailbox]:
        await asyncio.sleep(0)
        return await _late(await self._store.mailboxes(account))

    async def mailbox(self, account: AccountId, name: str) -> Mailbox | None:
        await asyncio.sleep(0)
        return await _late(await self._store.mailbox(account, name))

    async def subscriptions(self, account: AccountId) -> list[str]:
        await asyncio.sleep(0)
        return await _late(await self._store.subscriptions(account))

    async def status(self, mailbox: MailboxId) -> Status | None:
        await asyncio.sleep(0)
        return await _late(await self._store.status(mailbox))

    async def entries(self, mailbox: MailboxId, after: Uid, limit: int) -> list[Entry]:
        await asyncio.sleep(0)
        return await _late(await self._store.entries(mailbox, after, limit))

    async def columns(self, mailbox: MailboxId, after: Uid, limit: int) -> Columns:
        await asyncio.sleep(0)
        return await _late(await self._store.columns(mailbox, after, limit))

    async def changes(self, mailbox: MailboxId, since: ModSeq, most: int | None = None) -> Changes:
        await asyncio.sleep(0)
        return await _late(await self._store.changes(mailbox, since, most))

    async def letters(self, mailbox: MailboxId, uids: Sequence[Uid], *, answers: bool = True) -> list[Letter]:
        await asyncio.sleep(0)
        return await _late(await self._store.letters(mailbox, uids, answers=answers))

    async def drops(self, mailbox: MailboxId, after: Uid, limit: int) -> Drops:
        await asyncio.sleep(0)
        return await _late(await self._store.drops(mailbox, after, limit))

    async def kept_letters(self, mailbox: MailboxId, uids: Sequence[Uid], *, answers: bool = True) -> list[Letter]:
        await asyncio.sleep(0)
        return await _late(await self._store.kept_letters(mailbox, uids, answers=answers))

    async def with_binary(self, mailbox: MailboxId, after: Uid, limit: int) -> tuple[list[Uid], Uid | None]:
        await asyncio.sleep(0)
        return await _late(await self._store.with_binary(mailbox, after, limit))

    async def read(self, letter: Letter, start: int, length: int) -> bytes:
        await asyncio.sleep(0)
        return await _late(await self._store.read(letter, start, length))

    async def read_each(self, letters: Sequence[Letter], spans: Sequence[Span]) -> list[bytes | Unreadable]:
        await asyncio.sleep(0)
        return await _late(await self._store.read_each(letters, spans))

    async def search_candidates(
        self, account: AccountId, mailbox: MailboxId, clues: Sequence[Clue]
    ) -> Candidates | None:
        await asyncio.sleep(0)
        return await _late(await self._store.search_candidates(account, mailbox, clues))

    async def search_text(self, account: AccountId, message: MessageId) -> str | None:
        await asyncio.sleep(0)
        return await _late(await self._store.search_text(account, message))

    async def story(self, message: MessageId) -> list[Happening]:
        await asyncio.sleep(0)
        return await _late(await self._store.story(message))

    async def graves(self, address: str | None, after: MailboxId, limit: int) -> list[Grave]:
        await asyncio.sleep(0)
        return await _late(await self._store.graves(address, after, limit))

    async def buried(self, mailbox: MailboxId, after: Uid, limit: int) -> tuple[list[Buried], Uid | None]:
        await asyncio.sleep(0)
        return await _late(await self._store.buried(mailbox, after, limit))

    async def known(self, sought: Sought, after: MessageId, limit: int) -> tuple[list[Known], MessageId | None]:
        await asyncio.sleep(0)
        return await _late(await self._store.known(sought, after, limit))

    def blob(self) -> Blob:
        return self._store.blob()

    async def deliver(self, delivery: Delivery) -> tuple[Filed | Refused, ...]:
        await asyncio.sleep(0)
        return await _late(await self._store.deliver(delivery))

    async def commit(self, change: Change) -> Answer:
        await asyncio.sleep(0)
        return await _late(await self._store.commit(change))

    def watch(self, mailbox: MailboxId, wake: Callable[[], None]) -> Callable[[], None]:
        return self._store.watch(mailbox, wake)

    def watch_accounts(self, tell: Callable[[str], None]) -> Callable[[], None]:
        return self._store.watch_accounts(tell)

    async def close(self) -> None:
        await asyncio.sleep(0)
        await self._store.close()


async def _late(answer: T) -> T:
    await asyncio.sleep(0)
    return answer
