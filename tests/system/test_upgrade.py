"""A new version meets an old store, an old version a new one, and the way back."""

from __future__ import annotations

import shutil
import smtplib
from functools import partial
from pathlib import Path

import pytest

from postroom.site.lock import ServerLock
from postroom.site.places import Places
from postroom.store.index import newest_schema
from tests.house import ALICE, BOB, House
from tests.mailbag import imap
from tests.store.earlier import EARLIER, make_earlier, rows
from tests.system.inside import command

COMMANDS = (
    ("serve",),
    ("fsck",),
    ("account", "list"),
    ("alias", "list"),
    ("backup", "{folder}/backup"),
    ("restore", "{folder}/backup", "--account", ALICE),
    ("upgrade",),
    ("upgrade", "--check"),
    ("compact",),
    ("undelete", "list"),
    ("story", "M" + "0" * 32),
)
"""All that open the index."""


@pytest.mark.parametrize("schema", EARLIER)
def test_the_first_start_upgrades_says_so_and_everything_is_there(
    tmp_path: Path, schema: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = _with_earlier(tmp_path, schema)
    index = house.data / "index.db"
    bobs = "SELECT count(*) FROM entries WHERE mailbox = 7"
    ((before,),) = rows(index, bobs)
    assert command(house, "upgrade", "--check").stdout == f"schema {schema} will be {newest_schema()}\n"
    assert command(house, "fsck").returncode == 1, "an index that needs an upgrade is not looked at"
    # `start` would make the accounts first, by way of the office, which upgrades as a server does.
    monkeypatch.setattr(house, "add_accounts", lambda: None)
    with house:
        (line,) = [each for each in house.log().splitlines() if " upgraded " in each]
        assert f"schema={schema}->{newest_schema()} " in line and "snapshots/schema-" in line
        assert 'back="postroom upgrade --undo"' in line
        client = imap(house, ALICE)
        client.select("INBOX")
        found = str(client.fetch("1", "(UID FLAGS)"))
        assert "$Work" in found and "UID 1 " in found
        client.logout()
        with smtplib.SMTP("127.0.0.1", house.port("smtp")) as smtp:
            smtp.sendmail("x@elsewhere.test", [BOB], "Subject: after\r\n\r\nLetter.\r\n")
    assert command(house, "fsck").stdout == "the store is sound\n"

    undone = command(house, "upgrade", "--undo")
    assert undone.returncode == 0, undone.stderr
    assert f"schema {newest_schema()} is {schema} again" in undone.stdout and "older Postroom" in undone.stdout
    assert rows(index, "PRAGMA user_version") == [(schema,)]
    assert rows(index, bobs) == [(before + 1,)], "the new letter"
    again = command(house, "upgrade")
    assert (again.returncode, again.stderr) == (0, "")
    assert f"schema {schema} is {newest_schema()} now" in again.stdout and "--undo" in again.stdout
    assert command(house, "upgrade").stdout == f"schema {newest_schema()}: nothing to do\n"


def _with_earlier(folder: Path, schema: int) -> House:
    """A house whose index and segments are of an earlier version; the passwords are of this one."""
    house = House(folder)
    house.add_accounts()
    for each in ("index.db", "index.db-wal", "index.db-shm"):
        (house.data / each).unlink(missing_ok=True)
    shutil.rmtree(house.data / "segments")
    make_earlier(folder / "earlier", schema)
    for each in ("index.db", "segments"):
        (folder / "earlier" / each).rename(house.data / each)
    return house


def test_a_newer_schema_is_refused_by_every_command_in_one_clear_line(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.add_accounts()
    assert command(house, "backup", str(tmp_path / "backup")).returncode == 0
    rows(house.data / "index.db", "PRAGMA user_version = 9999")
    before = (house.data / "index.db").read_bytes()
    for words in COMMANDS:
        run = house.run if words == ("serve",) else partial(command, house)
        refused = run(*[word.format(folder=tmp_path) for word in words])
        assert refused.returncode == 1, (words, refused)
        assert refused.stderr.count("\n") == 1, (words, refused.stderr)
        assert "schema 9999" in refused.stderr and "use a newer Postroom" in refused.stderr, (words, refused.stderr)
    assert (house.data / "index.db").read_bytes() == before
    assert not (house.data / "snapshots").exists()


def test_an_unknown_setting_is_refused_by_every_command_in_one_clear_line(tmp_path: Path) -> None:
    house = House(tmp_path, settings='hostnmae = "mx.example.test"')
    for words in (*COMMANDS, ("check-config",), ("trace",)):
        if words[0] != "restore":
            refused = command(house, *[word.format(folder=tmp_path) for word in words])
            assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), (words, refused)
            assert "hostnmae: unknown setting (did you mean hostname?)" in refused.stderr


def test_nothing_is_upgraded_or_undone_under_a_server(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.add_accounts()
    places = Places(house.data)
    with ServerLock(places):
        places.pid.write_text("1\n")
        for words in (("upgrade",), ("upgrade", "--undo")):
            refused = command(house, *words)
            assert refused.returncode == 1 and "a server already runs" in refused.stderr, refused
        rows(house.data / "index.db", "PRAGMA user_version = 1")
        refused = command(house, "account", "list")
        assert refused.returncode == 1 and "an older Postroom's" in refused.stderr, refused
        assert refused.stderr.count("\n") == 1
        assert rows(house.data / "index.db", "PRAGMA user_version") == [(1,)]


def test_undo_where_nothing_was_upgraded_says_so(tmp_path: Path) -> None:
    house = House(tmp_path)
    refused = command(house, "upgrade", "--undo")
    assert refused.returncode == 1 and "no store yet" in refused.stderr
    house.add_accounts()
    refused = command(house, "upgrade", "--undo")
    assert refused.returncode == 1 and "nothing to go back to" in refused.stderr
    refused = command(house, "upgrade", "--undo", "--check")
    assert refused.returncode == 2
