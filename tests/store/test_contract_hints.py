"""Every kind of change is told to those who watch, in the process that made it and in another one.

What is told is a hint: who hears it asks for the changes, and finds in them what happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from postroom.store.changes import (
    AddAccount,
    BringBack,
    Copy,
    DeleteMailbox,
    Expunge,
    How,
    RemoveAccount,
    RenameMailbox,
    SetFlags,
    SwitchAccount,
    Target,
    TellAccount,
)
from postroom.store.interface import Store
from postroom.store.sqlite import open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import Flag, Mailbox, Uid
from tests.store.site import ALICE, BOB, LETTER, deliver, file, find, new_account, new_mailbox

PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class House:
    """Alice's INBOX with three letters, the second of them once expunged and the third marked, and her Work."""

    store: Store
    inbox: Mailbox
    work: Mailbox


async def _house(store: Store) -> House:
    alice = await new_account(store, ALICE)
    inbox, work = await find(store, alice), await new_mailbox(store, alice, "Work")
    for _ in range(3):
        await file(store, inbox)
    await store.commit(Expunge(inbox.id, (Uid(2),), deleted_only=False))
    await store.commit(SetFlags(inbox.id, (Uid(3),), How.ADD, Flag.FLAGGED))
    return House(store, inbox, work)


Act = Callable[[House], Awaitable[object]]


async def _deliver(house: House) -> None:
    await deliver(house.store, LETTER, Target(house.inbox.id), Target(house.work.id))


ON_MAILBOXES: dict[str, tuple[Act, str]] = {
    "deliver": (_deliver, "inbox work"),
    "copy": (lambda h: h.store.commit(Copy(h.inbox.id, (Uid(1),), h.work.id)), "work"),
    "move": (lambda h: h.store.commit(Copy(h.inbox.id, (Uid(1),), h.work.id, move=True)), "inbox work"),
    "flags": (lambda h: h.store.commit(SetFlags(h.inbox.id, (Uid(1),), How.ADD, Flag.SEEN)), "inbox"),
    "flags taken off": (
        lambda h: h.store.commit(SetFlags(h.inbox.id, (Uid(3),), How.REMOVE, Flag.FLAGGED)),
        "inbox",
    ),
    "expunge": (lambda h: h.store.commit(Expunge(h.inbox.id, (Uid(1),), deleted_only=False)), "inbox"),
    "bring back": (lambda h: h.store.commit(BringBack(h.inbox.id, None, h.work.id)), "work"),
    "delete": (lambda h: h.store.commit(DeleteMailbox(h.work.owner, "Work")), "work"),
    "rename": (lambda h: h.store.commit(RenameMailbox(h.work.owner, "Work", "Play")), "work"),
    "rename INBOX": (lambda h: h.store.commit(RenameMailbox(h.work.owner, "INBOX", "Old")), "inbox"),
    "remove account": (lambda h: h.store.commit(RemoveAccount(ALICE)), "inbox work"),
}
"""A change, and whose watchers must hear of it."""


async def _told(root: Path, act: Act) -> tuple[set[str], set[str]]:
    """Who is woken by it: in the process that makes the change, and in another."""
    migrate(root)
    one, two = await open_store(root, name="one"), await open_store(root, name="two")
    try:
        house = await _house(one)
        here, there = _Heard(), _Heard()
        for store, heard in ((one, here), (two, there)):
            for name, mailbox in (("inbox", house.inbox), ("work", house.work)):
                store.watch(mailbox.id, heard.hearing(name))
            store.watch_accounts(heard.hears)
        # Hints of what made the house are still on their way; a last one tells that they have come.
        await one.commit(TellAccount("before@example.test"))
        await there.until("before@example.test")
        await asyncio.sleep(0)
        here.names.clear()
        there.names.clear()
        await act(house)
        await one.commit(TellAccount("after@example.test"))
        await here.until("after@example.test")
        await there.until("after@example.test")
        await asyncio.sleep(0)
        return here.names - {"after@example.test"}, there.names - {"after@example.test"}
    finally:
        await two.close()
        await one.close()


class _Heard:
    """Who was woken, and what accounts were told of."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._changed = asyncio.Event()

    def hears(self, name: str) -> None:
        self.names.add(name)
        self._changed.set()

    def hearing(self, name: str) -> Callable[[], None]:
        return lambda: self.hears(name)

    async def until(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while name not in self.names:
                self._changed.clear()
                await self._changed.wait()


@pytest.mark.parametrize("kind", ON_MAILBOXES)
def test_a_change_is_told_to_those_who_watch_its_mailboxes_and_nobody_else(tmp_path: Path, kind: str) -> None:
    act, mailboxes = ON_MAILBOXES[kind]
    here, there = asyncio.run(_told(tmp_path / "data", act))
    of_mailboxes = {"inbox", "work"}
    assert here & of_mailboxes == there & of_mailboxes == set(mailboxes.split())


@pytest.mark.parametrize(
    ("act", "address"),
    [
        pytest.param(lambda h: h.store.commit(AddAccount(BOB)), BOB, id="add"),
        pytest.param(lambda h: h.store.commit(SwitchAccount(ALICE, True)), ALICE, id="disable"),
        pytest.param(lambda h: h.store.commit(TellAccount(ALICE)), ALICE, id="password"),
        pytest.param(lambda h: h.store.commit(RemoveAccount(ALICE)), ALICE, id="remove"),
    ],
)
def test_a_change_of_an_account_is_told_by_its_address(tmp_path: Path, act: Act, address: str) -> None:
    here, there = asyncio.run(_told(tmp_path / "data", act))
    assert address in here
    assert address in there


def test_what_a_hint_leads_to_is_what_happened(tmp_path: Path) -> None:
    async def story() -> None:
        migrate(tmp_path)
        one, two = await open_store(tmp_path, name="one"), await open_store(tmp_path, name="two")
        try:
            house = await _house(one)
            before = await two.status(house.inbox.id)
            assert before is not None
            heard = _Heard()
            two.watch(house.inbox.id, heard.hearing("inbox"))
            await one.commit(Copy(house.inbox.id, (Uid(1),), house.work.id, move=True))
            await heard.until("inbox")
            changes = await two.changes(house.inbox.id, before.highest_modseq)
            assert changes.vanished == [1]
            assert changes.modseq > before.highest_modseq
        finally:
            await two.close()
            await one.close()

    asyncio.run(story())
