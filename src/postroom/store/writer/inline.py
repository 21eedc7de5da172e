"""Group commit, inline: what arrives in one turn of the loop becomes one batch: one sync, one transaction.

The order is the promise: the letters' octets (and a new segment's name) are on stable storage before the
transaction begins, so that no row ever points beyond them; the transaction is on stable storage before anybody is
answered. The loop stands still for the two syncs and the rows, never for another process: where the write lock is
taken, the batch waits on a timer and the loop goes on.

One batch is under way at a time; what comes meanwhile is the next one. The keeper (`keeper`) has one of these for
all the processes that ask it; there a `keptwriter.KeptWriter` asks, which has the same `submit` and `close`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import apsw

from postroom.net.limits import BATCH_CHANGES, BATCH_OCTETS, WRITE_LOCK_SECONDS
from postroom.net.log import event
from postroom.store.apply.batch import Applied, Kept, Op, Reply, begin, transact
from postroom.store.apply.keeping import BeginKeeping, ForgetReplies, Key
from postroom.store.apply.letters import FileLetter
from postroom.store.changes import Change
from postroom.store.interface import StoreBusy, StoreFault
from postroom.store.lock import RETRY_SECONDS, WriteLock
from postroom.store.segments import Segment, Segments
from postroom.store.shipping import Parcel, Shipped, ship
from postroom.store.values import NO_QUOTAS, Quotas
from postroom.store.writer.wire import Piece

__all__ = ["Asker", "Item", "Writer"]

_log = logging.getLogger("postroom.store")
_OUTSIDER_SECONDS = 0.01
"""Between two tries where an outsider (a sqlite3 shell, a backup) writes to the index: such take their time."""


Item = Parcel | FileLetter | Change | BeginKeeping | ForgetReplies
"""What a writer may be asked for. A letter's record is made here, or (`FileLetter`) was made elsewhere."""


class Asker(Protocol):
    """Somebody who waits for an answer."""

    @property
    def item(self) -> Item:
        """What is to be done."""

    @property
    def key(self) -> Key | None:
        """By what the reply is to be kept in the same transaction, if it is."""

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more: what is not begun needs not be."""

    def reply(self, reply: Reply | Piece | StoreFault) -> None:
        """Called at its end, unless it is gone; a second call means nothing. A `Piece` is the reply of one that
        has a key. Raises nothing."""


@dataclass(slots=True)
class _Waiting:
    """An `Asker` of this process."""

    item: Item
    answer: asyncio.Future[Reply]
    key: None = None

    @property
    def gone(self) -> bool:
        return self.answer.done()

    def reply(self, reply: Reply | Piece | StoreFault) -> None:
        if self.answer.done():
            return  # who waited has gone, and the change is made all the same
        assert not isinstance(reply, Piece), "it has no key"
        if isinstance(reply, StoreFault):
            self.answer.set_exception(reply)
        else:
            self.answer.set_result(reply)


@dataclass(slots=True)
class _Batch:
    """What goes into one transaction: who waits for what, and the segments that the rows will point into."""

    until: float
    """On the loop's clock: when to stop trying for the lock."""
    waiting: list[Asker] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    segments: dict[int, Segment] = field(default_factory=dict)

    def add(self, waiting: Asker, op: FileLetter | Change | BeginKeeping | ForgetReplies) -> None:
        self.waiting.append(waiting)
        key = waiting.key
        if key is None or isinstance(op, BeginKeeping | ForgetReplies):
            self.ops.append(op)
        else:
            self.ops.append(Kept(op, key))


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
        self._waiting = deque[Asker]()
        self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self.transactions = 0
        """How many there were."""

    async def submit(self, item: Item) -> Reply:
        """Make it durable with all that comes in this turn. Raises `StoreFault`."""
        waiting = _Waiting(item, self._loop.create_future())
        self.put(waiting)
        return await waiting.answer

    def put(self, waiting: Asker) -> None:
        """The same for somebody who is told by its `reply`."""
        if self._closed:
            _drop(waiting.item)
            waiting.reply(StoreFault("the store is closed"))
            return
        self._waiting.append(waiting)
        if not self._busy:
            self._busy = True
            self._idle.clear()
            self._loop.call_soon(self._turn)

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

    def _take(self) -> list[Asker]:
        """Those who waited longest, as many as a batch may have."""
        taken: list[Asker] = []
        octets = 0
        while self._waiting and len(taken) < BATCH_CHANGES and octets < BATCH_OCTETS:
            waiting = self._waiting.popleft()
            if waiting.gone:
                _drop(waiting.item)  # who waited has gone, and nothing is done yet
                continue
            if isinstance(waiting.item, Parcel):
                octets += waiting.item.octets
            taken.append(waiting)
        return taken

    def _ship(self, taken: Sequence[Asker], batch: _Batch) -> None:
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

    def _refuse(self, waiting: Sequence[Asker], batch: _Batch, fault: StoreFault) -> None:
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


def _drop(item: Item) -> None:
    if isinstance(item, Parcel):
        item.drop()


def _close(item: Item) -> None:
    """A large letter's segment takes no more."""
    if isinstance(item, Parcel) and not isinstance(item.body, bytes):
        item.body.segment.close()
