"""Short conversations go before somebody who has much to do."""

from __future__ import annotations

import asyncio

import pytest

from postroom.net import turns as module
from postroom.net.limits import (
    CROWDED_SECONDS,
    SLICE_OCTETS,
    SLICE_OCTETS_CROWDED,
    SLICE_SECONDS,
    SLICE_SECONDS_CROWDED,
    TURNS_GIVEN,
)
from postroom.net.turns import Pace, Turns


async def _slices(turns: Turns, done: asyncio.Event) -> int:
    """How many slices of long work there were until `done`."""
    work = "a session"
    slices = 0
    while not done.is_set():
        slices += 1
        await turns.give_way(work)
    return slices


def test_what_is_heard_is_answered_and_committed_before_the_next_slice() -> None:
    async def scene() -> int:
        turns, done = Turns(), asyncio.Event()
        work = asyncio.create_task(_slices(turns, done))
        for _ in range(10):
            turns.spoken("somebody")  # heard in one turn,
            await asyncio.sleep(0)  # read by its session in the next,
            await asyncio.sleep(0)  # and committed in the one after it
        done.set()
        return await work

    assert asyncio.run(scene()) <= 1 + 10 * 3 // TURNS_GIVEN + 1


def test_where_others_speak_without_end_the_work_goes_on_all_the_same() -> None:
    async def scene() -> int:
        turns, done = Turns(), asyncio.Event()
        work = asyncio.create_task(_slices(turns, done))
        for _ in range(10 * TURNS_GIVEN):
            turns.spoken("somebody")
            await asyncio.sleep(0)
        done.set()
        return await work

    assert 9 <= asyncio.run(scene()) <= 12


def test_where_nobody_speaks_a_slice_is_followed_by_the_next_after_one_turn() -> None:
    async def scene() -> int:
        turns, done = Turns(), asyncio.Event()
        work = asyncio.create_task(_slices(turns, done))
        for _ in range(100):
            await asyncio.sleep(0)
        done.set()
        return await work

    assert asyncio.run(scene()) >= 99


def test_slices_are_small_while_others_speak_and_large_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("postroom.net.turns.time.monotonic", lambda: now)
    monkeypatch.setattr(module, "turns", turns := Turns())

    def seconds_of_a_slice() -> float:
        nonlocal now
        pace, began = Pace("a session"), now
        while not pace.due:
            now += SLICE_SECONDS_CROWDED / 4
        return now - began

    turns.spoken("a session")  # its own command is no reason
    assert Pace("a session").octets == SLICE_OCTETS
    assert seconds_of_a_slice() == pytest.approx(SLICE_SECONDS, rel=0.2)
    turns.spoken("somebody")
    turns.spoken("a session")
    assert Pace("a session").octets == SLICE_OCTETS_CROWDED
    assert seconds_of_a_slice() == pytest.approx(SLICE_SECONDS_CROWDED, rel=0.3)
    now += CROWDED_SECONDS
    assert Pace("a session").octets == SLICE_OCTETS
