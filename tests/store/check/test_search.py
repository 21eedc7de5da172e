"""A search index that is sound has no findings; what would let a search go wrong is found."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from postroom.store.changes import Expunge, Expunged
from postroom.store.check.findings import Finding, Severity
from postroom.store.check.search import check_search
from postroom.store.index import open_index
from postroom.store.search.file import discard, search_path, words_of
from postroom.store.search.indexer import Indexer
from postroom.store.sqlite import open_store
from postroom.store.values import AccountId, Uid
from tests.store.damage import flip, record, segment
from tests.store.site import do, file, find

ALICE = AccountId(1)


async def _index(root: Path) -> None:
    store = await open_store(root)
    indexer = Indexer(root, store, share=1)
    await indexer.catch_up()
    indexer.close()
    await store.close()


@pytest.fixture
def indexed(root: Path) -> Path:
    """The store of a busy day, all of it in the search index."""
    asyncio.run(_index(root))
    return root


def findings(root: Path) -> list[Finding]:
    connection = open_index(root / "index.db", read_only=True)
    try:
        return list(check_search(root, connection))
    finally:
        connection.close()


def problems(root: Path) -> list[str]:
    found = findings(root)
    assert all(finding.severity is Severity.PROBLEM for finding in found)
    return [finding.what for finding in found]


@contextmanager
def opened(root: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(search_path(root, ALICE)))
    try:
        yield connection
    finally:
        connection.close()


def test_what_the_indexer_made_is_sound_and_nothing_of_it_is_written(indexed: Path) -> None:
    before = {path.name: path.read_bytes() for path in (indexed / "search").glob("*.db")}
    assert len(before) == 2
    assert findings(indexed) == []
    assert {path.name: path.read_bytes() for path in (indexed / "search").glob("*.db")} == before


def test_a_site_without_search_indexes_is_sound(root: Path) -> None:
    assert findings(root) == []


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("DELETE FROM headers WHERE rowid = (SELECT min(entry) FROM entries)", "1 headers are missing"),
        ("DELETE FROM bodies WHERE rowid = 1", "1 bodies are missing"),
        ("DELETE FROM texts WHERE message = 1", "2 texts are missing"),
        ("INSERT INTO headers (rowid, text) VALUES (5, 'too much')", "1 headers too many"),
        ("INSERT INTO bodies (rowid, text) VALUES (99, 'too much')", "1 bodies too many"),
        ("INSERT INTO texts VALUES (99, x'')", "1 texts too many"),
        ("INSERT INTO unread VALUES (99)", "1 unread letters too many"),
        (
            "DELETE FROM entries WHERE entry = (SELECT min(entry) FROM entries)",
            "INBOX: 1 letters are said to be filed and are not",
        ),
        (
            "UPDATE entries SET message = 3 WHERE entry = (SELECT min(entry) FROM entries)",
            "INBOX: 1 letters are said to be filed and are not",
        ),
        ("UPDATE marks SET uid = 6 WHERE uid = 5", "filed up to UID 6 and modseq 7, which were never given"),
        ("UPDATE marks SET modseq = 8 WHERE modseq = 7", "filed up to UID 5 and modseq 8, which were never given"),
        ("DROP TABLE bodies", "damaged: no such table: bodies_docsize"),
    ],
)
def test_what_is_missing_or_too_much_is_found(indexed: Path, sql: str, says: str) -> None:
    with opened(indexed) as connection:
        connection.execute(sql).fetchall()
    assert any(says in what and what.startswith("alice@example.test: search index: ") for what in problems(indexed))


@pytest.mark.parametrize(
    ("table", "row"), [("headers", "(SELECT min(entry) FROM entries)"), ("bodies", "1")], ids=["header", "body"]
)
def test_a_letter_that_is_filed_as_another_is_found(indexed: Path, table: str, row: str) -> None:
    with opened(indexed) as connection:
        connection.execute(
            f"INSERT OR REPLACE INTO {table} (rowid, text) VALUES ({row}, ?)", (words_of("ELSE"),)
        ).fetchall()
    assert any("letters are not found by what stands in them" in what for what in problems(indexed))


def test_a_text_that_is_not_the_letters_is_found(indexed: Path) -> None:
    for text, says in ((zlib.compress(b"SOMETHING ELSE"), "letters are not found"), (b"no zlib", "damaged")):
        with opened(indexed) as connection:
            connection.execute("UPDATE texts SET body = ? WHERE message = 1", (text,)).fetchall()
        assert any(says in what for what in problems(indexed))


def test_letters_that_are_gone_and_still_filed_are_found_unless_they_just_went(root: Path) -> None:
    async def expunge() -> None:
        store = await open_store(root)
        account = await store.account("alice@example.test")
        assert account is not None
        inbox = await find(store, account)
        await do(store, Expunge(inbox.id, (Uid(1),), deleted_only=False), Expunged)
        await file(store, inbox)
        await store.close()

    asyncio.run(_index(root))
    asyncio.run(expunge())
    assert findings(root) == []
    with opened(root) as connection:
        connection.execute("UPDATE marks SET modseq = 8 WHERE modseq = 7").fetchall()
    assert [what for what in problems(root) if "filed that are gone" in what] == [
        "alice@example.test: search index: alice@example.test, INBOX: 1 letters are filed that are gone"
    ]


def test_a_damaged_file_is_found_and_one_that_can_be_built_anew_is_noted(indexed: Path) -> None:
    with opened(indexed) as connection:
        connection.execute("UPDATE about SET value = 'another' WHERE name = 'index'").fetchall()
    connection = apsw.Connection(str(search_path(indexed, AccountId(99))), flags=0x6)
    connection.close()
    assert [(each.severity, each.what) for each in findings(indexed)] == [
        (
            Severity.NOTE,
            "alice@example.test: search index: of another index or another version of this program; it will be "
            "built anew",
        ),
        (Severity.NOTE, "search/99.db: the search index of an account that is gone"),
    ]
    discard(indexed, ALICE)
    search_path(indexed, ALICE).write_bytes(b"no database" * 1000)
    assert any(what.startswith("alice@example.test: search index: ") for what in _whats(indexed))


def _whats(root: Path) -> list[str]:
    return [each.what for each in findings(root) if each.severity is Severity.PROBLEM]


def test_a_flipped_page_is_found(indexed: Path) -> None:
    path = search_path(indexed, ALICE)
    octets = bytearray(path.read_bytes())
    for page in range(4096, len(octets), 4096):
        octets[page : page + 8] = b"\xff" * 8
    path.write_bytes(octets)
    assert _whats(indexed)


def test_a_letter_that_can_not_be_read_is_not_this_checks_business(indexed: Path) -> None:
    offset, _ = record(indexed, 1)
    flip(segment(indexed), offset)
    assert findings(indexed) == []
