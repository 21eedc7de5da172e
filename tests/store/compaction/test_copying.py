"""Copies of letters' records: verified, whole, and with what is known of the letter now."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest

from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.changes import (
    Copy,
    DeleteMailbox,
    Done,
    Expunge,
    Expunged,
    Filed,
    FlagsSet,
    How,
    SetFlags,
    Target,
)
from postroom.store.compaction.compactor import Outcome
from postroom.store.records import (
    FRAME_OCTETS,
    BadFrame,
    DeliveredTo,
    DeliveryFacts,
    ExpungedFrom,
    read_facts,
    read_frame,
    write_facts,
)
from postroom.store.sqlite import SqliteStore
from postroom.store.values import Flag, Uid
from tests.store.compactions import (
    add_dead_record,
    body,
    compact,
    compact_damaged,
    expunge,
    fill,
    inbox_of_alice,
    letters,
    problems,
    rows,
    segment_file,
    sweep,
    tell,
)
from tests.store.site import ALICE, deliver, do, find, new_account, new_mailbox


def test_a_large_letter_is_copied_into_a_segment_of_its_own(tmp_path: Path) -> None:
    large = body(1, BLOB_IN_MEMORY * 5)

    async def story(store: SqliteStore) -> None:
        inbox = await find(store, await new_account(store))
        await deliver(store, large, Target(inbox.id))

    tell(tmp_path, story)
    assert tell(tmp_path, lambda store: compact(tmp_path, store)) == Outcome(), "its filler is no loss"
    add_dead_record(tmp_path, 1, 100_000)
    done = tell(tmp_path, lambda store: compact(tmp_path, store))
    assert (done.letters, done.unlinked) == (1, 1)
    ((offset,),) = rows(tmp_path, "SELECT offset FROM messages")
    assert offset % 4096 == 0
    assert tell(tmp_path, letters) == {1: large}


def test_facts_of_before_there_were_copies_are_as_good_as_ever() -> None:
    old = b'[1,-90,[["a@b","INBOX","X: 1\\r\\n",3,["k"]]]]'
    here = DeliveredTo("a@b", "INBOX", b"X: 1\r\n", 3, ("k",))
    assert read_facts(old) == DeliveryFacts(1, -90, (here,))
    assert write_facts(DeliveryFacts(1, -90, (here,))) == old
    both = DeliveryFacts(1, -90, (here,), (ExpungedFrom(here, 1_700_000_000),))
    assert read_facts(write_facts(both)) == both
    for wrong in (b'[1,2,[],[["a","b","",0,[]]]]', b"[1,2,[],3]", b'[1,2,[],[["a","b","",0,[],"x"]]]'):
        with pytest.raises(BadFrame):
            read_facts(wrong)


# --- damage


def test_a_segment_with_a_damaged_record_is_left_alone_and_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, 10)

    async def more(store: SqliteStore) -> None:
        inbox = await inbox_of_alice(store)
        for number in range(11, 21):
            await deliver(store, body(number), Target(inbox.id))
        await expunge(store, inbox, list(range(12, 21)))

    tell(tmp_path, more)
    ((offset,),) = rows(tmp_path, "SELECT offset FROM messages WHERE id = 3")
    with segment_file(tmp_path, 1).open("r+b") as file:
        file.seek(offset + 200)
        file.write(b"\0")

    with caplog.at_level(logging.WARNING):
        first, second = asyncio.run(compact_damaged(tmp_path))
    assert (first.damaged, first.letters, first.segments) == (1, 1, 1), "the other segment is compacted"
    assert (second.damaged, second.letters) == (0, 0)
    assert sum("compaction.damaged" in record.getMessage() for record in caplog.records) == 1
    assert segment_file(tmp_path, 1).exists()
    assert len(problems(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["frame", "cut", "gone"])
def test_no_damage_stops_the_others(tmp_path: Path, damage: str) -> None:
    fill(tmp_path, 10)
    path = segment_file(tmp_path, 1)
    ((offset,),) = rows(tmp_path, "SELECT max(offset) FROM messages")
    if damage == "frame":
        with path.open("r+b") as file:
            file.seek(offset - 10)
            file.write(b"\xff\xff")
    elif damage == "cut":
        os.truncate(path, offset + 10)
    else:
        path.rename(tmp_path / "elsewhere")

    done, _ = asyncio.run(compact_damaged(tmp_path))
    assert (done.damaged, done.unlinked) == (1, 0)


def test_damaged_facts_are_made_anew(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    ((offset, size),) = rows(tmp_path, "SELECT offset, size FROM messages WHERE id = 1")
    with segment_file(tmp_path, 1).open("r+b") as file:
        file.seek(offset + size + 3)
        file.write(b"\xff")
    assert len(problems(tmp_path)) == 1

    assert tell(tmp_path, lambda store: compact(tmp_path, store)).letters == 5


# --- what the copies tell


def _facts(root: Path, message: int) -> DeliveryFacts:
    """What a letter's record says of it now."""
    ((segment, offset, size),) = rows(root, "SELECT segment, offset, size FROM messages WHERE id = ?", message)
    octets = segment_file(root, segment).read_bytes()
    frame = read_frame(octets[offset - FRAME_OCTETS : offset])
    return read_facts(octets[offset + size : offset + size + frame.facts_size])


def test_a_copy_tells_where_the_letter_lies_now(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        account = await new_account(store)
        inbox, work = await find(store, account), await new_mailbox(store, account, "Work")
        old = await new_mailbox(store, account, "Old")
        await deliver(store, body(1), Target(inbox.id, b"X: 1\r\n"), date=1_600_000_000, zone=-90)
        await deliver(store, body(2), Target(inbox.id))
        await do(store, Copy(inbox.id, (Uid(1),), old.id), Filed)
        await do(store, Copy(inbox.id, (Uid(1),), work.id, move=True), Filed)
        await do(store, SetFlags(work.id, (Uid(1),), How.ADD, Flag.SEEN, ("$Todo",)), FlagsSet)
        await do(store, Expunge(old.id, None, deleted_only=False), Expunged)
        await expunge(store, inbox, [2])
        rows(tmp_path, "UPDATE tombstones SET gone = 1000 WHERE message = 2")
        await sweep(tmp_path, store, days=0)

    tell(tmp_path, story)
    assert tell(tmp_path, lambda store: compact(tmp_path, store)).letters == 1
    facts = _facts(tmp_path, 1)
    assert (facts.internal_date, facts.zone) == (1_600_000_000, -90)
    (here,) = facts.targets
    assert (here.address, here.mailbox, here.prefix, here.flags) == (ALICE, "Work", b"X: 1\r\n", int(Flag.SEEN))
    assert here.keywords == ("$Todo",)
    (gone,) = facts.expunged
    assert (gone.target.address, gone.target.mailbox, gone.target.flags) == (ALICE, "Old", 0)
    assert gone.gone > 1_700_000_000


def test_a_letter_that_may_be_brought_back_tells_from_where(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        account = await new_account(store)
        work = await new_mailbox(store, account, "Work")
        await deliver(store, body(1), Target(work.id))
        await deliver(store, body(2), Target(work.id))
        await expunge(store, work, [2])
        rows(tmp_path, "UPDATE tombstones SET gone = 1000 WHERE message = 2")
        await do(store, DeleteMailbox(account.id, "Work"), Done)
        await sweep(tmp_path, store, days=0)

    tell(tmp_path, story)
    assert tell(tmp_path, lambda store: compact(tmp_path, store)).letters == 1
    facts = _facts(tmp_path, 1)
    assert facts.targets == ()
    assert [(each.target.address, each.target.mailbox) for each in facts.expunged] == [(ALICE, "Work")]
