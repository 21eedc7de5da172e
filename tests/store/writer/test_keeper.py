"""The keeper and those who ask it: one group commit for all, and each change answered once, and truly."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import cast

import apsw
import pytest

from postroom.net.limits import BATCH_CHANGES, BLOB_IN_MEMORY, KEEPER_BATCHES, KEEPER_OCTETS
from postroom.store.apply import batch
from postroom.store.apply.batch import Kept, apply
from postroom.store.apply.keeping import Key, kept_replies, kept_writers
from postroom.store.changes import CreateMailbox, Done, Filed, Subscribe, TakeRecent, Target
from postroom.store.check.findings import Severity
from postroom.store.check.whole import check
from postroom.store.events import Hints
from postroom.store.interface import StorageFull, StoreBusy, StoreFault
from postroom.store.ledger import Ledger
from postroom.store.shipping import complete
from postroom.store.sqlite import SqliteStore, open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import AccountId, Mailbox, MailboxId, Uid
from postroom.store.writer import keeper as keepermodule
from postroom.store.writer import kept as module
from postroom.store.writer.keeper import Keeper, keep
from postroom.store.writer.kept import KeptWriter
from postroom.store.writer.link import KeeperLock, Link, connect
from postroom.store.writer.wire import (
    Answers,
    Welcome,
    read_kept,
    read_to_writer,
    write_batch,
    write_hello,
    write_item,
)
from tests.store.site import LETTER, deliver, do, entries, file, find, new_account, octets_of, status

PATIENCE = 10.0
Story = Callable[[SqliteStore, Mailbox], Awaitable[None]]


def _run(root: Path, story: Story, *, keeper: bool = True) -> None:
    """A story about alice's INBOX, in a store that asks a keeper; at its end everything must be sound."""
    migrate(root)

    async def tell() -> None:
        async with contextlib.AsyncExitStack() as stack:
            store = await open_store(root, name="first")
            inbox = await find(store, await new_account(store))
            await store.close()
            if keeper:
                await stack.enter_async_context(keep(root))
            async with _opened(root) as store:
                await story(store, inbox)

    asyncio.run(tell())
    assert [finding for finding in check(root) if finding.severity is Severity.PROBLEM] == []


@contextlib.asynccontextmanager
async def _opened(root: Path) -> AsyncIterator[SqliteStore]:
    store = await open_store(root, keeper=True)
    try:
        yield store
    finally:
        await store.close()


def _writer(store: SqliteStore) -> KeptWriter:
    assert isinstance(store._writer, KeptWriter)
    return store._writer


async def _until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not so():  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0)


def _has(keeper: Keeper, changes: int) -> bool:
    """Whether so many of all writers' changes have come and aren't answered yet."""
    return sum(guest.changes for guest in keeper._guests.values()) == changes


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold the index's write lock as another process would."""
    descriptor = os.open(root / "index.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def _kept(store: SqliteStore) -> dict[int, bytes]:
    return kept_replies(store._connection, _writer(store)._name)


# --- together


def test_what_several_processes_send_in_one_turn_is_one_sync_and_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(tmp_path)
    syncs = 0

    def count_sync(descriptor: int, fdatasync: Callable[[int], None] = os.fdatasync) -> None:
        nonlocal syncs
        syncs += 1
        fdatasync(descriptor)

    async def tell() -> None:
        async with keep(tmp_path) as keeper, _opened(tmp_path) as one, _opened(tmp_path) as two:
            inbox = await find(one, await new_account(one))
            await asyncio.gather(file(one, inbox), file(two, inbox))
            before = keeper.writer.transactions
            monkeypatch.setattr(os, "fdatasync", count_sync)
            uids = await asyncio.gather(*(file(store, inbox) for _ in range(10) for store in (one, two)))
            assert sorted(uids) == list(range(3, 23))
            assert (keeper.writer.transactions, syncs) == (before + 1, 1)

    asyncio.run(tell())


def test_a_thousand_at_a_time_are_all_answered_and_no_more_are_under_way_than_may_be(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        writer = _writer(store)
        await file(store, inbox)
        with _locked(tmp_path):
            asked = [asyncio.create_task(file(store, inbox)) for _ in range(1000)]
            await _until(lambda: len(writer._under_way) == KEEPER_BATCHES * BATCH_CHANGES)
            await asyncio.sleep(0.01)
            assert (writer._batches, len(writer._waiting)) == (KEEPER_BATCHES, 200)
        assert sorted(await asyncio.gather(*asked)) == list(range(2, 1002))
        assert (writer._batches, writer._octets, writer._under_way) == (0, 0, {})

    _run(tmp_path, story)


def test_large_octets_wait_at_the_writer_until_the_keeper_has_room(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        writer = _writer(store)
        letter = bytes(BLOB_IN_MEMORY)
        count = 2 * KEEPER_OCTETS // BLOB_IN_MEMORY
        await file(store, inbox)
        with _locked(tmp_path):
            asked = [asyncio.create_task(file(store, inbox, letter)) for _ in range(count)]
            await _until(lambda: writer._octets >= KEEPER_OCTETS)
            await asyncio.sleep(0.01)
            assert writer._octets < KEEPER_OCTETS + 9 * 1024 * 1024
            assert len(writer._waiting) > count // 4
        assert sorted(await asyncio.gather(*asked)) == list(range(2, count + 2))
        assert await octets_of(store, inbox, Uid(count)) == letter

    _run(tmp_path, story)


def test_who_asked_hears_from_the_answer_and_others_by_hints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        async with _opened(tmp_path) as other:
            own, there = asyncio.Event(), asyncio.Event()
            store.watch(inbox.id, own.set)
            other.watch(inbox.id, there.set)
            with monkeypatch.context() as deaf:
                deaf.setattr(Hints, "send", lambda *_: None)
                await file(store, inbox)
                assert own.is_set(), "before who waited went on"
                assert not there.is_set()
            await file(store, inbox)
            async with asyncio.timeout(PATIENCE):
                await there.wait()

    _run(tmp_path, story)


# --- trouble


def test_a_change_that_breaks_fails_alone_and_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
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
        replies = map(read_kept, _kept(store).values())
        assert [reply[0] for reply in replies if isinstance(reply, tuple)] == [
            Filed(inbox.uid_validity, (Uid(uid),)) for uid in (1, 2)
        ]

    _run(tmp_path, story)


@pytest.mark.parametrize(
    ("error", "fault"), [(apsw.FullError, StorageFull), (apsw.IOError, StoreFault), (apsw.CorruptError, StoreFault)]
)
def test_where_the_index_fails_nobody_is_told_that_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[apsw.Error], fault: type[StoreFault]
) -> None:
    def fail(_: Ledger) -> None:
        raise error("no")

    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        large = bytes(BLOB_IN_MEMORY + 1)
        with monkeypatch.context() as broken:
            broken.setattr(Ledger, "flush", fail)
            answers = await asyncio.gather(
                file(store, inbox),
                file(store, inbox, large),
                store.commit(Subscribe(inbox.owner, "x")),
                return_exceptions=True,
            )
        assert [type(answer) for answer in answers] == [fault] * 3
        assert await entries(store, inbox) == []
        assert _kept(store) == {}
        assert await file(store, inbox, large) == 1

    _run(tmp_path, story)


@pytest.mark.parametrize("size", [10, BLOB_IN_MEMORY + 1])
def test_a_lock_that_never_comes_free_is_a_fault_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        monkeypatch.setattr("postroom.store.writer.inline.WRITE_LOCK_SECONDS", 0.02)
        with _locked(tmp_path), pytest.raises(StoreBusy):
            await file(store, inbox, bytes(size))
        assert list((tmp_path / "segments").iterdir()) == []
        assert await file(store, inbox) == 1

    _run(tmp_path, story)


def test_who_goes_before_it_is_sent_leaves_nothing(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        going = [asyncio.create_task(file(store, inbox, bytes(size))) for size in (10, BLOB_IN_MEMORY + 1)]
        await _until(lambda: len(_writer(store)._waiting) == 2)
        for each in going:
            each.cancel()
        await asyncio.gather(*going, return_exceptions=True)
        async with keep(tmp_path):
            assert await file(store, inbox) == 1
        assert len(list((tmp_path / "segments").iterdir())) == 1

    _run(tmp_path, story, keeper=False)


def test_who_goes_while_a_large_letter_s_record_is_completed_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        began, go_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(*given: object) -> object:
            loop.call_soon_threadsafe(began.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            return complete(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(module, "complete", slow)
        large = asyncio.create_task(file(store, inbox, bytes(BLOB_IN_MEMORY + 1)))
        await began.wait()
        large.cancel()
        await asyncio.gather(large, return_exceptions=True)
        go_on.set()
        await _until(lambda: not list((tmp_path / "segments").iterdir()))

    _run(tmp_path, story)


def test_a_large_letter_for_nobody_or_that_can_t_be_completed_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        large = bytes(BLOB_IN_MEMORY + 1)
        (refused,) = await deliver(store, large, Target(MailboxId(99)))
        assert refused
        calls = 0

        def fail(*_: object) -> int:
            nonlocal calls
            calls += 1
            if calls == 3:  # birth, payload, frame
                raise OSError(28, "full")
            return 0

        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", fail)
            with pytest.raises(StorageFull):
                await file(store, inbox, large)
        assert list((tmp_path / "segments").iterdir()) == []

    _run(tmp_path, story)


def test_a_change_that_is_too_large_or_can_t_be_told_is_refused_and_the_next_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        change = Subscribe(inbox.owner, "x" * 100)
        monkeypatch.setattr(module, "KEEPER_CHANGE_OCTETS", write_item(change).size)
        assert await store.commit(change) == Done()
        for odd in (Subscribe(inbox.owner, "x" * 101), CreateMailbox(AccountId(2**63), "x")):
            with pytest.raises(StoreFault):
                await store.commit(odd)
        assert await do(store, TakeRecent(inbox.id), object)

    _run(tmp_path, story)


# --- keepers come and go


def test_without_a_keeper_changes_wait_a_while_and_reads_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        monkeypatch.setattr(module, "KEEPER_WAIT_SECONDS", 0.05)
        waiting = [asyncio.create_task(file(store, inbox, bytes(size))) for size in (10, BLOB_IN_MEMORY + 1)]
        assert (await status(store, inbox)).messages == 0
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreBusy] * 2
        assert list((tmp_path / "segments").iterdir()) == []
        monkeypatch.undo()
        later = asyncio.create_task(file(store, inbox))
        await _until(lambda: len(_writer(store)._waiting) == 1)
        async with keep(tmp_path):
            assert await later == 1

    _run(tmp_path, story, keeper=False)


def test_a_keeper_that_ends_answers_what_it_has_and_its_successor_goes_on(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        for number in range(3):
            async with keep(tmp_path) as keeper:
                with _locked(tmp_path):
                    asked = [asyncio.create_task(file(store, inbox)) for _ in range(10)]
                    await _until(functools.partial(_has, keeper, 10))
            assert sorted(await asyncio.gather(*asked)) == list(range(10 * number + 1, 10 * number + 11))
            await _until(lambda: _writer(store)._link is None)

    _run(tmp_path, story, keeper=False)


def test_a_writer_that_comes_again_waits_for_what_it_asked_and_finds_it_done(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        writer = _writer(store)
        await file(store, inbox)
        with _locked(tmp_path):
            asked = [asyncio.create_task(file(store, inbox)) for _ in range(10)]
            await _until(lambda: len(writer._under_way) == 10)
            await asyncio.sleep(0.01)
            assert writer._link is not None
            writer._link.abort()
            await _until(lambda: writer._link is None)
            later = asyncio.create_task(file(store, inbox))
            await asyncio.sleep(0.05)
            assert not any(each.done() for each in asked)
        assert sorted(await asyncio.gather(*asked)) == list(range(2, 12))
        assert await later == 12

    _run(tmp_path, story)


def test_without_a_successor_a_writer_finds_out_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEPER_WAIT_SECONDS", 0.05)

    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        writer = _writer(store)
        async with keep(tmp_path):
            await file(store, inbox)
            assert writer._link is not None
            writer._link._heard = lambda *_: None
            asked = [asyncio.create_task(file(store, inbox)) for _ in range(2)]
            await _until(lambda: len(_kept(store)) == 2)
        lock = KeeperLock(tmp_path / "run")
        assert lock.take()
        await asyncio.sleep(0.1)
        assert not any(each.done() for each in asked), "somebody may be a keeper still"
        lock.close()
        assert await asyncio.gather(*asked) == [2, 3]

    _run(tmp_path, story, keeper=False)


def test_what_a_keeper_never_began_is_a_fault_and_stays_undone(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        writer = _writer(store)
        sent: list[bytes] = []
        async with keep(tmp_path):
            await file(store, inbox)
            assert writer._link is not None
            writer._link.send = sent.append  # type: ignore[method-assign, assignment]
            asked = [asyncio.create_task(file(store, inbox, bytes(size))) for size in (10, 10, BLOB_IN_MEMORY + 1)]
            await _until(lambda: len(writer._under_way) == 3)
        async with keep(tmp_path):
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(answer) for answer in answers] == [StoreFault] * 3
            assert await file(store, inbox) == 2
        assert [entry.uid for entry in await entries(store, inbox)] == [1, 2]

    _run(tmp_path, story, keeper=False)


def test_a_second_keeper_waits_for_the_first_and_gives_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(tmp_path)

    async def tell() -> None:
        async with contextlib.AsyncExitStack() as second:
            async with keep(tmp_path):
                coming = asyncio.create_task(second.enter_async_context(keep(tmp_path)))
                await asyncio.sleep(0.03)
                assert not coming.done()
            assert isinstance(await coming, Keeper)
            monkeypatch.setattr(keepermodule, "KEEPER_WAIT_SECONDS", 0.02)
            with pytest.raises(StoreFault, match="another keeper"):
                await second.enter_async_context(keep(tmp_path))

    asyncio.run(tell())


def test_a_keeper_that_begins_on_a_full_disk_lets_writers_in_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Ledger) -> None:
        raise apsw.FullError("no")

    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(Ledger, "flush", full)
            async with keep(tmp_path):
                asked = asyncio.create_task(file(store, inbox))
                await _until(lambda: len(_writer(store)._waiting) == 1)
                assert (await status(store, inbox)).messages == 0
                broken.undo()
                assert await asked == 1

    monkeypatch.setattr(keepermodule, "_AGAIN_SECONDS", 0.01)
    _run(tmp_path, story, keeper=False)


def test_each_keeper_begins_with_a_commit_of_its_own(tmp_path: Path) -> None:
    migrate(tmp_path)

    async def tell() -> int:
        async with keep(tmp_path) as keeper:
            assert keeper.writer.transactions == 1
            return keeper._index.total_changes()

    assert asyncio.run(tell()) > 0
    assert asyncio.run(tell()) > 0


def test_the_socket_is_its_owner_s_alone(tmp_path: Path) -> None:
    migrate(tmp_path)

    async def tell() -> None:
        async with keep(tmp_path):
            for name in ("keeper.sock", "keeper.lock"):
                assert stat.S_IMODE((tmp_path / "run" / name).stat().st_mode) == 0o600

    asyncio.run(tell())


# --- kept replies


def test_replies_are_kept_until_they_were_heard(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        await asyncio.gather(*(file(store, inbox) for _ in range(10)))
        assert sorted(_kept(store)) == list(range(1, 11))
        await file(store, inbox)
        assert sorted(_kept(store)) == [11]

    _run(tmp_path, story)


def test_replies_of_a_writer_that_is_gone_are_forgotten_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(_: SqliteStore, inbox: Mailbox) -> None:
        async with keep(tmp_path), _opened(tmp_path) as store:
            await file(store, inbox)
        assert len(kept_writers(store_index)) == 1
        monkeypatch.setattr(keepermodule, "KEPT_REPLIES_SECONDS", 0.01)
        async with keep(tmp_path):
            await _until(lambda: kept_writers(store_index) == [])
            async with _opened(tmp_path) as store:
                await file(store, inbox)
                await asyncio.sleep(0.05)
                assert len(kept_writers(store_index)) == 1, "it is still there"
            await _until(lambda: kept_writers(store_index) == [])

    migrate(tmp_path)
    store_index = apsw.Connection(str(tmp_path / "index.db"))
    _run(tmp_path, story, keeper=False)
    store_index.close()


def test_a_reply_is_kept_or_not_with_what_it_answers(tmp_path: Path) -> None:
    migrate(tmp_path)
    index = apsw.Connection(str(tmp_path / "index.db"))
    key = Key("w", 1, 0)
    change = Subscribe(AccountId(1), "x")
    apply(index, [Kept(change, key)], 0)
    with pytest.raises(apsw.ConstraintError):
        apply(index, [Kept(Subscribe(AccountId(1), "y"), Key("w", 2, 0)), Kept(change, key)], 0)
    assert list(kept_replies(index, "w")) == [1]
    assert index.execute("SELECT count(*) FROM subscriptions WHERE name = 'y'").get == 0
    index.close()


# --- those who break the rules


class Stranger:
    """Somebody at the keeper's socket who says what he likes."""

    def __init__(self, link: Link, heard: list[Welcome | Answers], lost: asyncio.Event) -> None:
        self.link, self.heard, self.lost = link, heard, lost


async def _stranger(root: Path) -> Stranger:
    heard: list[Welcome | Answers] = []
    lost = asyncio.Event()
    link = await connect(
        root / "run",
        lambda: Link(lambda _, *said: heard.append(read_to_writer(*said)), lambda _: lost.set(), 1 << 30),
    )
    return Stranger(link, heard, lost)


ITEM = write_item(TakeRecent(MailboxId(1)))
HELLO = write_hello("x")


@pytest.mark.parametrize(
    "said",
    [
        [write_batch(1, 0, [ITEM])],
        [HELLO, HELLO],
        [write_hello("")],
        [write_hello("x" * 101)],
        [HELLO, write_batch(1, 0, [])],
        [HELLO, write_batch(0, 0, [ITEM])],
        [HELLO, write_batch(2, 2, [ITEM])],
        [HELLO, write_batch(2, -1, [ITEM])],
        [HELLO, write_batch(2, 0, [ITEM]), write_batch(2, 0, [ITEM])],
        [HELLO, write_batch(1, 0, [ITEM] * (KEEPER_BATCHES * BATCH_CHANGES + 1))],
        [b"\xff\xff\xff\xff\0\0\0\0"],
        [b"\0\0\0\2\0\0\0\0{}"],
        [b"GET / HTTP/1.1\r\n\r\n"],
    ],
)
def test_who_breaks_the_rules_is_cut_off_and_the_others_are_not(tmp_path: Path, said: list[bytes]) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        await file(store, inbox)
        stranger = await _stranger(tmp_path)
        for number, frame in enumerate(said):
            stranger.link.send(frame)
            if number == 0 and frame is HELLO:
                await _until(lambda: bool(stranger.heard))
        async with asyncio.timeout(PATIENCE):
            await stranger.lost.wait()
        assert await file(store, inbox) == 2

    _run(tmp_path, story)


def test_who_is_within_the_limits_is_answered(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        stranger = await _stranger(tmp_path)
        stranger.link.send(HELLO)
        await _until(lambda: bool(stranger.heard))
        count = KEEPER_BATCHES * BATCH_CHANGES
        frame = write_batch(5, 4, [write_item(Subscribe(inbox.owner, "x"))] * count)
        for start in range(0, len(frame), 1000):  # in pieces
            stranger.link.send(frame[start : start + 1000])
            await asyncio.sleep(0)
        replies: dict[int, object] = {}

        def all_said() -> bool:
            for answers in stranger.heard:
                if isinstance(answers, Answers):
                    replies.update(answers.replies)
            return len(replies) == count

        await _until(all_said)
        assert replies == dict.fromkeys(range(5, count + 5), Done())
        stranger.link.abort()

    _run(tmp_path, story)


def test_a_letter_that_comes_in_pieces_and_with_others_behind_it_is_whole(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        letters = [LETTER, os.urandom(BLOB_IN_MEMORY), LETTER * 3, os.urandom(BLOB_IN_MEMORY), b""]
        await asyncio.gather(*(file(store, inbox, letter) for letter in letters * 3))
        assert [await octets_of(store, inbox, entry.uid) for entry in await entries(store, inbox)] == letters * 3

    _run(tmp_path, story)
