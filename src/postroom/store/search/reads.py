"""What the indexer asks the index."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import NamedTuple

import apsw

from postroom.store.index import fetch_all
from postroom.store.reads import index_id
from postroom.store.values import AccountId, MailboxId, Uid

__all__ = [
    "State",
    "account_ids",
    "expunged",
    "index_id",
    "mailboxes_with_letters",
    "owners",
    "states",
    "uids_between",
]


class State(NamedTuple):
    """A mailbox as the indexer sees it."""

    mailbox: MailboxId
    uid_next: int
    modseq: int
    """Its highest."""
    forgotten: int
    """Entries that vanished up to this modseq may not be known any more."""


def states(connection: apsw.Connection, account: AccountId) -> list[State]:
    """An account's mailboxes."""
    sql = "SELECT id, uid_next, highest_modseq, forgotten_modseq FROM mailboxes WHERE owner = ?"
    return [State(*row) for row in fetch_all(connection, sql, (account,))]


def mailboxes_with_letters(
    connection: apsw.Connection, after: MailboxId, limit: int
) -> list[tuple[MailboxId, AccountId, int]]:
    """Mailboxes that have or had letters, ascending from behind `after`: number, account, highest modseq."""
    sql = """SELECT id, owner, highest_modseq FROM mailboxes WHERE id > ? AND uid_next > 1 ORDER BY id LIMIT ?"""
    return fetch_all(connection, sql, (after, limit))


def owners(connection: apsw.Connection, mailboxes: Collection[MailboxId]) -> list[AccountId]:
    """Whose these mailboxes are, or were."""
    sql = """SELECT owner FROM mailboxes WHERE id IN (SELECT value FROM json_each(?1)) UNION
    SELECT owner FROM deleted_mailboxes WHERE id IN (SELECT value FROM json_each(?1))"""
    return [owner for (owner,) in fetch_all(connection, sql, (json.dumps(list(mailboxes)),))]


def account_ids(connection: apsw.Connection) -> set[AccountId]:
    """All accounts."""
    return {account for (account,) in fetch_all(connection, "SELECT id FROM accounts")}


def expunged(
    connection: apsw.Connection, mailbox: MailboxId, after: tuple[int, Uid], limit: int
) -> list[tuple[int, Uid]]:
    """Entries that went from a mailbox, by modseq and UID, from behind `after` on."""
    sql = """SELECT modseq, uid FROM tombstones WHERE mailbox = ? AND (modseq, uid) > (?, ?)
    ORDER BY modseq, uid LIMIT ?"""
    return fetch_all(connection, sql, (mailbox, *after, limit))


def uids_between(connection: apsw.Connection, mailbox: MailboxId, first: Uid, last: Uid) -> set[Uid]:
    """UIDs that a mailbox has in a range."""
    sql = "SELECT uid FROM entries WHERE mailbox = ? AND uid BETWEEN ? AND ?"
    return {uid for (uid,) in fetch_all(connection, sql, (mailbox, first, last))}
