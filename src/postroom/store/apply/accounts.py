"""Accounts and aliases."""

from __future__ import annotations

import json

from postroom.net.limits import ALIAS_TARGETS, REFUSAL_CHARACTERS, REFUSALS_KEPT
from postroom.store.apply.leaving import bury_all
from postroom.store.apply.mailboxes import add_mailbox
from postroom.store.changes import (
    AS_IT_IS,
    AddAccount,
    AddAlias,
    ArrangeAccount,
    Done,
    LimitAccount,
    LimitDomain,
    NoteRefused,
    Reason,
    Refused,
    RemoveAccount,
    RemoveAlias,
    SwitchAccount,
    TellAccount,
)
from postroom.store.index import fetch_all
from postroom.store.ledger import Ledger
from postroom.store.names import is_account_name
from postroom.store.usage import domain_of
from postroom.store.values import FIRST_MAILBOXES, Account, AccountId, MailboxId, RefusedLetter

__all__ = [
    "add",
    "add_alias",
    "arrange",
    "limit",
    "limit_domain",
    "note_refused",
    "remove",
    "remove_alias",
    "switch",
    "tell",
]


def add(ledger: Ledger, change: AddAccount) -> Account | Refused:
    """An account with its first mailboxes, subscribed to."""
    address = change.address
    if not is_account_name(address):
        return Refused(Reason.BAD_ADDRESS)
    if _find(ledger, address) is not None:
        return Refused(Reason.ACCOUNT_EXISTS)
    run = ledger.connection.execute
    account = AccountId(
        run(
            "INSERT INTO accounts (address, admin, fxp, files, created) VALUES (?, ?, ?, ?, ?) RETURNING id",
            (address, int(change.admin), int(change.fxp), change.files, ledger.now),
        ).get
    )
    run("INSERT OR IGNORE INTO domains VALUES (?, 0, 0, NULL, NULL)", (domain_of(address),)).fetchall()
    for name, use in FIRST_MAILBOXES:
        add_mailbox(ledger, account, name, use)
        run("INSERT INTO subscriptions VALUES (?, ?)", (account, name)).fetchall()
    ledger.account_changed(address)
    return Account(account, address, False, change.admin, change.fxp, change.files, ledger.now)


def switch(ledger: Ledger, change: SwitchAccount) -> Done | Refused:
    """Disable or enable an account."""
    account = _find(ledger, change.address)
    if account is None:
        return Refused(Reason.NO_SUCH_ACCOUNT)
    sql = "UPDATE accounts SET disabled = ? WHERE id = ?"
    ledger.connection.execute(sql, (int(change.disabled), account)).fetchall()
    ledger.account_changed(change.address)
    return Done()


def arrange(ledger: Ledger, change: ArrangeAccount) -> Done | Refused:
    """What an account has chosen; its sessions go on."""
    account = _find(ledger, change.address)
    if account is None:
        return Refused(Reason.NO_SUCH_ACCOUNT)
    run = ledger.connection.execute
    if (
        change.short is not None
        and run("SELECT 1 FROM accounts WHERE short = ? AND id <> ?", (change.short, account)).fetchone()
    ):
        return Refused(Reason.NAME_TAKEN)
    run(
        "UPDATE accounts SET short = ?, tags = ?, hourly = ?, daily = ? WHERE id = ?",
        (change.short, int(change.tags), change.hourly, change.daily, account),
    ).fetchall()
    return Done()


def note_refused(ledger: Ledger, change: NoteRefused) -> Done:
    """The newest stay."""
    run = ledger.connection.execute
    run(
        """INSERT INTO refusals (time, session, peer, login, sender, recipient, judge, reply)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3,
            value ->> 4, value ->> 5, value ->> 6, value ->> 7
        FROM json_each(?)""",
        (json.dumps([_refusal_row(each) for each in change.refused[-REFUSALS_KEPT:]]),),
    ).fetchall()
    run("DELETE FROM refusals WHERE id <= (SELECT max(id) FROM refusals) - ?", (REFUSALS_KEPT,)).fetchall()
    return Done()


def _refusal_row(refused: RefusedLetter) -> list[int | str]:
    texts = (
        refused.session,
        refused.peer,
        refused.login,
        refused.sender,
        refused.recipient,
        refused.judge,
        refused.reply,
    )
    # A lone surrogate is no text for SQLite.
    return [refused.time, *[each[:REFUSAL_CHARACTERS].encode("utf-8", "replace").decode() for each in texts]]


def remove(ledger: Ledger, change: RemoveAccount) -> Done | Refused:
    """An account with all that is its own; its letters stay as those of deleted mailboxes do."""
    account = _find(ledger, change.address)
    if account is None:
        return Refused(Reason.NO_SUCH_ACCOUNT)
    ledger.flush()
    run, one = ledger.connection.execute, (account,)
    for (number,) in fetch_all(ledger.connection, "SELECT id FROM mailboxes WHERE owner = ?", one):
        mailbox = ledger.mailbox(MailboxId(number))
        assert mailbox is not None, "it was found in this transaction"
        bury_all(ledger, mailbox, change.by)
    ledger.flush()
    run("INSERT INTO removed_accounts VALUES (?, ?, ?)", (account, change.address, ledger.now)).fetchall()
    for table, column in (("subscriptions", "account"), ("threads", "account"), ("seen", "accessor")):
        run(f"DELETE FROM {table} WHERE {column} = ?", one).fetchall()
    run("DELETE FROM rights WHERE identifier = ?", (change.address,)).fetchall()
    run("DELETE FROM accounts WHERE id = ?", one).fetchall()
    ledger.account_changed(change.address)
    return Done()


def limit(ledger: Ledger, change: LimitAccount) -> Done | Refused:
    """What an account may keep."""
    account = _find(ledger, change.address)
    if account is None:
        return Refused(Reason.NO_SUCH_ACCOUNT)
    sql = f"UPDATE accounts SET {_limited('?1', '?2')} WHERE id = ?3"
    ledger.connection.execute(sql, (change.octets, change.letters, account)).fetchall()
    ledger.usages.limited()
    return Done()


def limit_domain(ledger: Ledger, change: LimitDomain) -> Done:
    """What all accounts of a domain may keep together; its first account may still have to come."""
    run = ledger.connection.execute
    run("INSERT OR IGNORE INTO domains VALUES (?, 0, 0, NULL, NULL)", (change.domain,)).fetchall()
    sql = f"UPDATE domains SET {_limited('?1', '?2')} WHERE name = ?3"
    run(sql, (change.octets, change.letters, change.domain)).fetchall()
    ledger.usages.limited()
    return Done()


def _limited(octets: str, letters: str) -> str:
    """SQL that sets both limits, where they aren't to stay as they are."""
    return (
        f"max_octets = CASE {octets} WHEN {AS_IT_IS} THEN max_octets ELSE {octets} END,"
        f" max_letters = CASE {letters} WHEN {AS_IT_IS} THEN max_letters ELSE {letters} END"
    )


def tell(ledger: Ledger, change: TellAccount) -> Done:
    """Nothing changed here, and everybody is to hear of it."""
    ledger.account_changed(change.address)
    return Done()


def add_alias(ledger: Ledger, change: AddAlias) -> Done | Refused:
    """Targets behind those that the alias has, each once."""
    if not change.name or not change.targets:
        return Refused(Reason.BAD_ADDRESS)
    sql = "SELECT target, position FROM aliases WHERE name = ? ORDER BY position"
    have = fetch_all(ledger.connection, sql, (change.name,))
    known = {target for target, _ in have}
    new = [target for target in dict.fromkeys(change.targets) if target not in known]
    if len(have) + len(new) > ALIAS_TARGETS:
        return Refused(Reason.TOO_MANY)
    next_position = have[-1][1] + 1 if have else 0
    rows = [(change.name, position, target) for position, target in enumerate(new, next_position)]
    ledger.connection.executemany("INSERT INTO aliases VALUES (?, ?, ?)", rows).fetchall()
    return Done()


def remove_alias(ledger: Ledger, change: RemoveAlias) -> Done | Refused:
    """An alias with all its targets."""
    sql = "DELETE FROM aliases WHERE name = ? RETURNING 1"
    gone = ledger.connection.execute(sql, (change.name,)).fetchall()
    return Done() if gone else Refused(Reason.NO_SUCH_ALIAS)


def _find(ledger: Ledger, address: str) -> AccountId | None:
    row = ledger.connection.execute("SELECT id FROM accounts WHERE address = ?", (address,)).fetchone()
    return None if row is None else AccountId(row[0])
