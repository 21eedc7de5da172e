"""Compactions that are killed: `python -m tests.faults.compacting SEED FOLDER INSTANT…`.

Each runs in a process of its own on a copy of the store SEED, FOLDER/<instant>, and kills itself at that instant:
before or after one of its own writes, syncs, births, cuts and unlinks, or of the store's commits. Instant 0 is
never; how many there are is printed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from postroom.store import sqlite
from postroom.store.compaction import copying as compactioncopy
from tests.store.compactions import compact, sweep

CALLS = ("open", "pwrite", "pwritev", "fdatasync", "fsync", "ftruncate", "truncate", "unlink")


class Instants:
    """Counts them, and is dead at the chosen one."""

    def __init__(self, chosen: int) -> None:
        self.passed = 0
        self._chosen = chosen

    def reach(self) -> None:
        self.passed += 1
        if self.passed == self._chosen:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.reach()
            try:
                return call(*args, **kwargs)
            finally:
                self.reach()

        return counted


async def _story(root: Path, instants: Instants) -> None:
    store = await sqlite.open_store(root)
    commit = store.commit

    async def counted(change: Any) -> Any:
        instants.reach()
        answer = await commit(change)
        instants.reach()
        return answer

    store.commit = counted  # type: ignore[method-assign]
    for name in CALLS:
        setattr(os, name, instants.around(getattr(os, name)))
    await sweep(root, store)
    await compact(root, store)
    await store.close()


def _run(root: Path, chosen: int) -> int:
    """In a child: how many instants it passed, or None where it was killed."""
    setattr(compactioncopy, "COMPACTION_LETTERS", 10)  # noqa: B010
    instants = Instants(chosen)
    asyncio.run(_story(root, instants))
    return instants.passed


def main(seed: Path, folder: Path, chosen: list[int]) -> None:
    for instant in chosen:
        shutil.copytree(seed, folder / str(instant))
        child = os.fork()
        if not child:
            passed = _run(folder / str(instant), instant)
            if not instant:
                os.write(1, b"%d\n" % passed)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), list(map(int, sys.argv[3:])))
