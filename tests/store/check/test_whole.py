"""A sound store has no findings; whatever is damaged is found, and named as people know it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from postroom.store.changes import Expunge, Expunged
from postroom.store.check.whole import Finding, check
from postroom.store.index import NewerSchema, OlderSchema
from postroom.store.records import (
    FRAME_OCTETS,
    SEGMENT_HEADER_OCTETS,
)
from postroom.store.sqlite import open_store
from postroom.store.upgrade.migrating import migrate
from tests.store.damage import damage, flip, found, record, segment
from tests.store.site import (
    ALICE,
    do,
    file,
    find,
)

# --- sound


def test_an_empty_store_is_sound(tmp_path: Path) -> None:
    migrate(tmp_path)
    assert list(check(tmp_path)) == []


def test_a_store_in_which_things_happened_is_sound(root: Path) -> None:
    assert list(check(root)) == []


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_check_writes_nothing(root: Path) -> None:
    before = contents(root)
    list(check(root))
    after = contents(root)
    # SQLite makes these for its readers too, and leaves them empty.
    assert after.keys() - before.keys() <= {"index.db-wal", "index.db-shm"}
    assert after.get("index.db-wal", b"") == b""
    assert {name: after[name] for name in before} == before


def test_progress_counts_the_octets_of_all_segments_to_their_end(root: Path) -> None:
    told: list[tuple[int, int]] = []
    list(check(root, lambda done, total: told.append((done, total))))
    total = sum(path.stat().st_size for path in (root / "segments").iterdir())
    assert told[0] == (0, total)
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_long_look_at_the_index_is_the_default(root: Path) -> None:
    assert list(check(root)) == list(check(root, quick=True)) == []
    damage(
        root, "PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'entries_modseq'"
    )
    assert any(one.startswith("index.db: ") for one in found(root, quick=False))


@pytest.mark.parametrize(("version", "fault"), [(0, OlderSchema), (99, NewerSchema)])
def test_an_index_of_another_schema_is_refused(root: Path, version: int, fault: type[Exception]) -> None:
    damage(root, f"PRAGMA user_version = {version}")
    with pytest.raises(fault):
        list(check(root))


def test_an_index_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(apsw.Error):
        list(check(tmp_path))


def test_nothing_is_made_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(apsw.Error):
        list(check(tmp_path))
    assert list(tmp_path.iterdir()) == []


# --- beside a live server


def test_letters_that_come_while_segments_are_read_are_no_findings(root: Path) -> None:
    async def story() -> list[Finding]:
        store = await open_store(root)
        account = await store.account(ALICE)
        assert account is not None
        inbox = await find(store, account)
        await file(store, inbox)
        loop = asyncio.get_running_loop()

        def step(done: int, total: int) -> None:
            asyncio.run_coroutine_threadsafe(busy(), loop).result(30)

        async def busy() -> None:
            uid = await file(store, inbox)
            await do(store, Expunge(inbox.id, (uid,), deleted_only=False), Expunged)
            await file(store, inbox)

        findings = await asyncio.to_thread(lambda: list(check(root, step)))
        await store.close()
        return findings

    assert asyncio.run(story()) == []


def test_no_read_transaction_is_open_while_a_finding_is_handed_over(root: Path) -> None:
    damage(root, "UPDATE mailboxes SET unseen = 99 WHERE name = 'INBOX'")
    flip(segment(root), SEGMENT_HEADER_OCTETS + FRAME_OCTETS)
    for _ in check(root):
        other = apsw.Connection(str(root / "index.db"))
        other.execute("UPDATE counters SET value = value").fetchall()
        # A checkpoint that empties the log needs that nobody reads from it.
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall() == [(0, 0, 0)]
        other.close()


def test_a_letters_content_is_never_told(root: Path) -> None:
    for number in (1, 2):
        offset, size = record(root, number)
        flip(segment(root), offset + size // 2)
    damage(root, "UPDATE messages SET header_size = size + 1", "DELETE FROM answers")
    told = " ".join(one.what for one in check(root))
    assert "sesame" not in told
    assert "elsewhere" not in told
