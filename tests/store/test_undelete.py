"""What was expunged or deleted comes back: letters, mailboxes, and once only (the store's contract)."""

from __future__ import annotations

import asyncio

from postroom.store.changes import (
    BringBack,
    BringBackMailbox,
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
    Refused,
    RemoveAccount,
    RenameMailbox,
    SetFlags,
)
from postroom.store.graves import Grave
from postroom.store.interface import Store
from postroom.store.values import Account, Flag, Mailbox, MailboxId, ModSeq, SpecialUse, Uid
from tests.store.site import (
    ALICE,
    LETTER,
    Site,
    do,
    entries,
    file,
    find,
    new_account,
    new_mailbox,
    octets_of,
    status,
    uids,
)

NOTHING = Refused(Reason.NOTHING_THERE)


async def in_inbox(store: Store, count: int) -> tuple[Account, Mailbox]:
    """Alice with so many letters, each with a prefix that counts."""
    alice = await new_account(store)
    inbox = await find(store, alice)
    for number in range(1, count + 1):
        await file(store, inbox, prefix=b"N: %d\r\n" % number)
    return alice, inbox


async def expunge(store: Store, mailbox: Mailbox, *numbers: int) -> None:
    await do(store, Expunge(mailbox.id, tuple(map(Uid, numbers)), deleted_only=False), Expunged)


async def contents(store: Store, mailbox: Mailbox) -> list[bytes]:
    """The prefixes of what is there; all must be readable."""
    found = []
    for uid in await uids(store, mailbox):
        octets = await octets_of(store, mailbox, uid)
        assert octets.endswith(LETTER)
        found.append(octets.removesuffix(LETTER))
    return found


async def grave_of(store: Store, mailbox: MailboxId) -> Grave:
    (found,) = [each for each in await store.graves(None, MailboxId(0), 100) if each.mailbox == mailbox]
    return found


# --- letters


def test_an_expunged_letter_comes_back_as_a_new_one_with_all_its_octets_and_flags(site: Site) -> None:
    async def story(store: Store) -> None:
        _, inbox = await in_inbox(store, 3)
        before = (await entries(store, inbox))[1]
        change = SetFlags(inbox.id, (Uid(2),), How.SET, Flag.DELETED | Flag.SEEN, ("$work",))
        await do(store, change, FlagsSet)
        await do(store, Expunge(inbox.id, None), Expunged)
        filed = await do(store, BringBack(inbox.id, (Uid(2),), inbox.id), Filed)
        assert filed == Filed(inbox.uid_validity, (Uid(4),), (Uid(2),))
        back = (await entries(store, inbox))[-1]
        assert (back.uid, back.flags, back.keywords) == (4, Flag.SEEN, "$work")
        assert (back.internal_date, back.zone, back.size) == (before.internal_date, before.zone, before.size)
        assert await contents(store, inbox) == [b"N: 1\r\n", b"N: 3\r\n", b"N: 2\r\n"]
        counters = await status(store, inbox)
        assert (counters.messages, counters.unseen, counters.deleted) == (3, 2, 0)

    site.run(story)


def test_a_letter_comes_back_once(site: Site) -> None:
    async def story(store: Store) -> None:
        _, inbox = await in_inbox(store, 2)
        await expunge(store, inbox, 1)
        both = [store.commit(BringBack(inbox.id, (Uid(1),), inbox.id)) for _ in range(2)]
        first, second = await asyncio.gather(*both)
        assert isinstance(first, Filed)
        assert second == NOTHING
        assert await store.commit(BringBack(inbox.id, None, inbox.id)) == NOTHING
        await expunge(store, inbox, 3)
        await do(store, BringBack(inbox.id, None, inbox.id), Filed)
        assert await uids(store, inbox) == [2, 4]

    site.run(story)


def test_what_never_was_or_still_is_there_or_was_moved_does_not_come_back(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, inbox = await in_inbox(store, 3)
        sent = await find(store, alice, "Sent")
        await do(store, Copy(inbox.id, (Uid(1),), sent.id, move=True), Filed)
        for wanted in ((Uid(1),), (Uid(2),), (Uid(99),), (), None):
            assert await store.commit(BringBack(inbox.id, wanted, inbox.id)) == NOTHING
        await expunge(store, inbox, 2)
        assert await store.commit(BringBack(inbox.id, None, MailboxId(99))) == Refused(Reason.NO_SUCH_MAILBOX)
        filed = await do(store, BringBack(inbox.id, (Uid(1), Uid(2), Uid(3)), inbox.id), Filed)
        assert filed.sources == (2,)

    site.run(story)


def test_letters_that_a_renamed_inbox_gave_away_were_moved_and_do_not_come_back(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, inbox = await in_inbox(store, 2)
        await do(store, RenameMailbox(alice.id, "INBOX", "Old"), Done)
        assert await store.commit(BringBack(inbox.id, None, inbox.id)) == NOTHING
        assert await store.buried(inbox.id, Uid(0), 10) == ([], None)

    site.run(story)


def test_a_letter_comes_back_into_another_mailbox_and_clients_are_told(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, inbox = await in_inbox(store, 3)
        archive = await find(store, alice, "Archive")
        await expunge(store, inbox, 1, 3)
        since = (await status(store, archive)).highest_modseq
        woken = asyncio.Event()
        end = store.watch(archive.id, woken.set)
        await do(store, BringBack(inbox.id, (Uid(3), Uid(1)), archive.id), Filed)
        await woken.wait()
        end()
        changes = await store.changes(archive.id, since)
        assert [each.uid for each in changes.entries] == [1, 2]
        assert await contents(store, archive) == [b"N: 1\r\n", b"N: 3\r\n"]
        assert (await store.changes(inbox.id, ModSeq(0))).vanished == [1, 3]

    site.run(story)


# --- mailboxes


def test_a_deleted_mailbox_comes_back_with_the_letters_that_were_in_it(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        work = await new_mailbox(store, alice, "Work")
        for number in range(4):
            await file(store, work, prefix=b"N: %d\r\n" % number, flags=Flag.DELETED if number == 3 else Flag(0))
        await expunge(store, work, 1)
        await do(store, DeleteMailbox(alice.id, "Work"), Done)
        grave = await grave_of(store, work.id)
        assert (grave.name, grave.address, grave.letters, grave.restored) == ("Work", ALICE, 3, False)
        assert grave.octets == 3 * (len(LETTER) + 6)
        back = await do(store, BringBackMailbox(work.id, alice.id, "Work"), Mailbox)
        assert back.id != work.id
        assert back.uid_validity > work.uid_validity
        assert await contents(store, back) == [b"N: 1\r\n", b"N: 2\r\n", b"N: 3\r\n"]
        assert (await status(store, back)).deleted == 0
        assert (await grave_of(store, work.id)).restored
        assert await store.commit(BringBackMailbox(work.id, alice.id, "Again")) == NOTHING
        # The one that was expunged before is still to be had by itself.
        await do(store, BringBack(work.id, None, back.id), Filed)
        assert (await contents(store, back))[-1] == b"N: 0\r\n"

    site.run(story)


def test_a_deleted_mailbox_comes_back_under_another_name_with_the_levels_above_it(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        await new_mailbox(store, alice, "a/b/c")
        below = await find(store, alice, "a/b/c")
        await file(store, below)
        for name in ("a/b/c", "a/b", "a"):
            await do(store, DeleteMailbox(alice.id, name), Done)
        back = await do(store, BringBackMailbox(below.id, alice.id, "x/y/z"), Mailbox)
        assert [each.name for each in await store.mailboxes(alice.id)][-3:] == ["x", "x/y", "x/y/z"]
        assert await uids(store, back) == [1]

    site.run(story)


def test_inferiors_that_were_deleted_come_back_below_their_superior(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        await new_mailbox(store, alice, "a/b")
        above, below = await find(store, alice, "a"), await find(store, alice, "a/b")
        for mailbox in (above, below):
            await file(store, mailbox)
        for name in ("a/b", "a"):
            await do(store, DeleteMailbox(alice.id, name), Done)
        await do(store, BringBackMailbox(below.id, alice.id, "a/b"), Mailbox)
        # The level above was made on the way; its letters join it where that is asked for.
        assert await store.commit(BringBackMailbox(above.id, alice.id, "a")) == Refused(Reason.MAILBOX_EXISTS)
        back = await do(store, BringBackMailbox(above.id, alice.id, "a", join=True), Mailbox)
        assert back == await find(store, alice, "a")
        assert await uids(store, back) == [1]

    site.run(story)


def test_letters_join_a_mailbox_that_has_taken_the_name(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        old = await new_mailbox(store, alice, "Work")
        await file(store, old, prefix=b"N: 1\r\n")
        await do(store, DeleteMailbox(alice.id, "Work"), Done)
        new = await new_mailbox(store, alice, "Work")
        await file(store, new, prefix=b"N: 2\r\n")
        assert await do(store, BringBackMailbox(old.id, alice.id, "Work", join=True), Mailbox) == new
        assert await contents(store, new) == [b"N: 2\r\n", b"N: 1\r\n"]
        assert await store.commit(BringBackMailbox(old.id, alice.id, "Work", join=True)) == NOTHING

    site.run(story)


def test_a_mailbox_gets_its_use_back_unless_another_has_it(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        junk, trash = await find(store, alice, "Junk"), await find(store, alice, "Trash")
        for name in ("Junk", "Trash"):
            await do(store, DeleteMailbox(alice.id, name), Done)
        await do(store, CreateMailbox(alice.id, "Bin", SpecialUse.TRASH), Mailbox)
        back = await do(store, BringBackMailbox(junk.id, alice.id, "Junk"), Mailbox)
        assert back.special_use is SpecialUse.JUNK
        back = await do(store, BringBackMailbox(trash.id, alice.id, "Trash"), Mailbox)
        assert back.special_use is None

    site.run(story)


def test_a_name_that_no_mailbox_can_have_or_nobody_s_mailbox_is_refused_and_can_be_tried_again(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        work = await new_mailbox(store, alice, "Work")
        await file(store, work)
        await do(store, DeleteMailbox(alice.id, "Work"), Done)
        assert await store.commit(BringBackMailbox(work.id, alice.id, "a//b")) == Refused(Reason.BAD_NAME)
        assert await store.commit(BringBackMailbox(MailboxId(99), alice.id, "x")) == NOTHING
        back = await do(store, BringBackMailbox(work.id, alice.id, "Work"), Mailbox)
        assert await uids(store, back) == [1]

    site.run(story)


def test_a_removed_account_s_letters_go_to_the_account_that_asks_for_them(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, inbox = await in_inbox(store, 2)
        await do(store, RemoveAccount(ALICE), Done)
        grave = await grave_of(store, inbox.id)
        assert (grave.account, grave.address, grave.name, grave.letters) == (None, ALICE, "INBOX", 2)
        again = await new_account(store, ALICE)
        assert again.id != alice.id
        new = await do(store, BringBackMailbox(inbox.id, again.id, "INBOX", join=True), Mailbox)
        assert new == await find(store, again)
        assert await contents(store, new) == [b"N: 1\r\n", b"N: 2\r\n"]

    site.run(story)
