"""Every fault that can be planted is found; what can be made right is, and no letter is changed by it."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.changes import Copy, Filed
from postroom.store.check.findings import Severity
from postroom.store.check.whole import check
from postroom.store.index import NewerSchema, fetch_all
from postroom.store.interface import Store
from postroom.store.repair.whole import repair
from tests.scale import scaled
from tests.store.damage import Letters, a_busy_day, alter, damage, letters
from tests.store.planted import FAULTS, Fault
from tests.store.site import ALICE, BOB, LETTER, Site, do, file, find, octets_of, uids

NOW = int(time.time())


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which things have happened."""
    site = Site(tmp_path_factory.mktemp("sound") / "data")
    site.run(a_busy_day)
    return site.root


@pytest.fixture(scope="module")
def whole(sound: Path) -> Letters:
    """All its letters."""
    return letters(sound)


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(sound, tmp_path / "data"))


def small(found: Letters) -> Letters:
    return Counter({key: count for key, count in found.items() if len(key[2]) < BLOB_IN_MEMORY})


def repaired(root: Path) -> list[str]:
    return [one.what for one in repair(root, NOW, "mx.example.test") if one.severity is Severity.REPAIRED]


def problems(root: Path) -> list[str]:
    return [one.what for one in check(root) if one.severity is Severity.PROBLEM]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_and_repaired_and_every_letter_is_what_it_was(
    root: Path, whole: Letters, fault: Fault
) -> None:
    fault.plant(root)
    found = problems(root)
    assert any(fault.says in each for each in found), found
    told = list(repair(root, NOW, "mx.example.test"))
    left = problems(root)
    if fault.left is None:
        assert left == []
        assert any(one.severity is Severity.REPAIRED for one in told)
        assert letters(root) == whole
    else:
        assert any(fault.left in one.what for one in told if one.severity is Severity.PROBLEM) or any(
            fault.left in each for each in left
        )
        # Large ones are not held against their checksum when they are read.
        assert small(letters(root)) <= small(whole)
    assert not [one for one in told if "could not be made" in one.what]


# --- more than one thing


def test_the_index_as_it_was_is_put_aside_before_anything_is_changed(root: Path) -> None:
    damage(root, "UPDATE mailboxes SET unseen = 77")
    (first, *_) = repair(root, NOW, "mx.example.test")
    (folder,) = (root / "snapshots").iterdir()
    assert first.what == f"the index as it was is in {folder}"
    (folder / "segments").symlink_to(root / "segments")
    assert any("unseen says 77" in each for each in problems(folder))


def test_indexes_that_do_not_fit_their_tables_are_made_anew(root: Path) -> None:
    connection = apsw.Connection(str(root / "index.db"))
    connection.execute("PRAGMA writable_schema = ON").fetchall()
    sql = "UPDATE sqlite_schema SET sql = 'CREATE INDEX entries_modseq ON entries (mailbox, uid)' WHERE name = ?"
    connection.execute(sql, ("entries_modseq",)).fetchall()
    connection.close()
    assert any("entries_modseq" in each for each in problems(root))
    assert repaired(root) == ["index.db: its indexes did not fit its tables, and are made anew"]
    assert problems(root) == []


def test_a_file_that_is_damaged_is_left_to_a_rebuild(root: Path) -> None:
    connection = apsw.Connection(str(root / "index.db"))
    page = int(connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entries'").get)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    alter(
        root / "index.db", lambda octets: octets.__setitem__(slice((page - 1) * 4096, page * 4096), b"\xff" * 4096)
    )
    told = list(repair(root, NOW, "mx.example.test"))
    assert told[-1].severity is Severity.PROBLEM
    assert "`postroom fsck --rebuild-index`" in told[-1].what
    assert not [one for one in told if one.severity is Severity.REPAIRED]


def test_an_entry_whose_row_is_lost_is_there_again(root: Path, whole: Letters) -> None:
    damage(
        root, "DELETE FROM entries WHERE message = 3", "DELETE FROM entries WHERE message = 1 AND prefix = x'78'"
    )
    told = repaired(root)
    assert f"{ALICE}: 1 letters are missing, and 1 are there again, where they came in" in told
    assert f"{BOB}: 1 letters are missing, and 1 are there again, where they came in" in told
    assert letters(root) == whole
    assert problems(root) == []


def test_where_more_letters_may_be_missing_than_are_they_are_kept_apart(root: Path, whole: Letters) -> None:
    damage(
        root,
        "DELETE FROM entries WHERE message IN (3, 5)",
        "UPDATE mailboxes SET messages = 3 WHERE id = (SELECT min(id) FROM mailboxes)",
    )
    assert any("in Recovered: some of them may have been expunged" in each for each in repaired(root))
    assert letters(root) == whole
    assert problems(root) == []


def test_everything_at_once_is_repaired(root: Path, whole: Letters) -> None:
    together = (
        "answers that are missing",
        "a place that is beside",
        "a UID used twice",
        "a wrong conversation",
        "an INBOX's row that is gone",
        "live octets",
        "the index's name",
        "a flipped bit of a frame",
    )
    for each in together:
        FAULTS[each].plant(root)
    list(repair(root, NOW, "mx.example.test"))
    assert problems(root) == []
    assert letters(root) == whole


def test_a_repaired_store_goes_on_as_any_other(root: Path) -> None:
    damage(root, "DELETE FROM mailboxes WHERE name = 'INBOX'", "DELETE FROM counters")
    list(repair(root, NOW, "mx.example.test"))

    async def story(store: Store) -> None:
        alice = await store.account(ALICE)
        assert alice is not None
        inbox, recovered = await find(store, alice), await find(store, alice, "Recovered")
        uid = await file(store, inbox)
        assert await octets_of(store, inbox, uid) == LETTER
        assert len(await uids(store, recovered)) == 4
        await do(store, Copy(recovered.id, tuple(await uids(store, recovered)), inbox.id, move=True), Filed)

    Site(root).run(story)


def test_a_store_of_another_schema_is_refused(root: Path) -> None:
    damage(root, "PRAGMA user_version = 99")
    with pytest.raises(NewerSchema):
        list(repair(root, NOW, "mx.example.test"))
    assert not (root / "snapshots").exists()


TABLES = (
    *("accounts", "mailboxes", "deleted_mailboxes", "segments", "messages", "answers", "threads", "entries"),
    *("tombstones", "counters", "domains", "stories", "subscriptions", "aliases", "site", "account_changes"),
)


def spoil(root: Path, draw: random.Random) -> list[str]:
    """Change or take away some rows at random; gives what was done."""
    connection, done = apsw.Connection(str(root / "index.db")), []
    for _ in range(draw.randrange(1, 6)):
        table = draw.choice(TABLES)
        columns = fetch_all(connection, f"PRAGMA table_info({table})")
        keys = [column[1] for column in columns if column[5]]
        rows = fetch_all(connection, f"SELECT {', '.join(keys)} FROM {table}")
        if not rows:
            continue
        key, which = draw.choice(rows), " AND ".join(f"{key} = ?" for key in keys)
        with suppress(apsw.Error):
            if draw.random() < 0.3:
                connection.execute(f"DELETE FROM {table} WHERE {which}", key).fetchall()
                done.append(f"{table} {key}")
            else:
                column = draw.choice(columns)
                value = draw.choice(VALUES[column[2]])
                connection.execute(f"UPDATE {table} SET {column[1]} = ? WHERE {which}", (value, *key)).fetchall()
                done.append(f"{table} {key}: {column[1]} = {value!r}")
    connection.close()
    return done


VALUES: dict[str, tuple[int | str | bytes, ...]] = {
    "INTEGER": (0, 1, -1, 2, 99, 2**31, 2**40, 2**62, -(2**62)),
    "TEXT": ("", "x", "INBOX", "a/b", "\0"),
    "BLOB": (b"", b"x", b"(", b"12345678"),
}


@pytest.mark.parametrize("seed", range(scaled(12, 1500)))
def test_no_wrong_rows_stop_a_repair_and_a_second_one_finds_nothing_more_to_do(root: Path, seed: int) -> None:
    done = spoil(root, random.Random(seed))
    told = list(repair(root, NOW, "mx.example.test"))
    assert not [one.what for one in told if "could not be made" in one.what], done
    assert repaired(root) == [], done
    assert not [each for each in problems(root) if "is not in the index" not in each], done
