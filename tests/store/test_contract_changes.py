"""The store's contract: flags, copies, moves, expunges, their modseqs (RFC 7162), counters, and who is woken."""

from __future__ import annotations

import pytest

from postroom.net.limits import IMAP_KEYWORDS
from postroom.store.changes import (
    Copy,
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
    SetFlags,
    TakeRecent,
    Target,
)
from postroom.store.interface import Store
from postroom.store.values import Changes, Entry, Flag, Mailbox, MailboxId, ModSeq, Uid
from tests.store.site import (
    LETTER,
    NO_FLAGS,
    Site,
    deliver,
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


def these(*numbers: int) -> tuple[Uid, ...]:
    return tuple([Uid(number) for number in numbers])


async def with_letters(store: Store, count: int) -> tuple[Mailbox, Mailbox]:
    """Alice's INBOX with so many letters, and her Sent, empty."""
    account = await new_account(store)
    inbox = await find(store, account)
    for _ in range(count):
        await file(store, inbox)
    return inbox, await find(store, account, "Sent")


async def entry(store: Store, mailbox: Mailbox, uid: int) -> Entry:
    (found,) = await store.entries(mailbox.id, Uid(uid - 1), 1)
    assert found.uid == uid
    return found


# --- flags


@pytest.mark.parametrize(
    ("how", "flags", "keywords", "left"),
    [
        (How.SET, Flag.DRAFT, ("c",), (Flag.DRAFT, "c")),
        (How.SET, NO_FLAGS, (), (NO_FLAGS, "")),
        (How.ADD, Flag.DRAFT, ("c", "b"), (Flag.SEEN | Flag.FLAGGED | Flag.DRAFT, "B a c")),
        (How.REMOVE, Flag.SEEN | Flag.DRAFT, ("A", "x"), (Flag.FLAGGED, "B")),
        (How.SET, Flag.SEEN, ("A", "b"), (Flag.SEEN, "B a")),
    ],
)
def test_flags_and_keywords_are_set_added_and_removed(
    site: Site, how: How, flags: Flag, keywords: tuple[str, ...], left: tuple[Flag, str]
) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 0)
        for _ in range(2):
            await file(store, inbox, flags=Flag.SEEN | Flag.FLAGGED, keywords=("a", "B"))
        await do(store, SetFlags(inbox.id, these(2, 99), how, flags, keywords), FlagsSet)
        changed, other = await entry(store, inbox, 2), await entry(store, inbox, 1)
        assert (changed.flags, changed.keywords) == left
        assert (other.flags, other.keywords) == (Flag.SEEN | Flag.FLAGGED, "B a")

    site.run(story)


def test_each_change_raises_the_modseq_and_an_unchanged_entry_keeps_its_own(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 3)
        modseqs = [each.modseq for each in await entries(store, inbox)]
        assert modseqs == sorted(set(modseqs))
        before = await status(store, inbox)
        assert before.highest_modseq == modseqs[-1]
        flagged = await do(store, SetFlags(inbox.id, these(1), How.ADD, Flag.SEEN), FlagsSet)
        assert flagged.modseq > before.highest_modseq
        assert (await entry(store, inbox, 1)).modseq == flagged.modseq
        # RFC 7162 3.1.3: a STORE that changes nothing leaves the mod-sequence alone
        again = await do(store, SetFlags(inbox.id, these(1, 2), How.ADD, Flag.SEEN), FlagsSet)
        assert again.modseq > flagged.modseq
        assert (await entry(store, inbox, 1)).modseq == flagged.modseq
        assert (await entry(store, inbox, 2)).modseq == again.modseq
        assert (await entry(store, inbox, 3)).modseq == modseqs[2]
        nothing = await do(store, SetFlags(inbox.id, these(1, 2), How.ADD, Flag.SEEN), FlagsSet)
        assert nothing.modseq == again.modseq == (await status(store, inbox)).highest_modseq

    site.run(story)


def test_entries_that_were_changed_since_are_left_alone_and_named(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 3)
        since = (await status(store, inbox)).highest_modseq
        await do(store, SetFlags(inbox.id, these(2), How.ADD, Flag.SEEN), FlagsSet)
        change = SetFlags(inbox.id, these(1, 2, 3), How.SET, Flag.FLAGGED, unchanged_since=since)
        assert (await do(store, change, FlagsSet)).modified == (2,)
        assert [each.flags for each in await entries(store, inbox)] == [Flag.FLAGGED, Flag.SEEN, Flag.FLAGGED]
        # RFC 7162 3.1.3: UNCHANGEDSINCE 0 fails for every message
        change = SetFlags(inbox.id, these(1, 3), How.SET, NO_FLAGS, unchanged_since=ModSeq(0))
        assert (await do(store, change, FlagsSet)).modified == (1, 3)

    site.run(story)


def test_flags_of_letters_that_are_not_there_are_passed_over(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 1)
        before = await status(store, inbox)
        answer = await do(store, SetFlags(inbox.id, these(7, 8), How.SET, Flag.SEEN), FlagsSet)
        assert answer == FlagsSet(before.highest_modseq)
        assert await do(store, SetFlags(inbox.id, (), How.SET, Flag.SEEN), FlagsSet) == answer

    site.run(story)


def test_a_letter_takes_as_many_keywords_as_may_be_and_not_one_more(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 2)
        most = tuple(f"k{number:03}" for number in range(IMAP_KEYWORDS))
        await do(store, SetFlags(inbox.id, these(1), How.SET, NO_FLAGS, most), FlagsSet)
        before = await status(store, inbox)
        more = SetFlags(inbox.id, these(1, 2), How.ADD, Flag.SEEN, ("one-more",))
        assert await store.commit(more) == Refused(Reason.TOO_MANY)
        assert await status(store, inbox) == before
        assert (await entry(store, inbox, 1)).keywords.split() == list(most)
        await do(store, SetFlags(inbox.id, these(1), How.ADD, Flag.SEEN, (most[0].upper(),)), FlagsSet)

    site.run(story)


# --- copies and moves


def test_a_copy_keeps_what_is_the_letters_own(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, sent = await with_letters(store, 0)
        target = Target(inbox.id, b"P: 1\r\n", Flag.FLAGGED, ("$x",))
        await deliver(store, LETTER, target, date=1234567890, zone=90)
        await file(store, sent)
        filed = await do(store, Copy(inbox.id, these(1), sent.id), Filed)
        assert filed == Filed(sent.uid_validity, these(2), these(1))
        copied, original = await entry(store, sent, 2), await entry(store, inbox, 1)
        assert copied._replace(uid=Uid(1), modseq=original.modseq) == original
        assert copied.modseq == (await status(store, sent)).highest_modseq
        assert await octets_of(store, sent, Uid(2)) == b"P: 1\r\n" + LETTER
        assert await uids(store, inbox) == [1]

    site.run(story)


@pytest.mark.parametrize("move", [False, True])
def test_copies_stand_in_the_order_of_their_uids_and_are_answered_in_pairs(site: Site, move: bool) -> None:
    async def story(store: Store) -> None:
        inbox, sent = await with_letters(store, 0)
        for number in range(5):
            await file(store, inbox, b"Subject: %d\r\n\r\n" % number)
        await do(store, Expunge(inbox.id, these(3), deleted_only=False), Expunged)
        filed = await do(store, Copy(inbox.id, these(1, 2, 3, 5, 77), sent.id, move), Filed)
        assert filed == Filed(sent.uid_validity, these(1, 2, 3), these(1, 2, 5))
        for uid, number in ((1, 0), (2, 1), (3, 4)):
            assert await octets_of(store, sent, Uid(uid)) == b"Subject: %d\r\n\r\n" % number
        assert await uids(store, inbox) == ([4] if move else [1, 2, 4, 5])

    site.run(story)


@pytest.mark.parametrize("move", [False, True])
def test_a_copy_of_nothing_changes_nothing(site: Site, move: bool) -> None:
    async def story(store: Store) -> None:
        inbox, sent = await with_letters(store, 1)
        before = await status(store, inbox), await status(store, sent)
        filed = await do(store, Copy(inbox.id, these(7), sent.id, move), Filed)
        assert filed == Filed(sent.uid_validity, (), ())
        assert (await status(store, inbox), await status(store, sent)) == before

    site.run(story)


def test_a_moved_letter_leaves_a_tombstone(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, sent = await with_letters(store, 3)
        since = (await status(store, inbox)).highest_modseq
        await do(store, Copy(inbox.id, these(1, 3), sent.id, move=True), Filed)
        changes = await store.changes(inbox.id, since)
        assert (changes.entries, changes.vanished) == ([], [1, 3])
        assert changes.modseq > since

    site.run(story)


@pytest.mark.parametrize("move", [False, True])
def test_a_letter_is_copied_into_its_own_mailbox(site: Site, move: bool) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 2)
        filed = await do(store, Copy(inbox.id, these(1, 2), inbox.id, move), Filed)
        assert filed == Filed(inbox.uid_validity, these(3, 4), these(1, 2))
        assert await uids(store, inbox) == ([3, 4] if move else [1, 2, 3, 4])

    site.run(story)


@pytest.mark.parametrize("move", [False, True])
def test_a_copy_from_or_to_nowhere_is_refused(site: Site, move: bool) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 1)
        nowhere = MailboxId(99)
        for source, target in ((inbox.id, nowhere), (nowhere, inbox.id)):
            refused = await store.commit(Copy(source, these(1), target, move))
            assert refused == Refused(Reason.NO_SUCH_MAILBOX)
        assert await uids(store, inbox) == [1]

    site.run(story)


# --- expunges


def test_only_what_is_marked_is_expunged(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 4)
        await do(store, SetFlags(inbox.id, these(1, 3, 4), How.ADD, Flag.DELETED), FlagsSet)
        since = (await status(store, inbox)).highest_modseq
        first = await do(store, Expunge(inbox.id, these(1, 2, 9)), Expunged)
        assert first.uids == (1,)
        second = await do(store, Expunge(inbox.id, None), Expunged)
        assert second.uids == (3, 4)
        assert since < first.modseq < second.modseq == (await status(store, inbox)).highest_modseq
        assert await uids(store, inbox) == [2]
        again = await do(store, Expunge(inbox.id, None), Expunged)
        assert again == Expunged(second.modseq, ())

    site.run(story)


def test_unmarked_letters_are_taken_away_where_that_is_asked(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 4)
        assert (await do(store, Expunge(inbox.id, these(2, 3), False), Expunged)).uids == (2, 3)
        assert (await do(store, Expunge(inbox.id, these(2, 3), False), Expunged)).uids == ()
        assert (await do(store, Expunge(inbox.id, None, False), Expunged)).uids == (1, 4)
        assert await store.commit(Expunge(MailboxId(99), None)) == Refused(Reason.NO_SUCH_MAILBOX)

    site.run(story)


# --- changes since


def test_who_comes_back_hears_what_is_new_what_changed_and_what_is_gone(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, sent = await with_letters(store, 4)
        since = (await status(store, inbox)).highest_modseq
        await do(store, SetFlags(inbox.id, these(3), How.ADD, Flag.SEEN), FlagsSet)
        await file(store, inbox)
        await do(store, SetFlags(inbox.id, these(1), How.ADD, Flag.SEEN), FlagsSet)
        await do(store, Expunge(inbox.id, these(4), False), Expunged)
        await file(store, sent)
        # Came and went: no session ever saw it, and it may be told as gone (RFC 7162 3.2.10)
        await file(store, inbox)
        await do(store, Expunge(inbox.id, these(6), False), Expunged)
        changes = await store.changes(inbox.id, since)
        assert [each.uid for each in changes.entries] == [1, 3, 5]
        assert changes.vanished == [4, 6]
        assert changes.modseq == (await status(store, inbox)).highest_modseq
        assert changes.exists
        assert await store.changes(inbox.id, changes.modseq) == Changes(changes.modseq, [], [])

    site.run(story)


def test_all_that_ever_happened_is_told_to_who_knows_nothing(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 3)
        await do(store, Expunge(inbox.id, these(2), False), Expunged)
        changes = await store.changes(inbox.id, ModSeq(0))
        assert changes.entries == await entries(store, inbox)
        assert changes.vanished == [2]

    site.run(story)


def test_who_comes_back_to_a_mailbox_that_is_gone_hears_it(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        mailbox = await new_mailbox(store, account, "a")
        await file(store, mailbox)
        await do(store, DeleteMailbox(account.id, "a"), Done)
        for since in (0, 1, 1000):
            assert not (await store.changes(mailbox.id, ModSeq(since))).exists

    site.run(story)


# --- \Recent (RFC 3501 2.3.2)


def test_a_letter_is_recent_to_one_session_only(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, sent = await with_letters(store, 2)
        assert (await status(store, inbox)).recent == 2
        assert await do(store, TakeRecent(inbox.id), Recent) == Recent(Uid(1))
        assert (await status(store, inbox)).recent == 0
        assert await do(store, TakeRecent(inbox.id), Recent) == Recent(Uid(3))
        await file(store, inbox)
        await file(store, inbox)
        await do(store, Expunge(inbox.id, these(3), False), Expunged)
        assert (await status(store, inbox)).recent == 1
        recent = await do(store, TakeRecent(inbox.id), Recent)
        assert [uid for uid in await uids(store, inbox) if uid >= recent.first] == [4]
        await do(store, Copy(inbox.id, these(1), sent.id), Filed)
        assert (await status(store, sent)).recent == 1
        assert await store.commit(TakeRecent(MailboxId(99))) == Refused(Reason.NO_SUCH_MAILBOX)

    site.run(story)


def test_who_claims_recent_letters_changes_nothing_else(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox, _ = await with_letters(store, 2)
        before = await status(store, inbox), await entries(store, inbox)
        await do(store, TakeRecent(inbox.id), Recent)
        after = await status(store, inbox), await entries(store, inbox)
        assert after[0].highest_modseq == before[0].highest_modseq
        assert after[1] == before[1]

    site.run(story)
