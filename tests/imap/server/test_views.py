"""A mailbox selected again and again: it costs what changed, and shows what is."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import cast

import pytest

from postroom.imap.server import views
from postroom.imap.server.views import Views
from postroom.imap.view import View
from postroom.store.changes import CreateMailbox, DeleteMailbox, Expunge, How, RenameMailbox, SetFlags
from postroom.store.columns import Columns
from postroom.store.interface import Store
from postroom.store.values import Changes, Entry, Flag, MailboxId, ModSeq, Status, Uid, UidValidity
from tests.imap.server.asking import ask, logged_in
from tests.imap.server.house import LETTER, House, Open
from tests.imap.server.stores import Between, counting, suspending


@contextlib.asynccontextmanager
async def keeping(house: House, letters: int = 3, *, views: Views | None = None) -> AsyncIterator[Open]:
    """A house with a worker that keeps the smallest mailbox too, and so many letters in Alice's INBOX."""
    async with house.open() as opened:
        opened.service = replace(opened.service, views=views or Views(letters=0))
        await opened.deliver(*[LETTER] * letters)
        yield opened


async def opening(opened: Open, mailbox: str = "INBOX", verb: str = "EXAMINE") -> list[bytes]:
    """What a session that selects a mailbox hears of it, its first flags too."""
    async with logged_in(opened, mailbox="Drafts") as client:
        return await ask(client, f"{verb} {mailbox}".encode()) + await ask(client, b"UID FETCH 1:* FLAGS")


async def anew(opened: Open, mailbox: str = "INBOX", verb: str = "EXAMINE") -> list[bytes]:
    """The same from a worker that keeps nothing."""
    return await opening(replace(opened, service=replace(opened.service, views=Views())), mailbox, verb)


def without_lists(heard: list[bytes]) -> list[bytes]:
    """Without the lists of keywords: one that no letter has any more may still be there."""
    return [line for line in heard if not line.startswith((b"* FLAGS", b"* OK [PERMANENTFLAGS"))]


def run(go: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(go())


async def flag(opened: Open, *uids: int, flags: Flag = Flag.SEEN, keywords: Sequence[str] = ()) -> None:
    inbox = await opened.mailbox()
    await opened.store.commit(SetFlags(inbox.id, tuple(map(Uid, uids)), How.ADD, flags, tuple(keywords)))


async def expunge(opened: Open, *uids: int) -> None:
    inbox = await opened.mailbox()
    await opened.store.commit(Expunge(inbox.id, tuple(map(Uid, uids)), deleted_only=False))


def test_a_mailbox_is_read_once_and_what_changed_after_that(house: House) -> None:
    stores = counting(house)

    async def go() -> None:
        async with keeping(house) as opened:
            first = await opening(opened)
            stores[0].clear()
            assert await opening(opened) == first
            assert stores[0].asked["columns"] + stores[0].asked["entries"] == 0
            await flag(opened, 2)
            await opened.deliver(LETTER, keywords=["$a"])
            await expunge(opened, 1)
            stores[0].clear()
            again = await opening(opened)
            assert stores[0].asked["columns"] == 0
            assert again == await anew(opened)
            assert b"* 3 EXISTS" in again
            assert again != first

    run(go)


def test_a_small_mailbox_is_not_kept(house: House) -> None:
    async def go() -> None:
        async with keeping(house, views=Views()) as opened:
            await opening(opened)
            assert opened.service.views.octets == 0

    run(go)


def test_a_session_that_leaves_gives_back_what_it_knows(house: House) -> None:
    stores = counting(house)

    async def go() -> None:
        async with keeping(house) as opened:
            async with logged_in(opened) as client:
                assert (await ask(client, b"STORE 1:2 FLAGS.SILENT (\\Seen $a)"))[-1].startswith(b"OK")
                await opened.deliver(LETTER)
                await ask(client, b"NOOP")
                await expunge(opened, 2)
                await ask(client, b"FETCH 1 FLAGS")  # its EXPUNGE waits
            inbox = await opened.mailbox()
            status = await opened.store.status(inbox.id)
            assert status is not None
            stores[0].clear()
            view = await opened.service.views.open(
                opened.service.store, inbox.id, status, read_only=True, breathe=lambda: asyncio.sleep(0)
            )
            assert stores[0].asked["columns"] + stores[0].asked["changes"] == 0
            assert view.uids([range(1, len(view) + 1)]) == [1, 3, 4]
            assert [view.flags_at(number) for number in (1, 2, 3)] == [Flag.SEEN, 0, 0]
            assert await opening(opened) == await anew(opened)

    run(go)


def test_letters_are_recent_to_who_claimed_them_and_to_nobody_after(house: House) -> None:
    async def go() -> None:
        async with keeping(house) as opened:
            heard = await opening(opened, verb="SELECT")
            assert b"* 3 RECENT" in heard
            for verb in ("SELECT", "EXAMINE"):
                assert b"* 0 RECENT" in await opening(opened, verb=verb)
            await opened.deliver(LETTER)
            assert b"* 1 RECENT" in await opening(opened)
            heard = await opening(opened, verb="SELECT")
            assert b"* 4 FETCH (UID 4 FLAGS (\\Recent))" in heard
            assert b"* 1 FETCH (UID 1 FLAGS ())" in heard
            assert b"* 0 RECENT" in await opening(opened)

    run(go)


def test_a_mailbox_that_changed_much_is_read_anew(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "IMAP_CHANGES_AT_SELECT", 2)
    stores = counting(house)

    async def go() -> None:
        async with keeping(house) as opened:
            await opening(opened)
            for changed, read in ((2, 0), (3, 1), (1, 0)):
                await flag(opened, *range(1, changed + 1), keywords=[f"k{changed}"])
                stores[0].clear()
                assert b"* 3 EXISTS" in await opening(opened)
                assert stores[0].asked["columns"] == read
            assert without_lists(await opening(opened)) == without_lists(await anew(opened))

    run(go)


class _Forgetful(Between):
    """Has forgotten all up to now, perhaps between two questions."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.read = 0
        self.forgets = False
        self.forgets_behind_changes = False

    async def status(self, mailbox: MailboxId) -> Status | None:
        status = await self.store.status(mailbox)
        if status is not None and self.forgets:
            return replace(status, forgotten=status.highest_modseq)
        return status

    async def changes(self, mailbox: MailboxId, since: ModSeq, most: int | None = None) -> Changes:
        changes = await self.store.changes(mailbox, since, most)
        if self.forgets_behind_changes and most is not None:
            self.forgets = True
            return replace(changes, vanished=[])
        return changes

    async def columns(self, mailbox: MailboxId, after: Uid, limit: int) -> Columns:
        self.read += 1
        return await self.store.columns(mailbox, after, limit)


@pytest.mark.parametrize("late", [False, True])
def test_a_mailbox_of_which_the_store_forgot_changes_is_read_anew(house: House, late: bool) -> None:
    made: list[_Forgetful] = []

    def wrap(store: Store) -> Store:
        made.append(_Forgetful(store))
        return cast(Store, made[0])

    house.wrap = wrap

    async def go() -> None:
        async with keeping(house) as opened:
            await opening(opened)
            await expunge(opened, 2)
            (store,) = made
            store.forgets, store.forgets_behind_changes, store.read = not late, late, 0
            assert b"* 2 EXISTS" in await opening(opened)
            assert store.read == 1

    run(go)


def test_a_mailbox_made_anew_under_the_same_name_is_another(house: House) -> None:
    async def go() -> None:
        async with keeping(house) as opened:
            account = (await opened.account()).id
            for letters in (3, 1, 2):
                await opened.store.commit(CreateMailbox(account, "Work"))
                await opened.deliver(*[LETTER] * letters, mailbox="Work")
                assert b"* %d EXISTS" % letters in await opening(opened, "Work")
                assert await opening(opened, "Work") == await anew(opened, "Work")
                await opened.store.commit(DeleteMailbox(account, "Work"))
                assert (await opening(opened, "Work"))[0].startswith(b"NO [NONEXISTENT]")

    run(go)


def test_a_renamed_mailbox_is_the_same_and_inbox_stays_behind(house: House) -> None:
    async def go() -> None:
        async with keeping(house) as opened:
            account = (await opened.account()).id
            await opened.store.commit(CreateMailbox(account, "Work"))
            await opened.deliver(LETTER, mailbox="Work")
            before = await opening(opened, "Work")
            await opened.store.commit(RenameMailbox(account, "Work", "Play"))
            assert await opening(opened, "Play") == before
            await opening(opened)
            await opened.store.commit(RenameMailbox(account, "INBOX", "Old"))
            for name, letters in (("INBOX", 0), ("Old", 3)):
                assert b"* %d EXISTS" % letters in await opening(opened, name)
                assert await opening(opened, name) == await anew(opened, name)

    run(go)


# --- while others change it


class _Busy(Between):
    """Something happens behind each slice."""

    happens: Callable[[], Coroutine[None, None, None]] | None = None

    async def columns(self, mailbox: MailboxId, after: Uid, limit: int) -> Columns:
        found = await self.store.columns(mailbox, after, limit)
        if self.happens is not None:
            await self.happens()
        return found


def test_what_happens_while_a_mailbox_is_read_is_not_lost_for_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "IMAP_ENTRIES_PER_READ", 2)
    made: list[_Busy] = []

    def wrap(store: Store) -> Store:
        made.append(_Busy(store))
        return cast(Store, made[0])

    house.wrap = wrap

    async def go() -> None:
        async with keeping(house, letters=7) as opened:
            gone = iter((1, 4, 5, 8))

            async def happens() -> None:
                await opened.deliver(LETTER)
                await flag(opened, 2, 7, keywords=["$a"])
                if (uid := next(gone, None)) is not None:
                    await expunge(opened, uid)
                else:
                    made[0].happens = None

            async with logged_in(opened, mailbox="Drafts") as client:
                made[0].happens = happens
                await ask(client, b"EXAMINE INBOX")
                made[0].happens = None
                assert await ask(client, b"UID FETCH 1:* FLAGS") == await ask(client, b"UID FETCH 1:* FLAGS")
            assert await opening(opened) == await anew(opened)

    run(go)


async def change_something(rng: random.Random, opened: Open) -> None:
    inbox = await opened.mailbox()
    there = [entry.uid for entry in await opened.store.entries(inbox.id, Uid(0), 1000)]
    some = rng.sample(there, min(len(there), rng.randrange(4)))
    match rng.randrange(3):
        case 0:
            await opened.deliver(LETTER, keywords=rng.sample(["$a", "b", "c"], rng.randrange(3)))
        case 1:
            await flag(opened, *sorted(some), flags=Flag(rng.randrange(32)), keywords=rng.sample(["$a", "d"], 1))
        case 2:
            await expunge(opened, *sorted(some))


async def come_and_go(rng: random.Random, opened: Open) -> None:
    """A session that selects, looks around, perhaps changes something, and leaves."""
    async with logged_in(opened, verb=rng.choice(["SELECT", "EXAMINE"])) as client:
        for _ in range(rng.randrange(4)):
            command = rng.choice(
                [
                    b"NOOP",
                    b"FETCH 1:* FLAGS",
                    b"SELECT INBOX",
                    b"EXAMINE INBOX",
                    b"STORE 1 +FLAGS.SILENT (e)",
                    b"UNSELECT",
                ]
            )
            await ask(client, command)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("slow", [False, True])
def test_many_sessions_at_once_leave_behind_what_is_there(
    house: House, monkeypatch: pytest.MonkeyPatch, seed: int, slow: bool
) -> None:
    monkeypatch.setattr(views, "IMAP_ENTRIES_PER_READ", 3)
    monkeypatch.setattr(views, "IMAP_CHANGES_AT_SELECT", 4)
    if slow:
        house.wrap = suspending
    rng = random.Random(f"{seed} {slow}")

    async def go() -> None:
        async with keeping(house, letters=8) as opened:
            for _ in range(4):
                await asyncio.gather(
                    *[come_and_go(rng, opened) for _ in range(4)],
                    *[change_something(rng, opened) for _ in range(3)],
                )
                assert without_lists(await opening(opened)) == without_lists(await anew(opened))

    run(go)


# --- how much is kept


def filled(letters: int, keywords: str = "") -> View:
    view = View(ModSeq(letters))
    view.load([Entry(Uid(uid), 0, keywords, ModSeq(uid), 0, 0, 1) for uid in range(1, letters + 1)])
    return view


def test_the_mailboxes_selected_last_are_kept_as_far_as_there_is_room() -> None:
    kept = Views(octets=17 * 100, letters=10)
    for mailbox in (1, 2, 3):
        kept.keep(MailboxId(mailbox), UidValidity(1), filled(30))
    kept.keep(MailboxId(1), UidValidity(1), filled(30))
    kept.keep(MailboxId(4), UidValidity(1), filled(30))
    kept.keep(MailboxId(5), UidValidity(1), filled(9))
    kept.keep(MailboxId(6), UidValidity(1), filled(101))
    assert list(kept._kept) == [3, 1, 4]
    assert kept.octets == 17 * 90
    kept.keep(MailboxId(4), UidValidity(1), filled(70))
    assert list(kept._kept) == [1, 4]
    assert kept.octets == 17 * 100


def test_keywords_take_of_the_room_too() -> None:
    kept = Views(octets=10_000, letters=10)
    kept.keep(MailboxId(1), UidValidity(1), filled(10, " ".join(f"a-long-keyword-{n}" for n in range(100))))
    assert kept.octets == 0


def test_a_mailbox_that_is_gone_is_not_kept() -> None:
    kept = Views(letters=0)
    view = filled(3)
    kept.keep(MailboxId(1), UidValidity(1), view)
    assert kept.octets
    view.apply(Changes(ModSeq(9), [], [], exists=False))
    kept.keep(MailboxId(1), UidValidity(1), view)
    assert kept.octets == 0
