"""Entries that leave a mailbox, with a tombstone each: for clients that come back (RFC 7162), and for undelete."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence

from postroom.store.changes import Expunge, Expunged, Reason, Refused
from postroom.store.index import fetch_all
from postroom.store.ledger import Counters, Ledger
from postroom.store.stories import append, write_happening
from postroom.store.values import Flag, ModSeq, Uid

__all__ = ["Why", "bury_all", "expunge", "take_away"]


class Why(enum.IntEnum):
    """What a tombstone stands for."""

    EXPUNGED = 0
    MOVED = 1
    BROUGHT_BACK = 2
    """Expunged, and there again since, under another UID."""


_BURY = """INSERT INTO tombstones SELECT mailbox, uid, message, flags, keywords, ?, internal_date, zone, save_date,
 size, thread, prefix, ?, ? FROM entries WHERE mailbox = ?"""
_THESE = " AND uid IN (SELECT value FROM json_each(?))"
_FIND = "SELECT uid, flags, size FROM entries WHERE mailbox = ?"


def expunge(ledger: Ledger, change: Expunge) -> Expunged | Refused:
    """RFC 9051 6.4.3 and 6.4.9; POP3's QUIT takes its letters whatever their flags."""
    mailbox = ledger.mailbox(change.mailbox)
    if mailbox is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    ledger.flush()
    sql = _FIND
    if change.deleted_only:
        if not mailbox.deleted:
            return Expunged(ModSeq(mailbox.highest_modseq), ())
        sql += f" AND flags & {int(Flag.DELETED)}"
    uids = () if change.uids is None else (json.dumps(change.uids),)
    if uids:
        sql += _THESE
    rows = fetch_all(ledger.connection, f"{sql} ORDER BY uid", (change.mailbox, *uids))
    if not rows:
        return Expunged(ModSeq(mailbox.highest_modseq), ())
    _tell(ledger, mailbox, "expunged", change.by, _THESE, json.dumps([row[0] for row in rows]))
    take_away(ledger, mailbox, rows)
    return Expunged(ModSeq(mailbox.highest_modseq), tuple([Uid(row[0]) for row in rows]))


def _tell(ledger: Ledger, mailbox: Counters, what: str, by: str, which: str, *bound: str) -> None:
    """Write it into the stories of entries that are about to go."""
    sql = f"SELECT message FROM entries WHERE mailbox = ?{which}"
    messages = {message for (message,) in fetch_all(ledger.connection, sql, (mailbox.id, *bound))}
    append(ledger.connection, messages, write_happening(ledger.now, what, by, mailbox.name))


def take_away(
    ledger: Ledger, mailbox: Counters, rows: Sequence[tuple[int, int, int]], why: Why = Why.EXPUNGED
) -> None:
    """Bury the entries of these UIDs (with their flags and sizes), which must be there; one modseq for all."""
    if not rows:
        return
    modseq = mailbox.next_modseq()
    for uid, flags, size in rows:
        mailbox.went(uid, flags, size)
    uids = json.dumps([row[0] for row in rows])
    run = ledger.connection.execute
    run(_BURY + _THESE, (modseq, ledger.now, int(why), mailbox.id, uids)).fetchall()
    run(f"DELETE FROM entries WHERE mailbox = ?{_THESE}", (mailbox.id, uids)).fetchall()
    run(f"DELETE FROM seen WHERE mailbox = ?{_THESE}", (mailbox.id, uids)).fetchall()


def bury_all(ledger: Ledger, mailbox: Counters, by: str = "") -> None:
    """Take a whole mailbox away; its row moves to the deleted ones."""
    run, one = ledger.connection.execute, (mailbox.id,)
    modseq = mailbox.highest_modseq + 1
    _tell(ledger, mailbox, "mailbox-deleted", by, "")
    run(_BURY, (modseq, ledger.now, int(Why.EXPUNGED), mailbox.id)).fetchall()
    run(
        """INSERT INTO deleted_mailboxes (id, owner, name, uid_validity, object_id, special_use, gone, modseq)
        SELECT id, owner, name, uid_validity, object_id, special_use, ?, ? FROM mailboxes WHERE id = ?""",
        (ledger.now, modseq, mailbox.id),
    ).fetchall()
    mailbox.use.add(-mailbox.size, -mailbox.messages)
    for table in ("entries", "seen", "rights"):
        run(f"DELETE FROM {table} WHERE mailbox = ?", one).fetchall()
    run("DELETE FROM mailboxes WHERE id = ?", one).fetchall()
    ledger.forget(mailbox.id)
