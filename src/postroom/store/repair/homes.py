"""Accounts and mailboxes that are missing, so that no letter is without one; and UIDVALIDITYs that two share."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from postroom.store.apply.mailboxes import add_mailbox
from postroom.store.check.findings import Finding
from postroom.store.check.rows import without
from postroom.store.index import fetch_all, fetch_one
from postroom.store.ledger import Ledger
from postroom.store.names import is_account_name, levels_above
from postroom.store.rebuild.homes import RECOVERED, Homes, spare_account
from postroom.store.repair.answers import record_facts
from postroom.store.repair.bench import Bench, repaired, transaction
from postroom.store.values import INBOX, AccountId, MailboxId, Place

__all__ = ["repair_accounts", "repair_entries_without_mailbox", "repair_tombstones_without_mailbox", "repair_tree"]

_ASKED: Final = 100
"""Letters whose records are asked for an address."""


def _addresses(bench: Bench, table: str, mailbox: int) -> list[str]:
    """Whose the letters of a mailbox are, by their records, the likeliest first: those whose mailbox of the name
    that the records give is gone, and those that are named oftenest. A letter of several recipients is told apart
    by what is its own at each of them."""
    rows = fetch_all(
        bench.connection,
        f"""SELECT x.segment, x.offset, x.size, e.prefix FROM {table} e JOIN messages x ON x.id = e.message
        WHERE e.mailbox = ? LIMIT {_ASKED}""",
        (mailbox,),
    )
    named = Counter[tuple[str, str]]()
    for *place, prefix in rows:
        with suppress(OSError):
            facts = record_facts(bench.folder, Place(*place))
            for target in facts.targets if facts else ():
                if target.prefix == prefix and is_account_name(target.address):
                    named[target.address, target.mailbox] += 1
    gone = {each for each in named if fetch_one(bench.connection, _THERE, each) is None}
    likely = sorted(named, key=lambda each: (each not in gone, -named[each]))
    return [address for address, _ in likely]


_THERE: Final = """SELECT 1 FROM mailboxes b JOIN accounts a ON a.id = b.owner WHERE a.address = ? AND b.name = ?"""


# --- accounts


def repair_accounts(bench: Bench) -> Iterator[Finding]:
    """Mailboxes whose account is gone: it is there again under the address that their letters' records name (or
    that it was removed under); else they go to whoever gets what nobody knows of."""
    owners = fetch_all(
        bench.connection, f"SELECT DISTINCT c.owner {without('mailboxes', 'owner', 'accounts', 'id')}"
    )
    for (owner,) in owners:
        with transaction(bench.connection, bench.now) as ledger:
            address = _address_of(bench, owner)
            if address is None:
                account = spare_account(ledger, bench.hostname)
                names = _hand_over(ledger, owner, account)
                told = repaired(f"account number {owner} is gone: its mailboxes are now {', '.join(names)}")
            else:
                sql = "INSERT INTO accounts (id, address, created) VALUES (?, ?, ?)"
                bench.connection.execute(sql, (owner, address, bench.now)).fetchall()
                ledger.account_changed(address)
                told = repaired(f"{address}: the account is there again, with account number {owner}'s mailboxes")
        yield told


def _address_of(bench: Bench, owner: int) -> str | None:
    """The free address that an account had."""
    removed = fetch_all(bench.connection, "SELECT address FROM removed_accounts WHERE id = ?", (owner,))
    found = [address for (address,) in removed]
    for (mailbox,) in fetch_all(bench.connection, "SELECT id FROM mailboxes WHERE owner = ?", (owner,)):
        found += _addresses(bench, "entries", mailbox)
    sql = "SELECT 1 FROM accounts WHERE address = ?"
    return next((each for each in found if fetch_one(bench.connection, sql, (each,)) is None), None)


def _hand_over(ledger: Ledger, owner: int, account: AccountId) -> list[str]:
    """Give all mailboxes of an account to another; their new names, with the new owner's address."""
    run = ledger.connection.execute
    address = run("SELECT address FROM accounts WHERE id = ?", (account,)).get
    names = []
    for mailbox, name in fetch_all(
        ledger.connection, "SELECT id, name FROM mailboxes WHERE owner = ? ORDER BY id", (owner,)
    ):
        new = f"{RECOVERED}/{owner}/{name}"
        run("UPDATE mailboxes SET owner = ?, name = ? WHERE id = ?", (account, new, mailbox)).fetchall()
        names.append(f"{address}, {new}")
    return names


# --- mailboxes


def repair_tree(bench: Bench) -> Iterator[Finding]:
    """INBOXes and levels that are missing, and UIDVALIDITYs that two mailboxes of an account share."""
    sql = f"""SELECT a.id, a.address FROM accounts a
    WHERE NOT EXISTS (SELECT 1 FROM mailboxes b WHERE b.owner = a.id AND b.name = '{INBOX}')"""
    for account, address in fetch_all(bench.connection, sql):
        with transaction(bench.connection, bench.now) as ledger:
            add_mailbox(ledger, AccountId(account), INBOX, None)
        yield repaired(f"{address}: an empty INBOX is made")
    rows = fetch_all(
        bench.connection, "SELECT owner, name FROM mailboxes WHERE instr(name, '/') ORDER BY owner, name"
    )
    there = {(owner, name) for owner, name in fetch_all(bench.connection, "SELECT owner, name FROM mailboxes")}
    for owner, name in rows:
        for each in levels_above(name):
            if each and (owner, each) not in there:
                there.add((owner, each))
                with transaction(bench.connection, bench.now) as ledger:
                    add_mailbox(ledger, AccountId(owner), each, None)
                yield repaired(f"account number {owner}: the level {each} above {name} is made")
    yield from _repair_validities(bench)


def _repair_validities(bench: Bench) -> Iterator[Finding]:
    rows = fetch_all(
        bench.connection,
        """SELECT owner, uid_validity, name, id, 0 FROM mailboxes UNION ALL
        SELECT owner, uid_validity, name, id, 1 FROM deleted_mailboxes ORDER BY 1, 2, 5, 4""",
    )
    before = None
    for owner, validity, name, number, deleted in rows:
        if (owner, validity) == before:
            with transaction(bench.connection, bench.now) as ledger:
                new = ledger.draw("uid_validity", bench.now)
                table = "deleted_mailboxes" if deleted else "mailboxes"
                sql = f"UPDATE {table} SET uid_validity = ? WHERE id = ?"
                bench.connection.execute(sql, (new, number)).fetchall()
            yield repaired(f"account number {owner}, {name}: its UIDVALIDITY is {new} now")
        before = (owner, validity)


# --- what is in no mailbox


def repair_entries_without_mailbox(bench: Bench) -> Iterator[Finding]:
    """Letters in mailboxes that are gone go to their owner's mailbox for the recovered ones."""
    homes = Homes(bench.connection, frozenset(), bench.hostname)
    gone = fetch_all(
        bench.connection, f"SELECT DISTINCT c.mailbox {without('entries', 'mailbox', 'mailboxes', 'id')}"
    )
    for (mailbox,) in gone:
        addresses = _addresses(bench, "entries", mailbox)
        with transaction(bench.connection, bench.now) as ledger:
            account = _owner(bench, mailbox) or homes.known_account(addresses)
            if account is None and addresses:
                account = homes.account(ledger, addresses[0])
            target = homes.recovered(ledger, account)
            count = _move(ledger, mailbox, target)
            name = ledger.connection.execute(
                """SELECT a.address || ', ' || b.name FROM mailboxes b JOIN accounts a ON a.id = b.owner
                WHERE b.id = ?""",
                (target,),
            ).get
        yield repaired(f"mailbox number {mailbox} is gone: its {count} letters are in {name}")


def _owner(bench: Bench, mailbox: int) -> AccountId | None:
    """Whose a deleted mailbox was."""
    row = fetch_one(
        bench.connection,
        "SELECT d.owner FROM deleted_mailboxes d JOIN accounts a ON a.id = d.owner WHERE d.id = ?",
        (mailbox,),
    )
    return None if row is None else AccountId(row[0])


def _move(ledger: Ledger, mailbox: int, target: MailboxId) -> int:
    """All entries of a mailbox that is gone, as new ones at the end of another."""
    counters = ledger.mailbox(target)
    assert counters is not None, "it was found or made in this transaction"
    modseq = counters.next_modseq()
    rows = []
    for uid, flags, size in fetch_all(
        ledger.connection, "SELECT uid, flags, size FROM entries WHERE mailbox = ? ORDER BY uid", (mailbox,)
    ):
        rows.append((target, counters.arrived(flags, size), modseq, mailbox, uid))
    sql = "UPDATE entries SET mailbox = ?, uid = ?, modseq = ? WHERE mailbox = ? AND uid = ?"
    ledger.connection.executemany(sql, rows).fetchall()
    return len(rows)


def repair_tombstones_without_mailbox(bench: Bench) -> Iterator[Finding]:
    """Expunged letters of mailboxes that nobody knows become those of a deleted one, from which they can be brought
    back."""
    homes = Homes(bench.connection, frozenset(), bench.hostname)
    gone = fetch_all(
        bench.connection,
        f"""SELECT c.mailbox, max(c.gone), max(c.modseq) {without("tombstones", "mailbox", "mailboxes", "id")}
        AND NOT EXISTS (SELECT 1 FROM deleted_mailboxes d WHERE d.id = c.mailbox) GROUP BY c.mailbox""",
    )
    for mailbox, at, modseq in gone:
        addresses = _addresses(bench, "tombstones", mailbox)
        with transaction(bench.connection, bench.now) as ledger:
            account = homes.known_account(addresses) or spare_account(ledger, bench.hostname)
            bench.connection.execute(
                """INSERT INTO deleted_mailboxes (id, owner, name, uid_validity, object_id, gone, modseq)
                VALUES (?, ?, ?, ?, ?, ?, ?)""",
                (
                    mailbox,
                    account,
                    RECOVERED,
                    ledger.draw("uid_validity", bench.now),
                    "F" + secrets.token_hex(16),
                    at,
                    modseq,
                ),
            ).fetchall()
        yield repaired(f"mailbox number {mailbox} is gone: what was expunged from it can be brought back")
