"""Segments that hold much that nobody needs are copied without it, and taken away; nobody who reads sees it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from postroom.net.limits import UNLINK_GRACE_SECONDS
from postroom.store.changes import Moved, MoveLetters, Target
from postroom.store.compaction.compactor import CompactionRuns, Compactor, Outcome, Pace
from postroom.store.interface import StorageFull
from postroom.store.records import (
    FRAME_OCTETS,
)
from postroom.store.segments import Buffer, Segment
from postroom.store.sqlite import SqliteStore
from postroom.store.values import MessageId, Uid
from tests.store.compactions import (
    ALL,
    DAY,
    ORDINARY,
    body,
    compact,
    compactor,
    expunge,
    files,
    fill,
    inbox_of_alice,
    letters,
    rows,
    segment_file,
    sweep,
    tell,
)
from tests.store.site import deliver, do, find, letter_of, new_account

# --- what it wins


def test_letters_stay_byte_for_byte_and_the_disk_gets_the_rest_back(tmp_path: Path) -> None:
    fill(tmp_path, 60, gone=lambda number: number % 3 != 0)
    before = files(tmp_path)
    done = tell(tmp_path, lambda store: compact(tmp_path, store, replace(ORDINARY, grace=0)))
    assert (done.segments, done.letters, done.unlinked, done.damaged) == (1, 20, 1, 0)
    after = files(tmp_path)
    assert not before.keys() & after.keys()
    saved = sum(before.values()) - sum(after.values())
    assert saved >= done.won > 40 * 2000
    assert tell(tmp_path, letters) == {number: body(number) for number in range(3, 61, 3)}


def test_what_is_compacted_is_not_worth_it_again(tmp_path: Path) -> None:
    # Letters of few octets are mostly frames and facts, which are no loss.
    async def story(store: SqliteStore) -> None:
        inbox = await find(store, await new_account(store))
        for number in range(1, 21):
            await deliver(store, body(number, 10), Target(inbox.id))

    tell(tmp_path, story)
    assert tell(tmp_path, lambda store: compact(tmp_path, store, ORDINARY, days=40)) == Outcome()
    assert tell(tmp_path, lambda store: compact(tmp_path, store, ALL)) == Outcome()
    assert tell(tmp_path, lambda store: _expunge_some(tmp_path, store)) == 10
    assert tell(tmp_path, lambda store: compact(tmp_path, store)).letters == 10
    assert tell(tmp_path, lambda store: compact(tmp_path, store)) == Outcome()


async def _expunge_some(root: Path, store: SqliteStore) -> int:
    await expunge(store, await inbox_of_alice(store), list(range(1, 11)))
    return (await sweep(root, store)).letters


def test_few_dead_letters_are_worth_it_in_an_old_segment_only(tmp_path: Path) -> None:
    fill(tmp_path, 50, gone=lambda number: number <= 5)

    async def story(store: SqliteStore) -> list[int]:
        with compactor(tmp_path, store, ORDINARY) as young, compactor(tmp_path, store, ORDINARY, days=31) as old:
            return [(await one.run()).letters for one in (young, young, old)]

    assert tell(tmp_path, story) == [0, 0, 45]


def test_a_segment_grows_old_under_a_compactor_that_has_looked_at_it(tmp_path: Path) -> None:
    fill(tmp_path, 50, gone=lambda number: number <= 5)
    now = time.time()

    async def story(store: SqliteStore) -> list[int]:
        with compactor(tmp_path, store, ORDINARY) as one:
            one._clock = lambda: now
            young = (await one.run()).letters
            one._clock = lambda: now + 31 * DAY
            return [young, (await one.run()).letters]

    assert tell(tmp_path, story) == [0, 45]


def test_a_segment_without_any_letter_goes_without_a_copy(tmp_path: Path) -> None:
    fill(tmp_path, 10, gone=lambda _: True)
    length = rows(tmp_path, "SELECT length FROM segments")[0][0]
    done = tell(tmp_path, lambda store: compact(tmp_path, store, replace(ORDINARY, grace=0)))
    assert done == Outcome(segments=1, won=length, unlinked=1)
    assert files(tmp_path) == {}


def test_letters_of_many_steps_come_over(tmp_path: Path) -> None:
    fill(tmp_path, 1000, gone=lambda number: number % 2 == 1)
    told: list[tuple[int, int]] = []

    async def story(store: SqliteStore) -> Outcome:
        with compactor(tmp_path, store) as one:
            return await one.run(lambda done, total: told.append((done, total)))

    assert tell(tmp_path, story).letters == 500
    assert len(told) > 4
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    assert tell(tmp_path, letters) == {number: body(number) for number in range(2, 1001, 2)}


# --- when


def test_a_segment_that_is_written_to_is_left_alone(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> list[int]:
        inbox = await find(store, await new_account(store))
        for number in range(1, 11):
            await deliver(store, body(number), Target(inbox.id))
        await expunge(store, inbox, list(range(1, 10)))
        await sweep(tmp_path, store)
        there = [(await compact(tmp_path, store)).letters]
        await expunge(store, inbox, [10])
        await sweep(tmp_path, store)
        there.append((await compact(tmp_path, store)).segments)
        await deliver(store, body(11), Target(inbox.id))
        return there

    assert tell(tmp_path, story) == [0, 0]
    assert len(files(tmp_path)) == 1
    assert tell(tmp_path, letters) == {11: body(11)}


def test_files_go_after_a_time_only(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    rules = replace(ALL, grace=UNLINK_GRACE_SECONDS)

    async def story(store: SqliteStore) -> list[int]:
        with compactor(tmp_path, store, rules) as one:
            first = (await one.run()).unlinked
            one._clock = lambda: time.time() + UNLINK_GRACE_SECONDS - 5
            second = (await one.run()).unlinked
            one._clock = lambda: time.time() + UNLINK_GRACE_SECONDS + 5
            return [first, second, (await one.run()).unlinked]

    assert tell(tmp_path, story) == [0, 0, 1]


def test_no_file_goes_while_a_backup_is_under_way(tmp_path: Path) -> None:
    fill(tmp_path, 10)

    async def story(store: SqliteStore) -> list[int]:
        backup = os.open(tmp_path / "run" / "backup.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(backup, fcntl.LOCK_SH)
        first = await compact(tmp_path, store)
        assert first.letters == 5
        os.close(backup)
        return [first.unlinked, (await compact(tmp_path, store)).unlinked]

    assert tell(tmp_path, story) == [0, 1]
    assert (tmp_path / "run" / "backup.lock").stat().st_mode & 0o777 == 0o600


def test_the_highest_number_is_never_given_again(tmp_path: Path) -> None:
    fill(tmp_path, 10, gone=lambda _: True)
    tell(tmp_path, lambda store: compact(tmp_path, store))
    tell(tmp_path, lambda store: compact(tmp_path, store))
    assert rows(tmp_path, "SELECT number FROM segments") == [(1,)]

    async def story(store: SqliteStore) -> None:
        await deliver(store, body(11), Target((await inbox_of_alice(store)).id))
        await compact(tmp_path, store)

    tell(tmp_path, story)
    assert rows(tmp_path, "SELECT number FROM segments") == [(2,)]


def test_a_file_that_went_before_a_crash_is_forgotten_by_the_next_run(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    tell(tmp_path, lambda store: compact(tmp_path, store, replace(ALL, grace=1000)))
    segment_file(tmp_path, 1).unlink()
    assert tell(tmp_path, lambda store: compact(tmp_path, store)).unlinked == 0
    assert rows(tmp_path, "SELECT number FROM segments") == [(2,)]


def test_there_is_one_compaction_at_a_time(tmp_path: Path) -> None:
    fill(tmp_path, 10)

    async def story(store: SqliteStore) -> Outcome:
        with compactor(tmp_path, store) as one, compactor(tmp_path, store) as other:
            running = asyncio.create_task(one.run())
            await asyncio.sleep(0)
            with pytest.raises(CompactionRuns):
                await other.run()
            return await running

    assert tell(tmp_path, story).letters == 5


def test_a_full_disk_stops_it_and_the_next_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 1000)
    append, room = Segment.append, 1

    def full(segment: Segment, pieces: Sequence[Buffer]) -> None:
        nonlocal room
        room -= 1
        if room < 0:
            segment.give_up()
            raise StorageFull("No space left on device")
        append(segment, pieces)

    async def story(store: SqliteStore) -> Outcome:
        with compactor(tmp_path, store) as one:
            with monkeypatch.context() as patched, pytest.raises(StorageFull):
                patched.setattr(Segment, "append", full)
                await one.run()
            return await one.run()

    done = tell(tmp_path, story)
    assert 0 < done.letters < 500
    assert tell(tmp_path, letters) == {number: body(number) for number in range(1, 1001, 2)}
    assert sorted(files(tmp_path)) == [2, 3]


def test_one_that_is_cancelled_is_taken_up_by_the_next(tmp_path: Path) -> None:
    fill(tmp_path, 1000)

    async def story(store: SqliteStore) -> Outcome:
        stepped = asyncio.Event()
        with compactor(tmp_path, store) as one:
            running = asyncio.create_task(one.run(lambda done, total: stepped.set() if done else None))
            await stepped.wait()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        moved = rows(tmp_path, "SELECT count(*) FROM messages WHERE segment <> 1")[0][0]
        assert 0 < moved < 500
        done = await compact(tmp_path, store)
        assert moved + done.letters == 500
        return done

    tell(tmp_path, story)
    assert tell(tmp_path, letters) == {number: body(number) for number in range(1, 1001, 2)}


# --- who reads


def test_who_has_read_a_place_before_still_finds_the_letter(tmp_path: Path) -> None:
    fill(tmp_path, 20)

    async def story(store: SqliteStore) -> None:
        inbox = await inbox_of_alice(store)
        held = await store.letters(inbox.id, [Uid(number) for number in range(1, 21)])
        sizes = [(0, letter.blob_size) for letter in held]
        parts = [(5, 20)] * len(held)
        whole = [body(int(letter.uid)) for letter in held]
        assert await store.read_each(held, sizes) == whole, "its file is open from now on"
        assert (await compact(tmp_path, store)).unlinked == 1
        assert await store.read_each(held, sizes) == whole, "by the open file"
        store._reader.forget_unlinked()
        assert await store.read_each(held, sizes) == whole, "by the new place"
        store._reader.forget(1)
        assert await store.read_each(held, parts) == [each[5:25] for each in whole]
        store._reader.forget(1)
        assert [await store.read(letter, 5, 20) for letter in held] == [each[5:25] for each in whole]

    tell(tmp_path, story)


def test_a_file_that_is_gone_is_not_held_open_for_ever(tmp_path: Path) -> None:
    fill(tmp_path, 20)

    async def story(store: SqliteStore) -> list[int]:
        await letters(store)
        await compact(tmp_path, store)
        held = [list(store._reader._descriptors)]
        store._reader.forget_unlinked()
        await letters(store)
        return [*held[0], *store._reader._descriptors]

    assert tell(tmp_path, story) == [1, 2]


def test_a_letter_that_lies_elsewhere_already_is_not_moved(tmp_path: Path) -> None:
    fill(tmp_path, 4, gone=lambda _: False)
    ((message, offset),) = rows(tmp_path, "SELECT id, offset FROM messages WHERE id = 2")

    async def story(store: SqliteStore) -> list[Moved]:
        moves = ((MessageId(message), offset + 1, 72), (MessageId(99), offset, 72))
        return [
            await do(store, MoveLetters(1, 2, 1000, moves), Moved),
            await do(store, MoveLetters(3, 2, 1000, ((MessageId(message), offset, 72),)), Moved),
        ]

    assert tell(tmp_path, story) == [Moved(0, 0), Moved(0, 0)]
    assert rows(tmp_path, "SELECT number, live FROM segments WHERE number = 2") == [(2, 0)]


# --- the rate


def test_the_rate_is_kept_and_nothing_is_saved_up() -> None:
    now, slept = 100.0, list[float]()

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    async def story() -> None:
        nonlocal now
        pace = Pace(1000, lambda: now, sleep)
        began = pace.now()
        now += 0.25  # a step takes its time, and that counts
        await pace.spend(1000, began)
        await pace.spend(500, pace.now())
        now += 3600  # an idle hour
        await pace.spend(2000, pace.now())
        began = pace.now()
        now += 10  # a disk that is slower than the rate
        await pace.spend(1000, began)

    asyncio.run(story())
    assert slept == pytest.approx([0.75, 0.5, 2.0, 0.0])


def test_without_a_rate_nobody_waits() -> None:
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    asyncio.run(Pace(0, lambda: 5.0, sleep).spend(10**12, 5.0))
    assert slept == [0.0]


def test_each_step_is_paid_for(tmp_path: Path) -> None:
    fill(tmp_path, 400)
    spent: list[int] = []

    class Counted(Pace):
        async def spend(self, octets: int, began: float) -> None:
            spent.append(octets)

    async def story(store: SqliteStore) -> None:
        with Compactor(tmp_path, store, ALL, pace=Counted(1)) as one:
            await one.run()

    tell(tmp_path, story)
    live = 200 * (len(body(1)) + FRAME_OCTETS)
    assert 2 * live < sum(spent) < 3 * live
    assert max(spent) <= 2 * 2**20 + 10_000


def test_a_letter_is_where_it_was_for_its_owner(tmp_path: Path) -> None:
    fill(tmp_path, 6)

    async def story(store: SqliteStore) -> None:
        inbox = await inbox_of_alice(store)
        before = await letter_of(store, inbox, Uid(3))
        await compact(tmp_path, store)
        after = await letter_of(store, inbox, Uid(3))
        assert before._replace(segment=after.segment, offset=after.offset) == after
        assert before.segment != after.segment

    tell(tmp_path, story)
