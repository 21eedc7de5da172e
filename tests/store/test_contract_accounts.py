"""The store's contract: accounts, aliases, and who is told of changes to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from postroom.net.limits import ACCOUNT_OCTETS
from postroom.store.changes import (
    AddAccount,
    AddAlias,
    Change,
    Done,
    Reason,
    Refused,
    RemoveAccount,
    RemoveAlias,
    SwitchAccount,
    TellAccount,
)
from postroom.store.interface import Store
from postroom.store.sqlite import open_store
from postroom.store.values import FIRST_MAILBOXES, INBOX, Account, AccountId, Alias, ModSeq, Uid
from tests.store.site import ALICE, BOB, Site, do, file, find, new_account, new_mailbox, uids


def test_a_new_account_has_its_first_mailboxes_and_is_subscribed_to_them(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        mailboxes = await store.mailboxes(account.id)
        assert mailboxes[0].name == INBOX
        assert {(each.name, each.special_use) for each in mailboxes} == set(FIRST_MAILBOXES)
        assert {each.owner for each in mailboxes} == {account.id}
        assert await store.subscriptions(account.id) == sorted(name for name, _ in FIRST_MAILBOXES)
        assert len({each.uid_validity for each in mailboxes}) == len({each.object_id for each in mailboxes}) == 6

    site.run(story)


def test_an_account_is_found_by_its_address_and_its_number(site: Site) -> None:
    async def story(store: Store) -> None:
        bob = await do(store, AddAccount(BOB, admin=True, fxp=True, files="/srv/bob"), Account)
        alice = await new_account(store, ALICE)
        assert await store.account(BOB) == await store.account_by_id(bob.id) == bob
        assert (bob.admin, bob.fxp, bob.files, bob.disabled) == (True, True, "/srv/bob", False)
        assert bob.created > 0
        assert await store.accounts() == [alice, bob]
        assert await store.account("nobody@example.test") is None
        assert await store.account("BOB@example.test") is None
        assert await store.account_by_id(AccountId(99)) is None

    site.run(story)


@pytest.mark.parametrize(
    "address",
    ["", "Alice@example.test", ".alice@example.test", "a/b@example.test", "a\0@example.test", "a\n@x", "a\x7f@x"],
)
def test_a_bad_name_for_an_account_is_refused(site: Site, address: str) -> None:
    async def story(store: Store) -> None:
        assert await store.commit(AddAccount(address)) == Refused(Reason.BAD_ADDRESS)
        assert await store.accounts() == []

    site.run(story)


def test_the_longest_name_of_an_account_and_one_octet_more(site: Site) -> None:
    async def story(store: Store) -> None:
        domain = "@example.test"
        longest = "é" * ((ACCOUNT_OCTETS - len(domain)) // 2) + domain
        assert len(longest.encode()) == ACCOUNT_OCTETS
        await do(store, AddAccount(longest), Account)
        assert await store.commit(AddAccount("a" + longest)) == Refused(Reason.BAD_ADDRESS)

    site.run(story)


def test_an_account_is_there_once(site: Site) -> None:
    async def story(store: Store) -> None:
        await new_account(store)
        assert await store.commit(AddAccount(ALICE)) == Refused(Reason.ACCOUNT_EXISTS)
        assert len(await store.accounts()) == 1

    site.run(story)


def test_an_account_is_disabled_and_enabled(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        for disabled in (True, True, False):
            assert await store.commit(SwitchAccount(ALICE, disabled)) == Done()
            again = await store.account(ALICE)
            assert again is not None
            assert (again.id, again.disabled) == (account.id, disabled)
        assert await store.commit(SwitchAccount(BOB, True)) == Refused(Reason.NO_SUCH_ACCOUNT)

    site.run(story)


def test_a_removed_account_is_gone_with_its_mailboxes_and_letters(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await new_account(store), await new_account(store, BOB)
        inbox = await find(store, alice)
        await file(store, inbox)
        await file(store, await find(store, bob))
        await new_mailbox(store, alice, "a/b")
        assert await store.commit(RemoveAccount(ALICE)) == Done()
        assert await store.account(ALICE) is None
        assert await store.account_by_id(alice.id) is None
        assert await store.mailboxes(alice.id) == []
        assert await store.subscriptions(alice.id) == []
        assert await store.status(inbox.id) is None
        assert await store.entries(inbox.id, Uid(0), 10) == []
        assert not (await store.changes(inbox.id, ModSeq(0))).exists
        assert await uids(store, await find(store, bob)) == [1]
        assert await store.commit(RemoveAccount(ALICE)) == Refused(Reason.NO_SUCH_ACCOUNT)

    site.run(story)


def test_an_account_that_comes_back_is_another_one(site: Site) -> None:
    async def story(store: Store) -> None:
        before = await new_account(store)
        inbox = await find(store, before)
        await do(store, RemoveAccount(ALICE), Done)
        after = await new_account(store)
        again = await find(store, after)
        assert after.id != before.id
        assert again.uid_validity > inbox.uid_validity
        assert again.object_id != inbox.object_id
        assert again.id != inbox.id

    site.run(story)


# --- aliases


def test_an_alias_has_its_targets_in_the_order_they_came_each_once(site: Site) -> None:
    async def story(store: Store) -> None:
        await do(store, AddAlias("Post@example.test", (BOB, ALICE, BOB)), Done)
        await do(store, AddAlias("Post@example.test", (ALICE, "x@elsewhere.test")), Done)
        await do(store, AddAlias("a@example.test", (ALICE,)), Done)
        post = Alias("Post@example.test", (BOB, ALICE, "x@elsewhere.test"))
        assert await store.alias("Post@example.test") == post
        assert await store.alias("post@example.test") is None
        assert await store.aliases() == [post, Alias("a@example.test", (ALICE,))]

    site.run(story)


def test_an_alias_is_removed_whole(site: Site) -> None:
    async def story(store: Store) -> None:
        await do(store, AddAlias("a@example.test", (ALICE, BOB)), Done)
        await do(store, RemoveAlias("a@example.test"), Done)
        assert await store.alias("a@example.test") is None
        assert await store.commit(RemoveAlias("a@example.test")) == Refused(Reason.NO_SUCH_ALIAS)

    site.run(story)


def test_an_alias_with_as_many_targets_as_may_be_and_one_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.store.apply.accounts.ALIAS_TARGETS", 3)

    async def story(store: Store) -> None:
        await do(store, AddAlias("a@example.test", (ALICE, BOB, "c@example.test")), Done)
        await do(store, AddAlias("a@example.test", (BOB,)), Done)
        more = AddAlias("a@example.test", ("d@example.test",))
        assert await store.commit(more) == Refused(Reason.TOO_MANY)
        alias = await store.alias("a@example.test")
        assert alias is not None
        assert len(alias.targets) == 3

    site.run(story)


# --- who watches accounts


CHANGES: dict[str, Change] = {
    "disabled": SwitchAccount(ALICE, True),
    "removed": RemoveAccount(ALICE),
    "given a new password": TellAccount(ALICE),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_who_watches_accounts_is_told(site: Site, change: Change) -> None:
    async def story(store: Store) -> None:
        await new_account(store, ALICE)
        await told_by(store, store, change)

    site.run(story)


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_who_watches_accounts_in_another_process_is_told(site: Site, change: Change) -> None:
    async def story(store: Store) -> None:
        await new_account(store, ALICE)
        await beside(site, store, lambda other: told_by(store, other, change))

    site.run(story)


async def told_by(store: Store, other: Store, change: Change) -> None:
    told = asyncio.Queue[str]()
    end = other.watch_accounts(told.put_nowait)
    await do(store, change, Done)
    while await told.get() != ALICE:
        pass  # the account's own birth may still be news to another process
    end()
    await new_account(store, BOB)
    once_more = asyncio.Queue[str]()
    other.watch_accounts(once_more.put_nowait)
    await do(store, SwitchAccount(BOB, True), Done)
    assert await once_more.get() == BOB
    assert told.empty()


async def beside(site: Site, store: Store, story: Callable[[Store], Awaitable[None]]) -> None:
    """Open the same store once more, as another process does."""
    other = site.wrap(await open_store(site.root, name="other"))
    try:
        await story(other)
    finally:
        await other.close()


def test_a_refused_change_of_an_account_tells_nobody(site: Site) -> None:
    async def story(store: Store) -> None:
        told: list[str] = []
        store.watch_accounts(told.append)
        assert isinstance(await store.commit(SwitchAccount(ALICE, True)), Refused)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert told == []

    site.run(story)
