"""Conversations as `Ledger.thread` makes them are sound, whatever came in which order; others are found."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from postroom.net.limits import THREAD_REFERENCES
from postroom.store.changes import BringBack, Copy, Expunge, Expunged, Filed, Target
from postroom.store.check.threads import misthreaded
from postroom.store.index import open_index
from postroom.store.interface import Store
from postroom.store.letterrows import thread_hashes
from postroom.store.values import Uid
from tests.store.damage import damage
from tests.store.site import ALICE, BOB, Site, deliver, do, file, find, new_account, new_mailbox


def letter(own: int | None, *refers: int) -> bytes:
    head = b"" if own is None else b"Message-ID: <%d@x>\r\n" % own
    if refers:
        head += b"References: " + b" ".join(b"<%d@x>" % each for each in refers) + b"\r\n"
    return head + b"Subject: x\r\n\r\nx\r\n"


def wrong(root: Path) -> list[tuple[int, int]]:
    connection = open_index(root / "index.db", read_only=True)
    found = [(each.uid, each.thread) for each in misthreaded(connection)]
    connection.close()
    return found


def test_the_newest_references_count() -> None:
    refs = struct.pack(f">{THREAD_REFERENCES + 5}q", *range(THREAD_REFERENCES + 5))
    assert thread_hashes(-1, refs) == (-1, *range(5, THREAD_REFERENCES + 5))
    assert thread_hashes(None, b"") == ()
    assert thread_hashes(7, b"") == (7,)


@pytest.mark.parametrize("seed", range(3))
def test_letters_in_any_order_are_sound(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)

    async def story(store: Store) -> None:
        alice, bob = await new_account(store, ALICE), await new_account(store, BOB)
        inbox, other = await find(store, alice), await find(store, bob)
        work = await new_mailbox(store, alice, "Work")
        for _ in range(60):
            own = draw.choice((None, *range(30)))
            refers = [draw.randrange(30) for _ in range(draw.choice((0, 0, 1, 3, 150)))]
            targets = draw.sample([Target(inbox.id), Target(work.id), Target(other.id)], draw.randrange(1, 4))
            await deliver(store, letter(own, *refers), *targets)
        await do(store, Copy(inbox.id, tuple(map(Uid, range(1, 10))), work.id), Filed)
        await do(store, Expunge(work.id, (Uid(1), Uid(2)), deleted_only=False), Expunged)
        await do(store, BringBack(work.id, None, inbox.id), Filed)

    Site(tmp_path / "data").run(story)


def test_a_copy_from_another_account_is_sound_here_and_in_the_conversation_that_it_had_there(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path / "data")

    async def story(store: Store) -> None:
        alice, bob = await new_account(store, ALICE), await new_account(store, BOB)
        inbox, other = await find(store, alice), await find(store, bob)
        await file(store, other, letter(1))
        await file(store, inbox, letter(2))
        await file(store, inbox, letter(5, 1, 2))
        await file(store, other, letter(5))
        await do(store, Copy(inbox.id, (Uid(2),), other.id), Filed)

    site.run(story)
    assert wrong(site.root) == []
    damage(site.root, "UPDATE entries SET thread = 2 WHERE uid = 2 AND message = 3")
    assert wrong(site.root) == []
    # In no account does this follow from anything.
    damage(site.root, "UPDATE entries SET thread = 3 WHERE mailbox IN (SELECT id FROM mailboxes WHERE owner = 2)")
    assert wrong(site.root) == [(1, 3), (2, 3), (3, 3)]


def test_a_letter_without_message_ids_begins_its_own(tmp_path: Path) -> None:
    site = Site(tmp_path / "data")

    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        await file(store, inbox, letter(None))
        await file(store, inbox, letter(None))

    site.run(story)
    damage(site.root, "UPDATE entries SET thread = 1")
    assert wrong(site.root) == [(2, 1)]
