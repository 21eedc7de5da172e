"""Calls to the system that fail, come out short, or find no room, at chosen places of every kind of change: the
client hears "later", nothing is half-visible, the next try works, what was acknowledged survives a power cut."""

from __future__ import annotations

import contextlib
import errno
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.edge import EVER, Action, Edge, Plan
from tests.faults.forms import WRITERS, shared
from tests.faults.look import seen_by_clients, seen_by_store
from tests.faults.replaying import Base, Traced, replay
from tests.faults.steps import Step
from tests.faults.story import Journal, house_below, journey, problems, strays
from tests.faults.trace import Kind, Record
from tests.faults.world import settle
from tests.house import ALICE
from tests.scale import SOAK, scaled

JOURNEYS = shared(scaled(4, 60))
STATES = scaled(60, 1000)
DEPTH = scaled(4, 12)
"""The fault is at one of so many first calls of a change."""
_WRITES = frozenset((Kind.WRITE, Kind.TRUNCATE))
_NAMES = frozenset((Kind.OPEN, Kind.WRITE, Kind.TRUNCATE))
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))

FAULTS = [
    Plan(Action.SHORT, {Kind.WRITE}),
    Plan(Action.SHORT, {Kind.WRITE}, times=2, error=errno.ENOSPC),
    Plan(Action.FAIL, _WRITES, error=errno.EIO),
    Plan(Action.FAIL, _NAMES, error=errno.ENOSPC),
    Plan(Action.FAIL, _NAMES, error=errno.EDQUOT),
    Plan(Action.FAIL, _WRITES, error=errno.EFBIG),
    Plan(Action.FAIL, {Kind.SYNC}, error=errno.EIO),
    Plan(Action.FAIL, {Kind.SYNC}, error=errno.EIO, times=2),
    Plan(Action.FAIL, {Kind.SYNC}, error=errno.ENOSPC),
]
WITHIN = ("*", "segments*", "index.db*")


@dataclass(slots=True)
class Faults:
    """Plans a fault for each step, and keeps what came of it."""

    edge: Edge
    dice: random.Random
    rows: Iterator[Plan]
    planned: Plan | None = None
    refused: int = 0

    def arm(self, step: Step) -> None:
        """Plan the next one. The secrets' steps have a database of their own."""
        row = next(self.rows)
        within = "secrets.db*" if step.name == "PASSWORD" else self.dice.choice(WITHIN)
        at = self.dice.randint(1, DEPTH)
        self.planned = Plan(row.action, row.kinds, within, at, row.times, row.error)
        self.edge.arm(self.planned)

    def heard(self, step: Step, answer: str) -> None:
        """Hold what a client was told to what happened."""
        assert self.planned is not None
        self.refused += 1
        no_room = self.planned.error in _NO_ROOM and Kind.SYNC not in self.planned.kinds
        where = (self.planned, step.name, answer)
        if step.name == "DATA":
            assert answer.startswith("452 4.3.1 " if no_room else ("451 4.3.0 ", "452 4.3.1 ")), where
        elif step.name == "QUIT":
            assert answer.startswith("-ERR [SYS/TEMP] "), where
        elif step.name != "PASSWORD":
            assert answer.startswith("NO [OVERQUOTA] " if no_room else "NO ["), where


def _rows(dice: random.Random) -> Iterator[Plan]:
    """Each kind of fault as often as the others, in no order."""
    while True:
        yield from dice.sample(FAULTS, len(FAULTS))


@pytest.mark.parametrize("writer", WRITERS)
def test_a_failing_disk_costs_a_temporary_failure_and_no_letter(tmp_path: Path, writer: str) -> None:
    with contextlib.ExitStack() as held:
        edge = held.enter_context(Edge(tmp_path, tmp_path / "data", trace=True))
        house = held.enter_context(house_below(edge, tmp_path, writer))
        house.add_accounts()
        base, journal = Base.of(house.data), Journal(edge)
        world = seen_by_store(house.data)
        journal.mark("start", world)
        house.start()
        roles = house.pids()
        dice = random.Random(4)
        faults = Faults(edge, dice, _rows(dice))
        for number in range(JOURNEYS):
            world = journey(house, journal, world, f"{number}", faults.arm, faults.heard)
        assert faults.refused > 5 * JOURNEYS
        assert house.pids() == roles
        world = settle(seen_by_clients(house), [world])
        assert problems(house.data) == []
        house.kill()
        records = edge.records()
        house.start()
        settle(seen_by_clients(house), [world])
        assert strays(house.data) == []
        assert house.stop() == 0
    _nothing_goes_on_behind_a_failure(records)
    replay(Traced(base, records, journal), tmp_path, "faults", STATES)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("error", [errno.ENOSPC, *([errno.EDQUOT] if SOAK else [])])
def test_where_nothing_can_be_written_all_is_refused_and_read_and_goes_on_by_itself(
    tmp_path: Path, writer: str, error: int
) -> None:
    """Every change meets a disk that takes not an octet; the same sessions make it as soon as there is room."""
    full = Plan(Action.FAIL, _NAMES, times=EVER, error=error)
    with contextlib.ExitStack() as held:
        edge = held.enter_context(Edge(tmp_path, tmp_path / "data"))
        house = held.enter_context(house_below(edge, tmp_path, writer))
        house.start()
        roles = house.pids()
        changes: list[str] = []
        refused: list[str] = []

        def arm(step: Step) -> None:
            changes.append(step.name)
            edge.arm(full)

        def heard(step: Step, answer: str) -> None:
            refused.append(step.name)
            if step.name != "PASSWORD":
                assert answer.startswith(("452 4.3.1 ", "NO [OVERQUOTA] ", "-ERR [SYS/TEMP] ")), (step.name, answer)

        world = journey(house, Journal(edge), seen_by_store(house.data), "full", arm, heard)
        assert refused == changes
        edge.arm(full)
        settle(seen_by_clients(house), [world])
        edge.disarm()
        assert house.pids() == roles
        assert problems(house.data) == []
        assert house.stop() == 0


@pytest.mark.parametrize("up", [True, *([False] if SOAK else [])])
def test_a_command_says_in_one_line_that_the_disk_fails_and_works_again(tmp_path: Path, up: bool) -> None:
    with Edge(tmp_path, tmp_path / "data") as edge, house_below(edge, tmp_path, "inline") as house:
        house.add_accounts()
        if up:
            house.start()
        for words in ("account add dora@example.test --password-stdin", f"alias add info@example.test {ALICE}"):
            for error in (errno.ENOSPC, errno.EIO):
                edge.arm(Plan(Action.FAIL, _NAMES, "index.db*", times=EVER, error=error))
                done = house.run(*words.split(), input="A-secret-1")
                assert edge.fired
                assert done.returncode == 1, done
                assert len(done.stderr.splitlines()) == 1, done.stderr
            edge.disarm()
            assert house.run(*words.split(), input="A-secret-1").returncode == 0
        assert problems(house.data) == []


def _nothing_goes_on_behind_a_failure(records: list[Record]) -> None:
    """A segment whose write or sync failed takes nothing more: no later sync of it is called good."""
    given_up: set[str] = set()
    failures = 0
    for record in records:
        if not record.path.endswith(".seg"):
            continue
        if record.kind is Kind.OPEN and not record.failed:
            given_up.discard(record.path)  # a new file: its name was taken away
        elif record.kind in (Kind.WRITE, Kind.SYNC):
            assert record.path not in given_up, f"{record.path} goes on behind a failure: {record}"
            if record.failed and not _is_zeros_ahead(record):
                given_up.add(record.path)
                failures += 1
    assert failures


def _is_zeros_ahead(record: Record) -> bool:
    """What is written ahead is a kindness to the disk: where it fails the letters before it are good."""
    return record.kind is Kind.WRITE and record.length == 256 * 1024
