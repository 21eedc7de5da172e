"""Counting failures: delays that grow, blocks that end, and nobody locked out by strangers."""

from __future__ import annotations

import ipaddress

import pytest

from postroom.accounts.attempts import Attempts, network_of
from postroom.net.limits import (
    LOGIN_BLOCK_SECONDS,
    LOGIN_COUNTS_KEPT,
    LOGIN_DELAY_SECONDS,
    LOGIN_DELAY_SECONDS_MOST,
    LOGIN_PAIR_BLOCK_SECONDS,
)

ALICE, BOB = "alice@example.test", "bob@example.test"


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_delay_doubles_up_to_its_cap_and_then_the_network_is_blocked() -> None:
    attempts = Attempts(10, clock=Clock())
    delays = []
    for _ in range(10):
        delays.append(attempts.delay("192.0.2.1", ALICE))
        attempts.failed("192.0.2.1", ALICE)
    assert delays[:4] == [0.0, LOGIN_DELAY_SECONDS, 2 * LOGIN_DELAY_SECONDS, 4 * LOGIN_DELAY_SECONDS]
    assert delays[-1] == LOGIN_DELAY_SECONDS_MOST
    assert attempts.delay("192.0.2.1", ALICE) is None
    assert attempts.delay("192.0.2.1", BOB) is None, "the whole network is blocked"
    assert attempts.delay("192.0.2.2", BOB) == 0.0, "others are not"


def test_a_block_ends_and_the_pair_stays_blocked_longer() -> None:
    clock = Clock()
    attempts = Attempts(3, clock=clock)
    for _ in range(3):
        attempts.failed("192.0.2.1", ALICE)
    clock.now += LOGIN_BLOCK_SECONDS - 1
    assert attempts.delay("192.0.2.1", BOB) is None
    clock.now += 1
    assert attempts.delay("192.0.2.1", BOB) == 0.0
    assert attempts.delay("192.0.2.1", ALICE) is None
    clock.now += LOGIN_PAIR_BLOCK_SECONDS - LOGIN_BLOCK_SECONDS
    assert attempts.delay("192.0.2.1", ALICE) == 0.0


def test_guesses_at_many_accounts_block_the_network() -> None:
    attempts = Attempts(10, clock=Clock())
    for number in range(9):
        attempts.failed("192.0.2.1", f"user{number}@example.test")
    assert attempts.delay("192.0.2.1", ALICE) is not None
    attempts.failed("192.0.2.1", "user9@example.test")
    assert attempts.delay("192.0.2.1", ALICE) is None


def test_a_stranger_can_delay_an_owner_but_not_lock_him_out() -> None:
    attempts = Attempts(10, clock=Clock())
    for number in range(5000):
        attempts.failed(f"198.51.{number // 256}.{number % 256}", ALICE)
    assert attempts.delay("192.0.2.1", ALICE) == LOGIN_DELAY_SECONDS_MOST
    assert attempts.delay("192.0.2.1", BOB) == 0.0


def test_success_starts_the_pair_anew_but_buys_no_guesses_at_others() -> None:
    attempts = Attempts(10, clock=Clock())
    for _ in range(9):
        attempts.failed("192.0.2.1", ALICE)
        attempts.succeeded("192.0.2.1", "mallory@example.test")
    attempts.failed("192.0.2.1", ALICE)
    assert attempts.delay("192.0.2.1", ALICE) is None
    clock = Clock()
    attempts = Attempts(3, clock=clock)
    attempts.failed("192.0.2.1", ALICE)
    attempts.failed("192.0.2.1", ALICE)
    attempts.succeeded("192.0.2.1", ALICE)
    clock.now += LOGIN_BLOCK_SECONDS
    attempts.failed("192.0.2.1", ALICE)
    assert attempts.delay("192.0.2.1", ALICE) == LOGIN_DELAY_SECONDS


def test_exempt_networks_are_never_blocked_but_delays_hold() -> None:
    exempt = (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::7/128"))
    attempts = Attempts(10, exempt, Clock())
    for _ in range(100):
        attempts.failed("192.0.2.77", ALICE)
        attempts.failed("2001:db8::7", ALICE)
    assert attempts.delay("192.0.2.77", BOB) == 0.0
    assert attempts.delay("192.0.2.77", ALICE) == LOGIN_DELAY_SECONDS_MOST
    assert attempts.delay("2001:db8::7", ALICE) == LOGIN_DELAY_SECONDS_MOST


def test_no_limit_means_nothing_is_blocked() -> None:
    attempts = Attempts(0, clock=Clock())
    for _ in range(100):
        attempts.failed("192.0.2.1", ALICE)
    assert attempts.delay("192.0.2.1", ALICE) == LOGIN_DELAY_SECONDS_MOST


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8:0:0:ffff::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("memory", "unix", True),
    ],
)
def test_what_counts_as_one_network(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


def test_a_64_of_ipv6_is_blocked_as_one() -> None:
    attempts = Attempts(10, clock=Clock())
    for number in range(10):
        attempts.failed(f"2001:db8::{number:x}", ALICE)
    assert attempts.delay("2001:db8::ffff", BOB) is None


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    attempts = Attempts(1, clock=Clock())
    for number in range(LOGIN_COUNTS_KEPT):
        attempts.failed(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", ALICE)
    assert attempts.delay("10.0.0.0", BOB) is None
    attempts.failed("192.0.2.1", ALICE)
    assert attempts.delay("10.0.0.0", BOB) == 0.0
    assert attempts.delay("10.0.0.1", BOB) is None
