"""How many letters an account may send in an hour and in a day, so that a stolen password is worth little.

Counted over all workers, in the checks' memory (`checks.memory`): a window begins with the first letter. Letters
that were taken count, one each, however many recipients they have. Where the memory can't be read, the letter goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from postroom.intake.checks.memory import Mark, Memory, key_of
from postroom.smtp.replies import R450_SENDS, Reply
from postroom.store.values import Account

__all__ = ["Sending"]

_HOUR: Final = 3600.0
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Sending:
    """`hourly` and `daily` are for accounts that have no limit of their own; 0 is none."""

    memory: Memory
    hourly: int
    daily: int

    async def objection(self, account: Account) -> Reply | None:
        """Count one letter of an account; why it may not send it, or None."""
        limits = (
            ("hour", _HOUR, self.hourly if account.hourly is None else account.hourly),
            ("day", _DAY, self.daily if account.daily is None else account.daily),
        )
        for name, seconds, most in limits:
            if most and await self._over(key_of(f"sent in a {name}", account.address), seconds, most):
                return R450_SENDS
        return None

    async def _over(self, key: bytes, seconds: float, most: int) -> bool:
        now = self.memory.clock()

        def counted(mark: Mark | None) -> Mark:
            # A clock that was put back must not make days of an hour.
            if mark is None or not mark.began <= now < mark.until:
                return Mark(now, 1, now + seconds)
            return mark if mark.times > most else mark._replace(times=mark.times + 1)

        mark = await self.memory.change(key, counted)
        return mark is not None and mark.times > most
