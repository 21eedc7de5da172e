"""Does somebody come again whom we asked to? Honest senders do (RFC 5321 4.5.4.1, RFC 6647).

What is remembered is a triplet: the client's network (an IPv4 /24, an IPv6 /64: large sites try again from another
address), sender and recipient. The first try, and any within the delay, is put off; one after it passes, and all
that follow while the triplet isn't forgotten. postmaster and abuse are never put off.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from postroom.intake.checks.memory import Mark, Memory, key_of
from postroom.intake.checks.spared import is_spared
from postroom.intake.envelope import PASSED, Caller, Passed, Rejected
from postroom.intake.judging import CallerCheck
from postroom.net.limits import GREYLIST_RETRY_SECONDS
from postroom.net.networks import Network, network_of
from postroom.smtp.replies import R450_GREYLISTED

_IPV4_BITS: Final = 24
_FRESH_SECONDS: Final = 3600.0
"""A triplet that passes is written anew no more often."""
_WAITING, _KNOWN = 0, 1
"""What a mark's count says of a triplet."""


def greylist_check(memory: Memory, delay: float, keep: float) -> CallerCheck:
    """`delay`: seconds until a second try passes; `keep`: seconds without mail until a triplet is forgotten."""

    async def check_greylist(caller: Caller) -> Passed | Rejected:
        """Put off a stranger's first try."""
        if is_spared(caller.recipient):
            return PASSED
        now = memory.clock()

        def seen(mark: Mark | None) -> Mark:
            # A clock that was put back must not keep anybody waiting for hours.
            if mark is None or not mark.began <= now < mark.until:
                passes = delay == 0
            elif (
                (now - mark.began < delay) if mark.times == _WAITING else (mark.until - now > keep - _FRESH_SECONDS)
            ):
                return mark
            else:
                passes = True
            return (
                Mark(now, _KNOWN, now + keep)
                if passes
                else Mark(now, _WAITING, now + GREYLIST_RETRY_SECONDS + delay)
            )

        words = (_network(caller.peer), str(caller.sender or "").lower(), str(caller.recipient).lower())
        mark = await memory.change(key_of("greylist", *words), seen)
        return Rejected(R450_GREYLISTED) if mark is not None and mark.times == _WAITING else PASSED

    return check_greylist


def _network(peer: str) -> Network | None:
    network = network_of(peer)
    if isinstance(network, ipaddress.IPv4Network):
        return network.supernet(new_prefix=_IPV4_BITS)
    return network
