"""A conversation that goes wrong, made small: fewer steps, then fewer octets, as long as it goes wrong alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.fuzz.conversation import Conversation, Step
from tests.fuzz.walk import Wrong

Play = Callable[[Conversation], Awaitable[Wrong | None]]
"""Plays a conversation; what went wrong, if anything."""


def alike(one: Wrong, other: Wrong) -> bool:
    """Whether two failures are of the same fault: what was logged, or what kind they are."""
    return _name(one) == _name(other)


def _name(wrong: Wrong) -> str:
    return str(wrong).split(" | ")[0] if wrong.kind == "logged" else wrong.kind


class Smaller:
    """Makes `smallest` smaller; `trials` conversations are played at most."""

    def __init__(self, conversation: Conversation, wrong: Wrong, play: Play, trials: int) -> None:
        self.smallest = conversation
        self._wrong = wrong
        self._play = play
        self._trials = trials

    async def run(self) -> None:
        """Until nothing can be left out, or the trials are spent."""
        await self._fewer_steps()
        await self._fewer_octets()

    async def _still(self, steps: list[Step]) -> bool:
        if not steps:
            return False
        self._trials -= 1
        candidate = self.smallest.with_steps(steps)
        wrong = await self._play(candidate)
        if wrong is None or not alike(wrong, self._wrong):
            return False
        self.smallest = candidate
        return True

    async def _fewer_steps(self) -> None:
        size = len(self.smallest.steps) // 2
        while size:
            at = 0
            while at < len(self.smallest.steps) and self._trials > 0:
                steps = self.smallest.steps
                if not await self._still([*steps[:at], *steps[at + size :]]):
                    at += size
            size //= 2

    async def _fewer_octets(self) -> None:
        for at in range(len(self.smallest.steps)):
            size = self._octets(at) // 2
            while size:
                place = 0
                while place < self._octets(at) and self._trials > 0:
                    steps = list(self.smallest.steps)
                    step = steps[at]
                    assert isinstance(step, bytes)
                    steps[at] = step[:place] + step[place + size :]
                    if not await self._still(steps):
                        place += size
                size //= 2

    def _octets(self, at: int) -> int:
        step = self.smallest.steps[at]
        return len(step) if isinstance(step, bytes) else 0
