"""What is past its time goes: expunged letters, deleted mailboxes, removed accounts, old trash; nothing else."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from postroom.net.limits import SWEEP_ROWS
from postroom.store.apply.compaction import HOLDERS, OF_A_LETTER
from postroom.store.changes import (
    BringBack,
    Copy,
    DeleteMailbox,
    Done,
    DropLetters,
    Filed,
    Reason,
    Refused,
    RemoveAccount,
    Swept,
    Target,
)
from postroom.store.compaction.sweeping import Sweeper
from postroom.store.sqlite import SqliteStore
from postroom.store.values import MessageId, ModSeq, SpecialUse, Uid
from postroom.store.writer.inline import Writer
from tests.store.compactions import DAY, UNDELETE, body, expunge, fill, inbox_of_alice, letters, rows, sweep, tell
from tests.store.site import (
    ALICE,
    BOB,
    deliver,
    do,
    entries,
    file,
    find,
    new_account,
    new_mailbox,
    status,
    uids,
)


def _count(root: Path, table: str) -> int:
    ((count,),) = rows(root, f"SELECT count(*) FROM {table}")
    return int(count)


def _live(root: Path) -> tuple[int, int]:
    """Octets that the index says are live, and those that are."""
    ((said,),) = rows(root, "SELECT sum(live) FROM segments")
    ((counted,),) = rows(root, "SELECT coalesce(sum(size), 0) FROM messages")
    return said, counted


# --- expunged letters


def test_an_expunged_letter_can_be_brought_back_until_its_time_is_over(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        inbox = await find(store, await new_account(store))
        for number in (1, 2):
            await deliver(store, body(number), Target(inbox.id))
        await expunge(store, inbox, [1, 2])
        assert await sweep(tmp_path, store, days=13.9) == Swept()
        await do(store, BringBack(inbox.id, (Uid(1),), inbox.id), Filed)
        assert await sweep(tmp_path, store, days=14.1) == Swept(2, 1, len(body(2)))
        gone = await do(store, BringBack(inbox.id, (Uid(2),), inbox.id), Refused)
        assert gone.reason is Reason.NOTHING_THERE

    tell(tmp_path, story)
    assert tell(tmp_path, letters) == {3: body(1)}
    assert [_count(tmp_path, table) for table in ("messages", "answers", "stories", "tombstones")] == [1, 1, 1, 0]
    assert _live(tmp_path) == (len(body(1)), len(body(1)))


def test_without_undelete_a_letter_stays_for_sessions_that_still_count_it(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> list[int]:
        inbox = await find(store, await new_account(store))
        await deliver(store, body(1), Target(inbox.id))
        await expunge(store, inbox, [1])
        return [(await sweep(tmp_path, store, minutes / 1440, undelete=0)).letters for minutes in (0, 59, 61)]

    assert tell(tmp_path, story) == [0, 0, 1]


def test_a_letter_stays_where_it_still_lies(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        account = await new_account(store)
        inbox, work = await find(store, account), await new_mailbox(store, account, "Work")
        for number in (1, 2, 3):
            await deliver(store, body(number), Target(inbox.id))
        await do(store, Copy(inbox.id, (Uid(1),), work.id), Filed)
        await do(store, Copy(inbox.id, (Uid(2),), work.id, move=True), Filed)
        await expunge(store, inbox, [1, 3])
        assert await sweep(tmp_path, store) == Swept(3, 1, len(body(3)))

    tell(tmp_path, story)
    assert tell(tmp_path, lambda store: letters(store, "Work")) == {1: body(1), 2: body(2)}


def test_a_letter_of_the_outgoing_queue_stays(tmp_path: Path) -> None:
    fill(tmp_path, 1, gone=lambda _: False)
    rows(
        tmp_path,
        """INSERT INTO queue_letters (message, prefix, sender, eight_bit, utf8, require_tls, priority, held,
        created, expires) VALUES (1, x'', '', 0, 0, 0, 0, 0, 0, 0)""",
    )

    async def story(store: SqliteStore) -> Swept:
        await expunge(store, await inbox_of_alice(store), [1])
        return await sweep(tmp_path, store)

    assert tell(tmp_path, story) == Swept(1)
    rows(tmp_path, "DELETE FROM queue_letters")
    assert tell(tmp_path, lambda store: sweep(tmp_path, store)).letters == 1


def test_who_comes_back_learns_that_something_may_be_forgotten(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> tuple[ModSeq, ModSeq, ModSeq]:
        inbox = await find(store, await new_account(store))
        for number in (1, 2, 3):
            await deliver(store, body(number), Target(inbox.id))
        await expunge(store, inbox, [1])
        expunged = (await status(store, inbox)).highest_modseq
        before = (await status(store, inbox)).forgotten
        rows(tmp_path, "UPDATE tombstones SET gone = gone - 20")
        await expunge(store, inbox, [2])
        await sweep(tmp_path, store, days=14 - 10 / DAY)
        after = (await status(store, inbox)).forgotten
        assert (await store.changes(inbox.id, after)).vanished == [2], "what came later is still known"
        return before, expunged, after

    before, expunged, after = tell(tmp_path, story)
    assert before == 0
    assert after == expunged


def test_many_go_in_small_transactions(tmp_path: Path) -> None:
    count = SWEEP_ROWS * 3 + 7

    async def story(store: SqliteStore) -> Swept:
        inbox = await find(store, await new_account(store))
        await asyncio.gather(*[deliver(store, body(number, 10), Target(inbox.id)) for number in range(count)])
        await expunge(store, inbox, list(range(1, count + 1)))
        assert isinstance(store._writer, Writer)
        before = store._writer.transactions
        swept = await sweep(tmp_path, store)
        assert store._writer.transactions - before == 4
        return swept

    swept = tell(tmp_path, story)
    assert (swept.entries, swept.letters) == (count, count)
    assert _live(tmp_path) == (0, 0)


# --- mailboxes and accounts


def test_a_deleted_mailbox_and_a_removed_account_are_forgotten_last(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        account = await new_account(store)
        other = await new_account(store, BOB)
        work = await new_mailbox(store, account, "Work")
        await deliver(store, body(1), Target(work.id), Target((await find(store, other)).id))
        await new_mailbox(store, account, "Empty")
        await do(store, DeleteMailbox(account.id, "Work"), Done)
        await do(store, DeleteMailbox(account.id, "Empty"), Done)
        await do(store, RemoveAccount(BOB), Done)
        await sweep(tmp_path, store, days=13)
        assert _count(tmp_path, "deleted_mailboxes") == 2 + 6
        assert _count(tmp_path, "removed_accounts") == 1
        assert await sweep(tmp_path, store) == Swept(2, 1, len(body(1)))

    tell(tmp_path, story)
    assert _count(tmp_path, "deleted_mailboxes") == _count(tmp_path, "removed_accounts") == 0
    assert _count(tmp_path, "account_changes") == 2


# --- letters that nothing holds


def test_a_letter_that_nothing_holds_is_found(tmp_path: Path) -> None:
    fill(tmp_path, 5, gone=lambda _: False)
    gone = len(body(2)) + len(body(4))
    rows(tmp_path, "DELETE FROM entries WHERE uid IN (2, 4)")
    sql = "UPDATE mailboxes SET messages = 3, unseen = 3, recent = 3, size = size - ? WHERE name = 'INBOX'"
    rows(tmp_path, sql, gone)
    for table in ("accounts", "domains"):
        rows(tmp_path, f"UPDATE {table} SET letters = 3, octets = octets - ?", gone)
    assert tell(tmp_path, lambda store: sweep(tmp_path, store)).letters == 2
    assert _count(tmp_path, "stories") == 3
    assert _live(tmp_path)[0] == _live(tmp_path)[1]


def test_a_letter_that_something_holds_is_not_dropped_whoever_asks(tmp_path: Path) -> None:
    fill(tmp_path, 2, gone=lambda _: False)

    async def story(store: SqliteStore) -> Swept:
        return await do(store, DropLetters((MessageId(1), MessageId(2), MessageId(99))), Swept)

    assert tell(tmp_path, story) == Swept()


def test_all_letters_are_looked_at_in_the_course_of_many_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postroom.store.compaction.sweeping._LOOK_ROWS", 2)
    monkeypatch.setattr("postroom.store.compaction.sweeping._LOOK_SLICES", 2)
    fill(tmp_path, 9, gone=lambda _: False)

    async def story(store: SqliteStore) -> list[int]:
        with Sweeper(tmp_path, store, UNDELETE, {}) as sweeper:
            seen = []
            for _ in range(4):
                await sweeper.run()
                seen.append(sweeper._looked_up_to)
            return seen

    assert tell(tmp_path, story) == [4, 8, 0, 4]


def test_every_table_that_names_letters_is_known(tmp_path: Path) -> None:
    fill(tmp_path, 0)
    tables = rows(
        tmp_path,
        """SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c
        WHERE m.type = 'table' AND c.name = 'message'""",
    )
    assert {name for (name,) in tables} == {*HOLDERS, *OF_A_LETTER}


# --- mailboxes that empty themselves


def test_trash_is_emptied_by_age_and_sessions_hear_of_it(tmp_path: Path) -> None:
    now = time.time()

    async def story(store: SqliteStore) -> None:
        account = await new_account(store)
        trash, junk = await find(store, account, "Trash"), await find(store, account, "Junk")
        inbox = await find(store, account)
        for mailbox in (trash, junk, inbox):
            await file(store, mailbox)
        heard = asyncio.Event()
        store.watch(trash.id, heard.set)
        keep = {SpecialUse.TRASH: 30 * DAY, SpecialUse.JUNK: 0}
        for days, left in ((29.0, [1]), (31.0, [])):
            clock = partial(float, now + days * DAY)
            with Sweeper(tmp_path, store, 60 * DAY, keep, clock=clock) as sweeper:
                await sweeper.run()
            assert await uids(store, trash) == left
        await asyncio.wait_for(heard.wait(), 5)
        assert len(await entries(store, junk)) == len(await entries(store, inbox)) == 1
        filed = await do(store, BringBack(trash.id, None, inbox.id), Filed)
        story = await store.story((await store.letters(inbox.id, list(filed.uids)))[0].message)
        assert [(each.what, each.by) for each in story[1:2]] == [("expunged", "keep")]

    tell(tmp_path, story)


def test_much_trash_of_many_goes_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.store.compaction.sweeping.EXPUNGE_ROWS", 3)
    monkeypatch.setattr("postroom.store.compaction.sweeping._LOOK_ROWS", 1)

    async def story(store: SqliteStore) -> None:
        boxes = [await find(store, await new_account(store, each), "Junk") for each in (ALICE, BOB)]
        for mailbox in boxes:
            for _ in range(7):
                await file(store, mailbox)
        with Sweeper(tmp_path, store, UNDELETE, {SpecialUse.JUNK: 60}, clock=lambda: time.time() + 120) as one:
            await one.run()
        assert [await uids(store, mailbox) for mailbox in boxes] == [[], []]

    tell(tmp_path, story)
    assert _count(tmp_path, "tombstones") == 14
