"""A mailbox read by columns, and changes with a most: what a server that selects a large mailbox asks for."""

from __future__ import annotations

import pytest

from postroom.store.changes import DeleteMailbox, Done, Expunge, Expunged, FlagsSet, How, SetFlags
from postroom.store.interface import Store, TooManyChanges
from postroom.store.values import Flag, MailboxId, ModSeq, Uid
from tests.store.site import Site, do, entries, file, find, new_account, new_mailbox, status


def test_columns_say_what_entries_say(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        for keywords in ((), (), ("$a", "b"), (), ("c",), ()):
            await file(store, inbox, keywords=keywords)
        await do(store, SetFlags(inbox.id, (Uid(2), Uid(6)), How.ADD, Flag(31)), FlagsSet)
        await do(store, Expunge(inbox.id, (Uid(4),), False), Expunged)
        rows = await entries(store, inbox)
        for after in range(7):
            for limit in (1, 2, 10):
                wanted = [row for row in rows if row.uid > after][:limit]
                found = await store.columns(inbox.id, Uid(after), limit)
                assert list(zip(*found, strict=True)) == [
                    (row.uid, row.flags, row.modseq, row.keywords) for row in wanted
                ]
                assert [column.typecode for column in found[:3]] == ["I", "B", "Q"]

    site.run(story)


def test_a_mailbox_without_letters_has_empty_columns(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        for mailbox in (inbox.id, MailboxId(99)):
            assert [len(column) for column in await store.columns(mailbox, Uid(0), 10)] == [0, 0, 0, 0]

    site.run(story)


def test_no_more_changes_are_told_than_were_asked_for(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        mailbox = await new_mailbox(store, account, "a")
        for _ in range(4):
            await file(store, mailbox)
        since = (await status(store, mailbox)).highest_modseq
        await do(store, SetFlags(mailbox.id, (Uid(1), Uid(2)), How.ADD, Flag.SEEN), FlagsSet)
        await do(store, Expunge(mailbox.id, (Uid(4),), False), Expunged)
        every = await store.changes(mailbox.id, since)
        assert await store.changes(mailbox.id, since, 3) == every
        assert (len(every.entries), every.vanished) == (2, [4])
        for most in (0, 2):
            with pytest.raises(TooManyChanges):
                await store.changes(mailbox.id, since, most)
        assert (await store.changes(mailbox.id, every.modseq, 0)).exists
        await do(store, DeleteMailbox(account.id, "a"), Done)
        assert not (await store.changes(mailbox.id, ModSeq(0), 0)).exists

    site.run(story)
