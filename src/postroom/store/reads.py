"""The index's questions: each is answered whole at once, so that no cursor is open while anybody waits.

A connection that reads a row sees one committed state, and a later question may see a newer one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import apsw

from postroom.net.limits import LETTERS_PER_READ
from postroom.store.columns import PACKED, Columns, unpack
from postroom.store.drops import DROPS, Drops, unpack_drops
from postroom.store.index import fetch_all, fetch_one
from postroom.store.interface import TooManyChanges
from postroom.store.names import canonical
from postroom.store.values import (
    INBOX,
    Account,
    AccountId,
    Alias,
    Changes,
    Entry,
    Letter,
    Mailbox,
    MailboxId,
    MessageId,
    ModSeq,
    Place,
    RefusedLetter,
    SpecialUse,
    Status,
    Uid,
    UidValidity,
)

__all__ = [
    "account",
    "account_by_id",
    "accounts",
    "accounts_changed",
    "alias",
    "aliases",
    "changes",
    "columns",
    "drops",
    "entries",
    "highest_modseq",
    "index_id",
    "kept_letters",
    "letters",
    "mailbox",
    "mailboxes",
    "newest_account_change",
    "newest_segment",
    "place",
    "status",
    "story",
    "subscriptions",
    "target_names",
    "with_binary",
]

_ACCOUNT = "SELECT id, address, disabled, admin, fxp, files, created, short, tags, hourly, daily FROM accounts"
_MAILBOX = "SELECT id, owner, name, uid_validity, special_use, object_id FROM mailboxes WHERE owner = ?"
_ENTRY = "SELECT uid, flags, keywords, modseq, internal_date, zone, size FROM entries WHERE mailbox = ?"
# Of the indexes alone: what is too much is never read.
_MORE = """SELECT 1 FROM (
 SELECT uid FROM entries WHERE mailbox = ? AND modseq > ? UNION ALL
 SELECT uid FROM tombstones WHERE mailbox = ? AND modseq > ?) LIMIT 1 OFFSET ?"""
_LETTER = """SELECT e.uid, e.message, m.email_id, 'T' || e.thread, m.segment, m.offset, m.size, m.crlf_size,
 e.prefix, m.header_size, m.sent, m.sent_zone, e.internal_date, e.zone, e.save_date, {}
 FROM entries e CROSS JOIN messages m ON m.id = e.message {}
 WHERE e.mailbox = ? AND e.uid {} ORDER BY e.uid"""
_ANSWERS = {
    True: ("a.envelope, a.bodystructure, a.parts", "CROSS JOIN answers a ON a.message = e.message"),
    False: ("x'', x'', x''", ""),
}
_RANGE = {each: _LETTER.format(*_ANSWERS[each], "BETWEEN ? AND ?") for each in _ANSWERS}
_CHOSEN = {each: _LETTER.format(*_ANSWERS[each], "IN (SELECT value FROM json_each(?))") for each in _ANSWERS}
# A tombstone has all that an entry has.
_GONE = {each: _CHOSEN[each].replace("FROM entries", "FROM tombstones") for each in _ANSWERS}
# The encoding stands there as its sender wrote it, quoted, for it is an ordinary word.
_WITH_BINARY = """SELECT e.uid, instr(lower(a.bodystructure), '"binary"')
 FROM entries e CROSS JOIN answers a ON a.message = e.message
 WHERE e.mailbox = ? AND e.uid > ? ORDER BY e.uid LIMIT ?"""

# A row becomes a named tuple without a look at its fields: half the time of `Letter(*row)`.
_entry = partial(tuple.__new__, Entry)
_letter = partial(tuple.__new__, Letter)


# --- accounts


def account(connection: apsw.Connection, address: str) -> Account | None:
    """By its name."""
    row = fetch_one(connection, f"{_ACCOUNT} WHERE address = ?", (address,))
    return None if row is None else _as_account(row)


def account_by_id(connection: apsw.Connection, number: AccountId) -> Account | None:
    """By its number."""
    row = fetch_one(connection, f"{_ACCOUNT} WHERE id = ?", (number,))
    return None if row is None else _as_account(row)


def accounts(connection: apsw.Connection) -> list[Account]:
    """All, by address."""
    return [_as_account(row) for row in fetch_all(connection, f"{_ACCOUNT} ORDER BY address")]


def account_by_short(connection: apsw.Connection, short: str) -> Account | None:
    """By its name without a domain."""
    row = fetch_one(connection, f"{_ACCOUNT} WHERE short = ?", (short,))
    return None if row is None else _as_account(row)


def refused(connection: apsw.Connection, word: str, limit: int) -> list[RefusedLetter]:
    """What was refused, the newest first; with a `word`, what has it in any of its fields."""
    rows = fetch_all(
        connection,
        """SELECT time, session, peer, login, sender, recipient, judge, reply FROM refusals
        WHERE ?1 = ''
        OR instr(lower(concat_ws(char(10), session, peer, login, sender, recipient, judge, reply)), ?1)
        ORDER BY id DESC LIMIT ?2""",
        (word.lower(), limit),
    )
    return [RefusedLetter(*row) for row in rows]


def _as_account(row: tuple[Any, ...]) -> Account:
    number, address, disabled, admin, fxp, files, created, short, tags, hourly, daily = row
    return Account(
        number, address, bool(disabled), bool(admin), bool(fxp), files, created, short, bool(tags), hourly, daily
    )


def alias(connection: apsw.Connection, name: str) -> Alias | None:
    """By its name."""
    sql = "SELECT target FROM aliases WHERE name = ? ORDER BY position"
    targets = fetch_all(connection, sql, (name,))
    return Alias(name, tuple([target for (target,) in targets])) if targets else None


def aliases(connection: apsw.Connection) -> list[Alias]:
    """All, by name."""
    targets: dict[str, list[str]] = {}
    for name, target in fetch_all(connection, "SELECT name, target FROM aliases ORDER BY name, position"):
        targets.setdefault(name, []).append(target)
    return [Alias(name, tuple(each)) for name, each in targets.items()]


def index_id(connection: apsw.Connection) -> str:
    """The index's own id: another one after each rebuild and restore."""
    return str(connection.execute("SELECT value FROM site WHERE name = 'index'").get)


def newest_account_change(connection: apsw.Connection) -> int:
    """The number of the last change of an account."""
    return int(connection.execute("SELECT value FROM counters WHERE name = 'accounts'").get)


def accounts_changed(connection: apsw.Connection, after: int) -> list[tuple[int, str]]:
    """Changes of accounts with numbers above `after`, ascending: number and address."""
    sql = "SELECT serial, address FROM account_changes WHERE serial > ? ORDER BY serial"
    return fetch_all(connection, sql, (after,))


# --- mailboxes


def mailboxes(connection: apsw.Connection, owner: AccountId) -> list[Mailbox]:
    """An account's, by name, INBOX first."""
    rows = fetch_all(connection, f"{_MAILBOX} ORDER BY name <> '{INBOX}', name", (owner,))
    return [_as_mailbox(row) for row in rows]


def mailbox(connection: apsw.Connection, owner: AccountId, name: str) -> Mailbox | None:
    """One by its name."""
    row = fetch_one(connection, f"{_MAILBOX} AND name = ?", (owner, canonical(name)))
    return None if row is None else _as_mailbox(row)


def _as_mailbox(row: tuple[MailboxId, AccountId, str, UidValidity, str | None, str]) -> Mailbox:
    number, owner, name, validity, use, object_id = row
    return Mailbox(number, owner, name, validity, None if use is None else SpecialUse(use), object_id)


def subscriptions(connection: apsw.Connection, owner: AccountId) -> list[str]:
    """Names, sorted."""
    rows = fetch_all(connection, "SELECT name FROM subscriptions WHERE account = ? ORDER BY name", (owner,))
    return [name for (name,) in rows]


def status(connection: apsw.Connection, number: MailboxId) -> Status | None:
    """A mailbox's counters."""
    row = fetch_one(
        connection,
        """SELECT uid_validity, uid_next, highest_modseq, messages, unseen, deleted, size, recent, forgotten_modseq
        FROM mailboxes WHERE id = ?""",
        (number,),
    )
    return None if row is None else Status(*row)


def highest_modseq(connection: apsw.Connection, number: MailboxId) -> int:
    """A mailbox's; 0 where it is gone."""
    row = fetch_one(connection, "SELECT highest_modseq FROM mailboxes WHERE id = ?", (number,))
    return 0 if row is None else int(row[0])


def target_names(
    connection: apsw.Connection, numbers: Iterable[MailboxId]
) -> dict[MailboxId, tuple[AccountId, str, str]]:
    """Owners, their addresses and mailboxes' names, for records' facts; those of mailboxes that are there."""
    rows = fetch_all(
        connection,
        """SELECT m.id, m.owner, a.address, m.name FROM mailboxes m JOIN accounts a ON a.id = m.owner
        WHERE m.id IN (SELECT value FROM json_each(?))""",
        (json.dumps(list(numbers)),),
    )
    return {number: (owner, address, name) for number, owner, address, name in rows}


# --- letters


def entries(connection: apsw.Connection, number: MailboxId, after: Uid, limit: int) -> list[Entry]:
    """A slice, ascending."""
    sql = f"{_ENTRY} AND uid > ? ORDER BY uid LIMIT ?"
    return list(map(_entry, fetch_all(connection, sql, (number, after, limit))))


def columns(connection: apsw.Connection, number: MailboxId, after: Uid, limit: int) -> Columns:
    """A slice, ascending, by columns."""
    return unpack(*fetch_one(connection, PACKED, (number, after, limit)))


def changes(connection: apsw.Connection, number: MailboxId, since: ModSeq, most: int | None = None) -> Changes:
    """What happened after `since`, as of one moment. Raises `TooManyChanges` for more than `most` letters."""
    connection.execute("BEGIN").fetchall()
    try:
        highest = highest_modseq(connection, number)
        if not highest:
            return Changes(since, [], [], exists=False)
        if highest <= since:
            return Changes(ModSeq(highest), [], [])
        if most is not None and fetch_one(connection, _MORE, (number, since, number, since, most)) is not None:
            raise TooManyChanges
        rows = fetch_all(connection, f"{_ENTRY} AND modseq > ?", (number, since))
        gone = fetch_all(
            connection, "SELECT uid FROM tombstones WHERE mailbox = ? AND modseq > ? ORDER BY uid", (number, since)
        )
    finally:
        connection.execute("COMMIT").fetchall()
    rows.sort()
    return Changes(ModSeq(highest), list(map(_entry, rows)), [uid for (uid,) in gone])


def letters(connection: apsw.Connection, number: MailboxId, uids: Sequence[Uid], answers: bool) -> list[Letter]:
    """Those of these UIDs (ascending) that are there, with or without what was made of them at delivery. Raises
    ValueError for more than LETTERS_PER_READ."""
    if len(uids) > LETTERS_PER_READ:
        raise ValueError("too many letters at a time")
    if not uids:
        return []
    if uids[-1] - uids[0] < len(uids):
        rows = fetch_all(connection, _RANGE[answers], (number, uids[0], uids[-1]))
    else:
        rows = fetch_all(connection, _CHOSEN[answers], (number, json.dumps(uids)))
    return list(map(_letter, rows))


def kept_letters(
    connection: apsw.Connection, number: MailboxId, uids: Sequence[Uid], answers: bool
) -> list[Letter]:
    """What `letters` gives, and what is gone from the mailbox and kept. Raises ValueError as that does."""
    found = letters(connection, number, uids, answers)
    if len(found) < len(uids):
        missing = sorted({*uids}.difference([letter.uid for letter in found]))
        found += map(_letter, fetch_all(connection, _GONE[answers], (number, json.dumps(missing))))
        found.sort()
    return found


def drops(connection: apsw.Connection, number: MailboxId, after: Uid, limit: int) -> Drops:
    """A slice for a POP3 session, ascending, by columns."""
    return unpack_drops(*fetch_one(connection, DROPS, (number, after, limit)))


def with_binary(
    connection: apsw.Connection, number: MailboxId, after: Uid, limit: int
) -> tuple[list[Uid], Uid | None]:
    """Letters of a slice that may have a part with the binary encoding; where the next slice begins."""
    rows = fetch_all(connection, _WITH_BINARY, (number, after, limit))
    return [uid for uid, at in rows if at], rows[-1][0] if len(rows) == limit else None


def story(connection: apsw.Connection, message: MessageId) -> str:
    """What happened to a letter, as it is kept; empty where nothing is known."""
    row = fetch_one(connection, "SELECT events FROM stories WHERE message = ?", (message,))
    return "" if row is None else str(row[0])


def place(connection: apsw.Connection, message: MessageId) -> Place | None:
    """Where a letter lies now."""
    row = fetch_one(connection, "SELECT segment, offset, size FROM messages WHERE id = ?", (message,))
    return None if row is None else Place(*row)


def newest_segment(connection: apsw.Connection) -> int:
    """The highest number of a segment that a letter lies in, or ever lay."""
    return int(connection.execute("SELECT coalesce(max(number), 0) FROM segments").get)
