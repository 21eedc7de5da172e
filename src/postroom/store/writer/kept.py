"""The writer's other form: what arrives in one turn of the loop goes to the keeper as one message (`keeper`).

The same two words as `writer.Writer` has: `submit` and `close`. The letters' octets travel with the message; a
large letter's record is completed here, in a segment of its own and in a thread, and only its rows are asked for.

A change is answered once, and truly. Where the keeper's answer was lost with it, the writer comes to the successor,
which lets it in when all that it had asked before is either committed, with its reply kept in the index, or never
will be: so it looks there. What is found is done; the rest gets a `StoreFault`. What was not sent yet waits for the
successor, KEEPER_WAIT_SECONDS at most. Where no keeper comes for so long, the writer takes the keeper's lock itself
for the moment that it needs to know.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import apsw

from postroom.net.limits import (
    BATCH_CHANGES,
    BATCH_OCTETS,
    KEEPER_BATCHES,
    KEEPER_CHANGE_OCTETS,
    KEEPER_OCTETS,
    KEEPER_WAIT_SECONDS,
)
from postroom.net.log import event
from postroom.store.apply.batch import Reply
from postroom.store.apply.keeping import BeginKeeping, kept_replies
from postroom.store.apply.letters import FileLetter
from postroom.store.blobs import LargeBody
from postroom.store.changes import Change
from postroom.store.interface import StoreBusy, StoreFault
from postroom.store.segments import Segment
from postroom.store.shipping import Parcel, Shipped, complete, footers
from postroom.store.values import MailboxId, Quotas
from postroom.store.writer.inline import Writer
from postroom.store.writer.link import KeeperLock, Link, connect
from postroom.store.writer.wire import (
    Answers,
    Piece,
    Welcome,
    WireFault,
    read_kept,
    read_to_writer,
    write_batch,
    write_hello,
    write_item,
)

__all__ = ["KeptWriter"]

_log = logging.getLogger("postroom.store")
_RETRY_SECONDS: Final = 0.02
"""Between two knocks where no keeper is."""
_FRAME_OCTETS: Final = 1 << 30
"""The keeper is believed; one answer names each letter of a mailbox at most."""


@dataclass(slots=True)
class _Batch:
    """Changes that went out together."""

    left: int = 0
    octets: int = 0


@dataclass(slots=True)
class _Asked:
    """A change, and who waits for its answer."""

    piece: Piece | None
    """Until it is sent."""
    answer: asyncio.Future[Reply]
    until: float
    """On the loop's clock: so long it may wait to be sent."""
    segment: Segment | None = None
    """A large letter's own."""
    batch: _Batch = field(default_factory=_Batch)

    def reply(self, reply: Reply | StoreFault, *, undone: bool = False) -> None:
        """Answer; `undone` where it is known that nothing was made of it."""
        if self.segment is not None:
            # The rows of a commit that failed may still turn up after a crash, and then the letter must be there.
            if undone or isinstance(reply, StoreBusy):
                self.segment.give_up()
            else:
                self.segment.close()
        if self.answer.done():
            return
        if isinstance(reply, StoreFault):
            self.answer.set_exception(reply)
        else:
            self.answer.set_result(reply)


class KeptWriter:
    """One process's. `told` is called with the mailboxes that changes were made to (None: whatever may have been)
    and whether accounts changed, before those who waited go on. `connection` and `inline` are for what this process
    has to find out by itself."""

    def __init__(
        self,
        root: Path,
        name: str,
        connection: apsw.Connection,
        inline: Writer,
        told: Callable[[list[MailboxId] | None, bool], None],
        quotas: Quotas,
    ) -> None:
        self._run = root / "run"
        self._name = f"{name}-{secrets.token_hex(16)}"
        self._connection = connection
        self._inline = inline
        self._told = told
        self._quotas = quotas
        self._loop = asyncio.get_running_loop()
        self._waiting = deque[_Asked]()
        self._under_way: dict[int, _Asked] = {}
        """By number, ascending."""
        self._last = 0
        self._batches = 0
        self._octets = 0
        self._turn: asyncio.Handle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._link: Link | None = None
        self._welcomed: asyncio.Future[None] | None = None
        self._lost = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._meeting = self._loop.create_task(self._keep_meeting())

    async def submit(self, item: Parcel | Change) -> Reply:
        """Make it durable with all that comes in this turn. Raises `StoreFault`."""
        if isinstance(item, Parcel) and isinstance(item.body, LargeBody):
            return await self._submit_large(item, item.body)
        return await self._ask(item)

    async def close(self) -> None:
        """Finish what was submitted; nothing more is taken."""
        self._closed = True
        await self._idle.wait()
        self._meeting.cancel()
        await asyncio.gather(self._meeting, return_exceptions=True)
        if self._link is not None:
            self._link.abort()
        if self._expiry is not None:
            self._expiry.cancel()
        await self._inline.close()

    async def _submit_large(self, parcel: Parcel, body: LargeBody) -> Reply:
        (footer,) = footers(self._connection, [parcel], self._quotas)
        if not isinstance(footer, bytes):
            parcel.drop()
            return _told_or_raised(footer)
        completing = self._loop.run_in_executor(None, complete, parcel, body, footer)
        try:
            outcome = await asyncio.shield(completing)
        except asyncio.CancelledError:
            # The thread still has the file.
            completing.add_done_callback(lambda done: _drop(parcel, done))
            raise
        if not isinstance(outcome, Shipped):
            raise outcome
        return await self._ask(outcome.op, outcome.segment)

    async def _ask(self, item: Parcel | FileLetter | Change, segment: Segment | None = None) -> Reply:
        answer: asyncio.Future[Reply] = self._loop.create_future()
        asked = _Asked(None, answer, self._loop.time() + KEEPER_WAIT_SECONDS, segment)
        try:
            asked.piece = write_item(item)
        except WireFault as fault:
            event(_log, logging.ERROR, "keeper.unspeakable", why=fault, change=type(item).__name__)
            asked.reply(StoreFault("a change that can't be told"), undone=True)
        else:
            if self._closed:
                asked.reply(StoreFault("the store is closed"), undone=True)
            elif asked.piece.size > KEEPER_CHANGE_OCTETS:
                asked.reply(StoreFault("a change that is too large"), undone=True)
            else:
                self._put(asked)
        return await answer

    def _put(self, asked: _Asked) -> None:
        self._waiting.append(asked)
        self._idle.clear()
        self._send_soon()
        if self._expiry is None:
            self._expiry = self._loop.call_at(asked.until, self._expire)

    # --- out

    def _send_soon(self) -> None:
        if self._turn is None:
            self._turn = self._loop.call_soon(self._send)

    def _send(self) -> None:
        """All that waits, as far as may be under way at a time."""
        self._turn = None
        while self._link is not None and self._waiting:
            if self._batches >= KEEPER_BATCHES or self._octets >= KEEPER_OCTETS:
                return
            self._send_batch(self._link)

    def _send_batch(self, link: Link) -> None:
        batch = _Batch()
        pieces: list[Piece] = []
        heard = next(iter(self._under_way), self._last + 1) - 1
        first = self._last + 1
        while self._waiting and len(pieces) < BATCH_CHANGES and batch.octets < BATCH_OCTETS:
            asked = self._waiting.popleft()
            if asked.answer.done():
                asked.reply(StoreFault("nobody waits any more"), undone=True)
                continue
            assert asked.piece is not None, "it is sent once"
            pieces.append(asked.piece)
            batch.octets += asked.piece.size
            asked.piece, asked.batch = None, batch
            self._last += 1
            self._under_way[self._last] = asked
        if pieces:
            batch.left = len(pieces)
            self._batches += 1
            self._octets += batch.octets
            link.send(write_batch(first, heard, pieces))
        self._rest()

    def _expire(self) -> None:
        """Those who have waited too long to be sent are told."""
        self._expiry = None
        now = self._loop.time()
        expired = 0
        while self._waiting and (self._waiting[0].until <= now or self._waiting[0].answer.done()):
            asked = self._waiting.popleft()
            expired += not asked.answer.done()
            asked.reply(StoreBusy("the keeper does not answer"), undone=True)
        if expired:
            event(_log, logging.ERROR, "keeper.absent", seconds=KEEPER_WAIT_SECONDS, changes=expired)
        if self._waiting:
            self._expiry = self._loop.call_at(self._waiting[0].until, self._expire)
        self._rest()

    # --- in

    def _heard(self, link: Link, text: memoryview, octets: memoryview) -> None:
        message = read_to_writer(text, octets)
        if isinstance(message, Welcome):
            if self._welcomed is None or self._welcomed.done():
                raise WireFault("a welcome out of place")
            self._welcomed.set_result(None)
        elif link is self._link:
            self._take_answers(message)

    def _take_answers(self, message: Answers) -> None:
        if message.mailboxes or message.accounts:
            self._told(list(message.mailboxes), message.accounts)
        for number, reply in message.replies:
            asked = self._under_way.pop(number, None)
            if asked is None:
                raise WireFault("an answer to nothing")
            self._settle(asked, reply)
        self._send_soon()
        self._rest()

    def _settle(self, asked: _Asked, reply: Reply | StoreFault, *, undone: bool = False) -> None:
        batch = asked.batch
        batch.left -= 1
        if not batch.left:
            self._batches -= 1
            self._octets -= batch.octets
        asked.reply(reply, undone=undone)

    def _rest(self) -> None:
        if not self._waiting and not self._under_way:
            self._idle.set()

    # --- keepers come and go

    async def _keep_meeting(self) -> None:
        while True:
            link = await self._meet()
            self._lost.clear()
            self._link = None if link.lost else link
            self._send()
            if self._link is not None:
                await self._lost.wait()

    def _parted(self, link: Link) -> None:
        if link is self._link:
            self._link = None
            self._lost.set()
        elif self._welcomed is not None and not self._welcomed.done():
            self._welcomed.set_exception(ConnectionResetError("the keeper has gone"))

    async def _meet(self) -> Link:
        """Come to a keeper that lets us in, and know what became of all that was under way."""
        until = self._loop.time() + KEEPER_WAIT_SECONDS
        while True:
            try:
                return await self._knock()
            except (OSError, StoreFault):
                pass  # there is none, or the index can't be read just now
            except Exception as fault:
                event(_log, logging.ERROR, "keeper.broken", trace=fault)
            if self._under_way and self._loop.time() > until:
                with contextlib.suppress(OSError, StoreFault):
                    await self._find_out()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _knock(self) -> Link:
        """Raises OSError where there is none, `StoreFault` where the index can't be read."""
        self._welcomed = self._loop.create_future()
        link = await connect(self._run, lambda: Link(self._heard, self._parted, _FRAME_OCTETS))
        try:
            link.send(write_hello(self._name))
            await self._welcomed
            self._look_up()
        except BaseException:
            link.abort()
            raise
        finally:
            self._welcomed = None
        return link

    async def _find_out(self) -> None:
        """The same without a keeper: while we have its lock there is none, and after a commit of ours nothing of
        the last one can turn up any more."""
        with contextlib.closing(KeeperLock(self._run)) as lock:
            if lock.take():
                await self._inline.submit(BeginKeeping(self._name))
                self._look_up()

    def _look_up(self) -> None:
        """What has a reply in the index is done, and the rest never will be. Raises `StoreFault`."""
        if not self._under_way:
            return
        try:
            kept = kept_replies(self._connection, self._name)
        except apsw.Error as error:
            raise StoreFault(f"the index: {error}") from error
        self._told(None, True)
        lost, self._under_way = self._under_way, {}
        done = 0
        for number, asked in lost.items():
            if number in kept:
                done += 1
                self._settle(asked, _read(kept[number]))
            else:
                self._settle(asked, StoreFault("the keeper died before it was done"), undone=True)
        event(_log, logging.WARNING, "keeper.lost", done=done, failed=len(lost) - done)
        self._rest()


def _read(kept: bytes) -> Reply | StoreFault:
    try:
        return read_kept(kept)
    except WireFault as fault:
        event(_log, logging.ERROR, "keeper.garbage", why=fault)
        return StoreFault("done, and nobody can say how")


def _told_or_raised(outcome: Reply | StoreFault) -> Reply:
    if isinstance(outcome, StoreFault):
        raise outcome
    return outcome


def _drop(parcel: Parcel, completing: asyncio.Future[Shipped | StoreFault]) -> None:
    completing.exception()
    parcel.drop()
