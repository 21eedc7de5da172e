"""The system-call edge from a test's side: compile edge.c, start processes below it, plan what shall happen there.

    edge = Edge(tmp_path, data)
    house = House(tmp_path, environment=edge.environment)
    house.start()
    edge.arm(Plan(Action.FAIL, {Kind.SYNC}, "segments/*", error=errno.EIO), house.group)

One plan counts for all processes at a time, and may be armed and taken back while they run.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import mmap
import os
import struct
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.trace import Kind, Record, read_trace, write_mark
from tests.mailbag import needs

_SOURCE: Final = Path(__file__).parent / "edge.c"
_CONTROL: Final = struct.Struct("<IIIiQQQQi76s")
_ARMED: Final = struct.Struct("<I")
_SEEN: Final = struct.Struct("<QQ")
_SEEN_AT: Final = 32
EVERY: Final = frozenset(Kind) - {Kind.MARK}
EVER: Final = 2**63


class Action(enum.IntEnum):
    """What happens at the calls that a plan picks."""

    COUNT = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    FAIL = 3
    SHORT = 4
    """The first one writes half of its first piece; the further ones fail, where there is an `error`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls of these kinds on paths that match the pattern `within`: `times` of them from number `at` on."""

    action: Action = Action.COUNT
    kinds: Collection[Kind] = EVERY
    within: str = "*"
    at: int = 1
    times: int = 1
    error: int = 0


@functools.cache
def library() -> Path:
    """The compiled edge.c. Where there is no compiler the test is skipped, and fails in CI."""
    needs("gcc")
    name = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"postroom-edge-{os.getuid()}" / f"{name}.so"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        fresh = path.with_suffix(f".{os.getpid()}")
        words = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(fresh), str(_SOURCE)]
        subprocess.run(words, check=True)
        fresh.rename(path)
    return path


class Edge:
    """The edge of all processes that have its `environment`. Files of its own lie in `folder`, outside `root`."""

    def __init__(self, folder: Path, root: Path, *, trace: bool = False) -> None:
        self.trace_path = folder / "edge.trace"
        control = folder / "edge.control"
        control.write_bytes(bytes(_CONTROL.size))
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _CONTROL.size)
        self._trace = os.open(self.trace_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.environment = {
            "LD_PRELOAD": str(library()),
            "POSTROOM_EDGE_ROOT": str(root.resolve()),
            "POSTROOM_EDGE_CONTROL": str(control),
        }
        if trace:
            self.environment["POSTROOM_EDGE_TRACE"] = str(self.trace_path)

    def arm(self, plan: Plan, group: int = 0) -> None:
        """Let a plan count from now on. A kill kills the process group `group`, or without one only who called."""
        self.disarm()
        kinds = sum(1 << kind for kind in plan.kinds)
        values = (plan.action, kinds, plan.error, plan.at, plan.times, 0, 0, group, plan.within.encode())
        self._control[:] = _CONTROL.pack(0, *values)
        self.rearm()

    def rearm(self) -> None:
        """Let the last plan count on, from where it was."""
        self._control[: _ARMED.size] = _ARMED.pack(1)

    def disarm(self) -> None:
        """Let calls be as they are."""
        self._control[: _ARMED.size] = _ARMED.pack(0)

    @property
    def seen(self) -> int:
        """Calls that the plan was about."""
        return int(_SEEN.unpack_from(self._control, _SEEN_AT)[0])

    @property
    def fired(self) -> int:
        """Calls that it picked."""
        return int(_SEEN.unpack_from(self._control, _SEEN_AT)[1])

    def mark(self, text: str) -> None:
        """Put a mark into the trace."""
        write_mark(self._trace, text)

    def records(self) -> list[Record]:
        """The trace so far."""
        return read_trace(self.trace_path)

    def close(self) -> None:
        """Close the edge's own files."""
        self._control.close()
        os.close(self._trace)

    def __enter__(self) -> Edge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
