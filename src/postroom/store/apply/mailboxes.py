"""The tree of mailboxes: made, deleted, renamed, subscribed to."""

from __future__ import annotations

import secrets

from postroom.net.limits import MAILBOXES_PER_ACCOUNT, SUBSCRIPTIONS_PER_ACCOUNT
from postroom.store import reads
from postroom.store.apply.leaving import Why, bury_all, take_away
from postroom.store.apply.letters import all_entries, bring_back_these, buried_together, copy_entries
from postroom.store.changes import (
    BringBackMailbox,
    CreateMailbox,
    DeleteMailbox,
    Done,
    Filed,
    Reason,
    Refused,
    RenameMailbox,
    Subscribe,
)
from postroom.store.index import fetch_all
from postroom.store.ledger import Ledger
from postroom.store.names import canonical, is_mailbox_name, levels_above
from postroom.store.stories import append, write_happening
from postroom.store.values import INBOX, SEPARATOR, AccountId, Mailbox, MailboxId, SpecialUse, UidValidity

__all__ = ["add_mailbox", "bring_back", "create", "delete", "rename", "subscribe"]

_BEHIND = chr(ord(SEPARATOR) + 1)
"""Sorts just behind every name that begins with a level and the separator."""


def add_mailbox(ledger: Ledger, account: AccountId, name: str, use: SpecialUse | None) -> Mailbox:
    """A new mailbox, whose name must be free and good. Its UIDVALIDITY is one that no mailbox here ever had: at
    least the time (so that an index made anew is above the old one's), and more where the clock stands or runs
    back."""
    validity, object_id = ledger.draw("uid_validity", ledger.now), "F" + secrets.token_hex(16)
    number = ledger.connection.execute(
        """INSERT INTO mailboxes (owner, name, uid_validity, special_use, object_id, created)
        VALUES (?, ?, ?, ?, ?, ?) RETURNING id""",
        (account, name, validity, use, object_id, ledger.now),
    ).get
    return Mailbox(MailboxId(number), account, name, UidValidity(validity), use, object_id)


def create(ledger: Ledger, change: CreateMailbox) -> Mailbox | Refused:
    """RFC 9051 6.3.4, RFC 6154 3."""
    account, name = change.account, canonical(change.name)
    if not is_mailbox_name(name):
        return Refused(Reason.BAD_NAME)
    if not _account_is_there(ledger, account):
        return Refused(Reason.NO_SUCH_ACCOUNT)
    if _find(ledger, account, name) is not None:
        return Refused(Reason.MAILBOX_EXISTS)
    missing = _missing_above(ledger, account, name)
    if not _room(ledger, account, len(missing) + 1):
        return Refused(Reason.TOO_MANY)
    for each in missing:
        add_mailbox(ledger, account, each, None)
    return add_mailbox(ledger, account, name, change.special_use)


def delete(ledger: Ledger, change: DeleteMailbox) -> Done | Refused:
    """RFC 9051 6.3.5, for mailboxes without inferiors. The subscription stays (6.3.7)."""
    name = canonical(change.name)
    if name == INBOX:
        return Refused(Reason.NOT_FOR_INBOX)
    found = _find(ledger, change.account, name)
    if found is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    if _inferiors(ledger, change.account, name):
        return Refused(Reason.HAS_CHILDREN)
    ledger.flush()
    mailbox = ledger.mailbox(found)
    assert mailbox is not None, "it was found in this transaction"
    bury_all(ledger, mailbox, change.by)
    return Done()


def bring_back(ledger: Ledger, change: BringBackMailbox) -> Mailbox | Refused:
    """A deleted mailbox, made anew with the letters that were in it."""
    ledger.flush()
    sql = "SELECT special_use, modseq FROM deleted_mailboxes WHERE id = ? AND NOT restored"
    row = ledger.connection.execute(sql, (change.mailbox,)).fetchone()
    if row is None:
        return Refused(Reason.NOTHING_THERE)
    use, modseq = row
    buried = buried_together(ledger, change.mailbox, modseq)
    if not ledger.usages.of(change.account).has_room(sum([each[6] for each in buried]), len(buried)):
        return Refused(Reason.OVER_QUOTA)
    there = reads.mailbox(ledger.connection, change.account, change.name) if change.join else None
    made = there or _anew(ledger, change, use)
    if isinstance(made, Refused):
        return made
    target = ledger.mailbox(made.id)
    assert target is not None, "it was found or made in this transaction"
    if not target.has_room(len(buried)):
        return Refused(Reason.TOO_MANY)
    bring_back_these(ledger, change.mailbox, buried, target, change.by)
    sql = "UPDATE deleted_mailboxes SET restored = 1 WHERE id = ?"
    ledger.connection.execute(sql, (change.mailbox,)).fetchall()
    return made


def _anew(ledger: Ledger, change: BringBackMailbox, use: str | None) -> Mailbox | Refused:
    # What it was for, another may be for now.
    sql = "SELECT 1 FROM mailboxes WHERE owner = ? AND special_use = ?"
    if use is not None and ledger.connection.execute(sql, (change.account, use)).fetchone() is not None:
        use = None
    return create(ledger, CreateMailbox(change.account, change.name, None if use is None else SpecialUse(use)))


def rename(ledger: Ledger, change: RenameMailbox) -> Done | Refused:
    """RFC 9051 6.3.6: with all inferiors; INBOX gives its letters to a new mailbox, and its inferiors stay."""
    account, name, new = change.account, canonical(change.name), canonical(change.new)
    if not is_mailbox_name(new):
        return Refused(Reason.BAD_NAME)
    found = _find(ledger, account, name)
    if found is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    if _find(ledger, account, new) is not None:
        return Refused(Reason.MAILBOX_EXISTS)
    if name == INBOX:
        return _empty_inbox(ledger, change, found, new)
    if new.startswith(name + SEPARATOR):
        # A mailbox can't be its own superior.
        return Refused(Reason.BAD_NAME)
    moved = [(found, new)]
    for inferior, old in _inferiors(ledger, account, name):
        moved.append((inferior, new + old[len(name) :]))
    for _, each in moved:
        if not is_mailbox_name(each):
            return Refused(Reason.BAD_NAME)
        if _find(ledger, account, each) is not None:
            return Refused(Reason.MAILBOX_EXISTS)
    missing = _missing_above(ledger, account, new)
    if not _room(ledger, account, len(missing)):
        return Refused(Reason.TOO_MANY)
    for each in missing:
        add_mailbox(ledger, account, each, None)
    ledger.flush()
    for mailbox, each in moved:
        ledger.connection.execute("UPDATE mailboxes SET name = ? WHERE id = ?", (each, mailbox)).fetchall()
        ledger.forget(mailbox)
    return Done()


def _empty_inbox(ledger: Ledger, change: RenameMailbox, found: MailboxId, new: str) -> Done | Refused:
    account = change.account
    missing = _missing_above(ledger, account, new)
    if not _room(ledger, account, len(missing) + 1):
        return Refused(Reason.TOO_MANY)
    for each in missing:
        add_mailbox(ledger, account, each, None)
    inbox, target = ledger.mailbox(found), ledger.mailbox(add_mailbox(ledger, account, new, None).id)
    assert inbox is not None and target is not None, "one was found and one made in this transaction"
    rows = all_entries(ledger, found)
    filed = copy_entries(ledger, rows, target)
    assert isinstance(filed, Filed), "a new mailbox has room for as many as another holds"
    append(
        ledger.connection,
        {row[1] for row in rows},
        write_happening(ledger.now, "moved", change.by, f"{inbox.name} -> {target.name}"),
    )
    take_away(ledger, inbox, [(row[0], row[2], row[6]) for row in rows], Why.MOVED)
    return Done()


def subscribe(ledger: Ledger, change: Subscribe) -> Done | Refused:
    """RFC 9051 6.3.7 and 6.3.8; no mailbox of that name need exist, and taking off what isn't on does nothing."""
    account, name = change.account, canonical(change.name)
    run = ledger.connection.execute
    if not change.on:
        run("DELETE FROM subscriptions WHERE account = ? AND name = ?", (account, name)).fetchall()
        return Done()
    if not is_mailbox_name(name):
        return Refused(Reason.BAD_NAME)
    if not _account_is_there(ledger, account):
        return Refused(Reason.NO_SUCH_ACCOUNT)
    count = run("SELECT count(*) FROM subscriptions WHERE account = ? AND name <> ?", (account, name)).get
    if count >= SUBSCRIPTIONS_PER_ACCOUNT:
        return Refused(Reason.TOO_MANY)
    run("INSERT OR IGNORE INTO subscriptions VALUES (?, ?)", (account, name)).fetchall()
    return Done()


def _account_is_there(ledger: Ledger, account: AccountId) -> bool:
    return ledger.connection.execute("SELECT 1 FROM accounts WHERE id = ?", (account,)).fetchone() is not None


def _find(ledger: Ledger, account: AccountId, name: str) -> MailboxId | None:
    row = ledger.connection.execute(
        "SELECT id FROM mailboxes WHERE owner = ? AND name = ?", (account, name)
    ).fetchone()
    return None if row is None else MailboxId(row[0])


def _inferiors(ledger: Ledger, account: AccountId, name: str) -> list[tuple[MailboxId, str]]:
    sql = "SELECT id, name FROM mailboxes WHERE owner = ? AND name > ? AND name < ? ORDER BY name"
    return fetch_all(ledger.connection, sql, (account, name + SEPARATOR, name + _BEHIND))


def _missing_above(ledger: Ledger, account: AccountId, name: str) -> list[str]:
    return [each for each in levels_above(name) if _find(ledger, account, each) is None]


def _room(ledger: Ledger, account: AccountId, more: int) -> bool:
    count = ledger.connection.execute("SELECT count(*) FROM mailboxes WHERE owner = ?", (account,)).get
    return int(count) + more <= MAILBOXES_PER_ACCOUNT
