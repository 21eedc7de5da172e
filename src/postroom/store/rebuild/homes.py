"""Accounts and mailboxes of an index that is made anew: taken from what is left of the old one, and made as the
letters' records name them. Every mailbox gets a UIDVALIDITY that none ever had."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import apsw

from postroom.store.apply import accounts, mailboxes
from postroom.store.apply.mailboxes import add_mailbox
from postroom.store.changes import AddAccount, CreateMailbox, SwitchAccount
from postroom.store.index import fetch_all, fetch_one
from postroom.store.ledger import Ledger
from postroom.store.names import canonical, is_account_name, is_mailbox_name
from postroom.store.usage import domain_of
from postroom.store.values import INBOX, Account, AccountId, Mailbox, MailboxId, SpecialUse

__all__ = ["RECOVERED", "Homes", "spare_account"]

RECOVERED: Final = "Recovered"
"""The mailbox for letters of which nobody knows where they lay."""


def spare_account(ledger: Ledger, hostname: str) -> AccountId:
    """Whose the letters are that nobody can say anything of: an administrator's, else the postmaster's, else those
    of an account that is made for them, switched off. Nobody else is to read strangers' letters."""
    row = fetch_one(
        ledger.connection,
        """SELECT id FROM accounts WHERE admin OR address LIKE 'postmaster@%' ORDER BY admin DESC, id LIMIT 1""",
    )
    if row is not None:
        return AccountId(row[0])
    address = f"recovered@{hostname.lower()}"
    row = fetch_one(ledger.connection, "SELECT id FROM accounts WHERE address = ?", (address,))
    return AccountId(row[0]) if row is not None else _made(ledger, address)


def _made(ledger: Ledger, address: str) -> AccountId:
    made = accounts.add(ledger, AddAccount(address))
    assert isinstance(made, Account), "the address is a good one, and free"
    accounts.switch(ledger, SwitchAccount(address, disabled=True))
    return made.id


class Homes:
    """Where letters are put. `known` are addresses that have secrets: where there are any, an account that is made
    without one is switched off. The old index's tables are in the attached database `old`."""

    def __init__(self, connection: apsw.Connection, known: frozenset[str], hostname: str) -> None:
        self._connection = connection
        self._known = known
        self._hostname = hostname
        self._accounts: dict[str, AccountId] = {}
        self._mailboxes: dict[tuple[AccountId, str], MailboxId] = {}
        self.old: dict[int, MailboxId] = {}
        """Mailboxes by the numbers that they had in the old index."""
        self.buried: set[int] = set()
        """Those of the old numbers that are of deleted mailboxes."""

    # --- from the old index

    def take_over(self, ledger: Ledger, named: Iterable[str], accounts_are_sound: bool) -> None:
        """Accounts with their numbers, mailboxes with their object ids, aliases, subscriptions, limits. Where
        nothing is known of accounts, those are made that letters came in for (`named`)."""
        run = self._connection.execute
        for row in fetch_all(self._connection, "SELECT * FROM old.accounts ORDER BY id"):
            if is_account_name(row[1]) and row[0] > 0:
                run(_ACCOUNT, row).fetchall()
        for account, address in fetch_all(self._connection, "SELECT id, address FROM accounts"):
            self._accounts[address] = AccountId(account)
        for statement in _COPIES:
            run(statement).fetchall()
        run(_VALIDITY, (ledger.now + _VALIDITY_AHEAD,)).fetchall()
        self._take_over_deleted(ledger)
        self._take_over_mailboxes(ledger)
        lost = () if self._accounts else named
        for address in () if accounts_are_sound else sorted({*self._known, *lost}):
            self.account(ledger, address)
        for address, account in list(self._accounts.items()):
            run("INSERT OR IGNORE INTO domains VALUES (?, 0, 0, NULL, NULL)", (domain_of(address),)).fetchall()
            self.mailbox(ledger, account, INBOX)

    def _take_over_deleted(self, ledger: Ledger) -> None:
        """Deleted mailboxes first: the numbers of others are drawn above theirs."""
        run = self._connection.execute
        run(
            """INSERT OR IGNORE INTO removed_accounts SELECT id, address, gone FROM old.removed_accounts o
            WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = o.id)"""
        ).fetchall()
        sql = """SELECT id, owner, name, object_id, special_use, gone, restored FROM old.deleted_mailboxes o
        WHERE NOT EXISTS (SELECT 1 FROM old.mailboxes m WHERE m.id = o.id) ORDER BY id"""
        number = 0
        for number, (old, owner, name, object_id, use, gone, restored) in enumerate(
            fetch_all(self._connection, sql), 1
        ):
            self.old[old] = MailboxId(number)
            self.buried.add(old)
            run(
                """INSERT INTO deleted_mailboxes (id, owner, name, uid_validity, object_id, special_use, gone,
                restored, modseq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 3)""",
                (number, owner, name, ledger.draw("uid_validity", ledger.now), object_id, use, gone, restored),
            ).fetchall()
        run("DELETE FROM sqlite_sequence").fetchall()
        run(
            """INSERT INTO sqlite_sequence (name, seq) VALUES ('mailboxes', ?), ('accounts', max(
            (SELECT coalesce(max(id), 0) FROM accounts), (SELECT coalesce(max(id), 0) FROM removed_accounts)))""",
            (number,),
        ).fetchall()

    def _take_over_mailboxes(self, ledger: Ledger) -> None:
        taken: set[str] = set()
        uses = {str(use) for use in SpecialUse}
        sql = """SELECT m.id, m.owner, m.name, m.special_use, m.object_id FROM old.mailboxes m
        JOIN accounts a ON a.id = m.owner ORDER BY m.id"""
        for old, owner, name, use, object_id in fetch_all(self._connection, sql):
            key = (AccountId(owner), canonical(name))
            if key not in self._mailboxes:
                special = SpecialUse(use) if use in uses else None
                made = self._named(ledger, key, special)
                if object_id and object_id not in taken:
                    taken.add(object_id)
                    sql = "UPDATE mailboxes SET object_id = ? WHERE id = ?"
                    self._connection.execute(sql, (object_id, made)).fetchall()
            self.old[old] = self._mailboxes[key]

    def _named(self, ledger: Ledger, key: tuple[AccountId, str], use: SpecialUse | None = None) -> MailboxId:
        """A mailbox that is made under its name, or under RECOVERED where that can be no name."""
        account, name = key
        if not is_mailbox_name(name):
            self._mailboxes[key] = self.mailbox(ledger, account, RECOVERED)
            return self._mailboxes[key]
        made = mailboxes.create(ledger, CreateMailbox(account, name, use))
        if isinstance(made, Mailbox):
            self._mailboxes[key] = made.id
            return made.id
        row = fetch_one(self._connection, "SELECT id FROM mailboxes WHERE owner = ? AND name = ?", (account, name))
        if row is None:
            # More than an account may have, and it had them.
            self._mailboxes[key] = add_mailbox(ledger, account, name, use).id
        else:
            # It came with the account, or as the level above another one.
            self._mailboxes[key] = MailboxId(row[0])
            sql = "UPDATE mailboxes SET special_use = coalesce(special_use, ?) WHERE id = ?"
            self._connection.execute(sql, (use, row[0])).fetchall()
        return self._mailboxes[key]

    # --- as they are named

    def account(self, ledger: Ledger, address: str) -> AccountId | None:
        """The account of an address, made where there is none; None for what can be no address."""
        found = self.known_account([address])
        if found is not None or not is_account_name(address):
            return found
        made = accounts.add(ledger, AddAccount(address))
        assert isinstance(made, Account), "the address is a good one, and free"
        if self._known and address not in self._known:
            accounts.switch(ledger, SwitchAccount(address, disabled=True))
        self._accounts[address] = made.id
        return made.id

    def known_account(self, addresses: Iterable[str]) -> AccountId | None:
        """The first of these addresses that is an account's."""
        for address in addresses:
            if address not in self._accounts:
                row = fetch_one(self._connection, "SELECT id FROM accounts WHERE address = ?", (address,))
                if row is None:
                    continue
                self._accounts[address] = AccountId(row[0])
            return self._accounts[address]
        return None

    def mailbox(self, ledger: Ledger, account: AccountId, name: str) -> MailboxId:
        """A mailbox by its name, made where it isn't there."""
        key = (account, canonical(name))
        found = self._mailboxes.get(key)
        return self._named(ledger, key) if found is None else found

    def recovered(self, ledger: Ledger, account: AccountId | None) -> MailboxId:
        """Where an account's letters go of which nothing else is known; of nobody's account, to the spare one."""
        if account is None:
            account = spare_account(ledger, self._hostname)
        return self.mailbox(ledger, account, RECOVERED)

    def take_over_rights(self) -> None:
        """Rights to mailboxes, by their new numbers."""
        rows = fetch_all(self._connection, "SELECT mailbox, identifier, rights FROM old.rights")
        self._connection.executemany(
            "INSERT OR IGNORE INTO rights VALUES (?, ?, ?)",
            [(self.old[row[0]], *row[1:]) for row in rows if row[0] in self.old and row[0] not in self.buried],
        ).fetchall()


# A short name that a damaged index gives twice must not cost the second account.
_ACCOUNT: Final = """INSERT OR IGNORE INTO accounts
 (id, address, disabled, admin, fxp, files, created, max_octets, max_letters, short, tags, hourly, daily)
 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
 CASE WHEN EXISTS (SELECT 1 FROM accounts WHERE short = ?10) THEN NULL ELSE ?10 END, ?11, ?12, ?13)"""
_VALIDITY_AHEAD: Final = 2**28
"""UIDVALIDITYs of the old index that are so many seconds ahead of the time are not believed."""
_VALIDITY: Final = """UPDATE counters SET value = max(value, (SELECT coalesce(max(value), 0) FROM (
 SELECT value FROM old.counters WHERE name = 'uid_validity' UNION ALL SELECT uid_validity FROM old.mailboxes
 UNION ALL SELECT uid_validity FROM old.deleted_mailboxes) WHERE value < ?)) WHERE name = 'uid_validity'"""
_COPIES: Final = (
    "INSERT OR IGNORE INTO aliases SELECT name, position, target FROM old.aliases",
    "INSERT OR IGNORE INTO domains SELECT name, 0, 0, max_octets, max_letters FROM old.domains",
    """INSERT OR IGNORE INTO refusals
    SELECT id, time, session, peer, login, sender, recipient, judge, reply FROM old.refusals""",
    "INSERT OR IGNORE INTO account_changes SELECT address, serial FROM old.account_changes",
    "UPDATE counters SET value = (SELECT coalesce(max(serial), 0) FROM account_changes) WHERE name = 'accounts'",
    """INSERT OR IGNORE INTO subscriptions SELECT s.account, s.name FROM old.subscriptions s
    JOIN accounts a ON a.id = s.account""",
)
