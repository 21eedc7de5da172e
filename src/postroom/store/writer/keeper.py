"""The keeper: a process that does the group commit for others, so that their loops don't stand still for the disk.

    async with keep(root, quotas):
        await stop.wait()

It has one `Writer`, as every process with the inline form has one for itself: what several processes send in one
turn of its loop is one batch, with one sync of letters and one transaction. Replies are kept in the index together
with the rows they are about, until the writer that asked has heard them: when the keeper dies, the index tells of
each change whether it was made (`apply.keeping`, `keptwriter`).

What it is sent is judged by `wire`; what breaks the rules ends its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Iterable
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
    KEPT_REPLIES_SECONDS,
)
from postroom.net.log import event
from postroom.store import reads
from postroom.store.apply.batch import Applied, Reply
from postroom.store.apply.keeping import BeginKeeping, ForgetReplies, Key, kept_writers
from postroom.store.events import Hints
from postroom.store.faults import sqlite_fault
from postroom.store.index import open_index, require_current
from postroom.store.interface import StoreFault
from postroom.store.lock import WriteLock
from postroom.store.segments import Segments
from postroom.store.shipping import Parcel
from postroom.store.values import NO_QUOTAS, MailboxId, Quotas
from postroom.store.writer.inline import Writer
from postroom.store.writer.link import KeeperLock, Link, listen
from postroom.store.writer.wire import (
    Batch,
    Hello,
    Item,
    Piece,
    WireFault,
    read_to_keeper,
    write_answers,
    write_reply,
    write_welcome,
)

__all__ = ["Keeper", "keep"]

_log = logging.getLogger("postroom.store")
_RETRY_SECONDS: Final = 0.01
_AGAIN_SECONDS: Final = 0.5
_CLOSE_SECONDS: Final = 2.0
"""At the end writers get so long to take their last answers."""
_NAME: Final = 100
"""Characters of a writer's name."""
_FRAME_OCTETS: Final = KEEPER_CHANGE_OCTETS + BATCH_OCTETS + 4096
"""A batch is closed by the change that reaches BATCH_OCTETS."""


@dataclass(slots=True)
class _Guest:
    """A writer, over all its connections, and what of it is under way."""

    writer: str
    link: Link
    welcome: bool = False
    """Whether it may ask on this connection: all that it asked before is settled."""
    last: int = 0
    changes: int = 0
    octets: int = 0
    outbox: list[tuple[int, Piece]] = field(default_factory=list)
    idle: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Asked:
    """One change of a guest: see `writer.Asker`."""

    keeper: Keeper
    guest: _Guest
    item: Item
    key: Key
    answered: bool = False
    gone: bool = False
    """Never: what has come is made, and who asked may ask again what became of it."""

    def reply(self, reply: Reply | Piece | StoreFault) -> None:
        """Put it with those that go out together."""
        if not self.answered:
            self.answered = True
            self.keeper.answer(self, reply)


@dataclass(slots=True)
class _Upkeep:
    """A change that nobody waits for."""

    item: ForgetReplies
    key: None = None
    gone: bool = False

    def reply(self, _: Reply | Piece | StoreFault) -> None:
        """Where it failed, the next keeper does it."""


@contextlib.asynccontextmanager
async def keep(root: Path, quotas: Quotas = NO_QUOTAS) -> AsyncIterator[Keeper]:
    """Be the keeper of a data directory that was migrated. One that still lives is waited for, KEEPER_WAIT_SECONDS
    at most. Where nothing can be committed yet (a full disk), writers are let in once it can. Raises `StoreFault`,
    `OlderSchema`, `NewerSchema`, OSError."""
    run = root / "run"
    async with contextlib.AsyncExitStack() as stack:
        await _take(stack.enter_context(contextlib.closing(KeeperLock(run))))
        write_lock = stack.enter_context(contextlib.closing(WriteLock(root)))
        index = stack.enter_context(contextlib.closing(_open(root)))
        segments = stack.enter_context(contextlib.closing(Segments(root / "segments", lambda: _newest(index))))
        hints = stack.enter_context(contextlib.closing(Hints(run / "events", "keeper", _deaf, _blind)))
        keeper = Keeper(index, segments, write_lock, hints, quotas)
        stack.push_async_callback(keeper.close)
        try:
            await keeper.begin()
        except StoreFault as fault:
            event(_log, logging.ERROR, "keeper.waits", reason=fault)
            stack.callback(asyncio.create_task(_begin_later(keeper, run, stack)).cancel)
        else:
            stack.callback((await listen(run, keeper.meet)).close)
        yield keeper


async def _begin_later(keeper: Keeper, run: Path, stack: contextlib.AsyncExitStack) -> None:
    while True:
        await asyncio.sleep(_AGAIN_SECONDS)
        with contextlib.suppress(StoreFault, OSError):
            await keeper.begin()
            stack.callback((await listen(run, keeper.meet)).close)
            event(_log, logging.INFO, "keeper.goes-on")
            return


async def _take(lock: KeeperLock) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + KEEPER_WAIT_SECONDS
    while not lock.take():
        if loop.time() > until:
            raise StoreFault("another keeper has this data directory")
        await asyncio.sleep(_RETRY_SECONDS)


def _open(root: Path) -> apsw.Connection:
    try:
        index = open_index(root / "index.db")
        require_current(index)
    except apsw.Error as error:
        raise StoreFault(f"the index: {error}") from error
    return index


def _newest(index: apsw.Connection) -> int:
    try:
        return reads.newest_segment(index)
    except apsw.Error as error:
        raise sqlite_fault(index, error) from error


def _deaf(_: list[MailboxId] | None, __: bool) -> None:
    """Nobody watches anything here."""


def _blind() -> None:
    """The same."""


class Keeper:
    """See the module. Made by `keep`."""

    def __init__(
        self, index: apsw.Connection, segments: Segments, lock: WriteLock, hints: Hints, quotas: Quotas
    ) -> None:
        self._index = index
        self._hints = hints
        self._loop = asyncio.get_running_loop()
        self._name = secrets.token_hex(8)
        self.writer = Writer(index, segments, lock, self._told, quotas)
        """The one that does it."""
        self._links: dict[Link, _Guest | None] = {}
        self._guests: dict[str, _Guest] = {}
        self._forgetting: dict[str, asyncio.TimerHandle] = {}
        self._full: dict[str, _Guest] = {}
        self._greeting = set[asyncio.Task[None]]()
        self._alone = asyncio.Event()
        self._alone.set()

    async def begin(self) -> None:
        """See that nothing of a predecessor can turn up any more. Raises `StoreFault`."""
        await self.writer.submit(BeginKeeping(self._name))
        try:
            writers = kept_writers(self._index)
        except apsw.Error as error:
            raise sqlite_fault(self._index, error) from error
        for writer in writers:
            self._forget_later(writer)

    async def close(self) -> None:
        """Finish and answer what has come; then end the connections."""
        await self.writer.close()
        self._flush()
        for link in list(self._links):
            link.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._alone.wait()
        for link in list(self._links):
            link.abort()
        for timer in self._forgetting.values():
            timer.cancel()
        for greeting in self._greeting:
            greeting.cancel()

    # --- writers come and go

    def meet(self) -> Link:
        """The end of a new connection."""
        link = Link(self._heard, self._parted, _FRAME_OCTETS)
        self._links[link] = None
        self._alone.clear()
        return link

    def _heard(self, link: Link, text: memoryview, octets: memoryview) -> None:
        message = read_to_keeper(text, octets)
        guest = self._links[link]
        if isinstance(message, Hello):
            if guest is not None or not 0 < len(message.writer) <= _NAME:
                raise WireFault("a greeting out of place")
            self._greet(link, message.writer)
        elif guest is None or guest.link is not link or not guest.welcome:
            raise WireFault("no greeting")
        else:
            self._ask(guest, message)

    def _greet(self, link: Link, writer: str) -> None:
        guest = self._guests.get(writer)
        if guest is None:
            guest = self._guests[writer] = _Guest(writer, link)
        else:
            guest.link.abort()
            guest.link, guest.welcome = link, False
            guest.outbox.clear()
        self._links[link] = guest
        if writer in self._forgetting:
            self._forgetting.pop(writer).cancel()
        greeting = self._loop.create_task(self._welcome(guest, link))
        self._greeting.add(greeting)
        greeting.add_done_callback(self._greeting.discard)

    async def _welcome(self, guest: _Guest, link: Link) -> None:
        while guest.changes:
            guest.idle.clear()
            await guest.idle.wait()
        if guest.link is link:
            guest.welcome = True
            link.send(write_welcome(self._name))

    def _parted(self, link: Link) -> None:
        guest = self._links.pop(link, None)
        if not self._links:
            self._alone.set()
        if guest is not None and guest.link is link:
            guest.welcome = False
            self._forget_later(guest.writer)

    def _forget_later(self, writer: str) -> None:
        self._forgetting[writer] = self._loop.call_later(KEPT_REPLIES_SECONDS, self._forget, writer)

    def _forget(self, writer: str) -> None:
        del self._forgetting[writer]
        self._guests.pop(writer, None)
        self.writer.put(_Upkeep(ForgetReplies(writer)))

    # --- changes

    def _ask(self, guest: _Guest, batch: Batch) -> None:
        if batch.first <= guest.last or not 0 <= batch.heard < batch.first or not batch.items:
            raise WireFault("numbers out of order")
        count = len(batch.items)
        if guest.octets >= KEEPER_OCTETS or guest.changes + count > KEEPER_BATCHES * BATCH_CHANGES:
            raise WireFault("more than may be under way")
        guest.last = batch.first + count - 1
        guest.changes += count
        for number, item in enumerate(batch.items, batch.first):
            guest.octets += octets_of(item)
            self.writer.put(_Asked(self, guest, item, Key(guest.writer, number, batch.heard)))

    def answer(self, asked: _Asked, reply: Reply | Piece | StoreFault) -> None:
        """Have an answer sent with those of its transaction, or else in the next turn."""
        guest = asked.guest
        guest.changes -= 1
        guest.octets -= octets_of(asked.item)
        if not guest.changes:
            guest.idle.set()
        if guest.welcome:
            if not self._full:
                self._loop.call_soon(self._flush)
            self._full[guest.writer] = guest
            told = reply if isinstance(reply, Piece) else write_reply(reply)
            guest.outbox.append((asked.key.number, told))

    def _told(self, applied: Applied) -> None:
        self._flush(applied.mailboxes, applied.accounts)
        self._hints.send(applied.mailboxes, applied.accounts)

    def _flush(self, mailboxes: Iterable[MailboxId] = (), accounts: bool = False) -> None:
        full, self._full = self._full, {}
        for guest in full.values():
            if guest.outbox:
                guest.link.send(write_answers(mailboxes, accounts, guest.outbox))
                guest.outbox = []


def octets_of(item: object) -> int:
    """What it adds to what its writer has under way: a letter's octets."""
    return item.octets if isinstance(item, Parcel) else 0
