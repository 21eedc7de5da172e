"""The indexer: files every account's letters in its search index, behind delivery, in the runner.

    indexer = Indexer(root, store)
    await indexer.run()              # until it is cancelled

It is woken by every change of a mailbox, works mailbox by mailbox in the order of UIDs, and writes down with each
batch how far it is (`searchwriter.Mark`), so that nothing is filed twice or forgotten, whenever it is stopped. What
is missing, damaged or of another index is built anew; the file of an account that is gone goes too.

Letters are read and decoded in the loop, with pauses; files are written in a thread of low priority.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

import apsw

from postroom.message.text import folded, header_text
from postroom.net.limits import (
    HEADER_OCTETS,
    INDEXER_CHARACTERS,
    INDEXER_LETTERS,
    INDEXER_SHARE,
    INDEXER_WAIT_SECONDS,
)
from postroom.net.log import event
from postroom.net.turns import Pace
from postroom.store.faults import sqlite_fault
from postroom.store.index import open_index
from postroom.store.interface import StoreFault, Unreadable
from postroom.store.search import reads as indexreads
from postroom.store.search.file import BROKEN, Foreign, accounts_with_files
from postroom.store.search.reads import State
from postroom.store.search.text import read_body_text
from postroom.store.search.writer import Mark, Paper, SearchWriter
from postroom.store.sqlite import SqliteStore
from postroom.store.values import AccountId, Letter, MailboxId, Uid

__all__ = ["Indexer"]

_log = logging.getLogger("postroom.store")
_P = ParamSpec("_P")
_T = TypeVar("_T")

_NICE: Final = 10
"""The thread's place behind those that answer somebody."""
_BATCHES: Final = 5
"""Of one account, until another one has its turn."""
_ROWS: Final = 1000
"""Of the index, looked at without a pause."""


class _NotYet(Exception):
    """An account has had its turn, and is not done."""


class Indexer:
    """See the module. `share` is the part of the time in which it may work while there is much to do."""

    def __init__(self, root: Path, store: SqliteStore, *, share: float = INDEXER_SHARE) -> None:
        self._root = root
        self._store = store
        self._rest = 1 / share - 1
        self._index = open_index(root / "index.db", read_only=True)
        self._writer = SearchWriter(root)
        self._thread = ThreadPoolExecutor(1, "indexer", _low_priority)
        self._awake = asyncio.Event()
        self._changed: set[MailboxId] = set()
        self._everything = True
        self._due: dict[AccountId, None] = {}
        """In the order of their turns."""
        self._seen: dict[MailboxId, int] = {}
        """Mailboxes that are done, with their highest modseq then."""
        self._read_again: set[AccountId] = set()
        """Accounts whose unreadable letters had another chance."""
        self._rebuilt: set[AccountId] = set()
        """Accounts whose file was damaged, since the last look at everything: none is begun anew without end."""
        self._batches = 0
        self._began = time.monotonic()
        self._pace = Pace(self)

    async def run(self) -> None:
        """Work until cancelled."""
        stop = self._store.watch_all(self._wake)
        try:
            while True:
                try:
                    await self._work()
                except (StoreFault, OSError) as error:
                    # There is a look at everything every HINTS_LOOK_SECONDS.
                    event(_log, logging.WARNING, "indexer.failed", why=error)
                await self._awake.wait()
                await asyncio.sleep(INDEXER_WAIT_SECONDS)
                self._awake.clear()
        finally:
            stop()
            self.close()

    def close(self) -> None:
        """End; waits for the batch that is being written. `run` does this itself."""
        self._thread.submit(self._writer.close)
        self._thread.shutdown()
        self._index.close()

    async def catch_up(self) -> None:
        """File all that is there now. An account that can't be done is told of in the log and passed over. Raises
        `StoreFault` or OSError where the index can't be read."""
        self._everything = True
        await self._work()

    async def _work(self) -> None:
        """Do what is known to be due. Raises as `catch_up`."""
        while await self._look_round():
            account = next(iter(self._due))
            del self._due[account]
            try:
                await self._account(account)
            except (_NotYet, Foreign):
                self._due[account] = None
            except BROKEN as error:
                event(_log, logging.WARNING, "search.damaged", account=account, why=error)
                await self._discard(account)
                if account not in self._rebuilt:
                    self._rebuilt.add(account)
                    self._due[account] = None
            except (apsw.Error, StoreFault, OSError) as error:
                event(_log, logging.WARNING, "indexer.failed", account=account, why=error)

    # --- what there is to do

    def _wake(self, mailboxes: set[MailboxId] | None) -> None:
        if mailboxes is None:
            self._everything = True
        else:
            self._changed |= mailboxes
        self._awake.set()

    async def _look_round(self) -> bool:
        """Find accounts that are due; whether there are any."""
        if self._changed:
            owners = self._ask(indexreads.owners, self._changed)
            self._changed.clear()
            self._due.update(dict.fromkeys(owners))
        if self._everything:
            await self._look_at_everything()
        return bool(self._due)

    async def _look_at_everything(self) -> None:
        self._everything = False
        self._rebuilt.clear()
        try:
            with_files: set[AccountId] = set()
            with contextlib.suppress(FileNotFoundError):
                with_files = accounts_with_files(self._root)
            seen, self._seen = self._seen, {}
            gone = set(seen)
            after = MailboxId(0)
            while rows := self._ask(indexreads.mailboxes_with_letters, after, _ROWS):
                for mailbox, owner, modseq in rows:
                    gone.discard(mailbox)
                    if owner in with_files and seen.get(mailbox) == modseq:
                        self._seen[mailbox] = modseq
                    else:
                        self._due[owner] = None
                after = rows[-1][0]
                await asyncio.sleep(0)
            self._due.update(dict.fromkeys(self._ask(indexreads.owners, gone)))
            for account in with_files - self._ask(indexreads.account_ids):
                await self._discard(account)
        except BaseException:
            self._everything = True
            raise

    async def _discard(self, account: AccountId) -> None:
        try:
            await self._in_thread(self._writer.discard, account)
        except (apsw.Error, OSError) as error:
            event(_log, logging.WARNING, "indexer.failed", account=account, why=error)

    # --- one account

    async def _account(self, account: AccountId) -> None:
        """Raises `_NotYet` where it goes on too long, and whatever keeps it from being done."""
        self._batches = _BATCHES
        self._began = time.monotonic()
        index = self._ask(indexreads.index_id)
        states = self._ask(indexreads.states, account)
        if not states:
            await self._discard(account)
            return
        marks = await self._in_thread(self._writer.marks, index, account)
        if account not in self._read_again:
            self._read_again.add(account)
            await self._try_unread(index, account, marks)
        for state in states:
            mark = marks.pop(state.mailbox, None)
            if state.uid_next > 1:
                # Of a mailbox that is only begun nothing has gone that was filed.
                filing = _Filing(index, account, state, mark or Mark(0, state.modseq))
                await self._fill(filing)
                await self._forget_gone(filing)
                self._seen[state.mailbox] = state.modseq
        for mailbox in marks:
            await self._forget_mailbox(index, account, mailbox)

    async def _fill(self, filing: _Filing) -> None:
        """File a mailbox's entries up to the last one that it had."""
        last = filing.state.uid_next - 1
        while filing.mark.uid < last:
            entries = await self._store.entries(filing.state.mailbox, Uid(filing.mark.uid), INDEXER_LETTERS)
            uids = [entry.uid for entry in entries if entry.uid <= last]
            letters = await self._store.letters(filing.state.mailbox, uids)
            # Those in between are gone, and so is what vanished between the two questions.
            await self._file(filing, letters, last if len(uids) < INDEXER_LETTERS else uids[-1])

    async def _file(self, filing: _Filing, letters: Sequence[Letter], uid: int) -> None:
        """File letters, with which the mailbox is done up to `uid`."""
        messages = [letter.message for letter in letters]
        kept = await self._in_thread(self._writer.kept, filing.index, filing.account, messages)
        papers: list[Paper] = []
        characters = 0
        for letter in letters:
            paper = await self._paper(letter, with_body=letter.message not in kept)
            kept.add(letter.message)
            papers.append(paper)
            characters += len(paper.header or "") + len(paper.body or "")
            if characters >= INDEXER_CHARACTERS:
                await self._write(filing, papers, letter.uid)
                papers, characters = [], 0
        await self._write(filing, papers, uid)

    async def _write(self, filing: _Filing, papers: list[Paper], uid: int) -> None:
        filing.mark = filing.mark._replace(uid=uid)
        await self._in_thread(
            self._writer.file, filing.index, filing.account, filing.state.mailbox, papers, filing.mark
        )
        await self._end_of_batch()

    async def _paper(self, letter: Letter, *, with_body: bool) -> Paper:
        size = min(len(letter.prefix) + letter.header_size, HEADER_OCTETS)
        header: str | None = None
        body: str | None = None
        try:
            header = folded(header_text(await self._store.read(letter, 0, size)))
            if with_body:
                body = await read_body_text(self._store, letter, self._pace.breathe)
        except StoreFault:
            raise
        except Exception as fault:
            # Whatever is wrong with one letter must not keep all others from being found.
            level = logging.WARNING if isinstance(fault, Unreadable) else logging.ERROR
            event(_log, level, "indexer.unreadable", letter=letter.email_id, why=repr(fault))
            header = body = None
        await self._pace.breathe()
        return Paper(letter.uid, letter.message, header, body)

    async def _try_unread(self, index: str, account: AccountId, marks: dict[MailboxId, Mark]) -> None:
        """Give letters that could not be read another chance."""
        unread: dict[MailboxId, list[Uid]] = {}
        for mailbox, uid in await self._in_thread(self._writer.unread, index, account, INDEXER_LETTERS):
            unread.setdefault(mailbox, []).append(uid)
        for mailbox, uids in unread.items():
            mark = marks.get(mailbox)
            if mark is None:
                continue
            filing = _Filing(index, account, State(mailbox, mark.uid + 1, mark.modseq, 0), mark)
            self._batches += 1
            await self._file(filing, await self._store.letters(mailbox, uids), mark.uid)

    # --- what is gone

    async def _forget_gone(self, filing: _Filing) -> None:
        """Take out what was expunged up to the state's modseq."""
        state, mark = filing.state, filing.mark
        if mark.modseq < state.forgotten:
            # Tombstones that would tell may be gone themselves.
            await self._sweep(filing)
        elif mark.modseq < state.modseq:
            at = (mark.modseq, Uid(0xFFFFFFFF))
            while rows := self._ask(indexreads.expunged, state.mailbox, at, INDEXER_LETTERS):
                await self._forget(filing, [uid for _, uid in rows])
                at = rows[-1]
        if mark.modseq != state.modseq:
            filing.mark = mark._replace(modseq=state.modseq)
            await self._write(filing, [], filing.mark.uid)

    async def _sweep(self, filing: _Filing) -> None:
        """Hold what is filed of a mailbox against what is there."""
        mailbox, after = filing.state.mailbox, 0
        while filed := await self._in_thread(
            self._writer.filed, filing.index, filing.account, mailbox, after, INDEXER_LETTERS
        ):
            there = self._ask(indexreads.uids_between, mailbox, filed[0], filed[-1])
            gone = [uid for uid in filed if uid not in there]
            if gone:
                await self._forget(filing, gone)
            after = filed[-1]
            await self._pace.breathe()

    async def _forget(self, filing: _Filing, uids: Sequence[Uid]) -> None:
        await self._in_thread(self._writer.forget, filing.index, filing.account, filing.state.mailbox, uids)
        await self._end_of_batch()

    async def _forget_mailbox(self, index: str, account: AccountId, mailbox: MailboxId) -> None:
        filing = _Filing(index, account, State(mailbox, 1, 0, 0), Mark(0, 0))
        while filed := await self._in_thread(self._writer.filed, index, account, mailbox, 0, INDEXER_LETTERS):
            await self._forget(filing, filed)
        await self._in_thread(self._writer.forget_mark, index, account, mailbox)

    # --- turns

    async def _end_of_batch(self) -> None:
        """Rest for as long as the share asks. Raises `_NotYet` where it is another account's turn."""
        await asyncio.sleep(self._rest * (time.monotonic() - self._began))
        self._began = time.monotonic()
        self._batches -= 1
        if self._batches <= 0:
            raise _NotYet

    async def _in_thread(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))

    def _ask(
        self, question: Callable[Concatenate[apsw.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        try:
            return question(self._index, *args, **kwargs)
        except apsw.Error as error:
            raise sqlite_fault(self._index, error) from error


class _Filing:
    """A mailbox on its way into the search index."""

    __slots__ = ("account", "index", "mark", "state")

    def __init__(self, index: str, account: AccountId, state: State, mark: Mark) -> None:
        self.index = index
        self.account = account
        self.state = state
        self.mark = mark


def _low_priority() -> None:
    # Linux gives each thread a priority of its own.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
