"""Finding what is gone by what people remember of it, and bringing it back, in the store itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from postroom.net.limits import BURIED_PER_LOOK
from postroom.site import undeleting
from postroom.site.restoring import Outcome, Restoring
from postroom.site.undeleting import Found, Wish
from postroom.store.changes import DeleteMailbox, Done, Expunge, Expunged, LimitAccount, Reason, RemoveAccount
from postroom.store.interface import Store
from postroom.store.sqlite import open_store
from postroom.store.values import FIRST_MAILBOXES, Account, Mailbox
from tests.store.site import (
    ALICE,
    BOB,
    Site,
    do,
    file,
    find,
    new_account,
    new_mailbox,
    octets_of,
    status,
    uids,
)

LUNCH = b"From: Carol <carol@x.test>\r\nSubject: Lunch?\r\n\r\nAt noon.\r\n"
INVOICE = b"From: =?utf-8?q?J=C3=B6rg?= <j@y.test>\r\nSubject: =?utf-8?q?Rechnung_f=C3=BCr_Mai?=\r\n\r\n1 EUR\r\n"
NAMELESS = b"no header at all\r\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "data")


async def alice_with(store: Store, *letters: bytes, gone: bool = True) -> tuple[Account, Mailbox]:
    alice = await new_account(store)
    inbox = await find(store, alice)
    for letter in letters:
        await file(store, inbox, letter, prefix=b"Return-Path: <>\r\n")
    if gone:
        await do(store, Expunge(inbox.id, None, deleted_only=False), Expunged)
    return alice, inbox


async def lost(store: Store, name: str = "Work") -> None:
    """A mailbox of Alice's that is deleted, with two letters, and one that was expunged before."""
    alice = await store.account(ALICE)
    assert alice is not None
    work = await store.mailbox(alice.id, name) or await new_mailbox(store, alice, name)
    for letter in (LUNCH, INVOICE, LUNCH):
        await file(store, work, letter)
    await do(store, Expunge(work.id, tuple(await uids(store, work))[:1], deleted_only=False), Expunged)
    await do(store, DeleteMailbox(alice.id, name), Done)


async def found(store: Store, wish: Wish) -> list[Found]:
    return [each async for some in undeleting.find(store, wish) for each in some]


async def subjects(store: Store, wish: Wish) -> list[str]:
    return [each.subject for each in await found(store, wish) if each.buried is not None]


async def restored(store: Store, wish: Wish, into: str = "") -> list[Outcome]:
    restoring = Restoring(store, "root cli", into)
    return [outcome async for some in undeleting.find(store, wish) async for outcome in restoring.restore(some)]


# --- finding


@pytest.mark.parametrize(
    ("wish", "wanted"),
    [
        (Wish(), ["Lunch?", "Rechnung für Mai", ""]),
        (Wish(address=ALICE), ["Lunch?", "Rechnung für Mai", ""]),
        (Wish(address=BOB), []),
        (Wish(mailbox="inbox"), ["Lunch?", "Rechnung für Mai", ""]),
        (Wish(mailbox="Sent"), []),
        (Wish(sender="CAROL@"), ["Lunch?"]),
        (Wish(sender="jörg"), ["Rechnung für Mai"]),
        (Wish(subject="FÜR MAI"), ["Rechnung für Mai"]),
        (Wish(subject="lunch", sender="jörg"), []),
        (Wish(since=1, until=2), []),
        (Wish(since=1, until=2**40), ["Lunch?", "Rechnung für Mai", ""]),
        (Wish(since=2**40), []),
        (Wish(mailboxes_only=True), []),
    ],
)
def test_letters_are_found_by_what_is_remembered_of_them(site: Site, wish: Wish, wanted: list[str]) -> None:
    async def story(store: Store) -> None:
        await alice_with(store, LUNCH, INVOICE, NAMELESS)
        assert await subjects(store, wish) == wanted

    site.run(story)


def test_a_letter_is_found_by_its_id_in_each_mailbox_that_it_went_from(site: Site) -> None:
    async def story(store: Store) -> None:
        await alice_with(store, LUNCH, INVOICE)
        (first, second) = [each for each in await found(store, Wish()) if each.buried is not None]
        assert first.buried is not None
        wish = Wish(email_ids=(first.buried.letter.email_id,))
        assert await found(store, wish) == [first]
        assert await found(store, replace(wish, mailbox="Sent")) == []
        assert await found(store, replace(wish, address=BOB)) == []
        assert await found(store, Wish(email_ids=("M" + "0" * 32,))) == []
        await restored(store, wish)
        assert await found(store, wish) == []
        assert await found(store, Wish()) == [second]

    site.run(story)


def test_a_deleted_mailbox_is_one_thing_unless_its_letters_are_asked_for_by_what_they_say(site: Site) -> None:
    async def story(store: Store) -> None:
        await alice_with(store, NAMELESS)
        await lost(store)
        whole, *letters = await found(store, Wish())
        assert (whole.grave.name, whole.grave.letters, whole.buried) == ("Work", 2, None)
        assert [(each.grave.name, each.subject) for each in letters] == [("INBOX", ""), ("Work", "Lunch?")]
        assert await found(store, Wish(mailboxes_only=True)) == [whole]
        assert await found(store, Wish(mailboxes_only=True, until=1)) == []
        assert await subjects(store, Wish(subject="lunch")) == ["Lunch?", "Lunch?"]
        assert await subjects(store, Wish(sender="jörg")) == ["Rechnung für Mai"]

    site.run(story)


def test_damage_keeps_nobody_from_being_found(site: Site) -> None:
    site.run(lambda store: alice_with(store, LUNCH, INVOICE))
    for segment in (site.root / "segments").iterdir():
        segment.write_bytes(b"")

    async def look() -> list[str]:
        store = await open_store(site.root)
        try:
            return await subjects(store, Wish())
        finally:
            await store.close()

    assert asyncio.run(look()) == ["", ""]


# --- bringing back


def test_letters_come_back_where_they_were_and_a_mailbox_with_what_was_in_it(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, inbox = await alice_with(store, LUNCH, INVOICE)
        await lost(store)
        assert await restored(store, Wish()) == [
            Outcome(ALICE, "Work", 2, whole=True),
            Outcome(ALICE, "INBOX", 2),
            Outcome(ALICE, "Work", 1),
        ]
        assert len(await uids(store, inbox)) == 2
        work = await find(store, alice, "Work")
        assert [await octets_of(store, work, uid) for uid in await uids(store, work)] == [INVOICE, LUNCH, LUNCH]
        assert "Work" in await store.subscriptions(alice.id)
        assert await restored(store, Wish()) == []

    site.run(story)


def test_letters_of_a_deleted_mailbox_come_into_one_of_its_name_made_anew(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, _ = await alice_with(store)
        await lost(store, "a/b")
        assert await restored(store, Wish(sender="jörg")) == [Outcome(ALICE, "a/b", 1)]
        made = await find(store, alice, "a/b")
        assert await uids(store, made) == [1]
        assert "a/b" in await store.subscriptions(alice.id)
        # What is left of the mailbox joins it.
        assert await restored(store, Wish(mailboxes_only=True)) == [Outcome(ALICE, "a/b", 1, whole=True)]
        assert await uids(store, made) == [1, 2]

    site.run(story)


def test_all_of_it_can_go_into_another_mailbox(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, inbox = await alice_with(store, LUNCH)
        await lost(store)
        outcomes = await restored(store, Wish(), "Back/again")
        assert [(each.mailbox, each.letters, each.reason) for each in outcomes] == [
            ("Back/again", 2, ""),
            ("Back/again", 1, ""),
            ("Back/again", 1, ""),
        ]
        assert await uids(store, inbox) == []
        assert len(await uids(store, await find(store, alice, "Back/again"))) == 4
        assert await store.mailbox(alice.id, "Work") is None

    site.run(story)


def test_inferiors_come_back_with_their_superiors(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, _ = await alice_with(store)
        for name in ("a/b/c", "a/b", "a"):
            await lost(store, name)
        outcomes = await restored(store, Wish(mailboxes_only=True))
        assert [each.mailbox for each in outcomes] == ["a", "a/b", "a/b/c"]
        for name in ("a", "a/b", "a/b/c"):
            assert (await status(store, await find(store, alice, name))).messages == 2

    site.run(story)


@pytest.mark.parametrize("into", ["a//b", "a\n"])
def test_a_name_that_no_mailbox_can_have_is_said(site: Site, into: str) -> None:
    async def story(store: Store) -> None:
        await alice_with(store, LUNCH)
        await lost(store)
        reason = Reason.BAD_NAME.value
        assert await restored(store, Wish(), into) == [
            Outcome(ALICE, into, 2, reason, whole=True),
            Outcome(ALICE, into, 1, reason),
            Outcome(ALICE, into, 1, reason),
        ]
        assert len(await subjects(store, Wish())) == 2

    site.run(story)


def test_as_many_letters_come_back_as_have_room(site: Site) -> None:
    async def story(store: Store) -> None:
        count = BURIED_PER_LOOK + 50
        _, inbox = await alice_with(store, *[LUNCH] * count)
        await lost(store)
        room = BURIED_PER_LOOK + 13
        await do(store, LimitAccount(ALICE, None, room), Done)
        outcomes = await restored(store, Wish(mailbox="INBOX"))
        assert sum(each.letters for each in outcomes if not each.reason) == room
        assert {each.reason for each in outcomes if each.reason} == {Reason.OVER_QUOTA.value}
        assert sum(each.letters for each in outcomes if each.reason) == count - room
        assert (await status(store, inbox)).messages == room
        assert await restored(store, Wish(mailboxes_only=True)) == [
            Outcome(ALICE, "Work", 2, Reason.OVER_QUOTA.value, whole=True)
        ]
        await do(store, LimitAccount(ALICE, None, None), Done)
        await restored(store, Wish(mailbox="INBOX"))
        assert (await status(store, inbox)).messages == count

    site.run(story)


def test_a_removed_account_s_mail_comes_back_when_there_is_one_of_its_name(site: Site) -> None:
    async def story(store: Store) -> None:
        await alice_with(store, LUNCH, INVOICE, gone=False)
        await do(store, RemoveAccount(ALICE), Done)
        gone = [each for each in await restored(store, Wish(address=ALICE)) if each.letters]
        assert gone == [Outcome(ALICE, "INBOX", 2, "the account is gone; add it first")]
        alice = await new_account(store)
        outcomes = await restored(store, Wish(address=ALICE))
        assert not any(each.reason for each in outcomes)
        assert (await status(store, await find(store, alice))).messages == 2
        mailboxes = {each.name: each.special_use for each in await store.mailboxes(alice.id)}
        assert mailboxes == dict(FIRST_MAILBOXES)

    site.run(story)
