"""Group commit: what comes together is one transaction, and nobody's trouble is another's."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import apsw
import pytest

from postroom.message.structure import parse
from postroom.net.limits import BATCH_CHANGES, BATCH_OCTETS, BLOB_IN_MEMORY
from postroom.store.apply import batch
from postroom.store.blobs import LargeBody
from postroom.store.changes import (
    CreateMailbox,
    Filed,
    FlagsSet,
    How,
    Reason,
    Recent,
    Refused,
    SetFlags,
    Subscribe,
    TakeRecent,
    Target,
)
from postroom.store.check.whole import check
from postroom.store.interface import Delivery, StorageFull, StoreBusy, StoreFault
from postroom.store.ledger import Ledger
from postroom.store.sqlite import SqliteStore, open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import Flag, Mailbox, MailboxId, Uid
from postroom.store.writer import inline as module
from postroom.store.writer.inline import Writer
from postroom.store.writer.keeper import keep
from postroom.store.writer.kept import KeptWriter
from tests.store.site import LETTER, deliver, do, entries, file, find, new_account, octets_of, status

Story = Callable[[SqliteStore, Mailbox], Awaitable[None]]
FORMS = pytest.mark.parametrize("form", ["inline", "keeper"])
"""Of the writer (docs/store.md); what is the keeper's own is in test_keeper.py."""


def _run(root: Path, story: Story, form: str = "inline") -> None:
    """A story about alice's INBOX; at its end everything must be sound."""
    migrate(root)

    async def tell() -> None:
        async with keep(root) if form == "keeper" else contextlib.nullcontext():
            store = await open_store(root, keeper=form == "keeper")
            try:
                await story(store, await find(store, await new_account(store)))
            finally:
                await store.close()

    asyncio.run(tell())
    assert [finding for finding in check(root) if finding.severity.value == "problem"] == []


def _lock(root: Path) -> int:
    """Hold the write lock as another process would."""
    descriptor = os.open(root / "index.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


async def _until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not so():  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0)


def _writer(store: SqliteStore) -> Writer:
    assert isinstance(store._writer, Writer)
    return store._writer


async def _under_way(store: SqliteStore) -> None:
    """Wait until all that was submitted is in a batch, which waits for the lock, or on its way to the keeper."""
    writer = store._writer
    if isinstance(writer, KeptWriter):
        await _until(lambda: bool(writer._under_way) and not writer._waiting)
    else:
        await _until(lambda: writer._busy and not writer._waiting)


async def _submitted(store: SqliteStore, count: int) -> None:
    """Wait until so many wait for the next batch."""
    await _until(lambda: len(store._writer._waiting) == count)


def test_a_hundred_letters_at_a_time_are_one_sync_and_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        await file(store, inbox)
        commits = syncs = 0

        def count_commit() -> bool:
            nonlocal commits
            commits += 1
            return False

        def count_sync(descriptor: int, fdatasync: Callable[[int], None] = os.fdatasync) -> None:
            nonlocal syncs
            syncs += 1
            fdatasync(descriptor)

        store._connection.set_commit_hook(count_commit)
        monkeypatch.setattr(os, "fdatasync", count_sync)
        uids = await asyncio.gather(*(file(store, inbox) for _ in range(BATCH_CHANGES)))
        assert sorted(uids) == list(range(2, BATCH_CHANGES + 2))
        assert (commits, syncs) == (1, 1)
        await asyncio.gather(*(file(store, inbox) for _ in range(BATCH_CHANGES + 1)))
        assert (commits, syncs) == (3, 3)

    _run(tmp_path, story)


def test_a_batch_takes_no_more_once_it_has_its_octets(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        letter = bytes(BLOB_IN_MEMORY)
        count = BATCH_OCTETS // BLOB_IN_MEMORY
        before = _writer(store).transactions
        await asyncio.gather(*(file(store, inbox, letter) for _ in range(count)))
        assert _writer(store).transactions == before + 1
        await asyncio.gather(*(file(store, inbox, letter) for _ in range(count + 1)))
        assert _writer(store).transactions == before + 3

    _run(tmp_path, story)


def test_what_comes_while_a_batch_is_under_way_is_the_next_one(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        other = _lock(tmp_path)
        first = asyncio.create_task(file(store, inbox))
        await _under_way(store)
        later = [asyncio.create_task(file(store, inbox)) for _ in range(10)]
        await _submitted(store, 10)
        before = _writer(store).transactions
        assert not first.done()
        os.close(other)
        assert await first == 1
        assert await asyncio.gather(*later) == list(range(2, 12))
        assert _writer(store).transactions == before + 2

    _run(tmp_path, story)


def test_changes_of_one_batch_see_each_other_in_their_order(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        before = _writer(store).transactions
        filed, seen, unseen, recent, again = await asyncio.gather(
            file(store, inbox),
            store.commit(SetFlags(inbox.id, (Uid(1),), How.ADD, Flag.SEEN)),
            store.commit(SetFlags(inbox.id, (Uid(1),), How.REMOVE, Flag.SEEN)),
            store.commit(TakeRecent(inbox.id)),
            file(store, inbox),
        )
        assert _writer(store).transactions == before + 1
        assert (filed, again) == (1, 2)
        assert isinstance(seen, FlagsSet) and isinstance(unseen, FlagsSet)
        assert seen.modseq < unseen.modseq
        assert recent == Recent(Uid(1))
        now = await status(store, inbox)
        assert (now.unseen, now.recent, now.messages) == (2, 1, 2)

    _run(tmp_path, story)


def test_a_refused_change_does_not_stop_the_others(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        before = _writer(store).transactions
        (lost,), uid, refused = await asyncio.gather(
            deliver(store, LETTER, Target(MailboxId(99))),
            file(store, inbox),
            store.commit(CreateMailbox(inbox.owner, "inbox")),
        )
        assert lost == Refused(Reason.NO_SUCH_MAILBOX)
        assert uid == 1
        assert refused == Refused(Reason.MAILBOX_EXISTS)
        assert _writer(store).transactions == before + 1

    _run(tmp_path, story)


@FORMS
def test_a_change_that_breaks_does_not_take_the_others_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    def broken(ledger: Ledger, change: TakeRecent) -> Recent:
        ledger.draw("uid_validity")
        raise ZeroDivisionError

    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        monkeypatch.setitem(cast(dict[object, object], batch.APPLY), TakeRecent, broken)
        first, lost, second = await asyncio.gather(
            file(store, inbox),
            store.commit(TakeRecent(inbox.id)),
            file(store, inbox),
            return_exceptions=True,
        )
        assert (first, second) == (1, 2)
        assert type(lost) is StoreFault
        assert [entry.uid for entry in await entries(store, inbox)] == [1, 2]
        assert await octets_of(store, inbox, Uid(2)) == LETTER

    with caplog.at_level(logging.ERROR):
        _run(tmp_path, story, form)
    assert [record.exc_info is not None for record in caplog.records] == [True]


@FORMS
@pytest.mark.parametrize(
    ("error", "fault"),
    [(apsw.FullError, StorageFull), (apsw.IOError, StoreFault), (apsw.CorruptError, StoreFault)],
)
def test_where_the_index_fails_nobody_is_told_that_it_is_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[apsw.Error],
    fault: type[StoreFault],
    form: str,
) -> None:
    def fail(_: Ledger) -> None:
        raise error("no")

    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(Ledger, "flush", fail)
            answers = await asyncio.gather(
                file(store, inbox), store.commit(Subscribe(inbox.owner, "x")), return_exceptions=True
            )
        assert [type(answer) for answer in answers] == [fault, fault]
        assert await entries(store, inbox) == []
        assert "x" not in await store.subscriptions(inbox.owner)
        # It recovers by itself.
        assert await file(store, inbox) == 1

    _run(tmp_path, story, form)


def _held(root: Path) -> dict[Path, bytes]:
    """What stands in each segment, without the zeros that were written ahead."""
    return {path: path.read_bytes().rstrip(b"\0") for path in (root / "segments").iterdir()}


def test_a_lock_that_never_comes_free_is_a_fault_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        await file(store, inbox)
        held = _held(tmp_path)
        monkeypatch.setattr(module, "WRITE_LOCK_SECONDS", 0.02)
        other = _lock(tmp_path)
        answers = await asyncio.gather(
            file(store, inbox),
            file(store, inbox, bytes(BLOB_IN_MEMORY + 1)),
            store.commit(TakeRecent(inbox.id)),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [StoreBusy] * 3
        assert _held(tmp_path) == held
        os.close(other)
        assert await file(store, inbox) == 2

    _run(tmp_path, story)


@FORMS
def test_an_outsider_with_a_transaction_of_its_own_is_waited_for_without_standing_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        outsider = apsw.Connection(str(tmp_path / "index.db"))
        outsider.execute("BEGIN IMMEDIATE").fetchall()
        waiting = asyncio.create_task(file(store, inbox))
        await _under_way(store)
        assert (await status(store, inbox)).messages == 0
        outsider.execute("ROLLBACK").fetchall()
        assert await waiting == 1
        outsider.execute("BEGIN IMMEDIATE").fetchall()
        held = _held(tmp_path)
        monkeypatch.setattr(module, "WRITE_LOCK_SECONDS", 0.02)
        with pytest.raises(StoreBusy):
            await file(store, inbox)
        assert _held(tmp_path) == held
        outsider.close()
        assert await file(store, inbox) == 2

    _run(tmp_path, story, form)


@FORMS
def test_the_loop_goes_on_while_another_process_has_the_lock(tmp_path: Path, form: str) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        other = _lock(tmp_path)
        waiting = asyncio.create_task(file(store, inbox))
        turns = 0
        while turns < 100:
            await asyncio.sleep(0)
            turns += 1
        assert (await status(store, inbox)).messages == 0
        os.close(other)
        assert await waiting == 1

    _run(tmp_path, story, form)


def test_who_goes_before_the_batch_begins_leaves_nothing(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        other = _lock(tmp_path)
        first = asyncio.create_task(file(store, inbox))
        await _under_way(store)
        small = asyncio.create_task(file(store, inbox))
        large = asyncio.create_task(file(store, inbox, bytes(BLOB_IN_MEMORY + 1)))
        await _submitted(store, 2)
        small.cancel()
        large.cancel()
        os.close(other)
        assert await first == 1
        await asyncio.gather(small, large, return_exceptions=True)
        assert await file(store, inbox) == 2
        assert len(list((tmp_path / "segments").iterdir())) == 1

    _run(tmp_path, story)


@FORMS
def test_who_goes_while_a_large_letter_is_synced_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    go_on = threading.Event()

    def slow(_: LargeBody) -> None:
        go_on.wait(10)
        raise StoreFault("and then it fails")

    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        monkeypatch.setattr(LargeBody, "sync", slow)
        large = asyncio.create_task(file(store, inbox, bytes(BLOB_IN_MEMORY + 1)))
        await asyncio.sleep(0)
        large.cancel()
        await asyncio.gather(large, return_exceptions=True)
        go_on.set()
        await _until(lambda: not list((tmp_path / "segments").iterdir()))

    _run(tmp_path, story, form)


@FORMS
def test_who_goes_while_the_batch_is_under_way_has_a_letter_filed_whole(tmp_path: Path, form: str) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        blob = store.blob()
        blob.write(LETTER)
        other = _lock(tmp_path)
        delivery = Delivery(blob, parse(LETTER), (Target(inbox.id),), 0)
        going = asyncio.create_task(store.deliver(delivery))
        await _under_way(store)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        blob.discard()
        os.close(other)
        assert await file(store, inbox) == 2
        assert await octets_of(store, inbox, Uid(1)) == LETTER

    _run(tmp_path, story, form)


@FORMS
@pytest.mark.parametrize("size", [10, BLOB_IN_MEMORY + 1])
@pytest.mark.parametrize("call", ["pwritev", "fdatasync"])
def test_a_disk_without_room_fails_the_letters_and_not_the_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, call: str, form: str
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        await file(store, inbox)
        blob = store.blob()
        blob.write(bytes(size))
        with monkeypatch.context() as broken:
            broken.setattr(os, call, full)
            (letter, mailbox) = await asyncio.gather(
                store.deliver(Delivery(blob, parse(bytes(size)), (Target(inbox.id),), 0)),
                store.commit(CreateMailbox(inbox.owner, "new")),
                return_exceptions=True,
            )
        assert type(letter) is StorageFull
        assert isinstance(mailbox, Mailbox)
        assert await file(store, inbox) == 2
        assert [await octets_of(store, inbox, Uid(uid)) for uid in (1, 2)] == [LETTER, LETTER]

    _run(tmp_path, story, form)


@FORMS
def test_closing_finishes_what_was_asked_and_takes_no_more(tmp_path: Path, form: str) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        asked = [asyncio.create_task(file(store, inbox)) for _ in range(BATCH_CHANGES + 5)]
        await asyncio.sleep(0)
        await store.close()
        assert sorted(await asyncio.gather(*asked)) == list(range(1, BATCH_CHANGES + 6))
        with pytest.raises(StoreFault):
            await store.commit(TakeRecent(inbox.id))

    _run(tmp_path, story, form)


def test_a_select_without_news_writes_nothing(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        await file(store, inbox)
        assert await do(store, TakeRecent(inbox.id), Recent) == Recent(Uid(1))
        before = store._connection.total_changes()
        assert await do(store, TakeRecent(inbox.id), Recent) == Recent(Uid(2))
        assert store._connection.total_changes() == before

    _run(tmp_path, story)


@FORMS
def test_the_last_uid_of_a_mailbox_is_given_and_no_further_one(tmp_path: Path, form: str) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        store._connection.execute(
            "UPDATE mailboxes SET uid_next = ? WHERE id = ?", (2**32 - 1, inbox.id)
        ).fetchall()
        answers = await deliver(store, LETTER, Target(inbox.id), Target(inbox.id))
        assert answers == (Filed(inbox.uid_validity, (Uid(2**32 - 1),)), Refused(Reason.TOO_MANY))
        assert await deliver(store, LETTER, Target(inbox.id)) == (Refused(Reason.TOO_MANY),)

    _run(tmp_path, story, form)
