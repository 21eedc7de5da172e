"""Clients to be judged."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from postroom.intake.checks.memory import FILE, Memory
from postroom.intake.envelope import Caller, Passed, Rejected
from postroom.intake.judging import CallerCheck
from postroom.smtp.grammar import read_address

PEER = "192.0.2.1"


def caller(
    peer: str = PEER,
    hello: str = "client.test",
    sender: str = "jo@other.test",
    recipient: str = "alice@example.test",
) -> Caller:
    return Caller(
        peer,
        4321,
        "smtp",
        "a1",
        hello,
        sender=read_address(sender) if sender else None,
        recipient=read_address(recipient) if recipient else None,
    )


def judged(check: CallerCheck, one: Caller) -> Passed | Rejected:
    async def judge() -> Passed | Rejected:
        return await check(one)

    return asyncio.run(judge())


def of(one: Caller, **changes: object) -> Caller:
    return dataclasses.replace(one, **changes)  # type: ignore[arg-type]


class Clock:
    """Seconds since 1970 that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def memory(folder: Path, clock: Clock) -> Memory:
    return Memory(folder / FILE, clock=clock)
