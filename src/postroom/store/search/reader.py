"""What workers ask the search index (`searchfile`): which letters may have a word, and a letter's text.

The index is behind, and may be missing or damaged: then the answer is None, and whoever asks looks for himself.
It is never stale. An entry never changes and its UID is never given twice, so what was filed of it holds; how far a
mailbox has been filed is read together with the candidates.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import zlib
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import apsw

from postroom.net.limits import SEARCH_CANDIDATES, SEARCH_CLUES
from postroom.net.log import event
from postroom.store.index import fetch_all, fetch_one
from postroom.store.search.clues import CLUE_CHARACTERS, Candidates, Clue, Where
from postroom.store.search.file import (
    BROKEN,
    DAMAGED,
    Foreign,
    OpenFiles,
    entry_range,
    match_of,
)
from postroom.store.values import AccountId, MailboxId, MessageId, Uid

__all__ = ["Search", "SearchReader"]

_log = logging.getLogger("postroom.store")
_T = TypeVar("_T")

_FOUND: Final = {
    Where.HEADER: "SELECT rowid AS entry FROM headers WHERE headers MATCH ? AND rowid BETWEEN ? AND ?",
    Where.BODY: """SELECT entry FROM bodies CROSS JOIN entries ON message = bodies.rowid
    WHERE bodies MATCH ? AND entry BETWEEN ? AND ?""",
}
# All in one value, four octets a UID: no other thread has to wait while a hundred thousand numbers are made.
_UIDS: Final = {
    where: f"""SELECT unhex(coalesce(group_concat(printf('%08X', entry & 4294967295), '' ORDER BY entry), '')),
    count(*) FROM ({found} LIMIT ?)"""
    for where, found in _FOUND.items()
}
_UNREAD: Final = "SELECT entry & 4294967295 FROM unread WHERE entry BETWEEN ? AND ?"


class SearchReader:
    """Reads accounts' search indexes. To be used by one thread alone."""

    def __init__(self, root: Path) -> None:
        self._files = OpenFiles(root, _to_read)

    def candidates(
        self, index: str, account: AccountId, mailbox: MailboxId, clues: Sequence[Clue]
    ) -> Candidates | None:
        """Which letters may have what the first SEARCH_CLUES say. `index` is the id of the site's index."""
        return self._ask(index, account, lambda connection: _candidates(connection, mailbox, clues))

    def text(self, index: str, account: AccountId, message: MessageId) -> str | None:
        """A letter's text, folded; None where it isn't kept (yet)."""
        return self._ask(index, account, lambda connection: _text(connection, message))

    def _ask(self, index: str, account: AccountId, question: Callable[[apsw.Connection], _T | None]) -> _T | None:
        """None also where the index is of no use now; a damaged one is deleted, so that the indexer will see it."""
        broken: tuple[type[Exception], ...] = DAMAGED
        try:
            connection = self._files.get(account, index)
            if connection is None:
                return None
            # Before, tables may have been missing that are just being made.
            broken = (*BROKEN, zlib.error, UnicodeDecodeError)
            return question(connection)
        except Foreign:
            # The indexer knows this too, and will build it anew.
            return None
        except (apsw.Error, OSError, zlib.error, UnicodeDecodeError) as error:
            damaged = isinstance(error, broken)
            what = "search.damaged" if damaged else "search.unusable"
            event(_log, logging.WARNING, what, account=account, why=error)
            with contextlib.suppress(OSError):
                (self._files.discard if damaged else self._files.close)(account)
        return None

    def close(self) -> None:
        """Close all files."""
        self._files.close_all()


def _to_read(connection: apsw.Connection) -> None:
    # Whoever reads is not to be held up by the log's way into the file, least of all at an end.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.execute("PRAGMA query_only = 1").fetchall()


def _candidates(connection: apsw.Connection, mailbox: MailboxId, clues: Sequence[Clue]) -> Candidates | None:
    connection.execute("BEGIN").fetchall()
    try:
        mark = fetch_one(connection, "SELECT uid FROM marks WHERE mailbox = ?", (mailbox,))
        if mark is None:
            return None
        bounds = entry_range(mailbox)
        unread: array[int] = array("I", [int(uid) for (uid,) in fetch_all(connection, _UNREAD, bounds)])
        found: dict[Clue, array[int]] = {}
        for clue in dict.fromkeys(clues[:SEARCH_CLUES]):
            if len(clue.word) < CLUE_CHARACTERS:
                continue
            bound = (match_of(clue.word), *bounds, SEARCH_CANDIDATES + 1)
            octets, count = fetch_one(connection, _UIDS[clue.where], bound)
            if count <= SEARCH_CANDIDATES:
                found[clue] = _uids(octets, unread)
        return Candidates(Uid(mark[0]), found)
    finally:
        # SQLite itself may have ended it, at an error.
        if connection.in_transaction:
            connection.execute("COMMIT").fetchall()


def _uids(octets: bytes, unread: array[int]) -> array[int]:
    uids = array("I", octets)
    if sys.byteorder == "little":
        uids.byteswap()
    return array("I", sorted({*uids, *unread})) if unread else uids


def _text(connection: apsw.Connection, message: MessageId) -> str | None:
    row = fetch_one(connection, "SELECT body FROM texts WHERE message = ?", (message,))
    return None if row is None else zlib.decompress(row[0]).decode("utf-8", "surrogatepass")


class Search:
    """A process's way to the search indexes. Candidates are found in a thread: for a word that is found everywhere
    that takes tens of milliseconds, in which the loop goes on."""

    def __init__(self, root: Path) -> None:
        self._texts = SearchReader(root)
        self._reader = SearchReader(root)
        self._thread = ThreadPoolExecutor(1, "search")

    async def candidates(
        self, index: str, account: AccountId, mailbox: MailboxId, clues: Sequence[Clue]
    ) -> Candidates | None:
        """As `SearchReader.candidates`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._reader.candidates, index, account, mailbox, clues)

    def text(self, index: str, account: AccountId, message: MessageId) -> str | None:
        """As `SearchReader.text`."""
        return self._texts.text(index, account, message)

    def close(self) -> None:
        """Close all files; waits for the question that is being answered."""
        self._texts.close()
        self._thread.submit(self._reader.close)
        self._thread.shutdown()
