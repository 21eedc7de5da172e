"""What can be brought back is found, in slices; so are letters by what is known of them (the store's contract)."""

from __future__ import annotations

from postroom.message.hashes import id_hash
from postroom.message.structure import parse
from postroom.store.changes import (
    BringBack,
    Copy,
    DeleteMailbox,
    Done,
    Expunge,
    Expunged,
    Filed,
    RemoveAccount,
    Target,
)
from postroom.store.graves import Buried, Known, Sought, SoughtByHeader, SoughtById, SoughtByWord
from postroom.store.interface import Delivery, Store
from postroom.store.values import Flag, Mailbox, MailboxId, MessageId, Uid
from tests.store.site import (
    ALICE,
    BOB,
    LETTER,
    Site,
    do,
    file,
    find,
    letter_of,
    new_account,
    new_mailbox,
)


async def all_buried(store: Store, mailbox: Mailbox, slice_: int = 2) -> list[Buried]:
    """Read in slices."""
    found: list[Buried] = []
    after: Uid | None = Uid(0)
    while after is not None:
        some, after = await store.buried(mailbox.id, after, slice_)
        found += some
    return found


async def all_known(store: Store, sought: Sought, slice_: int = 2) -> list[Known]:
    found: list[Known] = []
    after: MessageId | None = MessageId(0)
    while after is not None:
        some, after = await store.known(sought, after, slice_)
        found += some
    return found


async def names(store: Store, address: str | None) -> list[tuple[str, str, int | None]]:
    """All graves, one at a time: whose, which, and how many letters went with it."""
    found = []
    after = MailboxId(0)
    while some := await store.graves(address, after, 1):
        (grave,) = some
        after = grave.mailbox
        found.append((grave.address, grave.name, None if grave.gone is None else grave.letters))
    return found


def test_expunged_letters_are_found_in_slices_with_all_that_is_theirs(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        inbox, sent = await find(store, alice), await find(store, alice, "Sent")
        for number in range(9):
            await file(store, inbox, prefix=b"N: %d\r\n" % number, flags=Flag.FLAGGED)
        alive = await letter_of(store, inbox, Uid(5))
        await do(store, Copy(inbox.id, (Uid(2), Uid(3)), sent.id, move=True), Filed)
        await do(store, Expunge(inbox.id, tuple(map(Uid, (1, 4, 5, 6, 9))), deleted_only=False), Expunged)
        await do(store, BringBack(inbox.id, (Uid(4),), inbox.id), Filed)
        for slice_ in (1, 2, 3, 100):
            assert [each.letter.uid for each in await all_buried(store, inbox, slice_)] == [1, 5, 6, 9]
        five = (await all_buried(store, inbox))[1]
        assert five.letter == alive._replace(envelope=b"", bodystructure=b"", parts=b"")
        assert (five.flags, five.size, five.with_mailbox) == (Flag.FLAGGED, len(LETTER) + 6, False)
        assert five.gone > 1_600_000_000
        assert await store.read(five.letter, 0, 1000) == b"N: 4\r\n" + LETTER
        assert await all_buried(store, sent) == []

    site.run(story)


def test_a_deleted_mailbox_s_letters_are_told_apart_from_those_expunged_before(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        work = await new_mailbox(store, alice, "Work")
        for _ in range(3):
            await file(store, work)
        await do(store, Expunge(work.id, (Uid(2),), deleted_only=False), Expunged)
        await do(store, DeleteMailbox(alice.id, "Work"), Done)
        found = [(each.letter.uid, each.with_mailbox) for each in await all_buried(store, work)]
        assert found == [(1, True), (2, False), (3, True)]

    site.run(story)


def test_mailboxes_that_lost_something_are_found_whosever_they_are(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await new_account(store), await new_account(store, BOB)
        work = await new_mailbox(store, alice, "Work")
        for mailbox in (await find(store, alice), work, await find(store, bob)):
            await file(store, mailbox)
        assert await names(store, None) == []
        inbox = await find(store, alice)
        await do(store, Expunge(inbox.id, None, deleted_only=False), Expunged)
        await do(store, DeleteMailbox(alice.id, "Work"), Done)
        await do(store, RemoveAccount(BOB), Done)
        of_alice = [(ALICE, "INBOX", None), (ALICE, "Work", 1)]
        assert await names(store, ALICE) == of_alice
        assert [each for each in await names(store, None) if each[0] == ALICE] == of_alice
        of_bob = await names(store, BOB)
        assert of_bob == [each for each in await names(store, None) if each[0] == BOB]
        assert [name for _, name, _ in of_bob] == ["INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"]
        assert [letters for _, _, letters in of_bob] == [1, 0, 0, 0, 0, 0]
        assert await names(store, "nobody@example.test") == []

    site.run(story)


def test_a_letter_is_known_by_its_id_its_header_and_its_story_also_when_it_is_gone(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        inbox, sent = await find(store, alice), await find(store, alice, "Sent")
        for number in range(5):
            blob = store.blob()
            blob.write(b"Message-ID: <%d@x>\r\n\r\n" % number)
            note = f"id=a{number}.1 from=<x@y>"
            facts = parse(blob.contents())
            await store.deliver(Delivery(blob, facts, (Target(inbox.id),), 0, 0, "smtp-a", note))
        letter = await letter_of(store, inbox, Uid(4))
        await do(store, Copy(inbox.id, (Uid(4),), sent.id), Filed)
        await do(store, Expunge(inbox.id, (Uid(4),), deleted_only=False), Expunged)
        for sought in (
            SoughtById(letter.email_id),
            SoughtByHeader(id_hash(b"3@x")),
            SoughtByWord(" id=a3.1 "),
        ):
            for slice_ in (1, 2, 5, 6):
                (known,) = await all_known(store, sought, slice_)
                assert (known.message, known.email_id) == (letter.message, letter.email_id)
                there, gone = known.entries
                assert (there.address, there.mailbox, there.name, there.uid) == (ALICE, sent.id, "Sent", 1)
                assert (there.gone, there.left) == (None, "")
                assert (gone.name, gone.uid, gone.left) == ("INBOX", 4, "expunged")
        await do(store, Copy(sent.id, (Uid(1),), inbox.id, move=True), Filed)
        await do(store, BringBack(inbox.id, None, sent.id), Filed)
        await do(store, RemoveAccount(ALICE), Done)
        (known,) = await all_known(store, SoughtById(letter.email_id))
        assert sorted((each.address, each.name, each.left) for each in known.entries) == [
            (ALICE, "INBOX", "expunged"),
            (ALICE, "INBOX", "restored"),
            (ALICE, "Sent", "expunged"),
            (ALICE, "Sent", "moved"),
        ]
        for nothing in (SoughtById("M" + "0" * 32), SoughtByHeader(id_hash(b"9@x")), SoughtByWord(" id=a9.1 ")):
            assert await all_known(store, nothing) == []

    site.run(story)
