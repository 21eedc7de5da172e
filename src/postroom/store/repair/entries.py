"""Entries: UIDs, modseqs and conversations that can't be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final

from postroom.store.check.findings import Finding, capped, entry_name
from postroom.store.check.index import MAX_MODSEQ
from postroom.store.check.threads import Misthreaded, misthreaded
from postroom.store.index import fetch_all
from postroom.store.ledger import MAX_UID, Ledger
from postroom.store.repair.bench import Bench, repaired, transaction
from postroom.store.values import MailboxId

__all__ = ["repair_modseqs", "repair_threads", "repair_uids"]

_SLICE: Final = 500
_PASSES: Final = 20
"""Over all entries: a conversation that is put right may put others right."""


def repair_uids(bench: Bench) -> Iterator[Finding]:
    """Entries whose UID can't be, or was expunged: each becomes a new letter at the end of its mailbox."""
    yield from _renew(
        bench,
        f"""SELECT e.mailbox, e.uid, {entry_name("e")} FROM entries e WHERE e.uid NOT BETWEEN 1 AND {MAX_UID}
        UNION SELECT e.mailbox, e.uid, {entry_name("e")} FROM entries e JOIN tombstones t USING (mailbox, uid)""",
        _new_uid,
    )
    yield from _renew(
        bench,
        f"""SELECT t.mailbox, t.uid, {entry_name("t")} || ', expunged' FROM tombstones t
        WHERE t.uid NOT BETWEEN 1 AND {MAX_UID}""",
        _bury_elsewhere,
    )


def _renew(bench: Bench, sql: str, renew: Callable[[Ledger, int, int, str], Finding | None]) -> Iterator[Finding]:
    """Do it to each row (mailbox, UID and name of an entry) that a statement gives, until it gives none that it can
    be done to."""
    while rows := fetch_all(bench.connection, f"{sql} LIMIT {_SLICE}"):
        with transaction(bench.connection, bench.now) as ledger:
            told = [each for row in rows if (each := renew(ledger, *row)) is not None]
        yield from capped(told, "entries")
        if not told:
            return


def _new_uid(ledger: Ledger, mailbox: int, uid: int, name: str) -> Finding | None:
    counters = ledger.mailbox(MailboxId(mailbox))
    if counters is None or not counters.has_room(1):
        return None
    new, modseq = counters.uid_next, counters.next_modseq()
    counters.uid_next += 1
    run = ledger.connection.execute
    run("UPDATE seen SET uid = ? WHERE mailbox = ? AND uid = ?", (new, mailbox, uid)).fetchall()
    run(
        "UPDATE entries SET uid = ?, modseq = ? WHERE mailbox = ? AND uid = ?", (new, modseq, mailbox, uid)
    ).fetchall()
    return repaired(f"{name}: it has UID {new} now")


def _bury_elsewhere(ledger: Ledger, mailbox: int, uid: int, name: str) -> Finding | None:
    counters = ledger.mailbox(MailboxId(mailbox))
    if counters is None:
        sql = f"SELECT coalesce(max(uid), 0) + 1 FROM tombstones WHERE mailbox = ? AND uid <= {MAX_UID}"
        new = int(ledger.connection.execute(sql, (mailbox,)).get)
    else:
        new = counters.uid_next
        counters.uid_next += 1
    sql = "UPDATE OR IGNORE tombstones SET uid = ? WHERE mailbox = ? AND uid = ? RETURNING 1"
    done = ledger.connection.execute(sql, (new, mailbox, uid)).fetchall()
    return repaired(f"{name}: it has UID {new} now") if done else None


def repair_modseqs(bench: Bench) -> Iterator[Finding]:
    """Modseqs that can't be, or that an expunge has: each gets the next one of its mailbox."""
    yield from _renew(
        bench,
        f"""SELECT e.mailbox, e.uid, {entry_name("e")} FROM entries e WHERE e.modseq NOT BETWEEN 1 AND {MAX_MODSEQ}
        UNION
        SELECT e.mailbox, e.uid, {entry_name("e")} FROM entries e JOIN tombstones t USING (mailbox, modseq)""",
        _new_modseq,
    )
    sql = f"""UPDATE tombstones AS t SET modseq =
    coalesce((SELECT highest_modseq + 1 FROM mailboxes WHERE id = t.mailbox),
    (SELECT modseq FROM deleted_mailboxes WHERE id = t.mailbox), 1) WHERE modseq NOT BETWEEN 1 AND {MAX_MODSEQ}
    RETURNING 1"""
    with transaction(bench.connection, bench.now):
        wrong = len(bench.connection.execute(sql).fetchall())
    if wrong:
        yield repaired(f"{wrong} expunged letters: their modseqs")


def _new_modseq(ledger: Ledger, mailbox: int, uid: int, name: str) -> Finding | None:
    counters = ledger.mailbox(MailboxId(mailbox))
    if counters is None:
        return None
    sql = "UPDATE entries SET modseq = ? WHERE mailbox = ? AND uid = ?"
    ledger.connection.execute(sql, (counters.next_modseq(), mailbox, uid)).fetchall()
    return repaired(f"{name}: its modseq is {counters.highest_modseq} now")


def repair_threads(bench: Bench) -> Iterator[Finding]:
    """Conversations that don't follow from Message-IDs."""
    for _ in range(_PASSES):
        wrong = list(misthreaded(bench.connection))
        if not wrong:
            return
        with transaction(bench.connection, bench.now) as ledger:
            findings = [_rethread(ledger, each) for each in wrong]
        yield from capped(findings, "conversations")


def _rethread(ledger: Ledger, each: Misthreaded) -> Finding:
    run = ledger.connection.execute
    sql = "SELECT hash, thread FROM threads WHERE account = ? AND hash IN (SELECT value FROM json_each(?))"
    rows = fetch_all(ledger.connection, sql, (each.account, json.dumps(each.hashes)))
    last = int(run("SELECT value FROM counters WHERE name = 'message'").get)
    known = {one: thread for one, thread in rows if 1 <= thread <= last}
    thread = min(known.values(), default=each.message)
    if len(known) < len(set(each.hashes)) and 1 <= each.thread <= min(thread, each.message):
        # What it was taken from may be what is missing.
        thread = each.thread
    new = [(each.account, one, thread) for one in each.hashes if one not in known]
    ledger.connection.executemany("INSERT OR REPLACE INTO threads VALUES (?, ?, ?)", new).fetchall()
    run("UPDATE entries SET thread = ? WHERE mailbox = ? AND uid = ?", (thread, each.mailbox, each.uid)).fetchall()
    sql = f"SELECT {entry_name('e')} FROM entries e WHERE e.mailbox = ? AND e.uid = ?"
    name = run(sql, (each.mailbox, each.uid)).get
    return repaired(f"{name}: it is in conversation {thread}, where its Message-IDs belong")
