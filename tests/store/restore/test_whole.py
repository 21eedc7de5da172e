"""A data directory out of a backup: everything is there, and it is another one than was lost."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

import pytest

from postroom.store.backup.folder import BackupFailed, BackupFolder
from postroom.store.changes import CreateMailbox, DeleteMailbox
from postroom.store.index import newest_schema, open_index
from postroom.store.interface import Store
from postroom.store.restore import rows as restorerows
from postroom.store.restore import whole as restore_module
from postroom.store.restore.mark import RESTORING
from postroom.store.restore.whole import check_empty
from postroom.store.values import Flag, Uid
from tests.store.backups import BOB, NOW, Backed, account, flipped, letter
from tests.store.earlier import EARLIER, make_earlier, rows
from tests.store.site import Site, file, find, octets_of

LATER = 2_000_000_000


@pytest.fixture
def backed(tmp_path: Path) -> Backed:
    """A site with letters of two accounts, large ones too, and a backup of it."""
    made = Backed(tmp_path)
    made.make()
    made.file(1, 2, 3)
    made.file(4, size=400_000)
    made.file(5, address=BOB)

    async def story(store: Store) -> None:
        alice = await account(store)
        await file(store, await find(store, alice), letter(6), b"Delivered-To: a\r\n", Flag.FLAGGED, ("$Work",))
        await store.commit(CreateMailbox(alice.id, "Old"))
        old = await find(store, alice, "Old")
        await file(store, old, letter(7))
        await store.commit(DeleteMailbox(alice.id, "Old"))

    made.site.run(story)
    rows(
        made.site.root / "index.db",
        """INSERT INTO queue_letters (message, prefix, sender, eight_bit, utf8, require_tls, priority, held,
        created, expires) VALUES (1, x'', 'a@example.test', 0, 0, 0, 0, 0, 1, 2)""",
    )
    rows(made.site.root / "index.db", "INSERT INTO kept_replies VALUES ('w', 1, x'00')")
    made.back_up()
    return made


def test_every_letter_is_there_octet_by_octet_with_flags_and_names(backed: Backed) -> None:
    back = backed.folder / "back"
    restored = backed.restore(back)
    assert (restored.accounts, restored.letters, restored.wrong, restored.left) == (2, 7, (), ())
    assert Site(back).findings() == []

    async def story(store: Store) -> None:
        inbox = await find(store, await account(store))
        for uid, number, size in ((1, 1, 200), (2, 2, 200), (4, 4, 400_000)):
            assert await octets_of(store, inbox, Uid(uid)) == letter(number, size)
        assert await octets_of(store, inbox, Uid(5)) == b"Delivered-To: a\r\n" + letter(6)
        assert await octets_of(store, await find(store, await account(store, BOB)), Uid(1)) == letter(5)
        assert await file(store, inbox, letter(8)) == 6

    Site(back).run(story)
    same = "SELECT mailbox, uid, flags, keywords, modseq, email_id FROM entries JOIN messages ON id = message"
    assert rows(back / "index.db", f"{same} WHERE uid < 6") == rows(backed.site.root / "index.db", same), "UIDL too"


def test_the_data_directory_is_its_owners_alone_and_has_no_more_than_it_should(backed: Backed) -> None:
    back = backed.folder / "back"
    backed.restore(back)
    there = {each.name for each in back.iterdir()} - {"index.db-wal", "index.db-shm"}
    assert there == {"index.db", "segments", "tls"}
    for path in (back, *back.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_uidvalidities_are_above_all_that_may_have_been_given(backed: Backed) -> None:
    before = rows(backed.site.root / "index.db", "SELECT uid_validity FROM mailboxes")
    for at, name in ((NOW, "back"), (LATER, "later")):
        folder = BackupFolder(backed.path)
        restore_module.restore(folder, folder.finished()[0], backed.folder / name, at)
        index = backed.folder / name / "index.db"
        after = rows(
            index, "SELECT uid_validity FROM mailboxes UNION ALL SELECT uid_validity FROM deleted_mailboxes"
        )
        assert min(after)[0] > max(max(before)[0], at)
        assert len(set(after)) == len(after)
        ((counter,),) = rows(index, "SELECT value FROM counters WHERE name = 'uid_validity'")
        assert counter >= max(after)[0]
        assert counter < 2**32


def test_the_outgoing_queue_is_on_hold_and_the_index_is_another_one(backed: Backed) -> None:
    backed.restore(backed.folder / "back")
    old, new = backed.site.root / "index.db", backed.folder / "back" / "index.db"
    assert rows(new, "SELECT held FROM queue_letters") == [(1,)]
    assert rows(new, "SELECT * FROM kept_replies") == []
    assert rows(old, "SELECT held FROM queue_letters") == [(0,)]
    site = "SELECT value FROM site WHERE name = 'index'"
    assert rows(new, site) != rows(old, site)
    assert not (backed.folder / "back" / "search").exists()


def test_an_older_snapshot_brings_what_was_then(backed: Backed) -> None:
    backed.file(9, 10)
    backed.back_up(NOW + 1)
    old, new = backed.snapshots()
    assert backed.restore(backed.folder / "old", old).letters == 7
    assert backed.restore(backed.folder / "new", new).letters == 9


def test_a_data_directory_with_anything_in_it_is_refused(backed: Backed) -> None:
    before = sorted(backed.site.root.rglob("*"))
    with pytest.raises(BackupFailed, match="is not empty") as refused:
        backed.restore(backed.site.root)
    assert "\n" not in str(refused.value)
    assert sorted(backed.site.root.rglob("*")) == before
    (backed.folder / "file").write_text("x")
    with pytest.raises(BackupFailed, match="no directory"):
        check_empty(backed.folder / "file")


def test_a_mount_point_and_what_a_lock_left_count_as_empty(backed: Backed) -> None:
    back = backed.folder / "back"
    (back / "lost+found").mkdir(parents=True)
    (back / "run").mkdir()
    assert backed.restore(back).wrong == ()


def test_a_restore_that_was_cut_short_is_begun_anew(backed: Backed, monkeypatch: pytest.MonkeyPatch) -> None:
    back = backed.folder / "back"

    def out_of_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(restore_module, "make_another", out_of_room)
    with pytest.raises(OSError, match="No space"):
        backed.restore(back)
    assert (back / RESTORING).exists()
    assert not (back / "index.db").exists()
    monkeypatch.undo()
    assert backed.restore(back).wrong == ()
    assert not (back / RESTORING).exists()
    assert Site(back).findings() == []


def test_a_damaged_letter_of_the_backup_is_told_and_the_others_come_back(backed: Backed) -> None:
    ((offset,),) = rows(backed.site.root / "index.db", "SELECT offset FROM messages WHERE id = 2")
    with flipped(backed.path / "segments" / "0000000001.seg", offset + 5):
        restored = backed.restore(backed.folder / "back")
    assert restored.letters == 7
    assert restored.wrong[0] == "segments/0000000001.seg is damaged in the backup"
    assert len(restored.wrong) == 2 and "UID 2: its octets are not those that came in" in restored.wrong[1]


def test_a_damaged_index_of_the_backup_is_refused(backed: Backed) -> None:
    (snapshot,) = backed.snapshots()
    with (
        flipped(snapshot.folder / "index.db", 5000),
        pytest.raises(BackupFailed, match="its index is damaged in the backup: try another snapshot"),
    ):
        backed.restore(backed.folder / "back")


def test_a_backup_can_be_restored_from_where_nothing_can_be_written(backed: Backed) -> None:
    (backed.path / "backup.lock").unlink()
    for path in (*backed.path.rglob("*"), backed.path):
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        assert backed.restore(backed.folder / "back").wrong == ()
        assert not (backed.path / "backup.lock").exists()
    finally:
        for path in (backed.path, *backed.path.rglob("*")):
            path.chmod(0o700)


@pytest.mark.parametrize("schema", EARLIER)
def test_an_index_of_an_earlier_schema_is_brought_up(tmp_path: Path, schema: int) -> None:
    make_earlier(tmp_path, schema)
    with contextlib.closing(open_index(tmp_path / "index.db")) as connection:
        restorerows.make_another(connection, LATER)
    assert rows(tmp_path / "index.db", "SELECT min(uid_validity) > ? FROM mailboxes", LATER) == [(1,)]
    assert Site(tmp_path).findings() == []


def test_a_snapshot_of_a_newer_schema_is_refused(backed: Backed) -> None:
    (snapshot,) = backed.snapshots()
    manifest = snapshot.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"schema": {newest_schema()}', '"schema": 99'))
    with pytest.raises(BackupFailed, match="schema 99"):
        backed.restore(backed.folder / "back")
    assert not (backed.folder / "back").exists()
