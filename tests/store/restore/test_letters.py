"""Letters out of a backup into a store that goes on: what comes back, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from postroom.store.backup.folder import BackupFailed, BackupFolder
from postroom.store.changes import Copy, CreateMailbox, DeleteMailbox, Expunge, Filed, RemoveAccount
from postroom.store.interface import Store
from postroom.store.restore.letters import Brought, Wanted, bring_letters
from postroom.store.values import INBOX, Flag, Mailbox, Quotas, SpecialUse, Uid
from tests.store.backups import ALICE, BOB, Backed, account, flipped, letter
from tests.store.earlier import rows
from tests.store.site import Site, do, entries, file, find, letter_of, octets_of

PREFIX = b"Delivered-To: alice@example.test\r\n"


@pytest.fixture
def backed(tmp_path: Path) -> Backed:
    """Alice has three letters in her INBOX, one of them large, and two in Work; there is a backup."""
    made = Backed(tmp_path)
    made.make()

    async def story(store: Store) -> None:
        alice = await account(store)
        inbox = await find(store, alice)
        await file(store, inbox, letter(1), PREFIX, Flag.SEEN | Flag.FLAGGED | Flag.DELETED, ("$One", "two"))
        await file(store, inbox, letter(2, 3_000_000))
        await file(store, inbox, letter(3))
        await store.commit(CreateMailbox(alice.id, "Work"))
        work = await find(store, alice, "Work")
        await file(store, work, letter(4))
        await file(store, work, letter(5))

    made.site.run(story)
    made.back_up()
    return made


async def _bring(backed: Backed, store: Store, wanted: Wanted) -> list[Brought]:
    folder = BackupFolder(backed.path)
    bringing = bring_letters(store, folder, folder.finished()[-1], wanted, "root cli-1", backed.folder)
    return [each async for each in bringing]


def _some(brought: list[Brought]) -> list[Brought]:
    return [each for each in brought if each.letters or each.there or each.damaged or each.refused]


async def _expunge(store: Store, mailbox: Mailbox, *uids: int) -> None:
    await store.commit(Expunge(mailbox.id, tuple(Uid(uid) for uid in uids), deleted_only=False))


def test_expunged_letters_come_back_with_flags_keywords_dates_and_prefix(backed: Backed) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await account(store))
        first = await letter_of(store, inbox, Uid(1))
        await _expunge(store, inbox, 1, 2)
        brought = await _bring(backed, store, Wanted(ALICE))
        assert _some(brought) == [Brought(INBOX, letters=2, there=1), Brought("Work", there=2)]
        assert await octets_of(store, inbox, Uid(4)) == PREFIX + letter(1)
        assert await octets_of(store, inbox, Uid(5)) == letter(2, 3_000_000), "in their order, the large one too"
        entry = (await entries(store, inbox))[1]
        assert (entry.uid, entry.flags, entry.keywords) == (4, Flag.SEEN | Flag.FLAGGED, "$One two")
        again = await letter_of(store, inbox, Uid(4))
        assert (again.internal_date, again.zone) == (first.internal_date, first.zone)
        happened = await store.story(again.message)
        assert "backup" in str(happened[0]) and happened[0].by == "root/cli-1"

    backed.site.run(story)


def test_a_second_run_brings_nothing_twice_and_again_does(backed: Backed) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await account(store))
        await _expunge(store, inbox, 1, 2, 3)
        assert _some(await _bring(backed, store, Wanted(ALICE, INBOX))) == [Brought(INBOX, letters=3)]
        assert _some(await _bring(backed, store, Wanted(ALICE, INBOX))) == [Brought(INBOX, there=3)]
        assert _some(await _bring(backed, store, Wanted(ALICE, INBOX, again=True))) == [Brought(INBOX, letters=3)]
        assert len(await entries(store, inbox)) == 6

    backed.site.run(story)


def test_letters_that_look_alike_and_are_not_the_same_both_stay(backed: Backed) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await account(store))
        await _expunge(store, inbox, 3)
        await file(store, inbox, letter(3).replace(b"Line 3", b"Like 3"))
        assert _some(await _bring(backed, store, Wanted(ALICE, "inbox"))) == [Brought(INBOX, letters=1, there=2)]

    backed.site.run(story)


def test_a_deleted_mailbox_is_made_anew(backed: Backed) -> None:
    async def story(store: Store) -> None:
        alice = await account(store)
        await store.commit(DeleteMailbox(alice.id, "Work"))
        assert await _bring(backed, store, Wanted(ALICE, "Work")) == [Brought("Work", letters=2)]
        assert len(await entries(store, await find(store, alice, "Work"))) == 2
        assert "Work" in await store.subscriptions(alice.id)

    backed.site.run(story)


def test_one_letter_comes_into_the_mailbox_that_is_asked_for(backed: Backed) -> None:
    async def story(store: Store) -> None:
        alice = await account(store)
        email_id = (await letter_of(store, await find(store, alice), Uid(2))).email_id
        wanted = Wanted(ALICE, email_id=email_id, into="Back/Here")
        assert await _bring(backed, store, wanted) == [Brought("Back/Here", letters=1)]
        here = await find(store, alice, "Back/Here")
        assert await octets_of(store, here, Uid(1)) == letter(2, 3_000_000)
        assert await _bring(backed, store, wanted) == [Brought("Back/Here", there=1)]

    backed.site.run(story)


def test_letters_that_were_moved_since_are_left_where_they_are_but_for_trash(backed: Backed) -> None:
    async def story(store: Store) -> None:
        alice = await account(store)
        inbox, work = await find(store, alice), await find(store, alice, "Work")
        trash = next(each for each in await store.mailboxes(alice.id) if each.special_use is SpecialUse.TRASH)
        await do(store, Copy(inbox.id, (Uid(1),), work.id, move=True), Filed)
        await do(store, Copy(inbox.id, (Uid(3),), trash.id, move=True), Filed)
        assert _some(await _bring(backed, store, Wanted(ALICE, INBOX))) == [Brought(INBOX, letters=1, there=2)]
        assert await octets_of(store, inbox, Uid(4)) == letter(3)

    backed.site.run(story)


def test_a_copy_elsewhere_that_was_there_before_keeps_nothing_away(backed: Backed) -> None:
    async def before(store: Store) -> None:
        alice = await account(store)
        inbox, work = await find(store, alice), await find(store, alice, "Work")
        await do(store, Copy(inbox.id, (Uid(3),), work.id), Filed)

    async def story(store: Store) -> None:
        inbox = await find(store, await account(store))
        await _expunge(store, inbox, 3)
        assert _some(await _bring(backed, store, Wanted(ALICE, INBOX))) == [Brought(INBOX, letters=1, there=2)]

    backed.site.run(before)
    backed.back_up(1_700_000_100)
    backed.site.run(story)


def test_a_letter_that_is_damaged_in_the_backup_is_told_and_not_filed(backed: Backed) -> None:
    places = rows(
        backed.site.root / "index.db", "SELECT segment, offset FROM messages WHERE id IN (1, 2) ORDER BY id"
    )

    async def story(store: Store) -> None:
        inbox = await find(store, await account(store))
        await _expunge(store, inbox, 1, 2, 3)
        (small, at), (large, there) = places
        with (
            flipped(backed.path / "segments" / f"{small:010}.seg", at + 30),
            flipped(backed.path / "segments" / f"{large:010}.seg", there + 2_500_000),
        ):
            brought = await _bring(backed, store, Wanted(ALICE, INBOX))
        assert brought == [Brought(INBOX, letters=1, damaged=2)]
        assert [await octets_of(store, inbox, each.uid) for each in await entries(store, inbox)] == [letter(3)]

    backed.site.run(story)


def test_a_quota_stops_what_has_no_room_and_says_so(backed: Backed) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await account(store))
        await _expunge(store, inbox, 1, 2, 3)
        (brought,) = await _bring(backed, store, Wanted(ALICE, INBOX))
        assert (brought.letters, brought.refused, brought.reason) == (2, 1, "no room is left in the quota")

    Site(backed.site.root, quotas=Quotas(account_octets=100_000)).run(story)


def test_what_is_not_there_is_said(backed: Backed) -> None:
    async def story(store: Store) -> None:
        for wanted, says in (
            (Wanted(BOB), "no such account here"),
            (Wanted(ALICE, "Nowhere"), "Nowhere is not in the snapshot"),
            (Wanted(ALICE, email_id="M" + "0" * 32), "is not in the snapshot"),
        ):
            with pytest.raises(BackupFailed, match=says):
                await _bring(backed, store, wanted)
        await account(store, BOB)
        with pytest.raises(BackupFailed, match="no such account in the snapshot"):
            await _bring(backed, store, Wanted(BOB))

    backed.site.run(story)


def test_an_account_that_was_removed_and_added_again_gets_its_letters(backed: Backed) -> None:
    async def story(store: Store) -> None:
        await account(store)
        await store.commit(RemoveAccount(ALICE))
        alice = await account(store)
        brought = await _bring(backed, store, Wanted(ALICE))
        assert _some(brought) == [Brought(INBOX, letters=3), Brought("Work", letters=2)]
        assert len(await entries(store, await find(store, alice))) == 3

    backed.site.run(story)
