"""Stores between the servers and the real one: they count, or fail as disks do.

(store,) = counting(house)           # once the house is open
house.wrap = damaged({2})
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

from postroom.store.changes import Expunge, SetFlags
from postroom.store.interface import StorageFull, Store, StoreFault, Unreadable
from postroom.store.values import AccountId, Letter, MailboxId, MessageId, Span, Uid
from tests.imap.server.house import House

Wrap = Callable[[Store], Store]


class Between:
    """Hands everything on."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Counting(Between):
    """Counts the questions, and the octets that are read of letters."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.asked = Counter[str]()
        self.octets = 0
        self.texts: dict[int, str] = {}
        """What `search_text` has of messages."""

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self.store, name)

    def clear(self) -> None:
        self.asked.clear()
        self.octets = 0

    async def read(self, letter: Letter, start: int, length: int) -> bytes:
        self.asked["read"] += 1
        self.octets += length
        return await self.store.read(letter, start, length)

    async def read_each(self, letters: Sequence[Letter], spans: Sequence[Span]) -> list[bytes | Unreadable]:
        self.asked["read_each"] += 1
        self.octets += sum(length for _, length in spans)
        return await self.store.read_each(letters, spans)

    async def search_text(self, account: AccountId, message: MessageId) -> str | None:
        return self.texts.get(message) or await self.store.search_text(account, message)


def counting(house: House) -> list[Counting]:
    """Put a counting store into the house; it stands in the list once that is open."""
    made: list[Counting] = []

    def wrap(store: Store) -> Store:
        made.append(Counting(store))
        return cast(Store, made[-1])

    house.wrap = wrap
    return made


class _Damaged(Between):
    def __init__(self, store: Store, uids: set[int], offset: int, short: bool, gone: bool) -> None:
        super().__init__(store)
        self._uids = uids
        self._offset = offset
        self._short = short
        self._gone = gone

    async def letters(self, mailbox: MailboxId, uids: Sequence[Uid], *, answers: bool = True) -> list[Letter]:
        found = await self.store.letters(mailbox, uids, answers=answers)
        if self._gone:
            await self.store.commit(Expunge(mailbox, tuple(map(Uid, self._uids)), deleted_only=False))
        return found

    async def read(self, letter: Letter, start: int, length: int) -> bytes:
        octets = await self.store.read(letter, start, length)
        if letter.uid in self._uids and start + length > self._offset:
            if self._short:
                return octets[:-1]
            raise Unreadable("damaged")
        return octets

    async def read_each(self, letters: Sequence[Letter], spans: Sequence[Span]) -> list[bytes | Unreadable]:
        found: list[bytes | Unreadable] = []
        for letter, (start, length) in zip(letters, spans, strict=True):
            try:
                found.append(await self.read(letter, start, length))
            except Unreadable as fault:
                found.append(fault)
        return found


def damaged(uids: set[int], offset: int = 0, *, short: bool = False, gone: bool = False) -> Wrap:
    """Letters of these UIDs can't be read from an offset on, or come too short; with `gone` they are expunged when
    their rows have just been read."""
    return lambda store: cast(Store, _Damaged(store, uids, offset, short, gone))


class _Suspending(Between):
    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def later(*args: Any, **named: Any) -> Any:
            await asyncio.sleep(0)
            answer = await method(*args, **named)
            await asyncio.sleep(0)
            return answer

        return later


def suspending(store: Store) -> Store:
    """Every question takes its time, as over a network."""
    return cast(Store, _Suspending(store))


class _Full(Between):
    async def commit(self, change: object) -> object:
        raise StorageFull("no room")


def full(store: Store) -> Store:
    """There is no room for any change."""
    return cast(Store, _Full(store))


class _Failing(Between):
    def __init__(self, store: Store, good: int) -> None:
        super().__init__(store)
        self._good = good

    async def commit(self, change: Any) -> Any:
        if isinstance(change, SetFlags):
            self._good -= 1
            if self._good < 0:
                raise StoreFault("the disk is on fire")
        return await self.store.commit(change)


def failing(good: int) -> Wrap:
    """No change of flags is kept after so many."""
    return lambda store: cast(Store, _Failing(store, good))
