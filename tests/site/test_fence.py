"""The fence: a process like a worker can do its work, and can't have the secrets, whatever it tries."""

from __future__ import annotations

import json
import logging
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from postroom.accounts.secrets import Secrets
from postroom.config import Config, ConfigError, parse
from postroom.site import fence, landlock
from postroom.site.places import Places
from postroom.store.upgrade.migrating import migrate

needs_landlock = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

FENCED = """
import asyncio, json, os, sys
from pathlib import Path
import apsw
from postroom.site.fence import fence
root = Path(sys.argv[1])
os.chdir(root)
fence(root)
said = {}
for name, code in json.load(sys.stdin).items():
    try:
        said[name] = repr(eval(code))
    except Exception as fault:
        said[name] = type(fault).__name__
print(json.dumps(said))
"""


def config_of(folder: Path, settings: str = "") -> Config:
    return parse(settings, folder / "postroom.toml")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A data directory with secrets that are open somewhere else, as the authority has them."""
    root = tmp_path / "data"
    Places(root).make()
    migrate(root)
    secrets = Secrets(root / "secrets.db")
    secrets.keep("alice@example.test", "{CRYPT}secret-hash", None)
    (root / "snapshots" / "schema-1").mkdir(parents=True)
    shutil.copy(root / "secrets.db", root / "snapshots" / "schema-1" / "secrets.db")
    (root / "secrets.db-journal").write_bytes(b"secret")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "note").write_text("note")
    yield root
    secrets.close()


def within(root: Path, **codes: str) -> dict[str, str]:
    """What Python expressions give in a process behind the fence: their values, or their exceptions."""
    done = subprocess.run(
        [sys.executable, "-c", FENCED, root],
        input=json.dumps(codes),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": "src"},
    )
    said: dict[str, str] = json.loads(done.stdout)
    return said


@needs_landlock
def test_the_secrets_can_be_had_in_no_way(site: Path) -> None:
    assert b"secret-hash" in (site / "secrets.db-wal").read_bytes()
    pid = os.getpid()
    said = within(
        site,
        db="open('secrets.db', 'rb').read()",
        wal="open('secrets.db-wal', 'rb').read()",
        shm="open('secrets.db-shm', 'rb').read()",
        journal="open('secrets.db-journal', 'rb').read()",
        snapshot="open('snapshots/schema-1/secrets.db', 'rb').read()",
        absolute=f"open({str(site / 'secrets.db')!r}, 'rb').read()",
        own_root="open('/proc/self/root' + str(root.resolve()) + '/secrets.db', 'rb').read()",
        another="open('/proc/%d/root' % os.getppid() + str(root.resolve()) + '/secrets.db', 'rb').read()",
        descriptors=f"[os.open(f'/proc/{pid}/fd/{{n}}', os.O_RDONLY) for n in os.listdir('/proc/{pid}/fd')]",
        memory=f"open('/proc/{pid}/mem', 'rb')",
        sqlite="apsw.Connection('secrets.db', flags=1).execute('select 1 from credential').get",
        linked="os.link('secrets.db', 'run/mine')",
        moved="os.rename('secrets.db', 'run/mine')",
        written="open('secrets.db', 'r+b')",
        cut="os.truncate('secrets.db', 0)",
        removed="os.unlink('secrets.db')",
        replaced="os.rename('index.lock', 'secrets.db')",
        planted="open('secrets.db-mine', 'wb')",
        folder="os.rename(root, root.parent / 'beside' / 'data')",
        child="__import__('subprocess').run(['cat', 'secrets.db'], stderr=-3, check=True)",
    )
    kinds = {"PermissionError", "CantOpenError", "OSError", "CalledProcessError"}
    assert {name: word for name, word in said.items() if word not in kinds} == {}
    assert (site / "secrets.db").stat().st_nlink == 1


@needs_landlock
def test_all_else_can_be_done(site: Path) -> None:
    said = within(
        site,
        segment="(root / 'segments' / 'a').write_bytes(b'letter'), (root / 'segments' / 'a').read_bytes()",
        moved="os.rename('segments/a', 'run/b'), os.unlink('run/b')",
        search="apsw.Connection('search/1.db').execute('pragma journal_mode=wal; create table t (x)').fetchall()",
        index="apsw.Connection('index.db').execute('create table fresh (x); select count(*) from fresh').get",
        lock="open('index.lock', 'r+b').close()",
        listed="'secrets.db' in os.listdir('.')",
        beside="open('../beside/note').read()",
        made_beside="(root.parent / 'beside' / 'new').write_text('x')",
        resolv="open('/etc/resolv.conf').close()",
        null="open('/dev/null', 'wb').write(b'x')",
        imported="__import__('wave').__name__",
        temporary="__import__('tempfile').TemporaryFile(dir='run').write(b'x')",
    )
    wrong = {"PermissionError", "OSError", "CantOpenError", "ImportError", "FileNotFoundError", "SQLError"}
    assert {name: word for name, word in said.items() if word in wrong} == {}
    assert said["beside"] == "'note'" and said["listed"] == "True"


@needs_landlock
def test_the_index_is_still_there_after_others_have_come_and_gone(site: Path) -> None:
    """SQLite removes -wal and -shm when the last one closes: those behind the fence are never the last."""
    (site / "hold").touch()
    other = (
        "__import__('subprocess').run([sys.executable, '-c', 'import apsw; c = apsw.Connection(\"index.db\"); "
        'c.execute("create table if not exists seen (x)"); c.close()\'], check=True).returncode'
    )
    again = "[apsw.Connection('index.db').execute('select count(*) from sqlite_schema').get > 0 for _ in range(3)]"
    said = within(
        site,
        wal="os.stat('index.db-wal').st_ino",
        first=again,
        other=other.replace("\n", ""),
        second=again,
        checkpoint="apsw.Connection('index.db').wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)[0]",
        later="os.stat('index.db-wal').st_ino",
        third="apsw.Connection('index.db').execute('create table after (x); select 1').get",
    )
    assert said["first"] == said["second"] == "[True, True, True]" and said["third"] == "1"
    assert said["wal"] == said["later"] and said["other"] == "0"
    # Whoever comes next begins with whatever was left.
    assert within(site, again=again)["again"] == "[True, True, True]"


@needs_landlock
def test_secrets_that_are_a_link_are_behind_the_fence_where_they_lie(site: Path, tmp_path: Path) -> None:
    away = tmp_path / "beside" / "vault"
    away.mkdir()
    for name in ("secrets.db", "secrets.db-wal", "secrets.db-shm"):
        (site / name).rename(away / name)
        (site / name).symlink_to(away / name)
    said = within(
        site,
        link="open('secrets.db', 'rb').read()",
        there="open('../beside/vault/secrets.db-wal', 'rb').read()",
        note="open('../beside/note').read()",
    )
    assert (said["link"], said["there"], said["note"]) == ("PermissionError", "PermissionError", "'note'")


@needs_landlock
def test_a_data_directory_that_is_a_link_is_fenced_too(site: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(site)
    said = within(tmp_path / "link", db="open('secrets.db', 'rb').read()", index="open('index.db', 'rb').close()")
    assert said == {"db": "PermissionError", "index": "None"}


THREADED = """
import sys, threading
from pathlib import Path
from postroom.site.fence import fence
from postroom.site.landlock import NotFenced
hold = threading.Event()
thread = threading.Thread(target=hold.wait)
thread.start()
try:
    fence(Path(sys.argv[1]))
except NotFenced as why:
    print(why)
hold.set()
"""


@needs_landlock
def test_a_fence_with_a_thread_outside_is_none(site: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", THREADED, site],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": "src"},
    )
    assert "another thread" in done.stdout


def test_where_nothing_works_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    with caplog.at_level(logging.INFO):
        fence.warn(config_of(tmp_path))
    assert [record.message.split()[0] for record in caplog.records] == ["secrets-not-fenced"]


def test_a_role_goes_on_without_a_fence(
    site: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    config = replace(config_of(site.parent), data=str(site))
    with caplog.at_level(logging.INFO):
        assert fence.confine(config) == config
    assert not caplog.records
    monkeypatch.setattr(landlock, "abi", lambda: 1)

    def broken(paths: object) -> None:
        raise landlock.NotFenced("Landlock: broken")

    monkeypatch.setattr(landlock, "restrict", broken)
    with caplog.at_level(logging.INFO):
        fence.confine(config)
    assert [record.levelname for record in caplog.records] == ["ERROR"] and "not-fenced" in caplog.text


def test_certificates_are_handed_over_and_renewed(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem", "other.pem", "ca.pem"):
        (tmp_path / name).write_text(name)
    config = config_of(
        tmp_path,
        '[tls]\ncertificate = "cert.pem"\nkey = "key.pem"\nclient_ca = "ca.pem"\n'
        '[tls.names]\n"other.test" = { certificate = "other.pem", key = "key.pem" }\n',
    )
    Places(config.root).make()
    assert fence._handed(config) == config
    fence.hand_over(config)
    handed = fence._handed(config)
    run = str(config.root / "run" / "handed")
    other = handed.tls.names["other.test"]
    paths = [handed.tls.certificate, handed.tls.key, handed.tls.client_ca, other.certificate, other.key]
    assert all(path.startswith(run) for path in paths)
    assert [Path(path).read_text() for path in paths] == ["cert.pem", "key.pem", "ca.pem", "other.pem", "key.pem"]
    assert {stat.S_IMODE(Path(path).stat().st_mode) for path in paths} == {0o600}
    (tmp_path / "cert.pem").write_text("renewed")
    fence.hand_over(config)
    assert Path(handed.tls.certificate).read_text() == "renewed"


def test_an_unknown_user_is_said_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ConfigError, match="user: this system has no user nobody-there"):
        fence.user_of(config_of(tmp_path, 'user = "nobody-there"'))


def test_without_root_nobody_else_can_be_become(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    config = config_of(tmp_path, 'user = "nobody"')
    assert fence.user_of(config) is None
    with caplog.at_level(logging.INFO):
        fence.warn(config)
    assert "user-not-used" in caplog.text


AS_USER = """
import json, os, sys
from pathlib import Path
from postroom.config import parse
from postroom.site import fence
import apsw
folder = Path(sys.argv[1])
config = parse('user = "nobody"', folder / "postroom.toml")
fence.settle(config)
fence.become(config)
os.chdir(config.root)
said = {}
for name, code in json.load(sys.stdin).items():
    try:
        said[name] = repr(eval(code))
    except Exception as fault:
        said[name] = type(fault).__name__
print(json.dumps(said))
"""


@needs_root
def test_user_ids_alone_keep_the_secrets_too(site: Path) -> None:
    """Without Landlock, as on an old kernel."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="postroom-fence-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(site, folder / "data")
        (folder / "data" / "files" / "alice").mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-c", AS_USER, folder],
            input=json.dumps(
                {
                    "who": "(os.getresuid(), os.getresgid(), os.getgroups())",
                    "db": "open('secrets.db', 'rb').read()",
                    "wal": "open('secrets.db-wal', 'rb').read()",
                    "snapshot": "os.listdir('snapshots')",
                    "removed": "os.unlink('secrets.db')",
                    "moved": "os.rename('secrets.db', 'x')",
                    "back": "os.setuid(0)",
                    "index": "apsw.Connection('index.db').execute('create table fresh (x); select 1').get",
                    "segment": "open('segments/a', 'wb').close()",
                    "files": "open('files/alice/x', 'wb').close()",
                }
            ),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": "src"},
        )
        said = json.loads(done.stdout)
        nobody = pwd.getpwnam("nobody")
        assert said["who"] == repr(((nobody.pw_uid,) * 3, (nobody.pw_gid,) * 3, [nobody.pw_gid]))
        refused = {name: said[name] for name in ("db", "wal", "snapshot", "removed", "moved", "back")}
        assert set(refused.values()) == {"PermissionError"}, refused
        assert (said["index"], said["segment"], said["files"]) == ("1", "None", "None")
        assert (folder / "data" / "secrets.db").stat().st_uid == 0
        # SQLite makes its files the owner's, also for root.
        assert {path.stat().st_uid for path in (folder / "data").glob("index.db*")} == {nobody.pw_uid}
