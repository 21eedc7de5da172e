from __future__ import annotations

import asyncio
import logging
from typing import cast

import pytest

from postroom.intake.recipients import Disabled, Elsewhere, Local, Recipients, Resolution, TooWide, Unknown
from postroom.net.limits import ALIAS_NAMES
from postroom.smtp.grammar import Address, read_address
from postroom.store.interface import Store
from tests.smtp.office import MemoryStore


def a_store() -> MemoryStore:
    store = MemoryStore()
    for name in ("alice", "bob"):
        store.add(f"{name}@example.test")
    store.add("carol@example.test", disabled=True)
    store.add("dora@example.org")
    return store


def resolve(store: MemoryStore, address: str | Address) -> Resolution:
    recipients = Recipients(cast(Store, store), ["example.test", "Example.ORG"])
    return asyncio.run(recipients.resolve(read_address(address) if isinstance(address, str) else address))


def names(found: Resolution) -> list[str]:
    assert isinstance(found, Local)
    return [account.address for account in found.accounts]


@pytest.mark.parametrize(
    ("address", "account"),
    [
        ("alice@example.test", "alice@example.test"),
        ("Alice@EXAMPLE.TEST", "alice@example.test"),
        ("alice+tag@example.test", "alice@example.test"),
        ("alice+a+b@example.test", "alice@example.test"),
        ("dora@example.org", "dora@example.org"),
    ],
)
def test_accounts_are_found_in_any_case_and_with_tags(address: str, account: str) -> None:
    assert names(resolve(a_store(), address)) == [account]


@pytest.mark.parametrize(
    "address", ["nobody@example.test", "dora@example.test", "+tag@example.test", '"alice "@example.test']
)
def test_who_is_not_here(address: str) -> None:
    assert resolve(a_store(), address) == Unknown()


def test_other_domains_are_elsewhere() -> None:
    for text in ("alice@other.test", "alice@sub.example.test", "alice@[192.0.2.1]"):
        assert resolve(a_store(), text) == Elsewhere((read_address(text),))


def test_disabled_accounts() -> None:
    store = a_store()
    store.also("team@example.test", "carol@example.test")
    assert resolve(store, "carol@example.test") == Disabled()
    assert resolve(store, "team@example.test") == Disabled()
    store.also("team@example.test", "carol@example.test", "bob@example.test")
    assert names(resolve(store, "team@example.test")) == ["bob@example.test"]


def test_an_alias_is_asked_before_an_account() -> None:
    store = a_store()
    store.also("alice@example.test", "bob@example.test")
    assert names(resolve(store, "alice@example.test")) == ["bob@example.test"]


def test_an_alias_of_the_exact_spelling_is_asked_first() -> None:
    store = a_store()
    store.also("Info@example.test", "alice@example.test")
    store.also("info@example.test", "bob@example.test")
    assert names(resolve(store, "Info@example.test")) == ["alice@example.test"]
    assert names(resolve(store, "INFO@example.test")) == ["bob@example.test"]


def test_an_alias_with_a_tag_of_its_own() -> None:
    store = a_store()
    store.also("info+sales@example.test", "bob@example.test")
    store.also("info@example.test", "alice@example.test")
    assert names(resolve(store, "info+sales@example.test")) == ["bob@example.test"]
    assert names(resolve(store, "info+other@example.test")) == ["alice@example.test"]


def test_aliases_lead_on_and_each_account_comes_once() -> None:
    store = a_store()
    store.also("all@example.test", "team@example.org", "alice@example.test", "ALICE@example.test")
    store.also("team@example.org", "bob@example.test", "alice+x@example.test")
    assert sorted(names(resolve(store, "all@example.test"))) == ["alice@example.test", "bob@example.test"]


def test_an_alias_that_names_itself_means_its_account_too() -> None:
    store = a_store()
    store.also("alice@example.test", "Alice@example.test", "bob@example.test")
    assert names(resolve(store, "alice@example.test")) == ["alice@example.test", "bob@example.test"]


def test_loops_end() -> None:
    store = a_store()
    store.also("a@example.test", "b@example.test")
    store.also("b@example.test", "A@example.test", "bob@example.test")
    assert names(resolve(store, "a@example.test")) == ["bob@example.test"]
    store.also("x@example.test", "x@example.test")
    assert resolve(store, "x@example.test") == Unknown()


def test_targets_elsewhere_are_told_apart() -> None:
    store = a_store()
    store.also("both@example.test", "jo@other.test", "bob@example.test")
    store.also("away@example.test", "jo@other.test")
    found = resolve(store, "both@example.test")
    assert names(found) == ["bob@example.test"]
    assert isinstance(found, Local) and found.away == (read_address("jo@other.test"),)
    assert resolve(store, "away@example.test") == Elsewhere((read_address("jo@other.test"),), by_alias=True)


def test_an_alias_leads_to_at_most_a_thousand_names(caplog: pytest.LogCaptureFixture) -> None:
    store = a_store()
    targets = [f"u{each}@other.test" for each in range(ALIAS_NAMES)]
    store.also("wide@example.test", *targets[1:])
    found = resolve(store, "wide@example.test")
    assert isinstance(found, Elsewhere) and len(found.addresses) == ALIAS_NAMES - 1
    store.also("wide@example.test", *targets)
    with caplog.at_level(logging.ERROR):
        assert resolve(store, "wide@example.test") == TooWide()
    assert "intake.alias-too-wide" in caplog.text


def test_a_target_that_is_no_address_is_told_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    store = a_store()
    store.also("info@example.test", "no address", "bob@example.test")
    with caplog.at_level(logging.ERROR):
        assert names(resolve(store, "info@example.test")) == ["bob@example.test"]
    assert "intake.bad-alias-target" in caplog.text


# --- postmaster (RFC 5321 4.5.1)


@pytest.mark.parametrize(
    "address", ["postmaster", "PostMaster@example.test", "postmaster@example.org", "postmaster+x@example.test"]
)
def test_postmaster_is_the_first_administrator(address: str) -> None:
    store = a_store()
    store.add("zoe@example.test", admin=True)
    store.add("yan@example.test", admin=True, disabled=True)
    assert names(resolve(store, address)) == ["zoe@example.test"]


def test_postmaster_without_an_administrator_is_the_first_account() -> None:
    assert names(resolve(a_store(), "postmaster")) == ["alice@example.test"]
    assert resolve(MemoryStore(), "postmaster") == Unknown()


def test_postmaster_may_be_an_account_or_an_alias() -> None:
    store = a_store()
    store.also("postmaster@example.test", "bob@example.test")
    assert names(resolve(store, "postmaster")) == ["bob@example.test"]
    assert names(resolve(store, "postmaster@example.org")) == ["alice@example.test"]
    store.names.clear()
    store.add("postmaster@example.test")
    assert names(resolve(store, "Postmaster@example.test")) == ["postmaster@example.test"]
