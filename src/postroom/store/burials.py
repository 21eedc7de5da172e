"""The index's questions about what is gone: tombstones, deleted mailboxes, removed accounts.

Each looks at a bounded number of rows and says where to go on, so that nobody's commit waits for a long read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import apsw

from postroom.store.apply.leaving import Why
from postroom.store.graves import Buried, Grave, Known, Lying, Sought, SoughtByHeader, SoughtById
from postroom.store.index import fetch_all, fetch_one
from postroom.store.values import Flag, Letter, MailboxId, MessageId, Uid

__all__ = ["buried", "graves", "known"]

_ADDRESS = "coalesce(a.address, r.address, '')"
_GRAVES = f"""SELECT m.id AS id, a.id, a.address, m.name, NULL, 0, 0
 FROM mailboxes m JOIN accounts a ON a.id = m.owner
 WHERE m.id > ?1 {{there}} AND EXISTS (SELECT 1 FROM tombstones t WHERE t.mailbox = m.id)
 UNION ALL
 SELECT d.id, a.id, {_ADDRESS}, d.name, d.gone, d.restored, d.modseq FROM deleted_mailboxes d
 LEFT JOIN accounts a ON a.id = d.owner LEFT JOIN removed_accounts r ON r.id = d.owner
 WHERE d.id > ?1 {{gone}}
 ORDER BY id LIMIT ?2"""
_ALL = _GRAVES.format(there="", gone="")
_OF_ONE = _GRAVES.format(
    there="AND a.address = ?3",
    gone="""AND d.owner IN (SELECT id FROM accounts WHERE address = ?3
 UNION ALL SELECT id FROM removed_accounts WHERE address = ?3)""",
)
_WENT_TOGETHER = f"""SELECT count(*), coalesce(sum(size), 0) FROM tombstones
 WHERE mailbox = ? AND modseq = ? AND why = {int(Why.EXPUNGED)}"""


def graves(connection: apsw.Connection, address: str | None, after: MailboxId, limit: int) -> list[Grave]:
    """Mailboxes that letters may have gone from, by number: a mailbox keeps its own when it is deleted."""
    if address is None:
        rows = fetch_all(connection, _ALL, (after, limit))
    else:
        rows = fetch_all(connection, _OF_ONE, (after, limit, address))
    found = []
    for mailbox, account, owner, name, gone, restored, modseq in rows:
        letters, octets = 0, 0
        if gone is not None:
            letters, octets = fetch_one(connection, _WENT_TOGETHER, (mailbox, modseq)) or (0, 0)
        found.append(Grave(mailbox, account, owner, name, gone, bool(restored), letters, octets))
    return found


_TOMBSTONES = "SELECT uid, why FROM tombstones WHERE mailbox = ? AND uid > ? ORDER BY uid LIMIT ?"
_BURIED = """SELECT t.flags, t.size, t.gone, t.modseq, t.uid, t.message, m.email_id, 'T' || t.thread, m.segment,
 m.offset, m.size, m.crlf_size, t.prefix, m.header_size, m.sent, m.sent_zone, t.internal_date, t.zone, t.save_date,
 x'', x'', x'' FROM tombstones t CROSS JOIN messages m ON m.id = t.message
 WHERE t.mailbox = ? AND t.uid IN (SELECT value FROM json_each(?)) ORDER BY t.uid"""


def buried(
    connection: apsw.Connection, mailbox: MailboxId, after: Uid, limit: int
) -> tuple[list[Buried], Uid | None]:
    """Letters that were expunged and neither moved nor brought back."""
    looked = fetch_all(connection, _TOMBSTONES, (mailbox, after, limit))
    uids = [uid for uid, why in looked if why == Why.EXPUNGED]
    deleted = fetch_one(connection, "SELECT modseq FROM deleted_mailboxes WHERE id = ?", (mailbox,))
    found = []
    for flags, size, gone, modseq, *letter in fetch_all(connection, _BURIED, (mailbox, json.dumps(uids))):
        together = deleted is not None and modseq == deleted[0]
        found.append(Buried(Letter(*letter), Flag(flags), size, gone, together))
    return found, looked[-1][0] if len(looked) == limit else None


def known(
    connection: apsw.Connection, sought: Sought, after: MessageId, limit: int
) -> tuple[list[Known], MessageId | None]:
    """Letters by their ids, or by what their stories tell."""
    if isinstance(sought, SoughtById):
        rows = fetch_all(connection, "SELECT id FROM messages WHERE email_id = ?", (sought.email_id,))
        return _known(connection, rows), None
    last = fetch_one(
        connection, "SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?", (after, limit - 1)
    )
    until = last[0] if last is not None else 2**62
    if isinstance(sought, SoughtByHeader):
        sql = "SELECT id FROM messages WHERE id > ? AND id <= ? AND message_id = ?"
        rows = fetch_all(connection, sql, (after, until, sought.message_id))
    else:
        sql = "SELECT message FROM stories WHERE message > ? AND message <= ? AND instr(events, ?)"
        rows = fetch_all(connection, sql, (after, until, sought.text))
    return _known(connection, rows), None if last is None else last[0]


_THERE = """SELECT a.address, m.id, m.name, e.uid, NULL, 0 FROM entries e JOIN mailboxes m ON m.id = e.mailbox
 JOIN accounts a ON a.id = m.owner WHERE e.message = ? ORDER BY 1, 3, 4"""
_GONE = f"""SELECT {_ADDRESS}, t.mailbox, coalesce(m.name, d.name, ''), t.uid, t.gone, t.why
 FROM tombstones t LEFT JOIN mailboxes m ON m.id = t.mailbox LEFT JOIN deleted_mailboxes d ON d.id = t.mailbox
 LEFT JOIN accounts a ON a.id = coalesce(m.owner, d.owner) LEFT JOIN removed_accounts r ON r.id = d.owner
 WHERE t.message = ? ORDER BY t.gone, 1, 3, 4"""
_LEFT = {Why.EXPUNGED: "expunged", Why.MOVED: "moved", Why.BROUGHT_BACK: "restored"}


def _known(connection: apsw.Connection, messages: Iterable[tuple[int]]) -> list[Known]:
    found = []
    for (message,) in messages:
        row = fetch_one(connection, "SELECT email_id FROM messages WHERE id = ?", (message,))
        if row is not None:
            there = [_lying(each) for each in fetch_all(connection, _THERE, (message,))]
            gone = [_lying(each) for each in fetch_all(connection, _GONE, (message,))]
            found.append(Known(MessageId(message), row[0], (*there, *gone)))
    return found


def _lying(row: Any) -> Lying:
    address, mailbox, name, uid, gone, why = row
    return Lying(address, mailbox, name, uid, gone, "" if gone is None else _LEFT.get(why, "gone"))
