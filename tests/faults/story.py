"""A workload being done, and what is held against the world that ought to be there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from postroom.store.check.whole import Severity, check
from tests.faults.edge import Edge, Plan
from tests.faults.forms import settings_of
from tests.faults.look import seen_by_clients, seen_by_store
from tests.faults.steps import Client, Step, Unknown
from tests.faults.workload import workload
from tests.faults.world import World, differences, settle
from tests.house import House


@contextlib.contextmanager
def house_below(edge: Edge, folder: Path, writer: str) -> Iterator[House]:
    """A house whose every process is below the edge, its writer of this form. It is not started, and nothing of it
    runs on behind the test."""
    house = House(folder, settings=settings_of(writer), environment=edge.environment)
    try:
        yield house
    finally:
        if house.process is not None:
            house.kill()


def do_all(house: House, world: World, name: str, done: Callable[[World], None] | None = None) -> list[World]:
    """Do a workload until its end or until the server is gone; the worlds that may be there then. `done` hears of
    each world that is acknowledged."""
    step: Step | None = None
    with Client(house) as client:
        try:
            for choose in workload(world, name):
                step = choose(world)
                step.prepare(client)
                answer = step.act(client)
                assert answer == "", (step.name, answer)
                world, step = step.after(world), None
                if done is not None:
                    done(world)
        except (OSError, Unknown):
            return [world] if step is None else step.possible(world)
    return [world]


@dataclass(slots=True)
class Journal:
    """What the client knows at each moment of a trace: marks in it are numbers of `possible`."""

    edge: Edge
    possible: list[list[World]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def mark(self, name: str, *worlds: World) -> None:
        """From now on one of these is there."""
        self.edge.mark(str(len(self.possible)))
        self.possible.append(list(worlds))
        self.names.append(name)


def journey(
    house: House,
    journal: Journal,
    world: World,
    name: str,
    arm: Callable[[Step], None] | None = None,
    heard: Callable[[Step, str], None] | None = None,
) -> World:
    """Do a workload to its end and write down what is known. `arm` may plan a fault for each step; what is refused
    then, in words that `heard` looks at, changes nothing, and works at the next try."""
    edge = journal.edge
    with Client(house) as client:
        for choose in workload(world, name, commands=arm is None):
            step = choose(world)
            step.prepare(client)
            journal.mark(f"{step.name} begun", *step.possible(world))
            if arm is not None:
                arm(step)
            answer = step.act(client)
            edge.disarm()
            if answer:
                assert heard is not None, (step.name, answer)
                assert edge.fired, (step.name, answer)
                heard(step, answer)
                settle(seen_by_store(house.data), [world])
                step.prepare(client)
                answer = step.act(client)
                assert answer == "", (step.name, answer)
            world = settle(seen_by_store(house.data), [step.after(world)])
            journal.mark(f"{step.name} done", world)
    return world


def do_and_look(house: House, edge: Edge, world: World, choose: Callable[[World], Step], plan: Plan) -> World:
    """Do one step, a process being killed as planned, until it is done. Who hears "later" finds it not done, who
    hears nothing may find it either way; then it is tried again where it needs to be. The plan stays the edge's."""
    edge.arm(plan)
    edge.disarm()
    while True:
        step = choose(world)
        with Client(house) as client:
            step.prepare(client)
            edge.rearm()
            try:
                possible = [world] if step.act(client) else [step.after(world)]
            except (OSError, Unknown):
                possible = step.possible(world)
        edge.disarm()
        seen = settle(seen_by_clients(house), possible)
        if not differences(seen, step.after(world)):
            return seen
        world = seen


def problems(root: Path) -> list[str]:
    """What fsck calls a problem."""
    return [one.what for one in check(root) if one.severity is Severity.PROBLEM]


def strays(root: Path) -> list[str]:
    """Files that no store has: what a fault left behind and nobody will ever take away."""
    known = {"index.db", "secrets.db", "index.lock"}
    known |= {name + end for name in ("index.db", "secrets.db") for end in ("-wal", "-shm")}
    folders = {"segments", "run", "tls", "search", "checks"}
    found = [path.name for path in root.iterdir() if path.name not in known | folders]
    return found + [path.name for path in (root / "segments").iterdir() if path.suffix != ".seg"]
