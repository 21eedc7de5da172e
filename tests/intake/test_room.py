"""Whether there is room for a letter, asked before the letter is there."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from postroom.intake.envelope import Recipient
from postroom.intake.room import has_room
from postroom.smtp.grammar import read_address
from postroom.store.interface import Store
from postroom.store.values import Account, Quota, Usage
from tests.smtp.office import MemoryStore

FREE = Usage(10**9, 10**6, 0, 0)


def asked(quotas: dict[str, Quota], octets: int, *names: str, already: tuple[str, ...] = ()) -> bool:
    """Whether there is room for these accounts, beside those."""
    store = MemoryStore()
    people: dict[str, Account] = {}
    for name in ("a@x.test", "b@x.test", "c@x.test", "d@y.test"):
        people[name] = store.add(name)
    store.quotas |= quotas
    has = {people[name].id: Recipient(people[name], read_address(name)) for name in already}
    return asyncio.run(has_room(cast(Store, store), has, [people[name] for name in names], octets))


def test_who_has_no_limits_has_room() -> None:
    assert asked({"a@x.test": Quota(FREE, FREE)}, 10**12, "a@x.test")
    assert asked({}, 10**12, "a@x.test"), "an account that has gone is told of at the end of DATA"


@pytest.mark.parametrize(("octets", "fits"), [(0, True), (1, True), (100, True), (101, False)])
def test_the_announced_size_must_fit(octets: int, fits: bool) -> None:
    assert asked({"a@x.test": Quota(Usage(900, 1, 1000, 0), FREE)}, octets, "a@x.test") is fits


def test_an_account_that_is_full_has_no_room_for_a_letter_of_unknown_size() -> None:
    assert not asked({"a@x.test": Quota(Usage(1000, 1, 1000, 0), FREE)}, 0, "a@x.test")
    assert not asked({"a@x.test": Quota(Usage(1, 5, 0, 5), FREE)}, 0, "a@x.test")


def test_all_accounts_of_an_alias_must_have_room() -> None:
    assert not asked({"b@x.test": Quota(Usage(1, 5, 0, 5), FREE)}, 0, "a@x.test", "b@x.test")


@pytest.mark.parametrize(
    ("already", "fits"),
    [((), True), (("b@x.test",), True), (("d@y.test", "b@x.test"), True), (("b@x.test", "c@x.test"), False)],
)
@pytest.mark.parametrize("domain", [Usage(700, 1, 1000, 0), Usage(1, 8, 0, 10)], ids=["octets", "letters"])
def test_recipients_of_one_domain_share_its_room(domain: Usage, already: tuple[str, ...], fits: bool) -> None:
    quotas = {name: Quota(FREE, domain) for name in ("a@x.test", "b@x.test", "c@x.test")}
    assert asked(quotas, 150, "a@x.test", already=already) is fits


def test_who_gets_the_letter_already_needs_no_more_room() -> None:
    assert asked({"a@x.test": Quota(Usage(1, 5, 0, 5), FREE)}, 0, "a@x.test", already=("a@x.test",))
