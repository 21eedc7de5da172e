"""Failed logins counted, and what follows: first a delay that grows, then a block for a while. Pure, with a clock.

Counted are networks (an IPv4 address, or an IPv6 /64), pairs of account and network, and accounts. A network
or a pair that failed too often is blocked; an account as a whole is only ever delayed, so that a stranger
can't lock its owner out (docs/security.md, "Load, logins"). Counts fade when nothing failed for a while.
Memory is bounded. Called by `accounts.local`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from postroom.net.limits import (
    LOGIN_BLOCK_SECONDS,
    LOGIN_COUNTS_KEPT,
    LOGIN_DELAY_SECONDS,
    LOGIN_DELAY_SECONDS_MOST,
    LOGIN_PAIR_BLOCK_SECONDS,
)
from postroom.net.networks import Network as Network
from postroom.net.networks import meets
from postroom.net.networks import network_of as network_of


class _Counts:
    """Failures by key, each forgotten `fade` seconds after its last."""

    def __init__(self, fade: float, clock: Callable[[], float]) -> None:
        self._fade = fade
        self._clock = clock
        self._kept: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, key: str) -> int:
        count, last = self._kept.get(key, (0, 0.0))
        return count if self._clock() < last + self._fade else 0

    def add(self, key: str) -> None:
        """One more, just now."""
        self._kept[key] = (self[key] + 1, self._clock())
        self._kept.move_to_end(key)
        if len(self._kept) > LOGIN_COUNTS_KEPT:
            self._kept.popitem(last=False)

    def forget(self, key: str) -> None:
        """Back to none."""
        self._kept.pop(key, None)


class Attempts:
    """The counts of one site. `failures` is how many block a network or a pair (0: nothing is ever blocked);
    networks within `exempt` are neither blocked nor counted, but an account's delays hold for them too.
    `clock` gives seconds and never goes back."""

    def __init__(
        self, failures: int, exempt: Sequence[Network] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures = failures
        self._exempt = tuple(exempt)
        self._networks = _Counts(LOGIN_BLOCK_SECONDS, clock)
        self._pairs = _Counts(LOGIN_PAIR_BLOCK_SECONDS, clock)
        self._accounts = _Counts(LOGIN_BLOCK_SECONDS, clock)

    def delay(self, peer: str, login: str) -> float | None:
        """Seconds that a login from `peer` has to wait before it is looked at; None: it is blocked for now."""
        network, pair, exempt = self._keys(peer, login)
        recent = 0 if exempt else max(self._networks[network], self._pairs[pair])
        if self._failures and recent >= self._failures:
            return None
        # The owner of an account that strangers try pays for it late, and never more than the longest delay.
        recent = max(recent, self._accounts[login] - self._failures)
        return (
            min(LOGIN_DELAY_SECONDS * 2.0 ** min(recent - 1, 30), LOGIN_DELAY_SECONDS_MOST) if recent > 0 else 0.0
        )

    def failed(self, peer: str, login: str) -> None:
        """A login was denied."""
        network, pair, exempt = self._keys(peer, login)
        self._accounts.add(login)
        if not exempt:
            self._networks.add(network)
            self._pairs.add(pair)

    def succeeded(self, peer: str, login: str) -> None:
        """A login was right: the pair starts anew. The network does not: one good account of a stranger's own
        would else buy guesses at the others."""
        self._pairs.forget(self._keys(peer, login)[1])

    def _keys(self, peer: str, login: str) -> tuple[str, str, bool]:
        """The network's key, the pair's, and whether the network is exempt."""
        network = network_of(peer)
        if network is None:
            return peer, f"{peer} {login}", False
        return str(network), f"{network} {login}", meets(network, self._exempt)
