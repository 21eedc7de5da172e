"""An account's search index: the file search/<account's number>.db, its tables, and what a word becomes there.

It is made from the index and the letters alone, may be deleted at any time, and is of one index only: row numbers
of an index that was rebuilt or restored mean other letters. Its words are trigrams: groups of three characters that
follow each other in a folded text (FTS5's tokenizer `trigram`, which must not fold once more).
"""

from __future__ import annotations

import contextlib
import os
import platform
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from postroom.net.limits import SEARCH_FILES_OPEN, SEARCH_TRIGRAMS
from postroom.store.index import fetch_all, fetch_one
from postroom.store.search.clues import CLUE_CHARACTERS
from postroom.store.values import AccountId, MailboxId

__all__ = [
    "BROKEN",
    "DAMAGED",
    "Foreign",
    "OpenFiles",
    "accounts_with_files",
    "discard",
    "entry_range",
    "made_by",
    "make_search_file",
    "match_of",
    "open_search_file",
    "search_path",
    "words_of",
]

VERSION: Final = 1
"""To be raised with every change of the tables, and of what `message.text` makes of a letter."""
DAMAGED: Final = (apsw.CorruptError, apsw.NotADBError)
"""The file is not what was written."""
BROKEN: Final = (*DAMAGED, apsw.SQLError, apsw.SchemaChangeError, apsw.MismatchError)
"""The same, or its tables are not those that they should be (or not there yet): it is to be built anew."""

_FOLDER: Final = "search"
_BUSY_MILLISECONDS: Final = 2000
_SCHEMA: Final = """
CREATE TABLE about (                 -- whose it is: 'index' as in the index's table site, 'made by'
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE marks (                 -- how far a mailbox is done
    mailbox INTEGER PRIMARY KEY,
    uid INTEGER NOT NULL,            -- every entry up to it is in `entries`
    modseq INTEGER NOT NULL          -- every entry that went up to it is not
) STRICT;
CREATE TABLE entries (
    entry INTEGER PRIMARY KEY,       -- mailbox * 2^32 + UID
    message INTEGER NOT NULL
) STRICT;
CREATE INDEX entries_message ON entries (message);
CREATE TABLE unread (                -- those of `entries` whose letter could not be read: each search looks itself
    entry INTEGER PRIMARY KEY
) STRICT;
CREATE TABLE texts (                 -- of each letter in `entries` that could be read
    message INTEGER PRIMARY KEY,
    body BLOB NOT NULL               -- the folded text in UTF-8 (lone surrogates too), compressed by zlib
) STRICT;
CREATE VIRTUAL TABLE headers USING fts5(       -- rowid: entry
    text, content='', contentless_delete=1, detail=none, tokenize='trigram case_sensitive 1');
CREATE VIRTUAL TABLE bodies USING fts5(        -- rowid: message
    text, content='', contentless_delete=1, detail=none, tokenize='trigram case_sensitive 1');
"""


class Foreign(Exception):
    """The file was made from another index, or by another version of what makes it."""


def made_by() -> str:
    """What a letter's text depends on beside the letter: another Python may fold or decode otherwise."""
    return f"{VERSION}, Python {platform.python_version()}, Unicode {unicodedata.unidata_version}"


def search_path(root: Path, account: AccountId) -> Path:
    """The file of an account."""
    return root / _FOLDER / f"{account}.db"


def accounts_with_files(root: Path) -> set[AccountId]:
    """The accounts that have a search index, those included that are gone."""
    names = os.listdir(root / _FOLDER)
    stems = [name.removesuffix(".db") for name in names if name.endswith(".db")]
    return {AccountId(int(stem)) for stem in stems if stem.isascii() and stem.isdigit()}


def discard(root: Path, account: AccountId) -> None:
    """Delete an account's search index; searches go on without it, and the indexer builds it anew. Whoever has it
    open keeps what he has. Raises OSError."""
    path = search_path(root, account)
    # The file itself goes first: one without its log must never be opened.
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")


def make_search_file(root: Path, account: AccountId, index: str) -> apsw.Connection:
    """Begin an account's search index, to be written to. Raises apsw.Error, OSError."""
    (root / _FOLDER).mkdir(mode=0o700, exist_ok=True)
    discard(root, account)
    path = search_path(root, account)
    # SQLite gives its further files the mode of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = _open(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute(f"BEGIN; {_SCHEMA}").fetchall()
        about = [("index", index), ("made by", made_by())]
        connection.executemany("INSERT INTO about VALUES (?, ?)", about).fetchall()
        connection.execute("COMMIT").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def open_search_file(root: Path, account: AccountId, index: str, *, read_only: bool = False) -> apsw.Connection:
    """Open an account's search index. Raises apsw.CantOpenError where there is none, `Foreign`, apsw.Error."""
    connection = _open(search_path(root, account), read_only=read_only)
    try:
        if fetch_one(connection, "SELECT 1 FROM sqlite_schema WHERE name = 'about'") is None:
            # It is just being made, or a crash came before its first commit.
            raise Foreign("nobody yet")
        about = dict(fetch_all(connection, "SELECT name, value FROM about"))
        if about != {"index": index, "made by": made_by()}:
            raise Foreign(about.get("made by"))
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: Path, *, read_only: bool = False) -> apsw.Connection:
    # No map of the file: where somebody cuts it short, a read is to fail and not to kill the process.
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    connection.execute(
        """PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048;
        PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 1048576;"""
    ).fetchall()
    return connection


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: apsw.Connection
    index: str
    file: tuple[int, int]
    """Device and number: one that was built anew is another."""


class OpenFiles:
    """Accounts' search indexes as one thread has them open: at most SEARCH_FILES_OPEN, those asked for last.
    `prepare` is done to each that is opened."""

    def __init__(self, root: Path, prepare: Callable[[apsw.Connection], object] = lambda connection: None) -> None:
        self._root = root
        self._prepare = prepare
        self._opened: OrderedDict[AccountId, _Opened] = OrderedDict()

    def get(self, account: AccountId, index: str) -> apsw.Connection | None:
        """An account's; None where it has none. Raises `Foreign`, apsw.Error, OSError."""
        file = self._file(account)
        if file is None:
            self.close(account)
            return None
        opened = self._opened.get(account)
        if opened is not None and opened.index == index and opened.file == file:
            self._opened.move_to_end(account)
            return opened.connection
        self.close(account)
        if len(self._opened) >= SEARCH_FILES_OPEN:
            self._opened.popitem(last=False)[1].connection.close()
        connection = open_search_file(self._root, account, index)
        self._prepare(connection)
        self._opened[account] = _Opened(connection, index, file)
        return connection

    def _file(self, account: AccountId) -> tuple[int, int] | None:
        try:
            found = os.stat(search_path(self._root, account))
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def discard(self, account: AccountId) -> None:
        """Delete the one that was opened, unless another lies in its place by now. Raises OSError."""
        opened = self._opened.get(account)
        self.close(account)
        if opened is None or opened.file == self._file(account):
            discard(self._root, account)

    def close(self, account: AccountId) -> None:
        """Close an account's."""
        opened = self._opened.pop(account, None)
        if opened is not None:
            opened.connection.close()

    def close_all(self) -> None:
        """Close all."""
        for account in list(self._opened):
            self.close(account)


def entry_range(mailbox: MailboxId) -> tuple[int, int]:
    """The first and the last number that an entry of this mailbox may have."""
    return mailbox << 32, mailbox << 32 | 0xFFFFFFFF


def words_of(text: str) -> str:
    """A folded text, or a part of one, as FTS5 can take it: one character for each of its own. NUL would end it,
    and lone surrogates are no UTF-8."""
    text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def match_of(word: str) -> str:
    """FTS5's question for texts that have all trigrams of a folded word (SEARCH_TRIGRAMS of them)."""
    word = words_of(word)
    trigrams = list(dict.fromkeys(word[at : at + CLUE_CHARACTERS] for at in range(len(word) - CLUE_CHARACTERS + 1)))
    if len(trigrams) > SEARCH_TRIGRAMS:
        # From all over the word: its beginning alone may be what many letters have.
        step = len(trigrams) / SEARCH_TRIGRAMS
        trigrams = [trigrams[int(each * step)] for each in range(SEARCH_TRIGRAMS)]
    return " ".join(['"' + trigram.replace('"', '""') + '"' for trigram in trigrams])
