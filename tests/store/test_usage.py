"""What accounts and domains keep is counted exactly, whatever way letters come and go (the store's contract)."""

from __future__ import annotations

import asyncio

from postroom.store.changes import (
    BringBack,
    BringBackMailbox,
    Copy,
    DeleteMailbox,
    Done,
    Expunge,
    Expunged,
    Filed,
    Refused,
    RemoveAccount,
    RenameMailbox,
    Target,
)
from postroom.store.interface import Store
from postroom.store.values import Account, AccountId, Flag, Mailbox, Uid
from tests.store.site import (
    ALICE,
    BOB,
    LETTER,
    Site,
    deliver,
    do,
    file,
    find,
    new_account,
    new_mailbox,
    status,
)

Kept = tuple[int, int]
"""Octets and letters."""
ONE = len(LETTER)
PREFIX = b"Return-Path: <>\r\n"


async def kept(store: Store, account: Account) -> Kept:
    """What an account keeps, which must be what its mailboxes say."""
    quota = await store.quota(account.id)
    assert quota is not None
    all_of_them = [await status(store, each) for each in await store.mailboxes(account.id)]
    usage = quota.account
    assert (usage.octets, usage.letters) == (
        sum(each.size for each in all_of_them),
        sum(each.messages for each in all_of_them),
    )
    return usage.octets, usage.letters


async def in_domain(store: Store, account: Account) -> Kept:
    quota = await store.quota(account.id)
    assert quota is not None
    return quota.domain.octets, quota.domain.letters


async def two(store: Store) -> tuple[Account, Account]:
    return await new_account(store, ALICE), await new_account(store, BOB)


def test_an_account_begins_with_nothing(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        assert await kept(store, alice) == await in_domain(store, alice) == (0, 0)
        assert await store.quota(AccountId(99)) is None

    site.run(story)


def test_each_who_gets_a_letter_keeps_all_of_it_and_the_own_prefix(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await two(store)
        at_alice, at_bob, sent = await find(store, alice), await find(store, bob), await find(store, bob, "Sent")
        await deliver(store, LETTER, Target(at_alice.id, PREFIX), Target(at_bob.id), Target(sent.id, b"A: b\r\n"))
        assert await kept(store, alice) == (ONE + len(PREFIX), 1)
        assert await kept(store, bob) == (2 * ONE + 6, 2)
        assert await in_domain(store, alice) == (3 * ONE + len(PREFIX) + 6, 3)

    site.run(story)


def test_a_domain_is_the_sum_of_its_accounts_and_of_no_other_s(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await two(store)
        carol = await new_account(store, "carol@other.test")
        for account, letters in ((alice, 3), (bob, 2), (carol, 1)):
            inbox = await find(store, account)
            await asyncio.gather(*[file(store, inbox) for _ in range(letters)])
        assert await in_domain(store, alice) == await in_domain(store, bob) == (5 * ONE, 5)
        assert await in_domain(store, carol) == (ONE, 1)

    site.run(story)


def test_copies_count_and_moves_within_an_account_do_not(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        inbox, sent = await find(store, alice), await find(store, alice, "Sent")
        for _ in range(3):
            await file(store, inbox, prefix=PREFIX)
        size = ONE + len(PREFIX)
        await do(store, Copy(inbox.id, (Uid(1), Uid(2)), sent.id), Filed)
        assert await kept(store, alice) == (5 * size, 5)
        await do(store, Copy(inbox.id, (Uid(3), Uid(77)), sent.id, move=True), Filed)
        assert await kept(store, alice) == await in_domain(store, alice) == (5 * size, 5)
        await do(store, Copy(inbox.id, (Uid(1),), inbox.id, move=True), Filed)
        assert await kept(store, alice) == (5 * size, 5)

    site.run(story)


def test_a_move_to_another_account_changes_owners_and_leaves_the_domain_alone(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await two(store)
        carol = await new_account(store, "carol@other.test")
        inbox = await find(store, alice)
        for _ in range(3):
            await file(store, inbox)
        await do(store, Copy(inbox.id, (Uid(1),), (await find(store, bob)).id, move=True), Filed)
        await do(store, Copy(inbox.id, (Uid(2),), (await find(store, carol)).id, move=True), Filed)
        assert [await kept(store, each) for each in (alice, bob, carol)] == [(ONE, 1)] * 3
        assert await in_domain(store, bob) == (2 * ONE, 2)
        assert await in_domain(store, carol) == (ONE, 1)

    site.run(story)


def test_what_is_expunged_counts_no_more_and_counts_again_when_it_is_back(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        inbox, sent = await find(store, alice), await find(store, alice, "Sent")
        for flags in (Flag.DELETED, Flag(0), Flag.DELETED):
            await file(store, inbox, flags=flags)
        await do(store, Expunge(inbox.id, None), Expunged)
        assert await kept(store, alice) == await in_domain(store, alice) == (ONE, 1)
        await do(store, BringBack(inbox.id, (Uid(3),), sent.id), Filed)
        assert await kept(store, alice) == await in_domain(store, alice) == (2 * ONE, 2)

    site.run(story)


def test_a_deleted_mailbox_s_letters_count_no_more_and_count_again_when_it_is_back(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        work = await new_mailbox(store, alice, "Work")
        await file(store, await find(store, alice))
        for _ in range(2):
            await file(store, work, prefix=PREFIX)
        await do(store, DeleteMailbox(alice.id, "Work"), Done)
        assert await kept(store, alice) == await in_domain(store, alice) == (ONE, 1)
        await do(store, BringBackMailbox(work.id, alice.id, "Work"), Mailbox)
        size = 3 * ONE + 2 * len(PREFIX)
        assert await kept(store, alice) == await in_domain(store, alice) == (size, 3)

    site.run(story)


def test_renames_change_nothing_also_that_of_inbox(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        inbox = await find(store, alice)
        for _ in range(2):
            await file(store, inbox)
        await do(store, RenameMailbox(alice.id, "INBOX", "Old/2025"), Done)
        assert (await status(store, inbox)).messages == 0
        await do(store, RenameMailbox(alice.id, "Old", "Older"), Done)
        assert await kept(store, alice) == await in_domain(store, alice) == (2 * ONE, 2)

    site.run(story)


def test_a_removed_account_leaves_its_domain_and_a_new_one_of_its_name_begins_with_nothing(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await two(store)
        inbox = await find(store, alice)
        work = await new_mailbox(store, alice, "Work")
        for mailbox in (inbox, work, await find(store, bob)):
            await file(store, mailbox)
        await do(store, RemoveAccount(ALICE), Done)
        assert await store.quota(alice.id) is None
        assert await in_domain(store, bob) == (ONE, 1)
        anew = await new_account(store, ALICE)
        assert await kept(store, anew) == (0, 0)
        await do(store, BringBackMailbox(work.id, anew.id, "Work"), Mailbox)
        assert await kept(store, anew) == (ONE, 1)
        assert await in_domain(store, bob) == (2 * ONE, 2)

    site.run(story)


def test_many_changes_of_one_turn_are_counted_together(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await two(store)
        at_alice, at_bob, sent = await find(store, alice), await find(store, bob), await find(store, bob, "Sent")
        answers = await asyncio.gather(
            *[deliver(store, LETTER, Target(at_alice.id), Target(at_bob.id)) for _ in range(5)],
            store.commit(Copy(at_bob.id, (Uid(1), Uid(2)), sent.id)),
            store.commit(Copy(at_bob.id, (Uid(3),), at_alice.id, move=True)),
            store.commit(Expunge(at_alice.id, (Uid(1),), deleted_only=False)),
            store.commit(DeleteMailbox(bob.id, "Sent")),
            deliver(store, LETTER, Target(at_bob.id)),
        )
        assert not any(isinstance(each, Refused) for each in answers)
        assert await kept(store, alice) == (5 * ONE, 5)
        assert await kept(store, bob) == (5 * ONE, 5)
        assert await in_domain(store, alice) == (10 * ONE, 10)

    site.run(story)


def test_an_account_whose_name_has_no_domain_counts_too(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store, "alice")
        await file(store, await find(store, account), LETTER)
        found = await store.quota(account.id)
        assert found is not None
        assert (found.account.letters, found.domain.letters) == (1, 1)

    site.run(story)
