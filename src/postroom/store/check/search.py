"""Accounts' search indexes against themselves, the index and the letters.

Nothing is lost where one is wrong, but searches would not find what is there: `searchfile.discard` is the repair.
It may run beside a live server: what is filed is read before the index is asked, so an entry that the index has and
the search index doesn't is amiss whatever happened meanwhile. Every statement is a snapshot of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from postroom.message.text import body_text, folded, header_text
from postroom.net.limits import HEADER_OCTETS
from postroom.store import reads
from postroom.store.check.findings import FINDINGS_OF_A_KIND, Finding, mailbox_name, note, problem
from postroom.store.index import fetch_all, fetch_one
from postroom.store.interface import StoreFault, Unreadable
from postroom.store.reading import SegmentReader
from postroom.store.search.file import Foreign, accounts_with_files, entry_range, match_of, open_search_file
from postroom.store.search.reads import uids_between
from postroom.store.values import AccountId, MailboxId, Place, Uid

__all__ = ["check_account", "check_search"]

_SLICE: Final = 1000
"""Rows in memory at a time."""
_SAMPLE: Final = 200
"""Letters of an account that are read and looked for."""

_ROWS: Final = (
    (
        "SELECT count(*) FROM entries WHERE entry NOT IN (SELECT id FROM headers_docsize) AND entry NOT IN unread",
        "{} headers are missing",
    ),
    (
        """SELECT count(*) FROM entries WHERE message NOT IN (SELECT message FROM texts)
        AND entry NOT IN unread""",
        "{} texts are missing",
    ),
    ("SELECT count(*) FROM texts WHERE message NOT IN (SELECT id FROM bodies_docsize)", "{} bodies are missing"),
    ("SELECT count(*) FROM headers_docsize WHERE id NOT IN (SELECT entry FROM entries)", "{} headers too many"),
    ("SELECT count(*) FROM bodies_docsize WHERE id NOT IN (SELECT message FROM texts)", "{} bodies too many"),
    ("SELECT count(*) FROM texts WHERE message NOT IN (SELECT message FROM entries)", "{} texts too many"),
    ("SELECT count(*) FROM unread WHERE entry NOT IN (SELECT entry FROM entries)", "{} unread letters too many"),
)


def check_search(root: Path, connection: apsw.Connection) -> Iterator[Finding]:
    """All search indexes. Raises apsw.Error where the index (`connection`) can't be read."""
    try:
        accounts = sorted(accounts_with_files(root))
    except FileNotFoundError:
        return
    for account in accounts:
        yield from check_account(root, connection, account)


def check_account(root: Path, connection: apsw.Connection, account: AccountId) -> Iterator[Finding]:
    """An account's search index."""
    row = fetch_one(connection, "SELECT address FROM accounts WHERE id = ?", (account,))
    if row is None:
        yield note(f"search/{account}.db: the search index of an account that is gone")
        return
    name = f"{row[0]}: search index"
    try:
        search = open_search_file(root, account, reads.index_id(connection), read_only=True)
    except apsw.CantOpenError:
        # Deleted meanwhile, to be built anew.
        return
    except Foreign:
        yield note(f"{name}: of another index or another version of this program; it will be built anew")
        return
    except apsw.ReadOnlyError:
        # A journal is to be rolled back first, and nothing is changed here.
        yield note(f"{name}: its last write was cut short; the server takes it back")
        return
    except apsw.Error as error:
        yield problem(f"{name}: {error}")
        return
    try:
        for what in _amiss(root, connection, search):
            yield problem(f"{name}: {what}")
    finally:
        search.close()


def _amiss(root: Path, connection: apsw.Connection, search: apsw.Connection) -> Iterator[str]:
    try:
        for (says,) in fetch_all(search, f"PRAGMA integrity_check({FINDINGS_OF_A_KIND})"):
            if says != "ok":
                yield says
        for sql, says in _ROWS:
            (count,) = fetch_one(search, sql)
            if count:
                yield says.format(count)
        for mailbox, uid, modseq in fetch_all(search, "SELECT mailbox, uid, modseq FROM marks"):
            yield from _mailbox(connection, search, mailbox, uid, modseq)
        yield from _sample(root, connection, search)
    except (apsw.CorruptError, apsw.SQLError, zlib.error, UnicodeDecodeError) as error:
        yield f"damaged: {error}"


# --- what is filed of a mailbox


def _mailbox(
    connection: apsw.Connection, search: apsw.Connection, mailbox: MailboxId, uid: int, modseq: int
) -> Iterator[str]:
    missing = gone = 0
    after, (first, _) = 0, entry_range(mailbox)
    while after < uid:
        filed = fetch_all(
            search,
            "SELECT entry, message FROM entries WHERE entry > ? AND entry <= ? ORDER BY entry LIMIT ?",
            (first | after, first | uid, _SLICE),
        )
        last = filed[-1][0] & 0xFFFFFFFF if len(filed) == _SLICE else uid
        letters = {entry & 0xFFFFFFFF: message for entry, message in filed}
        there = dict(
            fetch_all(
                connection,
                "SELECT uid, message FROM entries WHERE mailbox = ? AND uid > ? AND uid <= ?",
                (mailbox, after, last),
            )
        )
        missing += sum(letters.get(each) != message for each, message in there.items())
        gone += _gone_too_long(connection, mailbox, modseq, sorted(letters.keys() - there.keys()))
        after = last
    status = reads.status(connection, mailbox)
    (name,) = fetch_one(connection, f"SELECT {mailbox_name('?1')}", (mailbox,))
    if missing:
        yield f"{name}: {missing} letters are said to be filed and are not"
    if gone:
        yield f"{name}: {gone} letters are filed that are gone"
    if status is not None and (uid >= status.uid_next or modseq > status.highest_modseq):
        yield f"{name}: filed up to UID {uid} and modseq {modseq}, which were never given"


def _gone_too_long(connection: apsw.Connection, mailbox: MailboxId, modseq: int, uids: list[Uid]) -> int:
    """How many of these UIDs, which the mailbox has no more, went at or before a modseq."""
    if not uids or reads.highest_modseq(connection, mailbox) == 0:
        # The whole mailbox is gone: the indexer will have its turn.
        return 0
    rows = fetch_all(
        connection,
        "SELECT uid FROM tombstones WHERE mailbox = ? AND uid BETWEEN ? AND ? AND modseq > ?",
        (mailbox, uids[0], uids[-1], modseq),
    )
    lately = {uid for (uid,) in rows} | uids_between(connection, mailbox, uids[0], uids[-1])
    return sum(uid not in lately for uid in uids)


# --- letters that are read


def _sample(root: Path, connection: apsw.Connection, search: apsw.Connection) -> Iterator[str]:
    """Read letters from all over the account: what stands in them must be found."""
    (count,) = fetch_one(search, "SELECT count(*) FROM entries")
    reader = SegmentReader(root / "segments")
    wrong = 0
    try:
        at = 0
        for turn in range(min(count, _SAMPLE)):
            skip = count * (turn + 1) // min(count, _SAMPLE) - count * turn // min(count, _SAMPLE) - 1
            row = fetch_one(
                search,
                """SELECT entry, message FROM entries WHERE entry > ? AND entry NOT IN unread
                ORDER BY entry LIMIT 1 OFFSET ?""",
                (at, skip),
            )
            if row is None:
                break
            at = row[0]
            wrong += not _is_found(connection, search, reader, *row)
    finally:
        reader.close()
    if wrong:
        yield f"{wrong} of {min(count, _SAMPLE)} letters are not found by what stands in them"


def _is_found(
    connection: apsw.Connection, search: apsw.Connection, reader: SegmentReader, entry: int, message: int
) -> bool:
    """Whether the letter of an entry is found by its header and its text. One that is gone, or can't be read, has
    its own findings."""
    letters = reads.letters(connection, MailboxId(entry >> 32), [Uid(entry & 0xFFFFFFFF)], True)
    if not letters:
        return True
    (letter,) = letters
    try:
        octets = reader.whole(Place(letter.segment, letter.offset, letter.blob_size), letter.email_id)
    except (Unreadable, StoreFault):
        return True
    header = folded(header_text((letter.prefix + octets[: letter.header_size])[:HEADER_OCTETS]))
    body = folded(body_text(octets, letter.parts))
    kept = fetch_one(search, "SELECT body FROM texts WHERE message = ?", (message,))
    if kept is not None and zlib.decompress(kept[0]).decode("utf-8", "surrogatepass") != body:
        return False
    return _matches(search, "headers", entry, header) and _matches(search, "bodies", message, body)


def _matches(search: apsw.Connection, table: str, row: int, text: str) -> bool:
    match = match_of(text)
    sql = f"SELECT 1 FROM {table} WHERE {table} MATCH ? AND rowid = ?"
    return not match or fetch_one(search, sql, (match, row)) is not None
