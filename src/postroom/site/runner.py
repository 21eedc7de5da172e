"""The runner: what happens behind delivery. Checkpoints of the index's write-ahead log, the search index, the
sweep, compaction."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import apsw

from postroom.config import Config
from postroom.net.log import event
from postroom.site.quotas import quotas
from postroom.store.compaction.compactor import CompactionRuns, Compactor, Rules
from postroom.store.compaction.sweeping import Sweeper
from postroom.store.index import open_index
from postroom.store.interface import StoreFault
from postroom.store.search.indexer import Indexer
from postroom.store.sqlite import open_store
from postroom.store.values import SpecialUse

__all__ = ["Task", "compaction_rules", "going", "kept", "work"]

_logger = logging.getLogger("postroom.runner")

CHECKPOINT_SECONDS: Final = 60.0
"""SQLite's own checkpoints keep up under load; this one lets the log shrink again when it is quiet."""
SWEEP_SECONDS: Final = 300.0
SWEEP_PAUSE: Final = 0.02
"""Seconds between two transactions of a sweep."""
INDEXER_SECONDS: Final = 10.0
"""The indexer never ends by itself; after a fault it begins anew."""
COMPACTION_SECONDS: Final = 300.0
"""Between the end of a run and the next."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something that is done again and again: `first` seconds after the start, and `rest` seconds after its end."""

    name: str
    first: float
    rest: float
    run: Callable[[], Awaitable[object]]


@contextlib.asynccontextmanager
async def work(config: Config) -> AsyncIterator[None]:
    """Do all of it until the end of the context."""
    async with contextlib.AsyncExitStack() as stack:
        store = await open_store(config.root, name="runner", quotas=quotas(config))
        stack.push_async_callback(store.close)
        index = open_index(config.root / "index.db")
        stack.callback(index.close)
        sweeper = stack.enter_context(Sweeper(config.root, store, config.undelete, kept(config), pause=SWEEP_PAUSE))
        compactor = stack.enter_context(Compactor(config.root, store, compaction_rules(config)))
        tasks = [
            Task("checkpoint", CHECKPOINT_SECONDS, CHECKPOINT_SECONDS, lambda: _checkpoint(index)),
            Task("sweep", SWEEP_SECONDS, SWEEP_SECONDS, lambda: _sweep(sweeper)),
            Task("indexer", 0, INDEXER_SECONDS, lambda: Indexer(config.root, store).run()),
        ]
        if config.compaction.rate:
            tasks.append(Task("compaction", COMPACTION_SECONDS, COMPACTION_SECONDS, lambda: _compact(compactor)))
        async with going(tasks):
            yield


def kept(config: Config) -> dict[SpecialUse, int]:
    """Seconds that letters stay in mailboxes that empty themselves."""
    return {SpecialUse.TRASH: config.keep.trash, SpecialUse.JUNK: config.keep.junk}


def compaction_rules(config: Config) -> Rules:
    """When a segment is worth it."""
    own = config.compaction
    return Rules(own.rate, own.dead_share, own.age, config.undelete)


@contextlib.asynccontextmanager
async def going(tasks: Sequence[Task]) -> AsyncIterator[None]:
    """Have the tasks done until the end of the context. One that fails is told of once for each way of failing, is
    tried again in its time, and stops no other."""
    running = [asyncio.create_task(_again_and_again(task), name=task.name) for task in tasks]
    try:
        yield
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _again_and_again(task: Task) -> None:
    await asyncio.sleep(task.first)
    last = ""
    while True:
        try:
            await task.run()
            last = ""
        except Exception as fault:
            what = f"{type(fault).__name__}: {fault}"
            if what != last:
                foreseen = isinstance(fault, StoreFault | OSError | apsw.Error)
                trace = None if foreseen else fault
                event(_logger, logging.ERROR, "task-failed", trace=trace, task=task.name, reason=what)
            last = what
        await asyncio.sleep(task.rest)


async def _checkpoint(index: apsw.Connection) -> None:
    log, moved = index.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    event(_logger, logging.DEBUG, "checkpoint", pages=log, moved=moved)


async def _sweep(sweeper: Sweeper) -> None:
    swept = await sweeper.run()
    if swept.entries or swept.letters:
        event(_logger, logging.INFO, "swept", entries=swept.entries, letters=swept.letters, octets=swept.octets)


async def _compact(compactor: Compactor) -> None:
    try:
        done = await compactor.run()
    except CompactionRuns:
        return  # by hand, and the next time it is our turn
    if done.segments or done.unlinked or done.strays:
        event(
            _logger,
            logging.INFO,
            "compacted",
            segments=done.segments,
            letters=done.letters,
            won=done.won,
            unlinked=done.unlinked,
            strays=done.strays,
        )
