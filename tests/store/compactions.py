"""Stores that have something to win, and the few sentences that stories about compaction are made of."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from postroom.store.changes import Expunge, Expunged, Swept, Target
from postroom.store.check.findings import Severity
from postroom.store.check.whole import check
from postroom.store.compaction.compactor import Compactor, Outcome, Rules
from postroom.store.compaction.sweeping import Sweeper
from postroom.store.index import fetch_all, open_index
from postroom.store.interface import Store
from postroom.store.records import frame_of, write_frame
from postroom.store.segments import segment_name
from postroom.store.sqlite import SqliteStore, open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import Mailbox, Uid
from tests.store.site import ALICE, deliver, do, entries, find, letter_of, new_account

T = TypeVar("T")

DAY = 86400
UNDELETE = 14 * DAY
ALL = Rules(rate=0, dead_share=30, age=30 * DAY, undelete=UNDELETE, everything=True, grace=0)
ORDINARY = Rules(rate=0, dead_share=30, age=30 * DAY, undelete=UNDELETE)


def tell(root: Path, story: Callable[[SqliteStore], Awaitable[T]]) -> T:
    """Open the store, let the story happen, close it; nothing may be wrong with it afterwards."""
    migrate(root)

    async def run() -> T:
        store = await open_store(root)
        try:
            return await story(store)
        finally:
            await store.close()

    result = asyncio.run(run())
    assert problems(root) == []
    return result


def problems(root: Path) -> list[str]:
    """What a check finds to be wrong."""
    return [each.what for each in check(root) if each.severity is Severity.PROBLEM]


def body(number: int, size: int = 2000) -> bytes:
    """The letter of a number."""
    text = random.Random(number).randbytes(size // 2).hex().encode()
    lines = b"\r\n".join([text[at : at + 76] for at in range(0, len(text), 76)])
    return b"Message-ID: <%d@elsewhere.test>\r\nSubject: %d\r\n\r\n%b\r\n" % (number, number, lines)


def fill(root: Path, count: int, gone: Callable[[int], bool] = lambda number: number % 2 == 0) -> None:
    """A store in which Alice's INBOX has had so many letters, UID 1 being the letter 1; those that are `gone` were
    expunged and swept. Its segment takes no more."""

    async def story(store: SqliteStore) -> None:
        inbox = await find(store, await new_account(store))
        await asyncio.gather(*[deliver(store, body(number), Target(inbox.id)) for number in range(1, count + 1)])
        await expunge(store, inbox, [number for number in range(1, count + 1) if gone(number)])

    tell(root, story)
    tell(root, lambda store: sweep(root, store))


async def inbox_of_alice(store: Store) -> Mailbox:
    """Her INBOX."""
    account = await store.account(ALICE)
    assert account is not None
    return await find(store, account)


async def expunge(store: Store, mailbox: Mailbox, numbers: list[int]) -> None:
    """Take letters away for good."""
    await do(store, Expunge(mailbox.id, tuple(map(Uid, numbers)), deleted_only=False), Expunged)


async def sweep(root: Path, store: Store, days: float = 15, undelete: int = UNDELETE) -> Swept:
    """A sweep, so many days from now."""
    with Sweeper(root, store, undelete, {}, clock=lambda: time.time() + days * DAY) as sweeper:
        return await sweeper.run()


def compactor(root: Path, store: Store, rules: Rules = ALL, days: float = 0) -> Compactor:
    """One that runs so many days from now."""
    return Compactor(root, store, rules, clock=lambda: time.time() + days * DAY)


async def compact(root: Path, store: Store, rules: Rules = ALL, days: float = 0) -> Outcome:
    """A run, so many days from now."""
    with compactor(root, store, rules, days) as one:
        return await one.run()


async def compact_damaged(root: Path) -> list[Outcome]:
    """Two runs of one compactor, on a store in which something is wrong."""
    store = await open_store(root)
    try:
        await sweep(root, store)
        with compactor(root, store) as one:
            return [await one.run(), await one.run()]
    finally:
        await store.close()


async def letters(store: Store, name: str = "INBOX") -> dict[int, bytes]:
    """All that Alice sees in a mailbox, by UID."""
    account = await store.account(ALICE)
    assert account is not None
    mailbox, found = await find(store, account, name), {}
    for entry in await entries(store, mailbox):
        letter = await letter_of(store, mailbox, entry.uid)
        found[int(entry.uid)] = await store.read(letter, 0, entry.size)
    return found


def files(root: Path) -> dict[int, int]:
    """The segments' files and their sizes."""
    return {int(path.stem): path.stat().st_size for path in (root / "segments").iterdir()}


def rows(root: Path, sql: str, *bound: int) -> list[tuple[Any, ...]]:
    """What the index says."""
    index = open_index(root / "index.db")
    try:
        return fetch_all(index, sql, bound)
    finally:
        index.close()


def segment_file(root: Path, number: int) -> Path:
    """Where a segment lies."""
    return root / "segments" / segment_name(number)


def add_dead_record(root: Path, number: int, size: int) -> None:
    """What a letter leaves behind that is forgotten."""
    record = write_frame(frame_of(bytes(size), b"{}", b"0123456789abcdef")) + bytes(size) + b"{}"
    with segment_file(root, number).open("ab") as file:
        file.write(record)
    rows(root, "UPDATE segments SET length = length + ? WHERE number = ?", len(record), number)
