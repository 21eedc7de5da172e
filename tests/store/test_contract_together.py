"""The store's contract: many changes in one turn, who is woken by them, and what is there after the end."""

from __future__ import annotations

import asyncio

import pytest

from postroom.message.structure import parse
from postroom.net.limits import BATCH_CHANGES
from postroom.store.changes import (
    Change,
    Copy,
    CreateMailbox,
    DeleteMailbox,
    Done,
    Expunge,
    Expunged,
    Filed,
    FlagsSet,
    How,
    Reason,
    Recent,
    Refused,
    RenameMailbox,
    SetFlags,
    TakeRecent,
    Target,
)
from postroom.store.interface import Delivery, Store, StoreFault
from postroom.store.sqlite import open_store
from postroom.store.values import Flag, Mailbox, MailboxId, ModSeq, Uid
from tests.store.site import (
    ALICE,
    LETTER,
    Site,
    deliver,
    do,
    file,
    find,
    letter_of,
    new_account,
    octets_of,
    status,
    uids,
)


def these(*numbers: int) -> tuple[Uid, ...]:
    return tuple([Uid(number) for number in numbers])


async def with_letters(store: Store, count: int) -> tuple[Mailbox, Mailbox]:
    """Alice's INBOX with so many letters, and her Sent, empty."""
    account = await new_account(store)
    inbox = await find(store, account)
    for _ in range(count):
        await file(store, inbox)
    return inbox, await find(store, account, "Sent")


# --- many at a time


def test_many_changes_of_one_turn_are_answered_each_for_itself(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        inbox = await find(store, account)
        deliveries = [deliver(store, LETTER, Target(inbox.id)) for _ in range(3)]
        changes: list[Change] = [
            CreateMailbox(account.id, "a/b"),
            CreateMailbox(account.id, "a/b"),
            CreateMailbox(account.id, "a/c"),
            DeleteMailbox(account.id, "INBOX"),
            RenameMailbox(account.id, "a", "b"),
            CreateMailbox(account.id, "a"),
        ]
        filed, answers = await asyncio.gather(
            asyncio.gather(*deliveries), asyncio.gather(*map(store.commit, changes))
        )
        assert filed == [(Filed(inbox.uid_validity, (Uid(number),)),) for number in (1, 2, 3)]
        kinds = [answer.reason if isinstance(answer, Refused) else type(answer) for answer in answers]
        assert kinds == [Mailbox, Reason.MAILBOX_EXISTS, Mailbox, Reason.NOT_FOR_INBOX, Done, Mailbox]
        assert [each.name for each in await store.mailboxes(account.id)][6:] == ["a", "b", "b/b", "b/c"]

    site.run(story)


def test_changes_of_one_turn_see_those_before_them(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, sent = await with_letters(store, 1)
        answers = await asyncio.gather(
            deliver(store, LETTER, Target(inbox.id)),
            store.commit(SetFlags(inbox.id, these(1, 2), How.ADD, Flag.DELETED)),
            store.commit(Copy(inbox.id, these(1, 2), sent.id)),
            store.commit(Expunge(inbox.id, None)),
            deliver(store, LETTER, Target(inbox.id), Target(sent.id)),
            store.commit(TakeRecent(sent.id)),
        )
        assert answers[0] == (Filed(inbox.uid_validity, these(2)),)
        assert answers[2] == Filed(sent.uid_validity, these(1, 2), these(1, 2))
        assert isinstance(answers[3], Expunged)
        assert answers[3].uids == (1, 2)
        assert answers[4] == (Filed(inbox.uid_validity, these(3)), Filed(sent.uid_validity, these(3)))
        assert answers[5] == Recent(Uid(1))

    site.run(story)


def test_more_changes_than_one_commit_takes_are_all_made_in_order(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 0)
        count = 2 * BATCH_CHANGES + 7
        filed = await asyncio.gather(*[file(store, inbox, b"N: %d\r\n" % number) for number in range(count)])
        assert filed == [Uid(number + 1) for number in range(count)]
        for number in (0, BATCH_CHANGES, count - 1):
            assert await octets_of(store, inbox, Uid(number + 1)) == b"N: %d\r\n" % number

    site.run(story)


def test_a_change_whose_asker_is_gone_harms_nobody(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 0)
        for turns in range(6):
            gone = asyncio.create_task(deliver(store, LETTER * 10_000, Target(inbox.id)))
            stays = asyncio.create_task(file(store, inbox))
            for _ in range(turns):
                await asyncio.sleep(0)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            uid = await stays
            assert await octets_of(store, inbox, uid) == LETTER

    site.run(story)


# --- who is woken


async def woken_by(store: Store, watcher: Store, mailbox: Mailbox, change: Change | Target) -> None:
    woken = asyncio.Event()
    end = watcher.watch(mailbox.id, woken.set)
    if isinstance(change, Target):
        await deliver(store, LETTER, change)
    else:
        await store.commit(change)
    await woken.wait()
    end()
    end()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in this process", "in another process"])
def test_who_watches_is_woken_by_every_kind_of_change(site: Site, elsewhere: bool) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store, ALICE)
        inbox, sent, old = [await find(store, account, name) for name in ("INBOX", "Sent", "Junk")]
        watcher = site.wrap(await open_store(site.root, name="b")) if elsewhere else store
        changes: list[tuple[Mailbox, Change | Target]] = [
            (inbox, Target(inbox.id)),
            (inbox, Target(inbox.id)),
            (inbox, SetFlags(inbox.id, these(1), How.ADD, Flag.DELETED)),
            (sent, Copy(inbox.id, these(1, 2), sent.id)),
            (inbox, Expunge(inbox.id, None)),
            (inbox, Copy(inbox.id, these(2), sent.id, move=True)),
            (sent, Copy(sent.id, these(1), inbox.id, move=True)),
            (inbox, RenameMailbox(account.id, "INBOX", "all")),
            (old, DeleteMailbox(account.id, "Junk")),
        ]
        for mailbox, change in changes:
            await woken_by(store, watcher, mailbox, change)
        if watcher is not store:
            await watcher.close()

    site.run(story)


def test_who_watches_another_mailbox_or_no_more_sleeps_on(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, sent = await with_letters(store, 1)
        await asyncio.sleep(0)
        woken: list[str] = []
        store.watch(sent.id, lambda: woken.append("sent"))
        store.watch(inbox.id, lambda: woken.append("gone"))()
        await woken_by(store, store, inbox, Target(inbox.id))
        await do(store, SetFlags(inbox.id, these(1), How.ADD, Flag.SEEN), FlagsSet)
        for _ in range(3):
            await asyncio.sleep(0)
        assert woken == []

    site.run(story)


# --- the end, and after it


def test_after_the_end_nothing_is_taken(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 1)
        blob = store.blob()
        blob.write(LETTER)
        delivery = Delivery(blob, parse(LETTER), (Target(inbox.id),), 0)
        await store.close()
        with pytest.raises(StoreFault):
            await store.commit(Expunge(inbox.id, None, False))
        with pytest.raises(StoreFault):
            await store.deliver(delivery)

    site.run(story)


def test_what_was_asked_before_the_end_is_done(site: Site) -> None:
    async def story(store: Store) -> MailboxId:
        inbox, _ = await with_letters(store, 0)
        asked = [asyncio.create_task(file(store, inbox)) for _ in range(5)]
        for _ in range(4):
            await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*asked)
        return inbox.id

    site.run(story)

    async def later(store: Store) -> None:
        account = await store.account(ALICE)
        assert account is not None
        assert await uids(store, await find(store, account)) == [1, 2, 3, 4, 5]

    site.run(later)


def test_after_the_end_and_a_new_beginning_everything_is_there(site: Site) -> None:
    async def everything(store: Store) -> list[object]:
        account = await store.account(ALICE)
        assert account is not None
        seen: list[object] = [account, await store.subscriptions(account.id), await store.aliases()]
        for mailbox in await store.mailboxes(account.id):
            seen += [mailbox, await status(store, mailbox), await store.changes(mailbox.id, ModSeq(0))]
            for uid in await uids(store, mailbox):
                seen += [await letter_of(store, mailbox, uid), await octets_of(store, mailbox, uid)]
        return seen

    async def story(store: Store) -> list[object]:
        inbox, sent = await with_letters(store, 3)
        await file(store, inbox, LETTER * 10_000, prefix=b"P: 1\r\n", keywords=("$x",))
        await do(store, SetFlags(inbox.id, these(2), How.ADD, Flag.SEEN), FlagsSet)
        await do(store, Copy(inbox.id, these(1, 4), sent.id), Filed)
        await do(store, Expunge(inbox.id, these(3), False), Expunged)
        await do(store, CreateMailbox(inbox.owner, "a/b"), Mailbox)
        await do(store, RenameMailbox(inbox.owner, "a", "c"), Done)
        return await everything(store)

    before = site.run(story)
    assert site.run(everything) == before

    async def later(store: Store) -> None:
        account = await store.account(ALICE)
        assert account is not None
        assert await file(store, await find(store, account)) == 5

    site.run(later)
