"""Whose turn it is on a loop: short conversations go before somebody who has much to do.

A session that answers a FETCH of a whole mailbox works in slices and gives way between them. A turn of the loop is
not enough for that: what has just been heard is answered in the turn after it, and a letter that was accepted is
committed in the next one, and a slice in between each time makes a letter of five commands wait for ten. So who
gives way lets all that is under way come to rest first, and while others speak its slices are small.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Final

from postroom.net.limits import (
    CROWDED_SECONDS,
    SLICE_OCTETS,
    SLICE_OCTETS_CROWDED,
    SLICE_SECONDS,
    SLICE_SECONDS_CROWDED,
    TURNS_GIVEN,
    TURNS_OF_REST,
)

__all__ = ["Pace", "Turns", "turns"]


class Turns(threading.local):
    """Those of one thread's loop."""

    def __init__(self) -> None:
        self._heard = 0
        self._who: int | None = None
        self._at = self._at_before = -CROWDED_SECONDS

    def spoken(self, who: object) -> None:
        """Octets of this one's peer have come in."""
        self._heard += 1
        if id(who) != self._who:
            self._who = id(who)
            self._at_before = self._at
        self._at = time.monotonic()

    def crowded(self, who: object) -> bool:
        """Whether others than this one were heard of in the last CROWDED_SECONDS: slices are to be small."""
        at = self._at_before if id(who) == self._who else self._at
        return time.monotonic() - at < CROWDED_SECONDS

    async def give_way(self, who: object) -> None:
        """Let the others go on until nothing has come in for TURNS_OF_REST turns of the loop, for TURNS_GIVEN at
        most. One turn where nobody else speaks."""
        rest = TURNS_OF_REST if self.crowded(who) else 1
        for _ in range(TURNS_GIVEN):
            heard = self._heard
            await asyncio.sleep(0)
            rest = rest - 1 if heard == self._heard else TURNS_OF_REST
            if not rest:
                return


turns: Final = Turns()


class Pace:
    """The slices of long work for `who`, a stream or whatever else is not to be in its own way."""

    __slots__ = ("_until", "_who")

    def __init__(self, who: object) -> None:
        self._who = who
        self._begin()

    def _begin(self) -> None:
        crowded = turns.crowded(self._who)
        self._until = time.monotonic() + (SLICE_SECONDS_CROWDED if crowded else SLICE_SECONDS)

    @property
    def octets(self) -> int:
        """How much is to be read or written in one slice."""
        return SLICE_OCTETS_CROWDED if turns.crowded(self._who) else SLICE_OCTETS

    @property
    def due(self) -> bool:
        """Whether a slice's time is over."""
        return time.monotonic() >= self._until

    async def give_way(self) -> None:
        """End a slice, and begin the next when it is time for it."""
        await turns.give_way(self._who)
        self._begin()

    async def breathe(self) -> None:
        """To be called once a round of a long loop: gives way where a slice's time is over."""
        if self.due:
            await self.give_way()
