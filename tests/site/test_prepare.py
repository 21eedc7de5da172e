"""What is made before the first start, and what is said of a configuration that can't be served."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from postroom.accounts import secrets
from postroom.accounts.secrets import Secrets, SecretsFault, is_behind, schema_version
from postroom.config import Config, ConfigError, parse
from postroom.net.tls import KeyPair, make_self_signed
from postroom.site.lock import ServerLock
from postroom.site.pairs import check_pairs, pair
from postroom.site.places import Places
from postroom.site.prepare import check_engines, prepare
from postroom.site.upgrade import go_back, pending, upgrade_site
from postroom.store.index import OlderSchema, newest_schema
from postroom.store.interface import StoreFault
from postroom.store.upgrade.snapshots import read_snapshots
from postroom.store.upgrade.whole import UpgradeRefused
from tests.store.earlier import EARLIER, make_earlier, rows


def _config(folder: Path, text: str = "") -> Config:
    return parse(text, folder / "postroom.toml")


def test_everything_is_made_once_and_kept(tmp_path: Path) -> None:
    config = _config(tmp_path)
    prepare(config)
    made = pair(config)
    before = made.certificate.read_bytes(), made.key.read_bytes()
    assert made.key.stat().st_mode & 0o777 == 0o600
    assert (config.root / "index.db").exists()
    prepare(config)
    assert (made.certificate.read_bytes(), made.key.read_bytes()) == before


def test_a_missing_half_of_the_own_pair_makes_a_new_pair(tmp_path: Path) -> None:
    config = _config(tmp_path)
    prepare(config)
    pair(config).key.unlink()
    prepare(config)
    check_pairs(_config(tmp_path, '[tls]\ncertificate = "data/tls/cert.pem"\nkey = "data/tls/key.pem"'))


@pytest.mark.parametrize(("text", "key"), [('store = "postgresql://x"', "store"), ('blobs = "s3://x/y"', "blobs")])
def test_an_engine_of_a_later_version_is_refused(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_engines(_config(tmp_path, text))
    assert refused.value.key == key


def test_certificates_must_be_there_and_fit_their_keys(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_self_signed(KeyPair(tmp_path / f"{name}.pem", tmp_path / f"{name}.key"), "mx.example.test")
    check_pairs(_config(tmp_path, '[tls]\ncertificate = "one.pem"\nkey = "one.key"'))
    with pytest.raises(ConfigError, match="load"):
        check_pairs(_config(tmp_path, '[tls]\ncertificate = "one.pem"\nkey = "two.key"'))
    names = '[tls.names]\n"mail.other.test" = { certificate = "gone.pem", key = "one.key" }'
    with pytest.raises(ConfigError) as refused:
        check_pairs(_config(tmp_path, names))
    assert refused.value.key == "tls.names.mail.other.test"


# --- upgrades


def _earlier(folder: Path) -> Config:
    config = _config(folder)
    config.path.write_text("")
    make_earlier(config.root, EARLIER[0])
    return config


def test_an_upgrade_is_told_and_logged_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = _earlier(tmp_path)
    with caplog.at_level(logging.WARNING):
        done = prepare(config)
    assert done is not None and (done.before, done.after) == (EARLIER[0], newest_schema())
    (record,) = caplog.records
    assert "upgraded" in record.message and "postroom upgrade --undo" in record.message
    caplog.clear()
    assert prepare(config) is None
    assert not caplog.records


def test_nothing_is_upgraded_under_the_server_of_an_older_version(tmp_path: Path) -> None:
    config = _earlier(tmp_path)
    places = Places(config.root)
    places.make()
    with ServerLock(places):
        # Another process's, as far as anybody can see.
        places.pid.write_text("1\n")
        with pytest.raises(OlderSchema, match="an older Postroom's"):
            prepare(config)
        assert rows(config.root / "index.db", "PRAGMA user_version") == [(EARLIER[0],)]
        places.pid.write_text("no number\n")
        with pytest.raises(OlderSchema):
            prepare(config)
    assert prepare(config) is not None


def test_a_data_directory_that_is_half_restored_is_refused(tmp_path: Path) -> None:
    config = _config(tmp_path)
    config.root.mkdir()
    (config.root / "restoring").touch()
    with pytest.raises(StoreFault, match="cut short"):
        prepare(config)
    assert not (config.root / "index.db").exists()


def test_by_hand_it_says_what_there_is_to_do(tmp_path: Path) -> None:
    with pytest.raises(UpgradeRefused, match="no store yet"):
        pending(_config(tmp_path / "none"))
    config = _earlier(tmp_path)
    assert pending(config) == (EARLIER[0], newest_schema())
    assert upgrade_site(config) is not None
    assert upgrade_site(config) is None
    assert go_back(config).after == EARLIER[0]


def test_secrets_that_are_behind_have_a_snapshot_taken_and_a_way_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(tmp_path)
    config.path.write_text("")
    prepare(config)
    path = config.root / "secrets.db"
    assert (schema_version(path), is_behind(path)) == (0, False), "none is there"
    before = Secrets(path)
    before.keep("alice@example.test", "old", None)
    before.close()
    have = schema_version(path)
    further = (*secrets._MIGRATIONS, "ALTER TABLE credential ADD COLUMN note TEXT NOT NULL DEFAULT ''")
    monkeypatch.setattr(secrets, "_MIGRATIONS", further)
    assert is_behind(path)
    done = prepare(config)
    assert done is not None and done.before == done.after
    (snapshot,) = read_snapshots(config.root)
    assert snapshot.secrets
    newer = Secrets(path)
    newer.keep("alice@example.test", "new", None)
    newer.close()
    assert schema_version(path) == have + 1 and prepare(config) is None
    go_back(config)
    monkeypatch.undo()
    older = Secrets(path)
    assert (schema_version(path), older.hash_of("alice@example.test")) == (have, "new")
    older.close()
    with pytest.raises(UpgradeRefused, match="nothing to go back to"):
        go_back(config)


def test_secrets_that_are_no_database_are_a_fault(tmp_path: Path) -> None:
    config = _config(tmp_path)
    prepare(config)
    (config.root / "secrets.db").write_bytes(b"no database" * 100)
    with pytest.raises(SecretsFault):
        schema_version(config.root / "secrets.db")
    with pytest.raises(StoreFault, match=r"secrets\.db"):
        prepare(config)
