"""What one transaction knows of the mailboxes it touches: their counters, and rows that wait to be written.

A `Ledger` lives for one transaction and is thrown away with it, also when it is rolled back. A mailbox is read at
its first touch and written back where it changed; letters' rows are gathered and written with one statement each.
"""

from __future__ import annotations

from dataclasses import dataclass

import apsw

from postroom.store.index import fetch_one
from postroom.store.letterrows import Row
from postroom.store.usage import Usages, Use
from postroom.store.values import NO_QUOTAS, Flag, MailboxId, Quotas, Uid

__all__ = ["MAX_UID", "Counters", "Ledger"]

_SEEN, _DELETED = int(Flag.SEEN), int(Flag.DELETED)
"""As plain numbers: an IntFlag's `&` takes a microsecond."""

MAX_UID = 2**32 - 1
"""RFC 9051 2.3.1.1: unique identifiers are 32-bit."""


@dataclass(slots=True)
class Counters:
    """One mailbox's row, as the transaction has it now."""

    use: Use
    """What its owner keeps, shared by all mailboxes of the account."""
    id: MailboxId
    owner: int
    name: str
    uid_validity: int
    uid_next: int
    highest_modseq: int
    messages: int
    unseen: int
    deleted: int
    size: int
    first_recent: int
    recent: int

    def next_modseq(self) -> int:
        """Draw the modseq of one change."""
        self.highest_modseq += 1
        return self.highest_modseq

    def has_room(self, count: int) -> bool:
        """Whether so many UIDs are left."""
        return self.uid_next + count - 1 <= MAX_UID

    def arrived(self, flags: int, size: int, count: int = 1) -> Uid:
        """Count `count` entries alike that come in (`size` octets together); gives the first one's UID."""
        first = self.uid_next
        self.uid_next += count
        self.messages += count
        self.unseen += 0 if flags & _SEEN else count
        self.deleted += count if flags & _DELETED else 0
        self.size += size
        self.recent += count
        self.use.add(size, count)
        return Uid(first)

    def went(self, uid: int, flags: int, size: int) -> None:
        """Count one entry that goes."""
        self.messages -= 1
        self.unseen -= 0 if flags & _SEEN else 1
        self.deleted -= 1 if flags & _DELETED else 0
        self.size -= size
        self.recent -= 1 if uid >= self.first_recent else 0
        self.use.add(-size, -1)

    def flagged(self, before: int, after: int, count: int) -> None:
        """Count `count` entries whose flags went from `before` to `after`."""
        self.unseen += count * (bool(before & _SEEN) - bool(after & _SEEN))
        self.deleted += count * (bool(after & _DELETED) - bool(before & _DELETED))


_READ = """SELECT id, owner, name, uid_validity, uid_next, highest_modseq, messages, unseen, deleted, size,
 first_recent, recent FROM mailboxes WHERE id = ?"""
_WRITE = """UPDATE mailboxes SET uid_next = ?, highest_modseq = ?, messages = ?, unseen = ?, deleted = ?, size = ?,
 first_recent = ?, recent = ? WHERE id = ?"""
_INSERT = {
    table: f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"
    for table, columns in (("messages", 17), ("answers", 4), ("entries", 12), ("stories", 2))
}
_THREAD = "INSERT OR IGNORE INTO threads VALUES (?, ?, ?)"


class Ledger:
    """See the module. `now` is the transaction's time in seconds since 1970 UTC."""

    def __init__(self, connection: apsw.Connection, now: int, quotas: Quotas = NO_QUOTAS) -> None:
        self.connection = connection
        self.now = now
        self.usages = Usages(connection, quotas)
        self.touched: set[MailboxId] = set()
        """Mailboxes whose watchers must hear of this transaction."""
        self.accounts = False
        """Whether an account changed."""
        self._mailboxes: dict[MailboxId, Counters | None] = {}
        self._as_read: dict[MailboxId, Row] = {}
        self._messages: list[Row] = []
        self._answers: list[Row] = []
        self._entries: list[Row] = []
        self._stories: list[Row] = []
        self._threads: dict[tuple[int, int], int] = {}
        self._last_message: int | None = None
        self._lengths: dict[int, int] = {}
        self._live: dict[int, int] = {}

    # --- mailboxes

    def mailbox(self, mailbox: MailboxId) -> Counters | None:
        """A mailbox's counters, to be changed in place; None where there is no such mailbox."""
        if mailbox not in self._mailboxes:
            row = fetch_one(self.connection, _READ, (mailbox,))
            if row is None:
                self._mailboxes[mailbox] = None
            else:
                self._as_read[mailbox] = row[4:]
                self._mailboxes[mailbox] = Counters(self.usages.of(row[1]), *row)
        return self._mailboxes[mailbox]

    def forget(self, mailbox: MailboxId) -> None:
        """A mailbox's row was written or deleted by other means: read it anew at its next touch."""
        self._mailboxes.pop(mailbox, None)
        self.touched.add(mailbox)

    def draw(self, counter: str, least: int = 0) -> int:
        """The next number of a counter of the site, at least `least`."""
        sql = "UPDATE counters SET value = max(value + 1, ?) WHERE name = ? RETURNING value"
        return int(self.connection.execute(sql, (least, counter)).get)

    def account_changed(self, address: str) -> None:
        """Every process is to hear that an account changed."""
        sql = "INSERT OR REPLACE INTO account_changes VALUES (?, ?)"
        self.connection.execute(sql, (address, self.draw("accounts"))).fetchall()
        self.accounts = True

    # --- rows of letters

    def next_message(self) -> int:
        """The number of a new row of `messages`."""
        if self._last_message is None:
            self._last_message = int(
                self.connection.execute("SELECT value FROM counters WHERE name = 'message'").get
            )
        self._last_message += 1
        return self._last_message

    def add_message(self, message: Row, answers: Row, story: Row, segment: int, end: int, size: int) -> None:
        """Keep a letter's rows; its record ends at `end` of its segment, its payload has `size` octets."""
        self._messages.append(message)
        self._answers.append(answers)
        self._stories.append(story)
        self._lengths[segment] = max(end, self._lengths.get(segment, 0))
        self._live[segment] = self._live.get(segment, 0) + size

    def add_entry(self, entry: Row) -> None:
        """Keep an entry's row."""
        self._entries.append(entry)

    def thread(self, account: int, hashes: tuple[int, ...], own: int) -> int:
        """The thread of a letter with these Message-IDs (its own and those it refers to): the smallest that one of
        them is known under in this account, else `own`. From now on they all are (RFC 8474 5.2)."""
        known = []
        for one in hashes:
            thread = self._threads.get((account, one))
            if thread is None:
                row = self.connection.execute(
                    "SELECT thread FROM threads WHERE account = ? AND hash = ?", (account, one)
                ).fetchone()
                if row is not None:
                    # What is known stays, also for what comes later in this transaction.
                    thread = self._threads[account, one] = row[0]
            if thread is not None:
                known.append(thread)
        thread = min(known, default=own)
        for one in hashes:
            self._threads.setdefault((account, one), thread)
        return thread

    # --- writing

    def flush(self) -> None:
        """Write everything that waits, so that SQL sees it; counters that were handed out stay good."""
        if self._messages:
            self._write_messages()
        if self._threads:
            rows = [(*key, thread) for key, thread in self._threads.items()]
            self.connection.executemany(_THREAD, rows).fetchall()
            self._threads.clear()
        if self._entries:
            self.connection.executemany(_INSERT["entries"], self._entries).fetchall()
            self._entries.clear()
        changed = []
        for mailbox, m in self._mailboxes.items():
            if m is not None:
                row = (
                    m.uid_next,
                    m.highest_modseq,
                    m.messages,
                    m.unseen,
                    m.deleted,
                    m.size,
                    m.first_recent,
                    m.recent,
                )
                if row != self._as_read[mailbox]:
                    changed.append((*row, mailbox))
                    self._as_read[mailbox] = row
                    self.touched.add(mailbox)
        if changed:
            self.connection.executemany(_WRITE, changed).fetchall()
        self.usages.write()

    def _write_messages(self) -> None:
        write = self.connection.executemany
        write(_INSERT["messages"], self._messages).fetchall()
        write(_INSERT["answers"], self._answers).fetchall()
        write(_INSERT["stories"], self._stories).fetchall()
        write(
            """INSERT INTO segments (number, length, born, live) VALUES (?, ?, ?, ?) ON CONFLICT (number)
            DO UPDATE SET length = max(length, excluded.length), live = live + excluded.live""",
            [(number, length, self.now, self._live[number]) for number, length in self._lengths.items()],
        ).fetchall()
        self.connection.execute(
            "UPDATE counters SET value = ? WHERE name = 'message'", (self._last_message,)
        ).fetchall()
        self._messages.clear()
        self._answers.clear()
        self._stories.clear()
        self._lengths.clear()
        self._live.clear()
