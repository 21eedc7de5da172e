"""What a backup takes, what it leaves alone, and what is left when it is cut short."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from postroom.store.backup import whole as backup_module
from postroom.store.backup.check import check_all
from postroom.store.backup.folder import BackupFailed, BackupFolder
from postroom.store.backup.segments import copy_segment
from postroom.store.changes import AddAccount
from postroom.store.compaction.files import backup_stands_still
from postroom.store.index import NewerSchema
from postroom.store.interface import Store
from tests.scale import scaled
from tests.store.backups import ALICE, BOB, NOW, Backed, account, flipped, letter, tree
from tests.store.earlier import rows
from tests.store.site import file, find


@pytest.fixture
def backed(tmp_path: Path) -> Backed:
    """A site with three letters, and no backup yet."""
    made = Backed(tmp_path)
    made.make()
    made.file(1, 2, 3)
    return made


def test_a_snapshot_has_all_that_the_site_is_for_its_owner_alone(backed: Backed) -> None:
    (backed.site.root / "tls").mkdir()
    (backed.site.root / "tls" / "key.pem").write_text("key")
    rows(backed.site.root / "secrets.db", "CREATE TABLE credential (a)")
    done = backed.back_up()
    assert (done.damaged, done.missed, done.removed) == ((), (), 0)
    assert (done.snapshot.manifest.accounts, done.snapshot.manifest.letters) == (1, 3)
    assert done.snapshot.name == "20231114T221320Z"
    assert sorted(tree(backed.path)) == [
        "backup.json", "backup.lock", "segments/0000000001.seg",
        *(f"snapshots/20231114T221320Z/{name}" for name in
          ("files.jsonl", "index.db", "manifest.json", "postroom.toml", "secrets.db", "tls/key.pem")),
    ]  # fmt: skip
    for path in (backed.path, *backed.path.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_second_run_copies_only_what_is_new(backed: Backed) -> None:
    first = backed.back_up()
    old = backed.path / "segments" / "0000000001.seg"
    os.utime(old, ns=(1, 1))
    backed.file(4, 5)
    second = backed.back_up(NOW + 1)
    third = backed.back_up(NOW + 2)
    assert old.stat().st_mtime_ns == 1, "nothing is new in it"
    assert list(backed.sizes()) == ["0000000001.seg", "0000000002.seg"]
    assert first.copied == first.snapshot.manifest.octets
    assert second.copied == second.snapshot.manifest.octets - first.copied
    assert third.copied == 0
    assert [each.manifest.letters for each in backed.snapshots()] == [3, 5, 5]


def test_a_segment_that_has_grown_is_only_appended_to(backed: Backed) -> None:
    backed.back_up()
    sizes: list[int] = []
    copied: list[int] = []

    async def story(store: Store) -> None:
        inbox = await find(store, await account(store))
        for number in range(10, 13):
            await file(store, inbox, letter(number))
            done = backed.back_up(NOW + number)
            sizes.append(backed.sizes()["0000000002.seg"])
            copied.append(done.copied)

    backed.site.run(story)
    assert sizes == [sum(copied[:count]) for count in (1, 2, 3)], "zeros that are written ahead are left out"
    assert backed.back_up(NOW + 20, verify_all=True).verified == ()


def test_a_backup_while_letters_come_has_each_row_with_its_letter(
    backed: Backed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_module, "copy_segment", _hindered(backed, copy_segment))
    done = backed.back_up()
    assert done.snapshot.manifest.letters == 3, "what came after the index is of the next snapshot"
    assert backed.back_up(NOW + 1).snapshot.manifest.letters == 4
    assert not backed.restore(backed.folder / "back").wrong


def _hindered(backed: Backed, copy: Callable[..., int]) -> Callable[..., int]:
    """A letter comes before the first segment is copied, and compaction may not take files away."""
    told: list[int] = []

    def copying(*args: object) -> int:
        if not told:
            told.append(1)
            backed.file(77)
            with backup_stands_still(backed.site.root) as still:
                assert not still
        return copy(*args)

    return copying


def test_only_the_newest_snapshots_are_kept_and_what_they_need(backed: Backed) -> None:
    for number in range(4):
        backed.back_up(NOW + number, keep=3)
    assert [each.manifest.number for each in backed.snapshots()] == [2, 3, 4]
    # As compaction leaves it: all letters lie elsewhere.
    backed.file(4)
    rows(backed.site.root / "index.db", "DELETE FROM messages WHERE segment = 1")
    done = backed.back_up(NOW + 10, keep=2)
    assert done.removed == 2
    assert list(backed.sizes()) == ["0000000001.seg", "0000000002.seg"]
    backed.back_up(NOW + 11, keep=1)
    assert list(backed.sizes()) == ["0000000002.seg"]


def test_a_clock_that_runs_back_leaves_the_order_of_snapshots(backed: Backed) -> None:
    backed.back_up(NOW)
    backed.file(4)
    backed.back_up(NOW - 1000)
    same = backed.back_up(NOW - 1000)
    assert same.snapshot.name.endswith("Z-2")
    assert [each.manifest.letters for each in backed.snapshots()] == [3, 4, 4]
    backed.back_up(NOW - 2000, keep=1)
    assert [each.manifest.time for each in backed.snapshots()] == [NOW - 2000]


def test_a_directory_of_another_site_or_of_other_things_is_refused(backed: Backed, tmp_path: Path) -> None:
    backed.back_up()
    before = tree(backed.path)
    rows(backed.site.root / "index.db", "UPDATE site SET value = 'another-index-than-this' WHERE name = 'index'")
    with pytest.raises(BackupFailed, match="another index") as refused:
        backed.back_up()
    assert "\n" not in str(refused.value)
    assert tree(backed.path) == before
    home = Backed(tmp_path / "home")
    home.folder.mkdir()
    home.make()
    home.path.mkdir()
    (home.path / "thesis.txt").write_text("precious")
    with pytest.raises(BackupFailed, match="not empty"):
        home.back_up()
    assert tree(home.path) == {"thesis.txt": b"precious"}


def test_a_directory_inside_the_data_directory_is_refused(backed: Backed) -> None:
    source = backup_module.Source(backed.site.root, backed.config)
    link = backed.folder / "link"
    link.symlink_to(backed.site.root)
    for path in (backed.site.root, backed.site.root / "backup", link / "backup"):
        with pytest.raises(BackupFailed, match="lies in the data directory"):
            backup_module.back_up(source, path, NOW, keep=1)
    assert not (backed.site.root / "backup").exists()


def test_a_newer_index_is_refused(backed: Backed) -> None:
    rows(backed.site.root / "index.db", "PRAGMA user_version = 9999")
    with pytest.raises(NewerSchema):
        backed.back_up()
    assert not backed.path.exists()


def test_two_backups_at_once_are_refused_and_a_restore_is_waited_for_by_nobody(backed: Backed) -> None:
    backed.back_up()
    with BackupFolder(backed.path).held(writing=False), pytest.raises(BackupFailed, match="another backup"):
        backed.back_up(NOW + 1)
    with (
        BackupFolder(backed.path).held(writing=True),
        pytest.raises(BackupFailed, match="another backup"),
        BackupFolder(backed.path).held(writing=False),
    ):
        raise AssertionError


def test_a_damaged_index_makes_no_snapshot_and_leaves_the_earlier_ones(backed: Backed) -> None:
    backed.back_up()
    before = tree(backed.path)
    backed.file(4)
    # An index that doesn't fit its table.
    rows(backed.site.root / "index.db", "UPDATE segments SET length = 100 WHERE number = 2")
    with pytest.raises(BackupFailed, match="fsck --repair"):
        backed.back_up(NOW + 1)
    assert tree(backed.path) == before


def test_a_letter_that_is_damaged_in_the_store_is_told_and_all_others_are_copied(backed: Backed) -> None:
    segment = backed.site.root / "segments" / "0000000001.seg"
    ((email_id, offset),) = rows(
        backed.site.root / "index.db", "SELECT email_id, offset FROM messages WHERE id = 2"
    )
    with flipped(segment, offset + 50):
        done = backed.back_up()
    assert len(done.damaged) == 1 and email_id in done.damaged[0] and "wrong checksum" in done.damaged[0]
    assert done.snapshot.manifest.damaged == 1
    restored = backed.restore(backed.folder / "back")
    assert restored.letters == 3 and len(restored.wrong) == 1
    with flipped(segment, offset - 20):
        other = Backed(backed.folder / "other")
        other.folder.mkdir()
        done = backup_module.back_up(backup_module.Source(backed.site.root, backed.config), other.path, NOW, keep=1)
    assert len(done.damaged) == 1 and email_id in done.damaged[0], "the next letter is found by its row"


def test_verify_all_finds_what_the_medium_lost(backed: Backed) -> None:
    backed.back_up()
    backed.file(4)
    done = backed.back_up(NOW + 1, verify_all=True)
    assert done.verified == ()
    first, second = (each.folder for each in backed.snapshots())
    for path, what in (
        (backed.path / "segments" / "0000000001.seg", "0000000001.seg is not as it was written"),
        (first / "index.db", f"{first.name}: index.db"),
        (second / "postroom.toml", f"{second.name}: postroom.toml"),
    ):
        with flipped(path, 15):
            verified = backed.back_up(NOW + 2, verify_all=True).verified
            assert verified is not None and any(what in each for each in verified), (path, verified)


def test_a_copy_that_was_cut_or_taken_away_is_made_anew(backed: Backed) -> None:
    backed.back_up()
    backed.file(4)
    backed.back_up(NOW + 1)
    before = tree(backed.path / "segments")
    (backed.path / "segments" / "0000000001.seg").unlink()
    os.truncate(backed.path / "segments" / "0000000002.seg", 100)
    (damaged, *_) = [each for each in _verified(backed) if "0000000001" in each]
    assert damaged == "segments/0000000001.seg is missing"
    assert backed.back_up(NOW + 2, verify_all=True).verified == ()
    assert tree(backed.path / "segments") == before


def _verified(backed: Backed) -> list[str]:
    return list(check_all(BackupFolder(backed.path), backed.snapshots(), lambda octets: None))


def test_a_segment_that_is_another_one_than_was_copied_is_refused(backed: Backed) -> None:
    backed.back_up()
    before = tree(backed.path)
    segment = backed.site.root / "segments" / "0000000001.seg"
    segment.write_bytes(segment.read_bytes()[:-300] + b"x" * 600)
    rows(backed.site.root / "index.db", "UPDATE segments SET length = length + 300 WHERE number = 1")
    with pytest.raises(BackupFailed, match="other letters"):
        backed.back_up(NOW + 1)
    assert tree(backed.path) == before


# --- cut short

_KILLED = """
import os, signal, sys
from pathlib import Path
from postroom.store.backup.whole import Source, back_up

left = int(sys.argv[3])

def count(*_):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

for name in ("pwrite", "write", "fsync", "fdatasync", "rename", "mkdir", "ftruncate", "unlink"):
    def wrapped(*args, _call=getattr(os, name), **kwargs):
        count()
        return _call(*args, **kwargs)
    setattr(os, name, wrapped)
data = Path(sys.argv[1])
back_up(Source(data, data.parent / "postroom.toml"), Path(sys.argv[2]), 1_700_000_500, keep=2)
print("done", left)
"""


def _run(backed: Backed, kill_at: int) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", _KILLED, str(backed.site.root), str(backed.path), str(kill_at)]
    return subprocess.run(words, check=False, timeout=60, text=True, capture_output=True)


def test_kill_9_anywhere_leaves_the_earlier_snapshots_whole(backed: Backed) -> None:
    backed.back_up(NOW)
    backed.file(4)
    backed.back_up(NOW + 1)
    names = [each.name for each in backed.snapshots()]
    backed.file(5, 6)
    calls = 10_000_000 - int(_run(Backed(backed.folder), 10_000_000).stdout.split()[1])
    backed.file(7)
    for kill_at in range(1, calls + 1, scaled(max(1, calls // 6), 1)):
        killed = _run(backed, kill_at)
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        left = backed.snapshots()
        assert len(left) >= 2 or kill_at > calls - 10, "only the last steps take an old one away"
        assert left[-1].manifest.letters >= 6
    assert names
    done = backed.back_up(NOW + 1000, verify_all=True)
    assert (done.verified, done.snapshot.manifest.letters) == ((), 7)
    assert {each.name for each in (backed.path / "snapshots").iterdir()} == {
        each.name for each in backed.snapshots()
    }


@pytest.mark.parametrize("kind", ["letters", "index"])
def test_a_full_disk_leaves_the_earlier_snapshots_whole_and_the_next_run_goes_on(backed: Backed, kind: str) -> None:
    backed.back_up()
    backed.file(4, size=50_000)
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)); import signal;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); sys.argv = sys.argv[1:];"
    )
    if kind == "letters":
        # The index is larger than the limit: only the letters are to meet it.
        script += (
            "from postroom.store.backup import whole as backup; real = backup.copy_database;"
            "lift = lambda n: resource.setrlimit(resource.RLIMIT_FSIZE, (n, resource.RLIM_INFINITY));"
        )
        script = script.replace("(40_000, 40_000)", "(40_000, resource.RLIM_INFINITY)")
        script += (
            "\ndef copy(*args):\n lift(resource.RLIM_INFINITY)\n real(*args)\n lift(40_000)\n"
            "backup.copy_database = copy\n"
        )
    words = [sys.executable, "-c", script + _KILLED.replace("left = int(sys.argv[3])", "left = 0"), "x",
             str(backed.site.root), str(backed.path)]  # fmt: skip
    full = subprocess.run(words, check=False, timeout=60, text=True, capture_output=True)
    assert full.returncode == 1
    assert "File too large" in full.stderr, full.stderr
    assert [each.manifest.letters for each in backed.snapshots()] == [3]
    assert len(list((backed.path / "snapshots").iterdir())) == 1, "what was begun is taken away"
    done = backed.back_up(NOW + 1000, verify_all=True)
    assert (done.verified, done.snapshot.manifest.letters) == ((), 4)


# --- accounts' files


def test_files_of_accounts_are_copied_once_and_old_snapshots_keep_theirs(backed: Backed) -> None:
    own = backed.folder / "own"
    home = backed.site.root / "files" / ALICE
    for folder in (own, home / "empty", home / "deep" / "er"):
        folder.mkdir(parents=True)
    (home / "a.txt").write_bytes(b"one")
    (home / "same.txt").write_bytes(b"one")
    (home / "deep" / "er" / os.fsdecode(b"\xff\xfe")).write_bytes(b"two")
    (home / "link").symlink_to("/etc/passwd")
    os.mkfifo(home / "pipe")
    (own / "b.bin").write_bytes(b"x" * 3_000_000)

    async def story(store: Store) -> None:
        await store.commit(AddAccount(BOB, files=str(own)))

    backed.site.run(story)
    assert backed.back_up().missed == ()
    first = backed.restore(backed.folder / "first")
    assert first.left == (f"{own} has files: {BOB}'s were not restored",)
    (home / "a.txt").write_bytes(b"another")
    (own / "b.bin").unlink()
    backed.back_up(NOW + 1)
    assert sum(1 for each in (backed.path / "files").rglob("*") if each.is_file()) == 4
    old, new = backed.snapshots()
    back = backed.restore(backed.folder / "back", old)
    assert (back.wrong, back.left) == ((), ()), "the place of the other account's files is empty by now"
    assert (own / "b.bin").read_bytes() == b"x" * 3_000_000
    there = backed.folder / "back" / "files" / ALICE
    assert (there / "a.txt").read_bytes() == b"one"
    assert (there / "deep" / "er" / os.fsdecode(b"\xff\xfe")).read_bytes() == b"two"
    assert (there / "empty").is_dir()
    assert os.readlink(there / "link") == "/etc/passwd"
    assert not (there / "pipe").exists()
    assert (there / "a.txt").stat().st_mtime_ns != (home / "a.txt").stat().st_mtime_ns
    backed.restore(backed.folder / "newer", new)
    assert (backed.folder / "newer" / "files" / ALICE / "a.txt").read_bytes() == b"another"
    backed.back_up(NOW + 2, keep=1)
    assert sum(1 for each in (backed.path / "files").rglob("*") if each.is_file()) == 4, "b.bin is there again"


def test_a_file_root_that_holds_the_backup_itself_is_copied_without_it(backed: Backed) -> None:
    async def story(store: Store) -> None:
        await store.commit(AddAccount(BOB, files=str(backed.folder)))

    (backed.folder / "mine.txt").write_text("mine")
    backed.site.run(story)
    backed.back_up()
    backed.back_up(NOW + 1)
    listed = (backed.snapshots()[-1].folder / "files.jsonl").read_text()
    assert "mine.txt" in listed and "backup.json" not in listed
