"""What a POP3 session asks of the store: a mailbox by columns, letters that were taken away, letters with binary
parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from postroom.store.changes import (
    AddAccount,
    Copy,
    DeleteMailbox,
    Done,
    Expunge,
    Expunged,
    Filed,
    RemoveAccount,
    Target,
)
from postroom.store.interface import Store
from postroom.store.values import Account, Mailbox, MailboxId, Uid
from tests.store.site import BOB, LETTER, Site, deliver, do, file, find, new_account, new_mailbox, octets_of, uids


def test_drops_say_what_letters_say(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        for octets, prefix in ((LETTER, b""), (b"a\nb\r\n\r\nc\rd", b"P: x\r\n"), (b"", b""), (b"", b"P: y\r\n")):
            await deliver(store, octets, Target(inbox.id, prefix))
        await do(store, Copy(inbox.id, (Uid(1),), inbox.id), Filed)
        await do(store, Expunge(inbox.id, (Uid(3),), False), Expunged)
        letters = await store.letters(inbox.id, await uids(store, inbox))
        assert [letter.uid for letter in letters] == [1, 2, 4, 5]
        for after in range(6):
            for limit in (1, 2, 10):
                found = await store.drops(inbox.id, Uid(after), limit)
                wanted = [letter for letter in letters if letter.uid > after][:limit]
                assert list(found.uids) == [letter.uid for letter in wanted]
                assert list(found.sizes) == [len(letter.prefix) + letter.crlf_size for letter in wanted]
                assert list(found.messages) == [letter.message for letter in wanted]
                assert found.email_ids == "\n".join([letter.email_id for letter in wanted])
                assert [column.typecode for column in found[:3]] == ["I", "Q", "Q"]

    site.run(story)


def test_a_mailbox_without_letters_has_no_drops(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        for mailbox in (inbox.id, MailboxId(99)):
            assert [len(column) for column in await store.drops(mailbox, Uid(0), 10)] == [0, 0, 0, 0]
            assert await store.kept_letters(mailbox, [Uid(1)]) == []
            assert await store.with_binary(mailbox, Uid(0), 10) == ([], None)

    site.run(story)


Gone = Callable[[Store, Account, Mailbox], Awaitable[object]]


async def _expunged(store: Store, account: Account, mailbox: Mailbox) -> None:
    await do(store, Expunge(mailbox.id, (Uid(2), Uid(3)), False), Expunged)


async def _moved(store: Store, account: Account, mailbox: Mailbox) -> None:
    trash = await find(store, account, "Trash")
    await do(store, Copy(mailbox.id, (Uid(2), Uid(3)), trash.id, move=True), Filed)


async def _deleted(store: Store, account: Account, mailbox: Mailbox) -> None:
    await do(store, DeleteMailbox(account.id, mailbox.name), Done)


async def _removed(store: Store, account: Account, mailbox: Mailbox) -> None:
    await do(store, RemoveAccount(account.address), Done)
    await do(store, AddAccount(account.address), Account)


@pytest.mark.parametrize("goes", [_expunged, _moved, _deleted, _removed])
def test_letters_that_were_taken_away_are_still_there_to_be_read(site: Site, goes: Gone) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        await new_account(store, BOB)
        mailbox = await new_mailbox(store, account, "a")
        for number in range(1, 5):
            await deliver(store, b"Subject: %d\r\n\r\n" % number, Target(mailbox.id, b"P: %d\r\n" % number))
        every = [Uid(number) for number in range(1, 5)]
        before = await store.letters(mailbox.id, every)
        plain = await store.letters(mailbox.id, every, answers=False)
        await goes(store, account, mailbox)
        # What comes now has other UIDs, here and elsewhere.
        await file(store, await find(store, account if goes is not _removed else await _again(store, account)))
        assert len(await store.letters(mailbox.id, every)) < 4
        assert await store.kept_letters(mailbox.id, every) == before
        assert await store.kept_letters(mailbox.id, every, answers=False) == plain
        assert await store.kept_letters(mailbox.id, [Uid(2), Uid(9)]) == before[1:2]
        for letter in before:
            read = await store.read(letter, 0, 100)
            assert read == b"P: %d\r\nSubject: %d\r\n\r\n" % (letter.uid, letter.uid)

    site.run(story)


async def _again(store: Store, account: Account) -> Account:
    found = await store.account(account.address)
    assert found is not None
    return found


def test_letters_with_binary_parts_are_found_however_they_write_it(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        field = b"Content-Transfer-Encoding: "
        for encoding in (b"binary", b"BINARY", b"8bit", b"Binary", b'"binary"', b"x-binary", b"(c) binary"):
            await deliver(store, field + encoding + b"\r\n\r\nx\0y", Target(inbox.id))
        inner = (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + field + b"bInArY\r\n\r\nx\0\r\n--b--\r\n"
        )
        await deliver(store, inner, Target(inbox.id))
        assert await store.with_binary(inbox.id, Uid(0), 100) == ([1, 2, 4, 7, 8], None)
        found, at = [], Uid(0)
        for wanted in (3, 6, None):
            some, after = await store.with_binary(inbox.id, at, 3)
            assert after == wanted
            found += some
            at = Uid(after or 0)
        assert found == [1, 2, 4, 7, 8]
        assert (await octets_of(store, inbox, Uid(1))).endswith(b"x\0y")

    site.run(story)
