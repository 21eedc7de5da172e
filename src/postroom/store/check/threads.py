"""Letters' conversations: what `Ledger.thread` promises of every letter that was filed in an account.

It gives a letter the smallest conversation that one of its Message-IDs (its own and those it refers to) is known
under in the account, and makes all of them known; what is known is never changed. So for every entry

- each of its Message-IDs is known to the account, and
- the smallest of their conversations is the entry's (the letter's own number where it has no Message-IDs).

A copy from another account that an earlier version made has that one's conversation: it is sound where it follows
there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import apsw

from postroom.store.check.findings import Finding, capped, entry_name, problem
from postroom.store.index import fetch_all, fetch_one
from postroom.store.letterrows import thread_hashes

__all__ = ["Misthreaded", "check_threads", "misthreaded"]

_SLICE: Final = 500
"""Entries in memory at a time."""


@dataclass(frozen=True, slots=True)
class Misthreaded:
    """An entry whose conversation doesn't follow from what its account knows."""

    mailbox: int
    uid: int
    account: int
    message: int
    thread: int
    hashes: tuple[int, ...]


def check_threads(connection: apsw.Connection) -> Iterator[Finding]:
    """Every entry. Raises apsw.Error."""
    yield from capped((_tell(connection, each) for each in misthreaded(connection)), "threads")


def _tell(connection: apsw.Connection, each: Misthreaded) -> Finding:
    sql = f"SELECT {entry_name('e')} FROM (SELECT ? AS mailbox, ? AS uid) e"
    name = connection.execute(sql, (each.mailbox, each.uid)).get
    return problem(f"{name}: it is in conversation {each.thread}, and its Message-IDs belong elsewhere")


def misthreaded(connection: apsw.Connection) -> Iterator[Misthreaded]:
    """Every entry that is amiss. Raises apsw.Error."""
    at = (0, 0)
    while rows := fetch_all(
        connection,
        """SELECT e.mailbox, e.uid, b.owner, e.message, e.thread, x.message_id, x.refs FROM entries e
        JOIN mailboxes b ON b.id = e.mailbox JOIN messages x ON x.id = e.message
        WHERE (e.mailbox, e.uid) > (?, ?) ORDER BY e.mailbox, e.uid LIMIT ?""",
        (*at, _SLICE),
    ):
        at = rows[-1][:2]
        entries = [_entry(*row) for row in rows]
        known = _known(connection, entries)
        for entry in entries:
            threads = [known.get((entry.account, each)) for each in entry.hashes]
            right = min([each for each in threads if each is not None], default=entry.message)
            if (right != entry.thread or None in threads) and _stands(connection, entry):
                yield entry


def _entry(
    mailbox: int, uid: int, account: int, message: int, thread: int, message_id: int | None, refs: bytes
) -> Misthreaded:
    return Misthreaded(mailbox, uid, account, message, thread, thread_hashes(message_id, refs))


def _known(connection: apsw.Connection, entries: list[Misthreaded]) -> dict[tuple[int, int], int]:
    """What the accounts of these entries know of their Message-IDs; it is read after the entries were."""
    wanted: dict[int, set[int]] = {}
    for entry in entries:
        wanted.setdefault(entry.account, set()).update(entry.hashes)
    known = {}
    sql = "SELECT hash, thread FROM threads WHERE account = ? AND hash IN (SELECT value FROM json_each(?))"
    for account, hashes in wanted.items():
        for each, thread in fetch_all(connection, sql, (account, json.dumps(list(hashes)))):
            known[account, each] = thread
    return known


def _stands(connection: apsw.Connection, entry: Misthreaded) -> bool:
    """Whether it is amiss at a second look: the account may have been removed meanwhile, or the letter may have
    come from another account."""
    sql = "SELECT 1 FROM entries WHERE (mailbox, uid, message, thread) = (?, ?, ?, ?)"
    if fetch_one(connection, sql, (entry.mailbox, entry.uid, entry.message, entry.thread)) is None:
        return False
    return not entry.hashes or (
        fetch_one(
            connection,
            """SELECT 1 FROM accounts a CROSS JOIN json_each(?1) h JOIN threads t ON t.account = a.id
            AND t.hash = h.value WHERE a.id <> ?2 AND t.thread = ?3 LIMIT 1""",
            (json.dumps(entry.hashes), entry.account, entry.thread),
        )
        is None
    )
