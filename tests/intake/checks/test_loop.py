from __future__ import annotations

import asyncio

import pytest

from postroom.intake.checks.loop import check_loop
from postroom.intake.envelope import PASSED, Arrival, Envelope, Origin, Recipient, Rejected, Verdict
from postroom.message.structure import parse
from postroom.net.limits import RECEIVED_HOPS
from postroom.smtp.grammar import read_address
from postroom.smtp.replies import R554_LOOP
from postroom.store.values import Account, AccountId
from tests.smtp.office import MemoryBlob

ALICE = Recipient(Account(AccountId(1), "alice@example.test"), read_address("info@example.test"))


def judged(letter: bytes) -> Verdict:
    facts = parse(letter)
    envelope = Envelope(None, (ALICE,))
    arrival = Arrival(envelope, Origin("", "", "SMTP", "a.1"), letter[: facts.header_size], facts, MemoryBlob())
    return asyncio.run(check_loop(arrival))


def test_fifty_hops_pass_and_one_more_is_a_loop() -> None:
    # RFC 5321 6.3
    hop = b"Received: from a by b;\r\n\tMon, 1 Jan 2024 00:00:00 +0000\r\n"
    assert judged(hop * RECEIVED_HOPS + b"\r\n" + hop) == PASSED
    assert judged(hop * (RECEIVED_HOPS + 1) + b"\r\n") == Rejected(R554_LOOP)
    assert judged(hop.upper() * (RECEIVED_HOPS + 1) + b"\r\n") == Rejected(R554_LOOP)


def test_a_body_is_not_looked_at() -> None:
    assert (
        judged(b"Subject: x\r\n\r\n" + b"Received: x\r\n" * 60 + b"Delivered-To: alice@example.test\r\n") == PASSED
    )


@pytest.mark.parametrize(
    ("field", "loop"),
    [
        (b"Delivered-To: alice@example.test", True),
        (b"delivered-to:Alice@Example.test ", True),
        (b"Delivered-To: bob@example.test", False),
        (b"Delivered-To: malice@example.test", False),
        (b"Delivered-To: info@example.test", False),
        (b"X-Delivered-To: alice@example.test", False),
    ],
)
@pytest.mark.parametrize("before", [b"", b"Subject: x\r\n", b"Delivered-To: carol@example.test\r\n"])
def test_a_letter_that_its_recipient_already_had_is_a_loop(before: bytes, field: bytes, loop: bool) -> None:
    assert judged(before + field + b"\r\n\r\nx\r\n") == (Rejected(R554_LOOP) if loop else PASSED)
