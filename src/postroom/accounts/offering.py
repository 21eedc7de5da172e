"""Whether SCRAM is offered: while every account here can do it.

A client that knows SCRAM takes it and nothing else, and has no way back to PLAIN when it fails. An account that
came with a ready hash has no SCRAM keys, since nobody knows its password, and for such clients it would be shut.
So a site offers SCRAM once all of its passwords have keys: asked of the authority now and then, by whoever looks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from postroom.net.limits import SCRAM_OFFER_SECONDS

__all__ = ["ScramOffer", "always", "never"]


def always() -> bool:
    """SCRAM is offered."""
    return True


def never() -> bool:
    """SCRAM isn't."""
    return False


class ScramOffer:
    """True while `ask` last said so; its None changes nothing. `clock` (seconds, never back) is for tests."""

    def __init__(
        self, ask: Callable[[], Awaitable[bool | None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._offered = False
        self._asked = 0.0
        self._asking: asyncio.Task[None] | None = None

    def __call__(self) -> bool:
        """What is known; where that is old, somebody asks meanwhile. Inside a running loop."""
        if self._clock() >= self._asked + SCRAM_OFFER_SECONDS and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self.look())
        return self._offered

    async def look(self) -> None:
        """Ask now."""
        self._asked = self._clock()
        said = await self._ask()
        if said is not None:
            self._offered = said
