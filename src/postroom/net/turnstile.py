"""Whether one more connection may come in: counted over all workers, in all, by listener and by address.

A connection is counted first and looked at then: of two that two workers take at once, and of which one is too
many, it may be that both are turned away, and never that both pass. `leave` undoes `enter` and `meet`, whatever
they said.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from postroom.net.counts import Counts
from postroom.net.networks import Network, meets, network_of


class Turnstile:
    """See the module. `per_address` bounds those of one IPv4 address or IPv6 /64 over all protocols, except for the
    networks in `exempt`, and `in_all` all of them (0: not at all)."""

    def __init__(self, counts: Counts, *, per_address: int, in_all: int, exempt: Sequence[Network]) -> None:
        self._counts = counts
        self._per_address = per_address
        self._in_all = in_all
        self._exempt = tuple(exempt)
        self.counted = functools.lru_cache(4096)(self._counted)

    def enter(self, group: int, most: int) -> str:
        """A connection at a listener of `group`, which may have `most` (0: any number). Gives why it is one too
        many; empty: it isn't."""
        self._counts.enter(group)
        if 0 < self._in_all < self._counts.in_all():
            return "connections in all"
        if 0 < most < self._counts.in_group(group):
            return "connections of the listener"
        return ""

    def meet(self, network: str) -> str:
        """It comes from there (as `counted` gave it). Gives what `enter` gives."""
        self._counts.meet(network)
        return "connections of one address" if self._counts.of(network) > self._per_address else ""

    def leave(self, group: int, network: str | None) -> None:
        """It has gone; with `network`, it was met."""
        self._counts.enter(group, -1)
        if network is not None:
            self._counts.meet(network, -1)

    def _counted(self, peer: str) -> str | None:
        """What connections from a peer are counted under; None: they aren't."""
        network = network_of(peer) if self._per_address else None
        return None if network is None or meets(network, self._exempt) else str(network)
