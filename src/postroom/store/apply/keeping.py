"""The keeper's memory: what it answered to whom, kept with the rows of what was done, until the answer was heard.

A writer that loses its keeper asks the index what became of its changes: what has a reply here is done, and what
has none never will be. So that "never" is true, each keeper begins with a transaction of its own: a predecessor's
last commit may stand whole in the write-ahead log without anybody knowing of it, and the first commit after it goes
over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from postroom.store.changes import Done
from postroom.store.index import fetch_all
from postroom.store.ledger import Ledger
from postroom.store.writer.wire import Piece, write_kept

__all__ = [
    "BeginKeeping",
    "ForgetReplies",
    "Key",
    "begin_keeping",
    "forget_replies",
    "keep",
    "kept_replies",
    "kept_writers",
]


@dataclass(frozen=True, slots=True)
class Key:
    """Whose change it is, and its number among them; answers up to `heard` have been heard."""

    writer: str
    number: int
    heard: int


@dataclass(frozen=True, slots=True)
class BeginKeeping:
    """A keeper is there: from now on nothing of another one can turn up any more. Answered by `Done`."""

    keeper: str


@dataclass(frozen=True, slots=True)
class ForgetReplies:
    """A writer is gone for good. Answered by `Done`."""

    writer: str


def keep(connection: apsw.Connection, replies: Sequence[tuple[Key, Piece]]) -> None:
    """Keep replies in the transaction of what they answer, and forget those that the same writers have heard."""
    rows = [(key.writer, key.number, write_kept(reply)) for key, reply in replies]
    connection.executemany("INSERT INTO kept_replies VALUES (?, ?, ?)", rows).fetchall()
    heard = {key.writer: key.heard for key, _ in replies}
    sql = "DELETE FROM kept_replies WHERE writer = ? AND number <= ?"
    connection.executemany(sql, list(heard.items())).fetchall()


def begin_keeping(ledger: Ledger, begin: BeginKeeping) -> Done:
    """Write something, in any case."""
    sql = "INSERT OR REPLACE INTO site VALUES ('keeper', ?)"
    ledger.connection.execute(sql, (begin.keeper,)).fetchall()
    return Done()


def forget_replies(ledger: Ledger, forget: ForgetReplies) -> Done:
    """All of one writer."""
    ledger.connection.execute("DELETE FROM kept_replies WHERE writer = ?", (forget.writer,)).fetchall()
    return Done()


def kept_replies(connection: apsw.Connection, writer: str) -> dict[int, bytes]:
    """What a writer was answered and is not known to have heard, by number."""
    return dict(fetch_all(connection, "SELECT number, reply FROM kept_replies WHERE writer = ?", (writer,)))


def kept_writers(connection: apsw.Connection) -> list[str]:
    """Whose replies are kept."""
    return [writer for (writer,) in fetch_all(connection, "SELECT DISTINCT writer FROM kept_replies")]
