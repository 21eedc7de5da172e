"""Connections counted over several workers: sums, sketches, the dead, and the last free place for two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from postroom.net import limits
from postroom.net.counts import Counts, Table
from postroom.net.turnstile import Turnstile
from tests.scale import scaled

OTHER = """
import sys
from postroom.net.counts import Counts, Table
counts = Counts(Table(int(sys.argv[1])), 1)
for _ in range(3):
    counts.enter(2)
    counts.meet("192.0.2.1/32")
print(counts.in_all(), flush=True)
sys.stdin.read()
counts.enter(2, -1)
counts.meet("192.0.2.1/32", -1)
"""


def other(descriptor: int) -> subprocess.Popen[str]:
    """A worker in a process of its own, which counts three connections."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(descriptor)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=(descriptor,),
        env={**os.environ, "PYTHONPATH": "src"},
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_two_processes_see_each_others_connections() -> None:
    table, descriptor = Table.make(2)
    mine = Counts(table, 0)
    mine.enter(2)
    mine.meet("192.0.2.1/32")
    with other(descriptor) as process:
        assert (mine.in_all(), mine.in_group(2), mine.in_group(1)) == (4, 4, 0)
        assert mine.of("192.0.2.1/32") == 4 and mine.of("192.0.2.2/32") == 0
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)
        assert (mine.in_all(), mine.of("192.0.2.1/32")) == (3, 3)
    os.close(descriptor)


def test_what_a_killed_worker_counted_goes_with_its_column() -> None:
    table, descriptor = Table.make(2)
    mine = Counts(table, 0)
    mine.enter(2)
    with other(descriptor) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        assert mine.in_all() == 4
        table.clear(1)  # as its supervisor does
        assert (mine.in_all(), mine.of("192.0.2.1/32")) == (1, 0)
    with other(descriptor) as process:
        process.send_signal(signal.SIGKILL)
    assert mine.in_all() == 4
    Counts(table, 1)  # as its successor does
    assert mine.in_all() == 1
    os.close(descriptor)


def test_a_worker_has_a_column_of_the_table() -> None:
    table, descriptor = Table.make(2)
    for column in (-1, 2):
        with pytest.raises(ValueError):
            Counts(table, column)
    os.ftruncate(descriptor, 4096)
    with pytest.raises(ValueError):
        Table(descriptor)
    os.close(descriptor)


def test_an_address_is_never_counted_too_low_and_hardly_ever_too_high() -> None:
    counts = Counts.alone()
    networks = [f"10.{number >> 8}.{number & 255}.0/32" for number in range(scaled(1000, 5000))]
    assert len(networks) < limits.COUNTED_ADDRESSES / 3
    for network in networks:
        counts.meet(network)
    known = [counts.of(network) for network in networks]
    assert min(known) == 1
    assert sum(one > 1 for one in known) <= len(networks) // 100
    for network in networks:
        counts.meet(network, -1)
    assert not any(map(counts.of, networks))


def test_a_stranger_cannot_compute_where_an_address_is_counted() -> None:
    tables = [Table.make(1) for _ in range(2)]
    assert len({table.places("192.0.2.1/32") for table, _ in tables}) == 2
    for _, descriptor in tables:
        os.close(descriptor)


def test_of_two_who_come_at_once_at_the_limit_none_passes() -> None:
    table, descriptor = Table.make(2)
    os.close(descriptor)
    doors = [Turnstile(Counts(table, n), per_address=0, in_all=1, exempt=()) for n in range(2)]
    # Both have counted themselves before either looks.
    table.add(0, 1, 1)
    assert doors[0].enter(0, 0) == "connections in all"
    doors[0].leave(0, None)
    table.add(0, 1, -1)
    assert doors[1].enter(0, 0) == ""


def test_the_limit_one_more_and_a_hundred_times_it() -> None:
    turnstile = Turnstile(Counts.alone(), per_address=3, in_all=0, exempt=())
    assert [turnstile.meet("192.0.2.1/32") for _ in range(3)] == [""] * 3
    for _ in range(300):
        assert turnstile.meet("192.0.2.1/32") == "connections of one address"
    for _ in range(300):
        turnstile.enter(0, 0)
        turnstile.leave(0, "192.0.2.1/32")
    assert turnstile.meet("192.0.2.1/32") == "connections of one address"
    assert turnstile.meet("192.0.2.2/32") == ""
    assert [turnstile.enter(limits.CONNECTION_GROUPS - 1, 2) for _ in range(3)][2] == "connections of the listener"
