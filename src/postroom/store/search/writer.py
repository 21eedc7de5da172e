"""What the indexer writes to accounts' search indexes. For one thread, which may block.

Each call is one short transaction of one account's own file; readers go on meanwhile.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from postroom.store.index import fetch_all
from postroom.store.search.file import Foreign, OpenFiles, entry_range, make_search_file, words_of
from postroom.store.values import AccountId, MailboxId, MessageId, Uid

__all__ = ["NOTHING_DONE", "Mark", "Paper", "SearchWriter"]

_LEVEL: Final = 1
"""zlib's, the quickest: a text of 5,000 characters takes 40 µs and becomes a quarter of its size."""


class Mark(NamedTuple):
    """How far a mailbox is done."""

    uid: int
    """Every entry up to it is filed."""
    modseq: int
    """Every entry that went up to it is forgotten."""


NOTHING_DONE: Final = Mark(0, 0)


@dataclass(frozen=True, slots=True)
class Paper:
    """One entry to be filed."""

    uid: Uid
    message: MessageId
    header: str | None
    """Folded text of all that a client sees of the header; None where the letter can't be read."""
    body: str | None
    """Folded; None where the letter can't be read, or its body is filed already."""


class SearchWriter:
    """Writes accounts' search indexes. `index` is the id of the site's index. Everything raises apsw.Error and
    OSError, all but `marks` also `Foreign`, where the file isn't there any more."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = OpenFiles(root)

    def marks(self, index: str, account: AccountId) -> dict[MailboxId, Mark]:
        """How far an account's mailboxes are done. Makes the file where there is none of this index."""
        try:
            connection = self._files.get(account, index)
        except Foreign:
            connection = None
        if connection is None:
            make_search_file(self._root, account, index).close()
            connection = self._connection(index, account)
        rows = fetch_all(connection, "SELECT mailbox, uid, modseq FROM marks")
        return {mailbox: Mark(uid, modseq) for mailbox, uid, modseq in rows}

    def kept(self, index: str, account: AccountId, messages: Sequence[MessageId]) -> set[MessageId]:
        """Those of these letters whose bodies are filed."""
        sql = "SELECT message FROM texts WHERE message IN (SELECT value FROM json_each(?))"
        connection = self._connection(index, account)
        return {message for (message,) in fetch_all(connection, sql, (json.dumps(messages),))}

    def file(self, index: str, account: AccountId, mailbox: MailboxId, papers: Iterable[Paper], mark: Mark) -> None:
        """File entries of a mailbox, which is then as far as `mark` says."""
        first, _ = entry_range(mailbox)
        with self._transaction(index, account) as run:
            for paper in papers:
                entry = first | paper.uid
                run("INSERT OR REPLACE INTO entries VALUES (?, ?)", (entry, paper.message))
                if paper.header is None:
                    run("INSERT OR IGNORE INTO unread VALUES (?)", (entry,))
                    continue
                run("DELETE FROM unread WHERE entry = ?", (entry,))
                run("INSERT OR REPLACE INTO headers (rowid, text) VALUES (?, ?)", (entry, words_of(paper.header)))
                if paper.body is not None:
                    kept = zlib.compress(paper.body.encode("utf-8", "surrogatepass"), _LEVEL)
                    run("INSERT OR REPLACE INTO texts VALUES (?, ?)", (paper.message, kept))
                    body = (paper.message, words_of(paper.body))
                    run("INSERT OR REPLACE INTO bodies (rowid, text) VALUES (?, ?)", body)
            run("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", (mailbox, *mark))

    def unread(self, index: str, account: AccountId, limit: int) -> list[tuple[MailboxId, Uid]]:
        """Entries that could not be read, by mailbox and UID."""
        sql = "SELECT entry FROM unread ORDER BY entry LIMIT ?"
        rows = fetch_all(self._connection(index, account), sql, (limit,))
        return [(MailboxId(entry >> 32), Uid(entry & 0xFFFFFFFF)) for (entry,) in rows]

    def filed(self, index: str, account: AccountId, mailbox: MailboxId, after: int, limit: int) -> list[Uid]:
        """UIDs of a mailbox's entries that are filed, ascending."""
        first, last = entry_range(mailbox)
        sql = "SELECT entry FROM entries WHERE entry > ? AND entry <= ? ORDER BY entry LIMIT ?"
        rows = fetch_all(self._connection(index, account), sql, (first | after, last, limit))
        return [Uid(entry & 0xFFFFFFFF) for (entry,) in rows]

    def forget(self, index: str, account: AccountId, mailbox: MailboxId, uids: Iterable[Uid]) -> None:
        """Take entries out that are gone, and the letters that no other entry has."""
        first, _ = entry_range(mailbox)
        with self._transaction(index, account) as run:
            for uid in uids:
                entry = first | uid
                rows = run("DELETE FROM entries WHERE entry = ? RETURNING message", (entry,)).fetchall()
                if not rows:
                    continue
                (row,) = rows
                run("DELETE FROM unread WHERE entry = ?", (entry,))
                run("DELETE FROM headers WHERE rowid = ?", (entry,))
                if run("SELECT 1 FROM entries WHERE message = ?", row).fetchone() is None:
                    run("DELETE FROM texts WHERE message = ?", row)
                    run("DELETE FROM bodies WHERE rowid = ?", row)

    def forget_mark(self, index: str, account: AccountId, mailbox: MailboxId) -> None:
        """A mailbox is gone, and all its entries are forgotten."""
        with self._transaction(index, account) as run:
            run("DELETE FROM marks WHERE mailbox = ?", (mailbox,))

    def discard(self, account: AccountId) -> None:
        """Delete an account's search index."""
        self._files.discard(account)

    def close(self) -> None:
        """Close all files."""
        self._files.close_all()

    def _connection(self, index: str, account: AccountId) -> apsw.Connection:
        connection = self._files.get(account, index)
        if connection is None:
            raise Foreign("it is not there any more")
        return connection

    @contextmanager
    def _transaction(
        self, index: str, account: AccountId
    ) -> Iterator[Callable[[str, tuple[apsw.SQLiteValue, ...]], apsw.Cursor]]:
        connection = self._connection(index, account)
        connection.execute("BEGIN IMMEDIATE").fetchall()
        try:
            yield connection.execute
            connection.execute("COMMIT").fetchall()
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK").fetchall()
            raise
