"""A traced run, and its power cuts: each state is laid out, opened with the program's own code, and held against
what was acknowledged before the cut."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from postroom.store.upgrade.migrating import migrate
from tests.faults.look import seen_by_store
from tests.faults.powercut import Disk
from tests.faults.story import Journal, problems, strays
from tests.faults.trace import Kind, Record
from tests.faults.world import World, settle


class Wrong(Exception):
    """A state that breaks a promise."""


@dataclass(frozen=True, slots=True)
class Base:
    """What lies in a data directory before a trace begins. Maps and sockets outlive no power cut."""

    files: dict[str, bytes]
    folders: list[str]

    @classmethod
    def of(cls, root: Path) -> Base:
        """Read it."""
        below = {str(path.relative_to(root)): path for path in root.rglob("*")}
        kept = {name: path for name, path in below.items() if not name.startswith("run/")}
        return cls(
            {
                name: path.read_bytes()
                for name, path in kept.items()
                if path.is_file() and not name.endswith("-shm")
            },
            [name for name, path in kept.items() if path.is_dir()],
        )


@dataclass(frozen=True, slots=True)
class Traced:
    """A run that was written down: its calls and marks, and what the client knew at each mark."""

    base: Base
    records: list[Record]
    journal: Journal

    def cuts(self, dice: random.Random, count: int) -> Iterator[tuple[Disk, int]]:
        """The disk at random moments, ascending, and the number of the last mark before each."""
        disk, mark = Disk(self.base.files, self.base.folders), 0
        moments = sorted(dice.randrange(1, len(self.records)) for _ in range(count))
        for at, record in enumerate(self.records):
            while moments and moments[0] == at:
                moments.pop(0)
                yield disk, mark
            if record.kind is Kind.MARK:
                mark = int(record.path)
            disk.take(record)

    def without(self, drop: Callable[[Record], bool]) -> Traced:
        """The same run as if the program had never made some of its calls."""
        return Traced(self.base, [record for record in self.records if not drop(record)], self.journal)


def open_and_check(state: dict[str, bytes], root: Path, possible: list[World]) -> None:
    """Lay a state out and look at it. Raises Wrong."""
    for path, octets in state.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(octets)
    migrate(root)
    if found := problems(root) or strays(root):
        raise Wrong("; ".join(found))
    try:
        settle(seen_by_store(root), possible)
    except AssertionError as fault:
        raise Wrong(str(fault)) from None


def replay(traced: Traced, folder: Path, seed: str, count: int) -> None:
    """Check so many states. Raises Wrong at the first that is, with the moment of its cut."""
    dice = random.Random(seed)
    for number, (disk, mark) in enumerate(traced.cuts(dice, count)):
        root = folder / f"{number}"
        try:
            open_and_check(disk.draw(dice), root, traced.journal.possible[mark])
        except Wrong as wrong:
            raise Wrong(f"state {number} of {seed!r}, {traced.journal.names[mark]}: {wrong}") from None
        shutil.rmtree(root)
