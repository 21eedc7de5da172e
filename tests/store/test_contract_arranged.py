"""The store's contract: what an account has chosen, and the record of what was refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from postroom.net.limits import REFUSAL_CHARACTERS, REFUSALS_KEPT
from postroom.store.changes import ArrangeAccount, Done, NoteRefused, Reason, Refused
from postroom.store.interface import Store
from postroom.store.values import RefusedLetter
from tests.store.site import ALICE, BOB, Site, do, new_account

ONE = RefusedLetter(
    1_800_000_000, "a.1", "192.0.2.1", "", "x@there.test", BOB, "rcpt", "550 5.1.1 No such user here"
)


def test_what_an_account_has_chosen_stays(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store, ALICE)
        assert (alice.short, alice.tags, alice.hourly, alice.daily) == (None, False, None, None)
        await do(store, ArrangeAccount(ALICE, "al", True, 5, 0), Done)
        want = replace(alice, short="al", tags=True, hourly=5, daily=0)
        assert await store.account(ALICE) == await store.account_by_short("al") == want
        assert await store.accounts() == [want]
        await do(store, ArrangeAccount(ALICE, None, False, None, None), Done)
        assert await store.account(ALICE) == alice
        assert await store.account_by_short("al") is None

    site.run(story)


def test_a_short_name_is_one_accounts_alone(site: Site) -> None:
    async def story(store: Store) -> None:
        await new_account(store, ALICE)
        bob = await new_account(store, BOB)
        await do(store, ArrangeAccount(ALICE, "al", False, None, None), Done)
        await do(store, ArrangeAccount(ALICE, "al", True, None, None), Done)
        assert await store.commit(ArrangeAccount(BOB, "al", True, 1, 1)) == Refused(Reason.NAME_TAKEN)
        assert await store.account(BOB) == bob
        nobody = ArrangeAccount("nobody@example.test", None, False, None, None)
        assert await store.commit(nobody) == Refused(Reason.NO_SUCH_ACCOUNT)

    site.run(story)


def test_what_was_refused_is_found_by_any_of_its_words_newest_first(site: Site) -> None:
    async def story(store: Store) -> None:
        second = replace(ONE, recipient=ALICE, judge="greylist", reply="450 4.7.1 Come again")
        await do(store, NoteRefused((ONE, second)), Done)
        third = replace(ONE, peer="2001:db8::1", login=ALICE)
        await do(store, NoteRefused((third,)), Done)
        assert await store.refused("", 10) == [third, second, ONE]
        assert await store.refused("", 2) == [third, second]
        assert await store.refused("GREYlist", 10) == [second]
        assert await store.refused(ALICE, 10) == [third, second]
        assert await store.refused("nothing", 10) == []

    site.run(story)


@pytest.mark.parametrize("text", ["\x00\r\n", "x" * 100_000, "\udc80", "ä😀"])
def test_whatever_a_stranger_said_is_kept_within_bounds(site: Site, text: str) -> None:
    async def story(store: Store) -> None:
        await do(store, NoteRefused((replace(ONE, sender=text, session=text),)), Done)
        (kept,) = await store.refused("", 10)
        assert len(kept.sender) <= REFUSAL_CHARACTERS and len(kept.session) <= REFUSAL_CHARACTERS

    site.run(story)


def test_the_oldest_go(site: Site) -> None:
    async def story(store: Store) -> None:
        many = tuple(replace(ONE, time=number) for number in range(REFUSALS_KEPT + 5))
        await do(store, NoteRefused(many), Done)
        await do(store, NoteRefused((replace(ONE, time=-1),)), Done)
        kept = await store.refused("", 2 * REFUSALS_KEPT)
        assert len(kept) == REFUSALS_KEPT
        assert kept[0].time == -1 and kept[-1].time == 6

    site.run(story)
