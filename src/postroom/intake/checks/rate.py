"""Does somebody send too fast? Counted by sender and network (an IPv4 address, or an IPv6 /64), over all workers.

The minute begins with the first letter. Letters that begin count, whether or not they come to their end; those that
are refused here don't.
"""

from __future__ import annotations

from typing import Final

from postroom.intake.checks.memory import Mark, Memory, key_of
from postroom.intake.envelope import PASSED, Caller, Passed, Rejected
from postroom.intake.judging import CallerCheck
from postroom.net.networks import network_of
from postroom.smtp.replies import R450_RATE

_SECONDS: Final = 60.0


def rate_check(memory: Memory, per_minute: int) -> CallerCheck:
    """So many letters a minute pass."""

    async def check_rate(caller: Caller) -> Passed | Rejected:
        """Put off one letter too many."""
        now = memory.clock()

        def counted(mark: Mark | None) -> Mark:
            # A clock that was put back must not make a minute of hours.
            if mark is None or not mark.began <= now < mark.until:
                return Mark(now, 1, now + _SECONDS)
            return mark if mark.times > per_minute else mark._replace(times=mark.times + 1)

        key = key_of("rate", network_of(caller.peer), str(caller.sender or "").lower())
        mark = await memory.change(key, counted)
        return Rejected(R450_RATE) if mark is not None and mark.times > per_minute else PASSED

    return check_rate
