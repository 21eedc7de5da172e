"""The store on one machine: an index in SQLite, letters in segments. See `interface.Store` for what it promises.

    migrate(root)
    store = await open_store(root, name="worker-0")
    inbox = await store.mailbox(account.id, "INBOX")
    await store.close()

One connection and one thread: reads answer at once, and changes go to the group commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar, cast

import apsw

from postroom.net.limits import BLOB_IN_MEMORY, LETTERS_PER_READ
from postroom.store import burials, reads
from postroom.store.apply.batch import Applied
from postroom.store.blobs import LargeBody, StoredBlob
from postroom.store.changes import Answer, Change, Filed, Refused
from postroom.store.columns import Columns
from postroom.store.drops import Drops
from postroom.store.events import Hints, Watchers
from postroom.store.faults import sqlite_fault
from postroom.store.graves import Buried, Grave, Known, Sought
from postroom.store.index import open_index, require_current
from postroom.store.interface import Blob, Delivery, StoreFault, Unreadable
from postroom.store.lock import WriteLock
from postroom.store.reading import Piece, SegmentReader
from postroom.store.search.clues import Candidates, Clue
from postroom.store.search.reader import Search
from postroom.store.segments import Segments
from postroom.store.shipping import Parcel
from postroom.store.stories import read_story
from postroom.store.usage import read_quota
from postroom.store.values import (
    MAX_PREFIX,
    NO_QUOTAS,
    Account,
    AccountId,
    Alias,
    Changes,
    Entry,
    Happening,
    Letter,
    Mailbox,
    MailboxId,
    MessageId,
    ModSeq,
    Place,
    Quota,
    Quotas,
    RefusedLetter,
    Span,
    Status,
    Uid,
)
from postroom.store.writer.inline import Writer
from postroom.store.writer.kept import KeptWriter

__all__ = ["SqliteStore", "open_store"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def open_store(
    root: Path, *, name: str = "a", quotas: Quotas = NO_QUOTAS, keeper: bool = False
) -> SqliteStore:
    """The store of a data directory that was migrated. `name` is this process's among those of the site, `quotas`
    are the site's defaults; with `keeper` changes are made by the keeper (`store.writer.keeper`), which needs not
    be there yet.

    Raises `OlderSchema`, `NewerSchema`, `StoreFault`, OSError.
    """
    return SqliteStore(root, name, quotas, keeper=keeper)


class SqliteStore:
    """See `interface.Store`. Made by `open_store`, inside a running loop."""

    def __init__(self, root: Path, name: str, quotas: Quotas, *, keeper: bool = False) -> None:
        self._quotas = quotas
        self._lock = WriteLock(root)
        try:
            connection = open_index(root / "index.db")
            require_current(connection)
        except apsw.Error as error:
            self._lock.close()
            raise StoreFault(f"the index: {error}") from error
        except BaseException:
            self._lock.close()
            raise
        self._connection = connection
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._segments = Segments(root / "segments", self._newest_segment)
        self._reader = SegmentReader(root / "segments")
        self._search = Search(root)
        inline = Writer(connection, self._segments, self._lock, self._told, quotas)
        self._writer: Writer | KeptWriter = (
            KeptWriter(root, name, connection, inline, self._heard, quotas) if keeper else inline
        )
        self._watchers = Watchers()
        self._accounts_seen = reads.newest_account_change(connection)
        self._modseqs: dict[MailboxId, int] = {}
        self._hints = Hints(root / "run" / "events", name, self._heard, self._look)

    def _ask(
        self, question: Callable[Concatenate[apsw.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        try:
            return question(self._connection, *args, **kwargs)
        except apsw.Error as error:
            raise sqlite_fault(self._connection, error) from error

    def _newest_segment(self) -> int:
        return self._ask(reads.newest_segment)

    # --- accounts

    async def account(self, address: str) -> Account | None:
        """The account of this name (lower-case address). As all questions, raises `StoreFault`."""
        return self._ask(reads.account, address)

    async def account_by_short(self, short: str) -> Account | None:
        """The account of this name without a domain (lower case)."""
        return self._ask(reads.account_by_short, short)

    async def refused(self, word: str, limit: int) -> list[RefusedLetter]:
        """What was refused, the newest first; with a `word`, what has it in any of its fields."""
        return self._ask(reads.refused, word, limit)

    async def account_by_id(self, account: AccountId) -> Account | None:
        """The account of this number."""
        return self._ask(reads.account_by_id, account)

    async def accounts(self) -> list[Account]:
        """All accounts, by address."""
        return self._ask(reads.accounts)

    async def alias(self, name: str) -> Alias | None:
        """The alias of exactly this name."""
        return self._ask(reads.alias, name)

    async def aliases(self) -> list[Alias]:
        """All aliases, by name."""
        return self._ask(reads.aliases)

    async def quota(self, account: AccountId) -> Quota | None:
        """What an account and its domain keep, and what they may; None where it is gone."""
        return self._ask(read_quota, account, self._quotas)

    # --- mailboxes

    async def mailboxes(self, account: AccountId) -> list[Mailbox]:
        """An account's mailboxes, by name, INBOX first."""
        return self._ask(reads.mailboxes, account)

    async def mailbox(self, account: AccountId, name: str) -> Mailbox | None:
        """One by its name; "inbox" in any case is INBOX."""
        return self._ask(reads.mailbox, account, name)

    async def subscriptions(self, account: AccountId) -> list[str]:
        """Names subscribed to, by name."""
        return self._ask(reads.subscriptions, account)

    async def status(self, mailbox: MailboxId) -> Status | None:
        """Its counters; None where it is gone."""
        return self._ask(reads.status, mailbox)

    # --- letters

    async def entries(self, mailbox: MailboxId, after: Uid, limit: int) -> list[Entry]:
        """At most `limit` entries with UIDs above `after`, ascending."""
        return self._ask(reads.entries, mailbox, after, limit)

    async def columns(self, mailbox: MailboxId, after: Uid, limit: int) -> Columns:
        """What a view needs of at most `limit` letters with UIDs above `after`, ascending."""
        return self._ask(reads.columns, mailbox, after, limit)

    async def changes(self, mailbox: MailboxId, since: ModSeq, most: int | None = None) -> Changes:
        """All that happened after `since`. Raises `TooManyChanges` for more than `most` letters."""
        return self._ask(reads.changes, mailbox, since, most)

    async def letters(self, mailbox: MailboxId, uids: Sequence[Uid], *, answers: bool = True) -> list[Letter]:
        """The letters of these UIDs (ascending, at most LETTERS_PER_READ a call) that are there, ascending."""
        return self._ask(reads.letters, mailbox, uids, answers)

    async def drops(self, mailbox: MailboxId, after: Uid, limit: int) -> Drops:
        """What a POP3 session keeps of at most `limit` letters with UIDs above `after`, ascending."""
        return self._ask(reads.drops, mailbox, after, limit)

    async def kept_letters(self, mailbox: MailboxId, uids: Sequence[Uid], *, answers: bool = True) -> list[Letter]:
        """What `letters` gives, also of letters that were taken away and are kept for `undelete`."""
        return self._ask(reads.kept_letters, mailbox, uids, answers)

    async def with_binary(self, mailbox: MailboxId, after: Uid, limit: int) -> tuple[list[Uid], Uid | None]:
        """Which letters may have a part with `Content-Transfer-Encoding: binary`, a slice."""
        return self._ask(reads.with_binary, mailbox, after, limit)

    async def read(self, letter: Letter, start: int, length: int) -> bytes:
        """Octets of prefix + blob from `start` on, fewer at its end. Raises `Unreadable`."""
        prefix = letter.prefix[start : start + length]
        start = max(0, start - len(letter.prefix))
        length -= len(prefix)
        if length <= 0 or start >= letter.blob_size:
            return prefix
        place = Place(letter.segment, letter.offset, letter.blob_size)
        try:
            octets = self._read(letter, place, start, length)
        except Unreadable:
            # Compaction may have moved it since its row was read.
            moved = self._ask(reads.place, letter.message)
            self._reader.forget(place.segment)
            if moved is None or moved == place:
                raise
            octets = self._read(letter, moved, start, length)
        return prefix + octets if prefix else octets

    def _read(self, letter: Letter, place: Place, start: int, length: int) -> bytes:
        if start == 0 and length >= place.size:
            return self._reader.whole(place, letter.email_id)
        return self._reader.part(place, start, length)

    async def read_each(self, letters: Sequence[Letter], spans: Sequence[Span]) -> list[bytes | Unreadable]:
        """What `read` gives for each letter and its span, or why it can't be read. Raises ValueError for more than
        LETTERS_PER_READ."""
        if len(letters) > LETTERS_PER_READ:
            raise ValueError("too many letters at a time")
        found = self._reader.each(list(map(_piece, letters, spans)))
        answers: list[bytes | Unreadable] = []
        for letter, (start, length), octets in zip(letters, spans, found, strict=True):
            if octets is None:
                try:
                    answers.append(await self.read(letter, start, length))
                except Unreadable as fault:
                    answers.append(fault)
            elif start < len(letter.prefix):
                answers.append(letter.prefix[start : start + length] + octets)
            else:
                answers.append(octets)
        return answers

    async def search_candidates(
        self, account: AccountId, mailbox: MailboxId, clues: Sequence[Clue]
    ) -> Candidates | None:
        """Which letters of an account's mailbox may have the words that are sought; None where nothing is known."""
        return await self._search.candidates(self._ask(reads.index_id), account, mailbox, clues)

    async def search_text(self, account: AccountId, message: MessageId) -> str | None:
        """A letter's text, decoded and folded, where the account's indexer has made it."""
        return self._search.text(self._ask(reads.index_id), account, message)

    async def story(self, message: MessageId) -> list[Happening]:
        """What happened to a letter, oldest first."""
        return read_story(self._ask(reads.story, message))

    # --- what is gone, and can be brought back

    async def graves(self, address: str | None, after: MailboxId, limit: int) -> list[Grave]:
        """Mailboxes that letters may have gone from, a slice."""
        return self._ask(burials.graves, address, after, limit)

    async def buried(self, mailbox: MailboxId, after: Uid, limit: int) -> tuple[list[Buried], Uid | None]:
        """What was expunged from a mailbox and can be brought back, a slice."""
        return self._ask(burials.buried, mailbox, after, limit)

    async def known(self, sought: Sought, after: MessageId, limit: int) -> tuple[list[Known], MessageId | None]:
        """Letters that are sought, a slice."""
        return self._ask(burials.known, sought, after, limit)

    # --- changes

    def blob(self) -> Blob:
        """Begin a letter."""
        return StoredBlob(self._segments.birth)

    async def deliver(self, delivery: Delivery) -> tuple[Filed | Refused, ...]:
        """File a letter; an answer per target, in order. Raises `StoreFault`; ValueError for a prefix over
        MAX_PREFIX."""
        if any(len(target.prefix) > MAX_PREFIX for target in delivery.targets):
            raise ValueError("a prefix is too long")
        blob = delivery.blob
        assert isinstance(blob, StoredBlob), "a store is given its own blobs"
        body = blob.take()
        parcel = Parcel(
            body,
            delivery.facts,
            delivery.targets,
            delivery.internal_date,
            delivery.zone,
            delivery.by,
            delivery.note,
        )
        if isinstance(body, LargeBody):
            await self._settle(parcel, body)
        return cast("tuple[Filed | Refused, ...]", await self._writer.submit(parcel))

    async def _settle(self, parcel: Parcel, body: LargeBody) -> None:
        """Sync a large letter's payload in a thread, so that the batch's own sync has only its frame to write."""
        settled = self._loop.run_in_executor(None, body.sync)
        try:
            await asyncio.shield(settled)
        except asyncio.CancelledError:
            # The thread still has the file; whether its sync fails is of no interest any more.
            settled.add_done_callback(lambda done: _drop(parcel, done))
            raise

    async def commit(self, change: Change) -> Answer:
        """Make one change durable (batched with all that came in the same turn). Raises `StoreFault`."""
        reply = await self._writer.submit(change)
        assert not isinstance(reply, tuple), "a tuple answers a delivery"
        return reply

    # --- events

    def watch(self, mailbox: MailboxId, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` soon after each change of a mailbox by anyone in any process, until the function that is
        given back is called."""
        return self._watchers.watch(mailbox, wake)

    def watch_all(self, wake: Callable[[set[MailboxId] | None], None]) -> Callable[[], None]:
        """Call `wake(mailboxes)` soon after each change of any mailbox by anyone in any process; None: any of them
        may have changed, as now and then without any hint. Gives back a function that ends the watch."""
        return self._watchers.watch_all(wake)

    def watch_accounts(self, tell: Callable[[str], None]) -> Callable[[], None]:
        """Call `tell(address)` soon after an account was changed by anyone in any process."""
        return self._watchers.watch_accounts(tell)

    def _told(self, applied: Applied) -> None:
        self._watchers.wake(applied.mailboxes)
        if applied.accounts:
            self._look_at_accounts()
        self._hints.send(applied.mailboxes, applied.accounts)

    def _heard(self, mailboxes: list[MailboxId] | None, accounts: bool) -> None:
        if mailboxes is None:
            self._look()
            return
        self._watchers.wake(mailboxes)
        if accounts:
            self._look_at_accounts()

    def _look(self) -> None:
        """Wake whoever may have missed a hint: those whose mailbox changed since the last look."""
        now = {each: self._ask(reads.highest_modseq, each) for each in self._watchers.mailboxes}
        self._watchers.wake([each for each, modseq in now.items() if self._modseqs.get(each) != modseq])
        self._watchers.wake_all()
        self._modseqs = now
        self._look_at_accounts()
        self._reader.forget_unlinked()

    def _look_at_accounts(self) -> None:
        for number, address in self._ask(reads.accounts_changed, self._accounts_seen):
            self._accounts_seen = number
            self._watchers.tell(address)

    async def close(self) -> None:
        """End: what was accepted is committed, files are closed. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        self._hints.close()
        self._segments.close()
        self._reader.close()
        self._search.close()
        self._connection.close()
        self._lock.close()


def _piece(letter: Letter, span: Span) -> Piece:
    """What is to be read of a segment for a span of a letter."""
    size = letter.blob_size
    start = span[0] - len(letter.prefix)
    end = start + span[1]
    if start < 0:
        start = 0
    if end >= size:
        end = size
        if start == 0 and size <= BLOB_IN_MEMORY:
            return letter.segment, letter.offset, size, letter.email_id
    return letter.segment, letter.offset + start, end - start if end > start else 0, None


def _drop(parcel: Parcel, settled: asyncio.Future[None]) -> None:
    settled.exception()
    parcel.drop()
