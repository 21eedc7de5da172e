"""Compaction: segments that hold much that nobody needs are copied without it, and taken away (docs/store.md).

    compactor = Compactor(root, store, Rules(rate=8 * 2**20, dead_share=30, age=30 * 86400, undelete=14 * 86400))
    outcome = await compactor.run()

The order of things makes every instant safe: a copy is synced before any row points to it; rows are moved in short
transactions, each letter only from where it was copied; a file goes only when no row has pointed to it for
UNLINK_GRACE_SECONDS and no backup is under way, and its row goes after it. Whoever has read a place before its
letter was moved finds the old copy there, or nothing, and then asks the index once more (`SqliteStore.read`).

Segments that some process still writes to are left alone, and so is one with a damaged record: it is evidence, and
perhaps the only copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Concatenate, Final, NamedTuple, ParamSpec, TypeVar

from postroom.net.limits import COMPACTION_OLD_DEAD_PERCENT, UNLINK_GRACE_SECONDS
from postroom.net.log import event
from postroom.store.changes import ForgetSegments, Moved, RetireSegments
from postroom.store.compaction.copying import Batch, Copier, Damaged
from postroom.store.compaction.files import (
    Strays,
    backup_stands_still,
    compaction_lock,
    empty_segments,
    unlink_retired,
)
from postroom.store.index import fetch_all
from postroom.store.interface import Store
from postroom.store.records import SEGMENT_HEADER_OCTETS
from postroom.store.segments import being_written, segment_name

__all__ = ["CompactionRuns", "Compactor", "Outcome", "Pace", "Rules"]

_log = logging.getLogger("postroom.store")
_P = ParamSpec("_P")
_T = TypeVar("_T")
_NICE: Final = 10
"""Of the thread that copies. The transactions are made at everybody's priority: others wait for their lock."""


class CompactionRuns(Exception):
    """Another compaction has this data directory."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When a segment is worth it. `rate` is in octets a second, read and written ones together; 0 is no limit.
    `dead_share` is in percent of a segment; `age` (from which on less is enough) and `undelete` are in seconds.
    With `everything` every segment is that has anything dead. `grace` is UNLINK_GRACE_SECONDS wherever a server may
    run."""

    rate: int
    dead_share: int
    age: int
    undelete: int
    everything: bool = False
    grace: int = UNLINK_GRACE_SECONDS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did."""

    segments: int = 0
    """Emptied."""
    letters: int = 0
    """Moved."""
    won: int = 0
    """Octets of emptied segments less those of the copies; the disk has them back when the files are gone."""
    damaged: int = 0
    """Segments that were left alone for a damaged record."""
    unlinked: int = 0
    """Files that went, those of earlier runs included."""
    strays: int = 0
    """Octets removed that no row knew."""


class Pace:
    """Keeps to a rate by sleeping after each step. What wasn't used while nothing was done is not saved up."""

    def __init__(
        self,
        rate: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._free_at = 0.0

    def now(self) -> float:
        """The clock's seconds."""
        return self._clock()

    async def spend(self, octets: int, began: float) -> None:
        """So many octets were read and written in a step that began at `began`: wait until they are paid for."""
        if self._rate:
            self._free_at = max(self._free_at, began) + octets / self._rate
        await self._sleep(max(0.0, self._free_at - self._clock()))


class _Segment(NamedTuple):
    number: int
    length: int
    live: int
    """Octets of its letters, without their frames and facts."""
    born: int


Progress = Callable[[int, int], None]


def _untold(done: int, total: int) -> None:
    """Nobody watches."""


class Compactor:
    """One process's. A `clock` gives seconds since 1970 UTC."""

    def __init__(
        self,
        root: Path,
        store: Store,
        rules: Rules,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises apsw.Error."""
        self._root = root
        self._folder = root / "segments"
        self._store = store
        self._rules = rules
        self._pace = pace or Pace(rules.rate)
        self._clock = clock
        self._copier = Copier(root)
        self._strays = Strays(self._copier.connection, self._folder, rules.undelete)
        self._thread = ThreadPoolExecutor(1, "compaction", initializer=_step_back)
        self._damaged: set[int] = set()
        self._looked: dict[int, tuple[_Segment, int]] = {}
        """Segments as they were when they were last looked at, and their dead octets."""

    def __enter__(self) -> Compactor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and index; a step that is under way in the thread is waited for."""
        self._thread.shutdown(wait=True)
        self._copier.close()

    async def run(self, progress: Progress = _untold) -> Outcome:
        """Empty all segments that are worth it, and take away what may go. `progress` hears how many octets of them
        are done, of how many. Raises `CompactionRuns`, `StoreFault`, OSError, apsw.Error."""
        with compaction_lock(self._root) as free:
            if not free:
                raise CompactionRuns("another compaction is under way")
            outcome = Outcome(strays=await self._call(Compactor._remove_strays), unlinked=await self._unlink())
            damaged = len(self._damaged)
            try:
                outcome = await self._retire_empty(outcome)
                outcome = await self._empty_all(await self._choose(), outcome, progress)
            finally:
                await self._call(Compactor._end_segment)
            unlinked = outcome.unlinked + await self._unlink()
            return replace(outcome, unlinked=unlinked, damaged=len(self._damaged) - damaged)

    async def _call(
        self, work: Callable[Concatenate[Compactor, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Do it in the thread that copies. Only that thread touches the copier and its connection."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(self, *args, **kwargs))

    # --- choosing

    def _segments(self) -> list[_Segment]:
        rows = fetch_all(
            self._copier.connection,
            "SELECT number, length, live, born FROM segments WHERE retired IS NULL ORDER BY number",
        )
        return [_Segment._make(row) for row in rows]

    async def _choose(self) -> list[_Segment]:
        """Segments that are worth it, those with the most dead octets first."""
        chosen = []
        for segment in await self._call(Compactor._segments):
            # Frames and facts are no loss; they are read, and once only, where the segment would be worth it with
            # them.
            then, dead = self._looked.get(segment.number, (None, 0))
            if then != segment:
                dead = segment.length - SEGMENT_HEADER_OCTETS - segment.live
            if segment.number not in self._damaged and self._is_worth(segment, dead):
                dead = await self._call(Compactor._look, segment)
                if dead:
                    chosen.append((dead, segment))
        chosen.sort(reverse=True)
        return [segment for _, segment in chosen]

    def _look(self, segment: _Segment) -> int:
        """A segment's dead octets; 0 where it isn't worth it, or is to be left alone."""
        path = self._folder / segment_name(segment.number)
        with self._leaving_alone(segment):
            if not being_written(path):
                dead = self._copier.dead_octets(segment.number, segment.length)
                self._looked[segment.number] = (segment, dead)
                waits = self._strays.may_hold_letters(segment.number, segment.length, self._clock())
                return dead if self._is_worth(segment, dead) and not waits else 0
        return 0

    def _is_worth(self, segment: _Segment, dead: int) -> bool:
        if self._rules.everything:
            return dead > 0
        old = segment.born < self._clock() - self._rules.age
        share = min(self._rules.dead_share, COMPACTION_OLD_DEAD_PERCENT) if old else self._rules.dead_share
        return dead > 0 and dead * 100 >= share * (segment.length - SEGMENT_HEADER_OCTETS)

    @contextlib.contextmanager
    def _leaving_alone(self, segment: _Segment) -> Iterator[None]:
        """Pass over a segment that can't be read, and say so once."""
        try:
            yield
        except (Damaged, OSError) as fault:
            if isinstance(fault, OSError) and fault.errno != errno.EIO:
                raise
            self._damaged.add(segment.number)
            name = segment_name(segment.number)
            event(_log, logging.ERROR, "compaction.damaged", segment=name, reason=fault)

    # --- copying

    async def _empty_all(self, chosen: Sequence[_Segment], outcome: Outcome, progress: Progress) -> Outcome:
        total, before = sum([segment.length for segment in chosen]), 0
        progress(0, total)
        for segment in chosen:
            with self._leaving_alone(segment):
                letters, octets = await self._empty(segment, before, total, progress)
                outcome = replace(
                    outcome,
                    segments=outcome.segments + 1,
                    letters=outcome.letters + letters,
                    won=outcome.won + segment.length - SEGMENT_HEADER_OCTETS - octets,
                )
            before += segment.length
            progress(before, total)
        return outcome

    async def _empty(self, segment: _Segment, before: int, total: int, progress: Progress) -> tuple[int, int]:
        """Move all letters out of a segment; gives how many, and the octets of their records."""
        letters = octets = after = 0
        began = self._pace.now()
        while (batch := await self._call(Compactor._copy, segment.number, after)) is not None:
            moved = await self._store.commit(batch.op)
            assert isinstance(moved, Moved), "a move is never refused"
            letters += moved.letters
            octets += batch.octets
            after = batch.last
            progress(before + after, total)
            await self._pace.spend(2 * batch.octets, began)
            began = self._pace.now()
        await self._commit(RetireSegments((segment.number,)))
        return letters, octets

    def _copy(self, number: int, after: int) -> Batch | None:
        return self._copier.copy(number, after)

    def _end_segment(self) -> None:
        self._copier.end_segment()

    # --- taking away

    def _remove_strays(self) -> int:
        return self._strays.remove(self._clock())

    async def _retire_empty(self, outcome: Outcome) -> Outcome:
        """Segments that are empty without anybody's doing."""
        empty = await self._call(lambda self: empty_segments(self._copier.connection, self._folder))
        await self._commit(RetireSegments(tuple([number for number, _ in empty])))
        won = sum([length for _, length in empty])
        return replace(outcome, segments=outcome.segments + len(empty), won=outcome.won + won)

    async def _unlink(self) -> int:
        """Take away the files that may go now; gives how many there were."""
        with backup_stands_still(self._root) as still:
            if not still:
                return 0
            files, forgotten = await self._call(Compactor._unlink_retired)
            await self._commit(ForgetSegments(forgotten))
            return files

    def _unlink_retired(self) -> tuple[int, tuple[int, ...]]:
        return unlink_retired(self._copier.connection, self._folder, self._clock() - self._rules.grace)

    async def _commit(self, change: RetireSegments | ForgetSegments) -> None:
        if change.numbers:
            await self._store.commit(change)


def _step_back() -> None:
    """This thread is to leave the processor to others."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
