"""The SQLite engine's own: the order of syncs, several processes at once, what a closed store leaves."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from postroom.message.structure import parse
from postroom.net.limits import BLOB_IN_MEMORY, LETTERS_PER_READ
from postroom.store.apply import batch
from postroom.store.changes import (
    Copy,
    Done,
    Expunge,
    Expunged,
    Filed,
    FlagsSet,
    How,
    RemoveAccount,
    SetFlags,
    Target,
)
from postroom.store.interface import Delivery, StoreFault, Unreadable
from postroom.store.segments import segment_name
from postroom.store.sqlite import SqliteStore, open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import MAX_PREFIX, AccountId, Flag, Mailbox, MailboxId, MessageId, Uid
from tests.store.site import LETTER, deliver, do, entries, file, find, letter_of, new_account, octets_of, status


@contextlib.asynccontextmanager
async def _opened(root: Path, *names: str) -> AsyncIterator[list[SqliteStore]]:
    migrate(root)
    stores = [await open_store(root, name=name) for name in names]
    try:
        yield stores
    finally:
        for store in stores:
            await store.close()


def _run(root: Path, story: Callable[[SqliteStore, Mailbox], Awaitable[None]]) -> None:
    async def tell() -> None:
        async with _opened(root, "one") as (store,):
            await story(store, await find(store, await new_account(store)))

    asyncio.run(tell())


@contextlib.contextmanager
def _calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What happens, in order: syncs of segments and their folder, and the transaction's begin and end."""
    seen: list[str] = []
    apply = batch.apply

    def note(name: str, call: Callable[[int], None]) -> Callable[[int], None]:
        def noted(descriptor: int) -> None:
            seen.append(f"{name} {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
            call(descriptor)

        return noted

    def applied(*args: object) -> batch.Applied:
        seen.append("begin")
        done = apply(*args)  # type: ignore[arg-type]
        seen.append("commit")
        return done

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", note("sync", os.fdatasync))
        patched.setattr(os, "fsync", note("sync", os.fsync))
        patched.setattr(batch, "apply", applied)
        yield seen


def test_a_letter_is_on_stable_storage_before_its_row_and_its_row_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        with _calls(monkeypatch) as seen:
            await file(store, inbox)
            seen.append("answer")
            await file(store, inbox)
            seen.append("answer")
        first, second = "sync 0000000001.seg", "sync segments"
        assert seen == [
            *(first, second, first, "begin", "commit", "answer"),
            *(first, "begin", "commit", "answer"),
        ]

    _run(tmp_path, story)


def test_a_large_letter_is_on_stable_storage_before_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        with _calls(monkeypatch) as seen:
            await file(store, inbox, bytes(BLOB_IN_MEMORY + 1))
            seen.append("answer")
        segment = "sync 0000000001.seg"
        # At its birth, its payload in a thread, its frame in the batch.
        assert seen == [segment, "sync segments", segment, segment, "begin", "commit", "answer"]

    _run(tmp_path, story)


def test_the_index_is_synced_with_each_commit(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        assert store._connection.pragma("synchronous") == 2
        assert store._connection.pragma("journal_mode") == "wal"

    _run(tmp_path, story)


def test_an_empty_letter_and_one_of_any_size_round_the_limit_come_back(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        for size in (0, 1, BLOB_IN_MEMORY - 1, BLOB_IN_MEMORY, BLOB_IN_MEMORY + 1, BLOB_IN_MEMORY + 4097):
            letter = os.urandom(size)
            uid = await file(store, inbox, letter, b"Prefix: x\r\n")
            assert await octets_of(store, inbox, uid) == b"Prefix: x\r\n" + letter

    _run(tmp_path, story)


def test_letters_stay_when_the_store_is_opened_again_and_uids_go_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one") as (store,):
            account = await new_account(store)
            inbox = await find(store, account)
            await file(store, inbox)
        async with _opened(tmp_path, "one") as (store,):
            assert await find(store, account) == inbox
            assert await file(store, inbox) == 2
            assert await octets_of(store, inbox, Uid(1)) == LETTER
            # Each run begins a segment of its own.
            assert [(await letter_of(store, inbox, Uid(uid))).segment for uid in (1, 2)] == [1, 2]

    asyncio.run(story())


def test_many_processes_file_at_once_and_no_uid_is_given_twice(tmp_path: Path) -> None:
    async def story() -> None:
        names = [f"worker-{number}" for number in range(4)]
        async with _opened(tmp_path, *names) as stores:
            inbox = await find(stores[0], await new_account(stores[0]))
            uids = await asyncio.gather(*(file(stores[n % 4], inbox) for n in range(200)))
            assert sorted(uids) == list(range(1, 201))
            for store in stores:
                assert (await status(store, inbox)).messages == 200
            letters = await stores[0].letters(inbox.id, [Uid(uid) for uid in range(1, 201)])
            assert len({letter.segment for letter in letters}) == 4
            for letter in letters:
                assert await stores[1].read(letter, 0, 1000) == LETTER

    asyncio.run(story())


def test_a_letter_that_was_moved_since_its_row_was_read_is_looked_up_again(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        await file(store, inbox)
        letter = await letter_of(store, inbox, Uid(1))
        assert await store.read(letter, 0, 10) == LETTER[:10]
        old, new = (tmp_path / "segments" / segment_name(number) for number in (1, 7))
        old.rename(new)
        assert await store.read(letter, 0, 10) == LETTER[:10]  # by the descriptor that is open
        store._reader.forget(1)
        with pytest.raises(Unreadable):
            await store.read(letter, 0, 1000)
        store._connection.execute("UPDATE messages SET segment = 7").fetchall()
        assert await store.read(letter, 0, 1000) == LETTER
        assert await store.read(letter, 3, 4) == LETTER[3:7]
        assert await store.read_each([letter] * 3, [(0, 1000), (3, 4), (0, 5)]) == [LETTER, LETTER[3:7], LETTER[:5]]

    _run(tmp_path, story)


def test_a_flipped_bit_is_told_and_not_served(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        await file(store, inbox)
        letter = await letter_of(store, inbox, Uid(1))
        path = tmp_path / "segments" / segment_name(letter.segment)
        octets = bytearray(path.read_bytes())
        octets[letter.offset + 5] ^= 4
        path.write_bytes(octets)
        with pytest.raises(Unreadable):
            await store.read(letter, 0, 1000)

    _run(tmp_path, story)


def test_at_most_so_many_letters_are_asked_for_at_a_time(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        await file(store, inbox)
        most = [Uid(uid) for uid in range(1, LETTERS_PER_READ + 1)]
        assert len(await store.letters(inbox.id, most)) == 1
        with pytest.raises(ValueError, match="too many"):
            await store.letters(inbox.id, [*most, Uid(LETTERS_PER_READ + 1)])
        assert await store.letters(inbox.id, []) == []
        one = await letter_of(store, inbox, Uid(1))
        assert (
            await store.read_each([one] * LETTERS_PER_READ, [(0, 3)] * LETTERS_PER_READ)
            == [LETTER[:3]] * LETTERS_PER_READ
        )
        with pytest.raises(ValueError, match="too many"):
            await store.read_each([one] * (LETTERS_PER_READ + 1), [(0, 3)] * (LETTERS_PER_READ + 1))

    _run(tmp_path, story)


def test_the_longest_prefix_and_one_octet_more(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        await file(store, inbox, LETTER, bytes(MAX_PREFIX))
        with pytest.raises(ValueError, match="prefix"):
            await file(store, inbox, LETTER, bytes(MAX_PREFIX + 1))

    _run(tmp_path, story)


def test_nobody_is_left_waiting_by_a_letter_for_nobody(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        assert await deliver(store, LETTER) == ()
        answers = await deliver(store, bytes(BLOB_IN_MEMORY + 1), Target(MailboxId(99)))
        assert len(answers) == 1
        assert list((tmp_path / "segments").iterdir()) == []

    _run(tmp_path, story)


def test_a_thousand_mailboxes_have_one_letter_with_a_prefix_each(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        prefixes = [b"Delivered-To: %d\r\n" % number for number in range(1000)]
        answers = await deliver(store, LETTER, *(Target(inbox.id, prefix) for prefix in prefixes))
        assert len(answers) == 1000 and all(isinstance(answer, Filed) for answer in answers)
        assert await octets_of(store, inbox, Uid(1000)) == prefixes[-1] + LETTER
        assert len(list((tmp_path / "segments").iterdir())) == 1

    _run(tmp_path, story)


def test_changes_of_ten_thousand_letters_at_once_are_right(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        account = await store.account_by_id(inbox.owner)
        assert account is not None
        trash = await find(store, account, "Trash")
        await file(store, inbox)
        for _ in range(12):
            every = tuple([entry.uid for entry in await store.entries(inbox.id, Uid(0), 100_000)])
            await do(store, Copy(inbox.id, every, inbox.id), Filed)
        uids = tuple([Uid(uid) for uid in range(1, 4097)])
        await do(store, SetFlags(inbox.id, uids[::2], How.ADD, Flag.DELETED | Flag.SEEN, ("$x",)), FlagsSet)
        assert ((await status(store, inbox)).deleted, (await status(store, inbox)).unseen) == (2048, 2048)
        assert (await do(store, Expunge(inbox.id, None), Expunged)).uids == uids[::2]
        moved = await do(store, Copy(inbox.id, uids, trash.id, move=True), Filed)
        assert moved.sources == uids[1::2]
        assert moved.uids == uids[:2048]
        assert (await status(store, inbox)).messages == 0
        assert len(await entries(store, trash)) == 2048

    _run(tmp_path, story)


def test_questions_to_a_broken_index_are_faults(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        store._connection.close()
        for question in (
            store.account("alice@example.test"),
            store.mailboxes(inbox.owner),
            store.status(inbox.id),
            store.entries(inbox.id, Uid(0), 1),
        ):
            with pytest.raises(StoreFault):
                await question

    _run(tmp_path, story)


def test_an_account_that_is_removed_while_a_letter_comes_refuses_it(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        blob = store.blob()
        blob.write(LETTER)
        removed, answers = await asyncio.gather(
            store.commit(RemoveAccount("alice@example.test")),
            store.deliver(Delivery(blob, parse(LETTER), (Target(inbox.id),), 0)),
        )
        assert removed == Done()
        assert not isinstance(answers[0], Filed)

    _run(tmp_path, story)


def test_nothing_of_a_closed_store_stays_open(tmp_path: Path) -> None:
    async def once() -> None:
        async with _opened(tmp_path, "one") as (store,):
            account = await store.account("alice@example.test") or await new_account(store)
            inbox = await find(store, account)
            uid = await file(store, inbox, bytes(BLOB_IN_MEMORY + 1))
            await file(store, inbox)
            await octets_of(store, inbox, uid)
            await store.close()

    asyncio.run(once())
    before = sorted(os.listdir("/proc/self/fd"))
    asyncio.run(once())
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_there_is_no_search_text_without_an_indexer(tmp_path: Path) -> None:
    async def story(store: SqliteStore, inbox: Mailbox) -> None:
        assert await store.search_text(AccountId(1), MessageId(1)) is None

    _run(tmp_path, story)
