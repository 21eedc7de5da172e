from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import cast

import pytest

from postroom.intake.accept import Intake
from postroom.intake.checks import CHECKS
from postroom.intake.envelope import (
    PASSED,
    Accepted,
    Arrival,
    Check,
    Envelope,
    Origin,
    Recipient,
    Rejected,
    Verdict,
)
from postroom.net.limits import HEADER_OCTETS
from postroom.smtp.grammar import Address, read_address
from postroom.smtp.replies import R450_MAILBOX_GONE, R554_LOOP
from postroom.store.interface import Store, StoreFault
from tests.smtp.office import NOW, MemoryStore, below_prefix

ORIGIN = Origin("client.test", "192.0.2.1", "ESMTP", "a1.1")


def a_store() -> MemoryStore:
    store = MemoryStore()
    store.add("alice@example.test")
    store.add("bob@example.test")
    return store


def intake(store: MemoryStore, checks: Sequence[Check] = CHECKS) -> Intake:
    return Intake(cast(Store, store), "mx.example.test", ["example.test"], checks=checks, clock=lambda: NOW + 0.9)


def envelope(store: MemoryStore, *names: str, sender: Address | None = None) -> Envelope:
    return Envelope(
        sender,
        tuple(Recipient(store.people[f"{n}@example.test"], read_address(f"{n}@example.test")) for n in names),
    )


def accept(store: MemoryStore, letter: bytes, *names: str, checks: Sequence[Check] = CHECKS) -> Accepted | Rejected:
    door = intake(store, checks)
    blob = door.begin()
    blob.write(letter)
    return asyncio.run(door.accept(envelope(store, *names), ORIGIN, blob))


def test_a_letter_is_filed_for_all_its_recipients() -> None:
    store = a_store()
    letter = b"Subject: x\r\n\r\nbody\r\n"
    assert accept(store, letter, "alice", "bob") == Accepted("a1.1")
    for name in ("alice", "bob"):
        (kept,) = store.letters[f"{name}@example.test"]
        assert below_prefix(kept) == letter
        assert f"Delivered-To: {name}@example.test\r\n".encode() in kept


def test_checks_judge_in_order_and_the_first_that_rejects_is_heard() -> None:
    heard: list[str] = []

    async def passes(arrival: Arrival) -> Verdict:
        heard.append("passes")
        assert arrival.header == b"Subject: x\r\n\r\n" and arrival.facts.header_size == len(arrival.header)
        assert arrival.origin is ORIGIN
        return PASSED

    async def rejects(arrival: Arrival) -> Verdict:
        heard.append("rejects")
        return Rejected(R554_LOOP)

    store = a_store()
    assert accept(store, b"Subject: x\r\n\r\nbody", "alice", checks=[passes, rejects, passes]) == Rejected(
        R554_LOOP
    )
    assert heard == ["passes", "rejects"]
    assert not store.letters["alice@example.test"]


def test_a_check_sees_at_most_the_limit_of_a_header() -> None:
    seen: list[int] = []

    async def measure(arrival: Arrival) -> Verdict:
        seen.append(len(arrival.header))
        return PASSED

    for octets in (HEADER_OCTETS, HEADER_OCTETS + 1):
        accept(a_store(), b"x" * octets, "alice", checks=[measure])
    assert seen == [HEADER_OCTETS, HEADER_OCTETS]


def test_who_has_gone_meanwhile_does_not_keep_the_others_from_their_letter() -> None:
    store = a_store()
    store.gone.add("alice@example.test")
    assert accept(store, b"x\r\n", "alice", "bob") == Accepted("a1.1")
    assert len(store.letters["bob@example.test"]) == 1
    store.gone.add("bob@example.test")
    assert accept(store, b"x\r\n", "alice", "bob") == Rejected(R450_MAILBOX_GONE)


def test_nothing_is_accepted_that_the_store_refuses_everywhere() -> None:
    store = a_store()
    known = envelope(store, "alice")
    del store.people["alice@example.test"]
    door = intake(store)
    assert asyncio.run(door.accept(known, ORIGIN, door.begin())) == Rejected(R450_MAILBOX_GONE)


def test_a_fault_of_the_store_is_the_callers_to_tell() -> None:
    store = a_store()
    store.fault = StoreFault("sync")
    with pytest.raises(StoreFault):
        accept(store, b"x\r\n", "alice")


def test_one_line_is_logged_for_each_letter(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        accept(a_store(), b"x\r\n", "alice", "bob")
        accept(a_store(), b"Received: x\r\n" * 51, "alice")
    taken, refused = [record.getMessage() for record in caplog.records]
    assert taken == "intake.accepted letter=a1.1 sender=<> octets=3 recipients=2 filed=2 checks=loop"
    assert refused == 'intake.rejected letter=a1.1 sender=<> recipients=1 check=loop reply="554 5.4.6"'


def test_time_is_told_in_whole_seconds() -> None:
    assert intake(a_store()).now() == NOW


@pytest.mark.parametrize(
    ("sender", "may"),
    [
        ("alice@example.test", True),
        ("ALICE+x@example.test", True),
        ("info@example.test", True),
        ("bob@example.test", False),
        ("alice@other.test", False),
        ("nobody@example.test", False),
    ],
)
def test_who_may_send_as_whom(sender: str, may: bool) -> None:
    store = a_store()
    store.also("info@example.test", "alice@example.test", "bob@example.test")
    alice = store.people["alice@example.test"]
    assert asyncio.run(intake(store).may_send_as(alice, read_address(sender))) == may
