"""A store in which things have happened, and ways to damage it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import apsw

from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.changes import AddAlias, Copy, DeleteMailbox, Done, Expunge, Expunged, Filed, Target
from postroom.store.check.whole import Severity, check
from postroom.store.interface import Store, Unreadable
from postroom.store.sqlite import open_store
from postroom.store.values import Flag, Uid
from tests.store.site import (
    ALICE,
    BOB,
    deliver,
    do,
    file,
    find,
    letter_of,
    new_account,
    new_mailbox,
    uids,
)

Letters = Counter[tuple[str, str, bytes]]
"""How often there is a letter: address, email id and what a client sees."""

SECRET = b"From: x@elsewhere.test\r\nSubject: sesame\r\n\r\nopen sesame\r\n"
LARGE_SEGMENT = 2
"""Where letter 5 lies; the others are in segment 1."""
LARGE = b"Subject: large\r\n\r\n" + b"x" * (BLOB_IN_MEMORY + 1)


async def a_busy_day(store: Store) -> None:
    """Letters 1 to 5 in alice's INBOX, of which 4 is expunged and 5 large; 1 and 2 copied to Work."""
    alice, bob = await new_account(store, ALICE), await new_account(store, BOB)
    inbox, other = await find(store, alice), await find(store, bob)
    await deliver(store, SECRET, Target(inbox.id, b"Delivered-To: alice\r\n"), Target(other.id, b"x"))
    await file(store, inbox, flags=Flag.SEEN, keywords=("$Work",))
    await file(store, inbox, flags=Flag.FLAGGED)
    await file(store, inbox, flags=Flag.DELETED)
    await file(store, inbox, LARGE)
    await do(store, Expunge(inbox.id, None), Expunged)
    work = await new_mailbox(store, alice, "Work")
    await do(store, Copy(inbox.id, (Uid(1), Uid(2)), work.id), Filed)
    await do(store, AddAlias("al@example.test", (ALICE,)), Done)
    await new_mailbox(store, bob, "Old")
    await do(store, DeleteMailbox(bob.id, "Old"), Done)


def damage(root: Path, *sql: str) -> None:
    connection = apsw.Connection(str(root / "index.db"))
    for each in sql:
        connection.execute(each).fetchall()
        assert connection.changes() or not each.startswith(("UPDATE", "DELETE")), each
    connection.close()


def found(root: Path, severity: Severity = Severity.PROBLEM, quick: bool = True) -> list[str]:
    return [one.what for one in check(root, quick=quick) if one.severity is severity]


def segment(root: Path, number: int = 1) -> Path:
    return root / "segments" / f"{number:010}.seg"


def alter(path: Path, change: Callable[[bytearray], None]) -> None:
    octets = bytearray(path.read_bytes())
    change(octets)
    path.write_bytes(octets)


def flip(path: Path, at: int) -> None:
    def change(octets: bytearray) -> None:
        octets[at] ^= 1

    alter(path, change)


def record(root: Path, number: int = 1) -> tuple[int, int]:
    """Offset and size of the payload of the letter of this number."""
    connection = apsw.Connection(str(root / "index.db"), flags=apsw.SQLITE_OPEN_READONLY)
    offset = connection.execute("SELECT offset FROM messages WHERE id = ?", (number,)).get
    size = connection.execute("SELECT size FROM messages WHERE id = ?", (number,)).get
    connection.close()
    return int(offset), int(size)


def email_id(root: Path, number: int) -> str:
    connection = apsw.Connection(str(root / "index.db"), flags=apsw.SQLITE_OPEN_READONLY)
    found = connection.execute("SELECT email_id FROM messages WHERE id = ?", (number,)).get
    connection.close()
    assert isinstance(found, str)
    return found


def letters(root: Path) -> Letters:
    """Every letter of every account that can be read."""

    async def story() -> Letters:
        store = await open_store(root)
        seen = Letters()
        for account in await store.accounts():
            for mailbox in await store.mailboxes(account.id):
                for uid in await uids(store, mailbox):
                    letter = await letter_of(store, mailbox, uid)
                    with suppress(Unreadable):
                        octets = await store.read(letter, 0, len(letter.prefix) + letter.blob_size)
                        seen[account.address, letter.email_id, octets] += 1
        await store.close()
        return seen

    return asyncio.run(story())
