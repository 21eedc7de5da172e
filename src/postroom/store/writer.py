"""Group commit, inline: what arrives in one turn of the loop becomes one batch: one sync, one transaction.

The order is the promise: the letters' octets (and a new segment's name) are on stable storage before the
transaction begins, so that no row ever points beyond them; the transaction is on stable storage before anybody is
answered. The loop stands still for the two syncs and the rows, never for another process: where the write lock is
taken, the batch waits on a timer and the loop goes on.

One batch is under way at a time; what comes meanwhile is the next one. The rows are made by `apply.batch.transact`,
which knows of no process: a form that has it done by a process of its own can stand in this one's place.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import apsw

from postroom.net.limits import BATCH_CHANGES, BATCH_OCTETS, WRITE_LOCK_SECONDS
from postroom.net.log import event
from postroom.store.apply.batch import Applied, Op, Reply, begin, transact
from postroom.store.interface import StoreBusy, StoreFault
from postroom.store.lock import RETRY_SECONDS, WriteLock
from postroom.store.segments import Segment, Segments
from postroom.store.shipping import Parcel, Shipped, ship
from postroom.store.values import NO_QUOTAS, Change, Quotas

__all__ = ["Writer"]

_log = logging.getLogger("postroom.store")
_OUTSIDER_SECONDS = 0.01
"""Between two tries where an outsider (a sqlite3 shell, a backup) writes to the index: such take their time."""


@dataclass(slots=True)
class _Waiting:
    """Somebody who waits for an answer."""

    item: Parcel | Change
    answer: asyncio.Future[Reply]

    def reply(self, reply: Reply | StoreFault) -> None:
        if self.answer.done():
            return  # who waited has gone, and the change is made all the same
        if isinstance(reply, StoreFault):
            self.answer.set_exception(reply)
        else:
            self.answer.set_result(reply)


@dataclass(slots=True)
class _Batch:
    """What goes into one transaction: who waits for what, and the segments that the rows will point into."""

    until: float
    """On the loop's clock: when to stop trying for the lock."""
    waiting: list[_Waiting] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    segments: dict[int, Segment] = field(default_factory=dict)

    def add(self, waiting: _Waiting, op: Op) -> None:
        self.waiting.append(waiting)
        self.ops.append(op)


class Writer:
    """One process's. `told` is called after each transaction, before those who waited go on; it raises nothing."""

    def __init__(
        self,
        connection: apsw.Connection,
        segments: Segments,
        lock: WriteLock,
        told: Callable[[Applied], None],
        quotas: Quotas = NO_QUOTAS,
    ) -> None:
        self._quotas = quotas
        self._connection = connection
        self._segments = segments
        self._lock = lock
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._waiting = deque[_Waiting]()
        self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self.transactions = 0
        """How many there were."""

    async def submit(self, item: Parcel | Change) -> Reply:
        """Make it durable with all that comes in this turn. Raises `StoreFault`."""
        if self._closed:
            _drop(item)
            raise StoreFault("the store is closed")
        waiting = _Waiting(item, self._loop.create_future())
        self._waiting.append(waiting)
        if not self._busy:
            self._busy = True
            self._idle.clear()
            self._loop.call_soon(self._turn)
        return await waiting.answer

    async def close(self) -> None:
        """Finish what was submitted; nothing more is taken."""
        self._closed = True
        await self._idle.wait()

    def _turn(self) -> None:
        """One batch."""
        taken = self._take()
        batch = _Batch(self._loop.time() + WRITE_LOCK_SECONDS)
        try:
            self._ship(taken, batch)
        except Exception as error:
            event(_log, logging.ERROR, "store.batch", trace=error, changes=len(taken))
            self._refuse(taken, batch, StoreFault("letters that can't be written"))
            return
        if batch.ops:
            self._try_commit(batch)
        else:
            self._finish()

    def _take(self) -> list[_Waiting]:
        """Those who waited longest, as many as a batch may have."""
        taken: list[_Waiting] = []
        octets = 0
        while self._waiting and len(taken) < BATCH_CHANGES and octets < BATCH_OCTETS:
            waiting = self._waiting.popleft()
            if waiting.answer.done():
                _drop(waiting.item)  # who waited has gone, and nothing is done yet
                continue
            if isinstance(waiting.item, Parcel):
                octets += waiting.item.octets
            taken.append(waiting)
        return taken

    def _ship(self, taken: Sequence[_Waiting], batch: _Batch) -> None:
        parcels = [waiting.item for waiting in taken if isinstance(waiting.item, Parcel)]
        outcomes = iter(ship(self._connection, self._segments, parcels, self._quotas) if parcels else ())
        for waiting in taken:
            if not isinstance(waiting.item, Parcel):
                batch.add(waiting, waiting.item)
                continue
            outcome = next(outcomes)
            if isinstance(outcome, Shipped):
                batch.segments[outcome.segment.number] = outcome.segment
                batch.add(waiting, outcome.op)
            else:
                waiting.reply(outcome)

    def _try_commit(self, batch: _Batch) -> None:
        try:
            free = self._lock.take()
        except OSError as error:
            self._refuse(batch.waiting, batch, StoreFault(error.strerror))
            return
        if free and self._commit(batch):
            return
        if self._loop.time() < batch.until:
            self._loop.call_later(_OUTSIDER_SECONDS if free else RETRY_SECONDS, self._try_commit, batch)
        else:
            event(_log, logging.ERROR, "store.lock", seconds=WRITE_LOCK_SECONDS, changes=len(batch.ops))
            fault = StoreBusy("another process holds the index's write lock")
            self._refuse(batch.waiting, batch, fault)

    def _refuse(self, waiting: Sequence[_Waiting], batch: _Batch, fault: StoreFault) -> None:
        """The batch was not committed, and will not be."""
        for segment in batch.segments.values():
            segment.give_up()
        for each in waiting:
            each.reply(fault)
        self._finish()

    def _commit(self, batch: _Batch) -> bool:
        """False where an outsider is in the way, and nothing was tried. The lock is free again either way."""
        try:
            if not begin(self._connection):
                return False
            for segment in batch.segments.values():
                # A commit that fails may still turn up after a crash, and then its letters must be there.
                segment.keep()
            applied = transact(self._connection, batch.ops, int(time.time()), self._quotas)
        finally:
            self._lock.release()
        self.transactions += 1
        for waiting, reply in zip(batch.waiting, applied.replies, strict=True):
            waiting.reply(reply)
            _close(waiting.item)
        self._finish()
        self._told(applied)
        return True

    def _finish(self) -> None:
        if self._waiting:
            self._loop.call_soon(self._turn)
        else:
            self._busy = False
            self._idle.set()


def _drop(item: Parcel | Change) -> None:
    if isinstance(item, Parcel):
        item.drop()


def _close(item: Parcel | Change) -> None:
    """A large letter's segment takes no more."""
    if isinstance(item, Parcel) and not isinstance(item.body, bytes):
        item.body.segment.close()
