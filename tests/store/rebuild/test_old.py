"""A damaged index costs the rows of its damaged pages, and no others."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from postroom.store.index import fetch_all, migrate, open_index
from postroom.store.rebuild.old import TABLES, open_old, read_old, read_table

ROWS = 4000
PAGE = 4096


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An index with many rows."""
    path = tmp_path_factory.mktemp("old") / "index.db"
    connection = open_index(path, make=True)
    migrate(connection)
    connection.execute("BEGIN").fetchall()
    for number in range(1, ROWS + 1):
        connection.execute(
            "INSERT INTO entries VALUES (?, ?, ?, 1, '$Work', 5, 6, 7, 0, 100, 1, x'41')",
            (number // 1000 + 1, number, number),
        ).fetchall()
        connection.execute("INSERT INTO subscriptions VALUES (1, ?)", (f"name {number:06}",)).fetchall()
        connection.execute("INSERT INTO stories VALUES (?, 'something happened\n')", (number,)).fetchall()
    connection.execute("COMMIT").fetchall()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, sound: bytes) -> Path:
    (tmp_path / "index.db").write_bytes(sound)
    return tmp_path / "index.db"


def rows_of(path: Path, name: str) -> tuple[set[tuple[object, ...]], bool]:
    old = open_old(path)
    assert old is not None
    rows, whole = read_table(old, name)
    old.close()
    return set(rows), whole


def pages_of(path: Path, name: str) -> Iterator[int]:
    """The leaves of a table."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    sql = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path"
    found = fetch_all(connection, sql, (name,))
    connection.close()
    for (page,) in found:
        yield page


def spoil(path: Path, page: int, with_: bytes = b"\xff") -> None:
    octets = bytearray(path.read_bytes())
    octets[(page - 1) * PAGE : page * PAGE] = (with_ * PAGE)[:PAGE]
    path.write_bytes(octets)


@pytest.mark.parametrize("name", ["entries", "subscriptions", "stories"])
def test_a_sound_table_is_read_whole(path: Path, name: str) -> None:
    rows, whole = rows_of(path, name)
    assert len(rows) == ROWS
    assert whole


@pytest.mark.parametrize("name", ["entries", "stories"])
@pytest.mark.parametrize("which", [0, 5, -1], ids=["first", "middle", "last"])
def test_a_damaged_page_costs_its_own_rows(path: Path, name: str, which: int) -> None:
    before, _ = rows_of(path, name)
    pages = list(pages_of(path, name))
    spoil(path, pages[which])
    after, whole = rows_of(path, name)
    assert not whole
    assert after < before
    assert len(before - after) <= 2 * len(before) / len(pages)


def test_each_of_several_damaged_pages_costs_its_own_rows(path: Path) -> None:
    before, _ = rows_of(path, "entries")
    pages = list(pages_of(path, "entries"))
    for which in (2, 3, 10, 20):
        spoil(path, pages[which], bytes([which]))
    after, _ = rows_of(path, "entries")
    assert after < before
    assert len(before - after) <= 6 * len(before) / len(pages)


def test_of_a_table_with_names_for_keys_both_ends_are_read(path: Path) -> None:
    before, _ = rows_of(path, "subscriptions")
    pages = list(pages_of(path, "subscriptions"))
    spoil(path, pages[len(pages) // 2])
    after, _ = rows_of(path, "subscriptions")
    assert len(before - after) <= 2 * len(before) / len(pages)
    assert {min(before), max(before)} <= after


def test_rows_of_the_wrong_types_are_not_believed(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA writable_schema = ON").fetchall()
    connection.execute(
        "UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'stories'"
    ).fetchall()
    connection.close()
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE stories SET events = x'ff' WHERE message = 7").fetchall()
    connection.execute("UPDATE stories SET events = cast(x'ff' AS TEXT) WHERE message = 9").fetchall()
    connection.close()
    rows, whole = rows_of(path, "stories")
    assert {number for number, _ in rows} == set(range(1, ROWS + 1)) - {7, 9}
    assert not whole


def test_tables_of_an_older_schema_are_read(tmp_path: Path) -> None:
    connection = open_index(tmp_path / "index.db", make=True)
    connection.execute(
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, address, disabled, admin, fxp, files, created)"
    )
    connection.execute("INSERT INTO accounts VALUES (3, 'a@example.test', 0, 1, 0, NULL, 5)").fetchall()
    connection.close()
    rows, whole = rows_of(tmp_path / "index.db", "accounts")
    assert rows == {(3, "a@example.test", 0, 1, 0, None, 5, None, None, None, 0, None, None)}
    assert whole
    assert rows_of(tmp_path / "index.db", "domains") == (set(), False)


def test_what_is_no_index_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    assert open_old(path) is None
    path.write_bytes(b"not a database" * 1000)
    assert open_old(path) is None
    new = apsw.Connection(":memory:")
    new.execute("ATTACH ':memory:' AS old").fetchall()
    assert read_old(None, new, "old") == set()
    assert new.execute("SELECT count(*) FROM old.entries").get == 0


def test_no_damage_raises(path: Path, sound: bytes) -> None:
    draw = random.Random(7)
    for _ in range(15):
        octets = bytearray(sound)
        for _ in range(draw.randrange(1, 8)):
            at, length = draw.randrange(100, len(octets)), draw.choice((1, 16, 4096))
            octets[at : at + length] = draw.randbytes(len(octets[at : at + length]))
        path.write_bytes(octets)
        old = open_old(path)
        if old is not None:
            for table in TABLES:
                read_table(old, table.name)
            old.close()


MADE_ANEW = {
    "accounts": {"octets", "letters"},
    "domains": {"octets", "letters"},
    "mailboxes": {
        *("uid_next", "highest_modseq", "messages", "unseen", "deleted", "size", "first_recent", "recent"),
        "forgotten_modseq",
    },
    "segments": {"live", "retired"},
    "messages": {
        *("segment", "offset", "size", "crlf_size", "header_size", "parser", "sent", "sent_zone", "message_id"),
        *("refs", "subject", "is_reply", "sender", "recipient", "copied"),
    },
    "entries": {"modseq", "size", "thread"},
    "tombstones": {"size", "thread"},
    # Whole tables: what letters say, what nobody needs of an index that is gone, and what no version writes yet.
    "answers": {"message", "envelope", "bodystructure", "parts"},
    "threads": {"account", "hash", "thread"},
    "site": {"name", "value"},
    "kept_replies": {"writer", "number", "reply"},
    "seen": {"mailbox", "accessor", "uid", "modseq"},
}


def test_every_column_is_taken_over_or_made_anew(path: Path) -> None:
    """Whoever adds one has to say which."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    for (name,) in fetch_all(connection, sql):
        columns = {row[1] for row in fetch_all(connection, f"PRAGMA table_info({name})")}
        taken = {column for table in TABLES if table.name == name for column in table.names}
        assert columns == taken | MADE_ANEW.get(name, set()), name
    connection.close()
