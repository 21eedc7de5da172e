"""One timer that is moved, in place of a timeout around every wait.

A deadline that moves away costs nothing: the timer finds out when it rings, and is set anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

NEVER: Final = float("inf")


class DeadlineExpired(TimeoutError):
    """The deadline passed while the conversation waited."""


def _nobody() -> list[asyncio.Future[None]]:
    """Nobody waits."""
    return []


class Deadline:
    """When the waits of one conversation must end. `waiters` gives the futures that wait now and are not done; they
    get DeadlineExpired."""

    __slots__ = ("_loop", "_rings_at", "_timer", "_waiters", "at")

    at: float
    """On the loop's clock; NEVER where there is none."""

    def __init__(self, loop: asyncio.AbstractEventLoop, waiters: Callable[[], list[asyncio.Future[None]]]) -> None:
        self.at = NEVER
        self._loop = loop
        self._waiters = waiters
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = NEVER

    def move(self, seconds: float | None) -> None:
        """From now on, after so many seconds; None: never. A wait that is under way is held to it after `arm`."""
        self.at = NEVER if seconds is None else self._loop.time() + seconds

    def arm(self) -> None:
        """See that the timer rings at the deadline or before. Raises DeadlineExpired when that has passed."""
        when = self.at
        if when == NEVER:
            return
        if when <= self._loop.time():
            raise DeadlineExpired
        if when >= self._rings_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._ring)
        self._rings_at = when

    def cancel(self) -> None:
        """Nobody will wait any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # The stream has this one, and what it gave has the stream: they are to go at once, not when the collector
        # of cycles looks.
        self._waiters = _nobody

    def _ring(self) -> None:
        self._timer = None
        self._rings_at = NEVER
        waiters = self._waiters()
        if not waiters:
            return
        try:
            self.arm()
        except DeadlineExpired:
            for waiter in waiters:
                waiter.set_exception(DeadlineExpired())
