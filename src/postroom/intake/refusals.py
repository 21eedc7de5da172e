"""What was refused leaves a small record, so that its story can be told later: `postroom story --refused`.

A record is no promise: it is gathered here and committed once a second, many at a time, so that strangers can't
make the disk work for what they are refused. Of a flood REFUSALS_WAITING are kept, and how many more there were.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from postroom.net.limits import REFUSALS_SECONDS, REFUSALS_WAITING
from postroom.net.log import event
from postroom.store.changes import NoteRefused
from postroom.store.interface import Store, StoreFault
from postroom.store.values import RefusedLetter

__all__ = ["Refusals"]

_logger = logging.getLogger("postroom.intake")
_FLOOD: Final = "flood"


class Refusals:
    """One process's. `clock` gives seconds since 1970 UTC."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._waiting: list[RefusedLetter] = []
        self._dropped = 0
        self._some = asyncio.Event()

    def note(
        self, *, session: str, peer: str, login: str, sender: str, recipient: str, judge: str, reply: str
    ) -> None:
        """Remember it; never waits, and raises nothing."""
        if len(self._waiting) >= REFUSALS_WAITING:
            self._dropped += 1
            return
        now = int(self._clock())
        self._waiting.append(RefusedLetter(now, session, peer, login, sender, recipient, judge, reply))
        self._some.set()

    async def run(self) -> None:
        """Keep what is noted, until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(REFUSALS_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Keep what was noted up to now; where the store can't, it is lost, and the log says so."""
        waiting, self._waiting = self._waiting, []
        dropped, self._dropped = self._dropped, 0
        self._some.clear()
        if dropped:
            reply = f"{dropped} more were refused in that second"
            waiting.append(RefusedLetter(int(self._clock()), "", "", "", "", "", _FLOOD, reply))
        if not waiting:
            return
        try:
            await self._store.commit(NoteRefused(tuple(waiting)))
        except StoreFault as fault:
            event(_logger, logging.WARNING, "intake.refusals-lost", count=len(waiting), reason=fault)
