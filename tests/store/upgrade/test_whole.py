"""Upgrades from every earlier version with data: all of it stays, whole or not at all, and there is a way back."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from postroom.store.changes import Expunge, Expunged
from postroom.store.index import newest_schema, open_index
from postroom.store.interface import Store, StoreFault
from postroom.store.upgrade import undo as upgradeundo
from postroom.store.upgrade.migrating import migrate
from postroom.store.upgrade.snapshots import read_snapshots
from postroom.store.upgrade.undo import undo
from postroom.store.upgrade.whole import Upgraded, UpgradeRefused, quick_findings, schemas
from postroom.store.values import Account, Flag, Uid
from tests.store.earlier import EARLIER, make_earlier, rows
from tests.store.site import ALICE, LETTER, Site, do, entries, file, find, octets_of

STAYS = {
    "accounts": "id, address, disabled, admin, fxp, files, created",
    "aliases": "*",
    "account_changes": "*",
    "subscriptions": "*",
    "counters": "*",
    "mailboxes": """id, owner, name, uid_validity, uid_next, highest_modseq, messages, unseen, deleted, size,
        first_recent, recent, special_use, object_id, created""",
    "deleted_mailboxes": "id, owner, name, uid_validity, object_id, special_use, gone",
    "entries": "*",
    "tombstones": """mailbox, uid, message, flags, keywords, modseq, internal_date, zone, save_date, size, thread,
        prefix, gone""",
    "messages": "*",
    "answers": "*",
    "threads": "*",
    "segments": "number, length, born",
    "sqlite_sequence": "*",
}
"""What the first schema had and every later one must still have, as it was."""
ONE_SECOND = 1_800_000_000


def _contents(path: Path) -> dict[str, list[Any]]:
    return {table: sorted(rows(path, f"SELECT {columns} FROM {table}")) for table, columns in STAYS.items()}


async def _account(store: Store, address: str) -> Account:
    account = await store.account(address)
    assert account is not None
    return account


@pytest.fixture(params=EARLIER)
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data directory of each earlier schema."""
    root = tmp_path / "data"
    make_earlier(root, request.param)
    return root


def _octets(root: Path) -> dict[str, str]:
    """All letters' octets, as the index finds them in the segments."""
    found = {}
    for email_id, segment, offset, size in rows(
        root / "index.db", "SELECT email_id, segment, offset, size FROM messages"
    ):
        with (root / "segments" / f"{segment:010}.seg").open("rb") as opened:
            opened.seek(offset)
            found[email_id] = hashlib.sha256(opened.read(size)).hexdigest()
    return found


def test_every_earlier_version_keeps_all_that_it_had(earlier: Path) -> None:
    before, letters = _contents(earlier / "index.db"), _octets(earlier)
    have = rows(earlier / "index.db", "PRAGMA user_version")[0][0]
    done = migrate(earlier)
    assert isinstance(done, Upgraded) and (done.before, done.after) == (have, newest_schema())
    assert _contents(earlier / "index.db") == before
    assert _octets(earlier) == letters
    assert Site(earlier).findings() == []

    async def story(store: Store) -> None:
        inbox = await find(store, await _account(store, ALICE))
        first, *_ = await entries(store, inbox)
        assert (first.uid, Flag(first.flags), first.keywords) == (1, Flag.SEEN | Flag.FLAGGED, "$Work")
        octets = await octets_of(store, inbox, first.uid)
        assert octets.startswith(b"Delivered-To: alice@example.test\r\n") and b"Subject: letter 1\r\n" in octets
        assert await file(store, inbox) == 9

    Site(earlier).run(story)


def test_the_snapshot_is_what_was_there_before(earlier: Path, tmp_path: Path) -> None:
    config = tmp_path / "postroom.toml"
    config.write_text('hostname = "a.test"\n')
    before = _contents(earlier / "index.db")
    done = migrate(earlier, config=config)
    assert done is not None
    (snapshot,) = read_snapshots(earlier)
    assert (snapshot.folder, snapshot.schema) == (done.snapshot, done.before)
    assert _contents(snapshot.index) == before
    assert rows(snapshot.index, "PRAGMA user_version") == [(done.before,)]
    assert snapshot.config_copy is not None and snapshot.config_copy.read_text() == config.read_text()


def test_an_index_that_needs_nothing_has_no_snapshot_taken(tmp_path: Path) -> None:
    assert migrate(tmp_path) is None
    assert migrate(tmp_path) is None
    assert not (tmp_path / "snapshots").exists()
    assert schemas(tmp_path) == (newest_schema(), newest_schema())
    assert schemas(tmp_path / "none") == (0, newest_schema())


def test_a_snapshot_is_taken_where_only_others_need_one(tmp_path: Path) -> None:
    migrate(tmp_path)
    done = migrate(tmp_path, snapshot=True)
    assert done is not None and done.before == done.after == newest_schema()
    assert len(read_snapshots(tmp_path)) == 1


def test_a_migration_that_fails_in_the_middle_leaves_the_index_as_it_was(
    earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _contents(earlier / "index.db")
    have, want = schemas(earlier)
    last = importlib.import_module(f"postroom.store.migrations.m{want:04}")
    monkeypatch.setattr(last, "SQL", last.SQL + "DELETE FROM entries; INSERT INTO nowhere VALUES (1);")
    with pytest.raises(StoreFault, match="nowhere"):
        migrate(earlier)
    assert schemas(earlier)[0] == have
    assert _contents(earlier / "index.db") == before
    assert read_snapshots(earlier) == [], "the next try takes its own"
    monkeypatch.undo()
    assert migrate(earlier) is not None
    assert _contents(earlier / "index.db") == before


def test_a_migration_that_leaves_the_index_wrong_is_taken_back(
    earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _contents(earlier / "index.db")
    have, want = schemas(earlier)
    last = importlib.import_module(f"postroom.store.migrations.m{want:04}")
    monkeypatch.setattr(last, "SQL", last.SQL + "DELETE FROM answers WHERE message = 3;")
    with pytest.raises(UpgradeRefused, match=r"taken back.*nothing is changed.*ENVELOPE") as refused:
        migrate(earlier)
    assert "\n" not in str(refused.value)
    assert schemas(earlier)[0] == have
    assert _contents(earlier / "index.db") == before


def test_what_was_wrong_before_keeps_nobody_from_an_upgrade(earlier: Path) -> None:
    rows(earlier / "index.db", "DELETE FROM answers WHERE message = 3")
    (earlier / "segments" / "0000000001.seg").unlink()
    assert migrate(earlier) is not None
    with contextlib.closing(open_index(earlier / "index.db")) as connection:
        found = [each.what for each in quick_findings(connection, earlier)]
    assert any("ENVELOPE" in what for what in found)
    assert any("0000000001.seg is missing" in what for what in found)


_KILLED = """
import os, signal, sys
from pathlib import Path
from postroom.store.upgrade import whole as upgrade
from postroom.store.upgrade.migrating import migrate

def kill(*_):
    # All statements are done, and none is committed; the log has much of it already.
    os.kill(os.getpid(), signal.SIGKILL)

upgrade.quick_findings = kill
migrate(Path(sys.argv[1]))
"""


def test_kill_9_in_the_middle_of_a_migration_leaves_the_index_as_it_was(earlier: Path) -> None:
    before = _contents(earlier / "index.db")
    have, _ = schemas(earlier)
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(earlier)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert schemas(earlier)[0] == have
    assert _contents(earlier / "index.db") == before
    assert len(read_snapshots(earlier)) == 1
    assert migrate(earlier) is not None
    assert _contents(earlier / "index.db") == before
    assert Site(earlier).findings() == []


# --- the way back


def _config(root: Path, text: str = 'hostname = "a.test"\n') -> Path:
    path = root.parent / "postroom.toml"
    path.write_text(text)
    return path


def _no_secrets(path: Path) -> int:
    return 1


def test_undo_gives_the_older_schema_with_what_came_since(earlier: Path) -> None:
    schema_before = rows(earlier / "index.db", "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
    before = _contents(earlier / "index.db")
    config = _config(earlier)
    done = migrate(earlier, config=config)
    assert done is not None

    async def story(store: Store) -> None:
        inbox = await find(store, await _account(store, ALICE))
        assert await file(store, inbox, LETTER, flags=Flag.FLAGGED, keywords=("$New",)) == 9
        await do(store, Expunge(inbox.id, (Uid(2),), deleted_only=False), Expunged)

    Site(earlier).run(story)
    now = _contents(earlier / "index.db")
    undone = undo(earlier, config, ONE_SECOND, _no_secrets)
    assert (undone.before, undone.after, undone.config) == (newest_schema(), done.before, None)
    assert rows(earlier / "index.db", "PRAGMA user_version") == [(done.before,)]
    assert rows(earlier / "index.db", "PRAGMA integrity_check") == [("ok",)]
    schema = rows(earlier / "index.db", "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
    assert schema == schema_before
    assert _contents(earlier / "index.db") == now != before
    assert rows(earlier / "index.db", "SELECT flags, keywords FROM entries WHERE mailbox = 1 AND uid = 9") == [
        (int(Flag.FLAGGED), "$New")
    ]
    assert _contents(undone.aside / "index.db") == now, "the newer index is put aside"
    assert sorted(each.name for each in earlier.iterdir()) == [
        "index.db",
        "index.lock",
        "run",
        "segments",
        "snapshots",
    ]


def test_what_was_undone_can_be_upgraded_again(earlier: Path) -> None:
    config = _config(earlier)
    have, _ = schemas(earlier)
    migrate(earlier, config=config)
    undo(earlier, config, ONE_SECOND, _no_secrets)
    assert migrate(earlier, config=config) is not None
    assert Site(earlier).findings() == []
    undo(earlier, config, ONE_SECOND + 1, _no_secrets)
    assert schemas(earlier)[0] == have


def test_undo_puts_the_configuration_back_and_keeps_the_newer_one_beside(earlier: Path) -> None:
    config = _config(earlier)
    migrate(earlier, config=config)
    config.write_text('hostname = "newer.test"\n')
    config.chmod(0o640)
    undone = undo(earlier, config, ONE_SECOND, _no_secrets)
    assert (undone.config, undone.newer_config) == (config, config.with_name("postroom.toml.newer"))
    assert config.read_text() == 'hostname = "a.test"\n'
    assert config.with_name("postroom.toml.newer").read_text() == 'hostname = "newer.test"\n'
    assert config.stat().st_mode & 0o777 == 0o640


def test_undo_without_a_snapshot_says_so_and_changes_nothing(tmp_path: Path) -> None:
    migrate(tmp_path)
    with pytest.raises(UpgradeRefused, match="nothing to go back to"):
        undo(tmp_path, tmp_path / "postroom.toml", ONE_SECOND, _no_secrets)
    assert schemas(tmp_path)[0] == newest_schema()


def test_undo_that_cant_be_leaves_the_newer_index(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _config(earlier)
    migrate(earlier, config=config)
    now = _contents(earlier / "index.db")
    monkeypatch.setattr(upgradeundo, "_ways_back", lambda *_: ["INSERT INTO nowhere VALUES (1)"])
    with pytest.raises(UpgradeRefused, match="nowhere"):
        undo(earlier, config, ONE_SECOND, _no_secrets)
    assert schemas(earlier)[0] == newest_schema()
    assert _contents(earlier / "index.db") == now
    assert not list(earlier.glob("*.older*"))


def test_undo_that_is_cut_short_before_its_last_step_can_be_done_once_more(
    earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(earlier)
    have, _ = schemas(earlier)
    migrate(earlier, config=config)
    config.write_text('hostname = "newer.test"\n')
    now = _contents(earlier / "index.db")

    def cut_short(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(upgradeundo, "put_in_place", cut_short)
    with pytest.raises(KeyboardInterrupt):
        undo(earlier, config, ONE_SECOND, _no_secrets)
    assert schemas(earlier)[0] == newest_schema()
    assert _contents(earlier / "index.db") == now
    monkeypatch.undo()
    assert undo(earlier, config, ONE_SECOND, _no_secrets).after == have
    assert _contents(earlier / "index.db") == now
    assert config.read_text() == 'hostname = "a.test"\n'
    assert config.with_name("postroom.toml.newer").read_text() == 'hostname = "newer.test"\n'


def test_a_migration_may_say_what_its_way_back_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older, newer, new = (tmp_path / f"{name}.db" for name in ("older", "newer", "new"))
    rows(older, "CREATE TABLE gone (a); INSERT INTO gone VALUES (7)")
    rows(older, "CREATE TABLE shape (a TEXT NOT NULL, b TEXT NOT NULL); INSERT INTO shape VALUES ('old', 'old')")
    rows(
        older,
        "CREATE TABLE grown (a INTEGER PRIMARY KEY, d INTEGER NOT NULL DEFAULT 5); CREATE INDEX g ON grown (d)",
    )
    rows(newer, "CREATE TABLE shape (c TEXT); INSERT INTO shape VALUES ('x,y')")
    rows(newer, "CREATE TABLE grown (a INTEGER PRIMARY KEY, e TEXT); INSERT INTO grown VALUES (1, 'e'), (2, 'f')")
    way = "INSERT INTO main.shape SELECT substr(c, 1, 1), substr(c, 3, 1) FROM newer.shape"
    upgradeundo._remake(older, newer, new, [way])
    assert rows(new, "SELECT * FROM gone") == [(7,)], "the newer schema has none: the snapshot's rows"
    assert rows(new, "SELECT * FROM grown") == [(1, 5), (2, 5)], "the newer rows, and defaults for what they lack"
    assert rows(new, "SELECT * FROM shape") == [("x", "y")], (
        "another thing under the same name: the migration's words"
    )


def test_secrets_go_back_too_with_what_was_changed_since(tmp_path: Path) -> None:
    root, config = tmp_path / "data", _config(tmp_path / "data")
    migrate(root)
    secrets = root / "secrets.db"
    rows(secrets, "CREATE TABLE schema (version INTEGER); INSERT INTO schema VALUES (1)")
    rows(secrets, "CREATE TABLE credential (address TEXT, hash TEXT); INSERT INTO credential VALUES ('a', 'old')")
    migrate(root, config=config, snapshot=True)
    rows(secrets, "ALTER TABLE credential ADD COLUMN more TEXT; UPDATE credential SET hash = 'new', more = 'm'")
    rows(secrets, "UPDATE schema SET version = 2")

    def version(path: Path) -> int:
        return int(rows(path, "SELECT version FROM schema")[0][0])

    undone = undo(root, config, ONE_SECOND, version)
    assert undone.before == undone.after == newest_schema()
    assert rows(secrets, "SELECT * FROM credential") == [("a", "new")]
    assert version(secrets) == 1
    assert secrets.stat().st_mode & 0o777 == 0o600
    assert rows(undone.aside / "secrets.db", "SELECT more FROM credential") == [("m",)]
