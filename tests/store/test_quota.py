"""Limits hold to the octet and to the letter, whatever way letters come (the store's contract)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.changes import (
    AS_IT_IS,
    BringBack,
    BringBackMailbox,
    Copy,
    DeleteMailbox,
    Done,
    Expunge,
    Expunged,
    Filed,
    LimitAccount,
    LimitDomain,
    Reason,
    Refused,
    RenameMailbox,
    Target,
)
from postroom.store.interface import Store
from postroom.store.values import Account, Mailbox, Quota, Quotas, Uid
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
    uids,
)

ONE = len(LETTER)
OVER, TOGETHER = Refused(Reason.OVER_QUOTA), Refused(Reason.TOGETHER)


async def limit(store: Store, octets: int | None = None, letters: int | None = None, address: str = ALICE) -> None:
    await do(store, LimitAccount(address, octets, letters), Done)


async def limit_domain(store: Store, octets: int | None = None, letters: int | None = None) -> None:
    await do(store, LimitDomain("example.test", octets, letters), Done)


async def quota_of(store: Store, account: Account) -> Quota:
    quota = await store.quota(account.id)
    assert quota is not None
    return quota


async def came(store: Store, *mailboxes: Mailbox, letter: bytes = LETTER, prefix: bytes = b"") -> list[bool]:
    """Whether one letter came, for each mailbox."""
    filed = await deliver(store, letter, *[Target(each.id, prefix) for each in mailboxes])
    return [isinstance(each, Filed) for each in filed]


# --- which limit counts


DEFAULTS = Quotas(account_octets=1000, account_letters=10, domain_octets=5000, domain_letters=50)


def test_the_site_s_defaults_hold_where_nothing_else_is_said(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await new_account(store), await new_account(store, BOB)
        quota = await quota_of(store, alice)
        assert (quota.account.max_octets, quota.account.max_letters) == (1000, 10)
        assert (quota.domain.max_octets, quota.domain.max_letters) == (5000, 50)
        await limit(store, octets=77, letters=0)
        await limit_domain(store, letters=0)
        quota = await quota_of(store, alice)
        assert (quota.account.max_octets, quota.account.max_letters) == (77, 0)
        assert (quota.domain.max_octets, quota.domain.max_letters) == (5000, 0)
        quota = await quota_of(store, bob)
        assert (quota.account.max_octets, quota.account.max_letters) == (1000, 10)
        await limit(store)
        assert (await quota_of(store, alice)).account.max_octets == 1000

    replace(site, quotas=DEFAULTS).run(story)


def test_one_limit_can_be_changed_and_the_other_left(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        await limit(store, octets=AS_IT_IS, letters=5)
        await limit(store, octets=7, letters=AS_IT_IS)
        await limit_domain(store, octets=8, letters=AS_IT_IS)
        await limit_domain(store, octets=AS_IT_IS, letters=9)
        quota = await quota_of(store, alice)
        assert (quota.account.max_octets, quota.account.max_letters) == (7, 5)
        assert (quota.domain.max_octets, quota.domain.max_letters) == (8, 9)

    replace(site, quotas=DEFAULTS).run(story)


def test_who_is_not_there_has_no_limit_set_and_a_domain_may_have_it_before_its_first_account(site: Site) -> None:
    async def story(store: Store) -> None:
        assert await store.commit(LimitAccount(ALICE, 1, 1)) == Refused(Reason.NO_SUCH_ACCOUNT)
        await limit_domain(store, letters=1)
        alice = await new_account(store)
        assert (await quota_of(store, alice)).domain.max_letters == 1
        assert await came(store, await find(store, alice)) == [True]
        assert await came(store, await find(store, alice)) == [False]

    site.run(story)


@pytest.mark.parametrize(
    "quotas",
    [
        Quotas(account_octets=2 * ONE),
        Quotas(account_letters=2),
        Quotas(domain_octets=2 * ONE),
        Quotas(domain_letters=2),
    ],
    ids=["octets", "letters", "octets of the domain", "letters of the domain"],
)
def test_a_default_limit_is_filled_to_its_end_and_not_beyond(site: Site, quotas: Quotas) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        assert [await came(store, inbox) for _ in range(3)] == [[True], [True], [False]]
        assert (await status(store, inbox)).messages == 2

    replace(site, quotas=quotas).run(story)


# --- to the octet


def test_the_last_octet_fits_and_one_more_does_not(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        await limit(store, octets=ONE + 3)
        assert await came(store, inbox, prefix=b"P\r\n\n") == [False]
        assert await came(store, inbox, letter=LETTER + b"1234") == [False]
        assert await came(store, inbox, prefix=b"P\r\n") == [True]
        assert await came(store, inbox, letter=b"x") == [False]

    site.run(story)


def test_room_comes_back_when_letters_go(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        await limit(store, letters=1)
        await file(store, inbox)
        assert await came(store, inbox) == [False]
        await do(store, Expunge(inbox.id, None, deleted_only=False), Expunged)
        assert await came(store, inbox) == [True]

    site.run(story)


def test_a_limit_below_what_is_there_takes_nothing_away_and_lets_nothing_in(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        inbox, sent = await find(store, alice), await find(store, alice, "Sent")
        for _ in range(3):
            await file(store, inbox)
        await limit(store, octets=1, letters=1)
        assert await came(store, inbox) == [False]
        assert await store.commit(Copy(inbox.id, (Uid(1),), sent.id)) == OVER
        await do(store, Copy(inbox.id, (Uid(77),), sent.id), Filed)
        await do(store, Copy(inbox.id, (Uid(1), Uid(2)), sent.id, move=True), Filed)
        await do(store, RenameMailbox(alice.id, "INBOX", "All"), Done)
        assert (await status(store, sent)).messages == 2

    site.run(story)


# --- several at once


def test_of_many_at_once_as_many_come_as_there_is_room_for(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        await limit(store, octets=7 * ONE + ONE // 2)
        filed = await asyncio.gather(*[deliver(store, LETTER, Target(inbox.id)) for _ in range(100)])
        assert [isinstance(each[0], Filed) for each in filed] == [True] * 7 + [False] * 93
        assert filed[-1] == (OVER,)
        assert await uids(store, inbox) == [1, 2, 3, 4, 5, 6, 7]

    site.run(story)


def test_room_made_in_the_same_turn_is_there(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        await limit(store, letters=2)
        for _ in range(2):
            await file(store, inbox)
        answers = await asyncio.gather(
            store.commit(Expunge(inbox.id, (Uid(1),), deleted_only=False)),
            store.commit(Copy(inbox.id, (Uid(2),), inbox.id)),
            store.commit(Copy(inbox.id, (Uid(2),), inbox.id)),
        )
        assert [type(each) for each in answers] == [Expunged, Filed, Refused]

    site.run(story)


def test_a_limit_set_in_the_same_turn_holds_for_what_comes_behind_it(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await new_account(store), await new_account(store, BOB)
        at_alice, at_bob = await find(store, alice), await find(store, bob)
        for mailbox in (at_alice, at_bob):
            await file(store, mailbox)
        answers = await asyncio.gather(
            store.commit(Copy(at_alice.id, (Uid(1),), at_alice.id)),
            store.commit(LimitAccount(ALICE, None, 2)),
            store.commit(Copy(at_alice.id, (Uid(1),), at_alice.id)),
            store.commit(Copy(at_bob.id, (Uid(1),), at_bob.id)),
            store.commit(LimitDomain("example.test", None, 4)),
            store.commit(Copy(at_bob.id, (Uid(1),), at_bob.id)),
        )
        assert [type(each) for each in answers] == [Filed, Done, Refused, Filed, Done, Refused]

    site.run(story)


def test_a_letter_for_two_of_whom_one_has_no_room_comes_to_nobody(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await new_account(store), await new_account(store, BOB)
        at_alice, at_bob = await find(store, alice), await find(store, bob)
        gone = await new_mailbox(store, bob, "gone")
        await do(store, DeleteMailbox(bob.id, "gone"), Done)
        await limit(store, letters=1)
        await file(store, at_alice)
        targets = Target(at_bob.id), Target(at_alice.id), Target(gone.id)
        assert await deliver(store, LETTER, *targets) == (TOGETHER, OVER, Refused(Reason.NO_SUCH_MAILBOX))
        assert await uids(store, at_bob) == []
        assert await came(store, at_bob) == [True]

    site.run(story)


@pytest.mark.parametrize("octets", [False, True], ids=["letters", "octets"])
def test_recipients_of_one_letter_share_what_is_left_in_their_domain(site: Site, octets: bool) -> None:
    async def story(store: Store) -> None:
        alice, bob = await new_account(store), await new_account(store, BOB)
        at_alice, at_bob = await find(store, alice), await find(store, bob)
        elsewhere = await find(store, await new_account(store, "carol@other.test"))
        await limit_domain(store, *((3 * ONE - 1, None) if octets else (None, 2)))
        assert await came(store, at_alice) == [True]
        both = Target(at_alice.id), Target(elsewhere.id), Target(at_bob.id)
        assert await deliver(store, LETTER, *both) == (OVER, TOGETHER, OVER)
        assert await came(store, at_bob, elsewhere) == [True, True]

    site.run(story)


def test_two_mailboxes_of_one_account_share_what_is_left_there(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        inbox, sent = await find(store, alice), await find(store, alice, "Sent")
        await limit(store, letters=3)
        assert await came(store, inbox, sent) == [True, True]
        assert await came(store, inbox, sent) == [False, False]
        assert await came(store, sent) == [True]

    site.run(story)


def test_recipients_who_share_the_last_room_are_refused_within_one_turn_too(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await new_account(store), await new_account(store, BOB)
        at_alice, at_bob = await find(store, alice), await find(store, bob)
        await limit_domain(store, letters=3)
        both = Target(at_alice.id), Target(at_bob.id)
        answers = await asyncio.gather(*[deliver(store, LETTER, *both) for _ in range(3)])
        assert [[isinstance(each, Filed) for each in answer] for answer in answers] == [
            [True] * 2,
            [False] * 2,
            [False] * 2,
        ]
        assert answers[1] == (OVER, OVER)

    site.run(story)


# --- other ways in


def test_a_move_to_another_account_needs_room_there_and_none_in_their_domain(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await new_account(store), await new_account(store, BOB)
        at_alice, at_bob = await find(store, alice), await find(store, bob)
        for _ in range(2):
            await file(store, at_alice)
        await limit_domain(store, letters=2)
        await limit(store, letters=1, address=BOB)
        assert await store.commit(Copy(at_alice.id, (Uid(1),), at_bob.id)) == OVER
        await do(store, Copy(at_alice.id, (Uid(1),), at_bob.id, move=True), Filed)
        assert await store.commit(Copy(at_alice.id, (Uid(2),), at_bob.id, move=True)) == OVER
        assert await uids(store, at_alice) == [2]

    site.run(story)


def test_what_is_brought_back_needs_room(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        inbox, work = await find(store, alice), await new_mailbox(store, alice, "Work")
        for mailbox in (inbox, work, work):
            await file(store, mailbox)
        await do(store, Expunge(inbox.id, None, deleted_only=False), Expunged)
        await do(store, DeleteMailbox(alice.id, "Work"), Done)
        await limit(store, octets=2 * ONE - 1)
        assert await store.commit(BringBackMailbox(work.id, alice.id, "Work")) == OVER
        assert await store.mailbox(alice.id, "Work") is None
        await do(store, BringBack(inbox.id, None, inbox.id), Filed)
        assert await store.commit(BringBack(work.id, (Uid(1),), inbox.id)) == OVER
        await limit(store)
        await do(store, BringBackMailbox(work.id, alice.id, "Work"), Mailbox)

    site.run(story)


# --- what it costs


def segments_of(root: Path) -> int:
    """Octets in all segments."""
    return sum(each.stat().st_size for each in (root / "segments").iterdir())


@pytest.mark.parametrize("size", [100, BLOB_IN_MEMORY + 1], ids=["small", "large"])
def test_a_letter_without_room_takes_no_room_on_the_disk(site: Site, size: int) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        await file(store, inbox)
        await limit(store, letters=1)
        before = segments_of(site.root)
        for _ in range(3):
            assert await deliver(store, bytes(size), Target(inbox.id)) == (OVER,)
        assert segments_of(site.root) == before

    site.run(story)
