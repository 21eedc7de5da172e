"""secrets.db: what is kept stays, is the owner's only, and a newer schema is left alone."""

from __future__ import annotations

import stat
from pathlib import Path

import apsw
import pytest

from postroom.accounts.passwords import ScramKeys
from postroom.accounts.secrets import Secrets, SecretsFault, is_behind, schema_version

KEYS = ScramKeys(b"salt", 4096, b"stored", b"server")


def test_a_kept_hash_is_there_after_a_restart(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets.db")
    secrets.keep("a@x.test", "{ARGON2ID}one", KEYS)
    secrets.keep("a@x.test", "{ARGON2ID}two", KEYS)
    secrets.close()
    secrets = Secrets(tmp_path / "secrets.db")
    assert secrets.hash_of("a@x.test") == "{ARGON2ID}two"
    assert secrets.scram_of("a@x.test") == [KEYS]
    assert secrets.hash_of("b@x.test") is None
    secrets.close()


def test_without_keys_there_is_no_scram(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets.db")
    secrets.keep("a@x.test", "{ARGON2ID}one", KEYS)
    secrets.keep("a@x.test", "{CRYPT}two", None)
    assert secrets.scram_of("a@x.test") == []
    secrets.close()


def test_removed_is_forgotten(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets.db")
    secrets.keep("a@x.test", "{ARGON2ID}one", KEYS)
    secrets.remove("a@x.test")
    assert secrets.hash_of("a@x.test") is None
    assert secrets.any_hash(5) is None
    secrets.close()


def test_some_hash_is_the_same_for_the_same_draw(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets.db")
    assert secrets.any_hash(0) is None
    for number in range(20):
        secrets.keep(f"{number}@x.test", f"{{CRYPT}}{number}", None)
    draws = [secrets.any_hash(draw) for draw in range(0, 2**32, 2**28)] + [secrets.any_hash(2**32 - 1)]
    assert None not in draws and len(set(draws)) > 10
    assert draws[3] == secrets.any_hash(3 * 2**28)
    secrets.close()


def test_the_files_are_the_owners_only(tmp_path: Path) -> None:
    (tmp_path / "secrets.db").touch(0o644)
    secrets = Secrets(tmp_path / "secrets.db")
    secrets.keep("a@x.test", "{ARGON2ID}one", KEYS)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert (tmp_path / "secrets.db-wal").exists()
    secrets.close()


def test_a_commit_is_on_stable_storage(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets.db")
    connection = secrets._connection
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    secrets.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    Secrets(tmp_path / "secrets.db").close()
    connection = apsw.Connection(str(tmp_path / "secrets.db"))
    connection.execute("UPDATE schema SET version = 99")
    connection.close()
    with pytest.raises(SecretsFault, match="99"):
        Secrets(tmp_path / "secrets.db")


def test_a_broken_file_is_a_secrets_fault(tmp_path: Path) -> None:
    (tmp_path / "secrets.db").write_bytes(b"no database" * 1000)
    with pytest.raises(SecretsFault):
        Secrets(tmp_path / "secrets.db")
    with pytest.raises(SecretsFault):
        Secrets(tmp_path / "nowhere" / "secrets.db")


V1 = """
CREATE TABLE schema (version INTEGER NOT NULL) STRICT;
INSERT INTO schema VALUES (1);
CREATE TABLE credential (
    id INTEGER PRIMARY KEY, address TEXT NOT NULL, name TEXT NOT NULL DEFAULT '',
    protocols TEXT NOT NULL DEFAULT '',
    hash TEXT NOT NULL, scram_salt BLOB, scram_iterations INTEGER, scram_stored_key BLOB, scram_server_key BLOB,
    created INTEGER NOT NULL, changed INTEGER NOT NULL, UNIQUE (address, name)
) STRICT;
INSERT INTO credential VALUES (1, 'a@x.test', '', '', '{ARGON2ID}one', x'01', 4096, x'02', x'03', 5, 6);
"""
"""secrets.db as the first version left it."""


def test_the_first_versions_secrets_are_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "secrets.db"
    old = apsw.Connection(str(path))
    old.execute(V1)
    old.close()
    assert schema_version(path) == 1 and is_behind(path)
    secrets = Secrets(path)
    assert secrets.hash_of("a@x.test") == "{ARGON2ID}one"
    assert secrets.scram_of("a@x.test") == [ScramKeys(b"\x01", 4096, b"\x02", b"\x03")]
    key = secrets.site_key()
    assert len(key) == 32
    secrets.close()
    assert schema_version(path) == 2 and not is_behind(path)
    secrets = Secrets(path)
    assert secrets.site_key() == key
    secrets.close()


def test_each_site_has_its_own_key(tmp_path: Path) -> None:
    keys = set()
    for name in ("a", "b"):
        secrets = Secrets(tmp_path / name)
        keys.add(secrets.site_key())
        secrets.close()
    assert len(keys) == 2


def test_app_passwords_stand_beside_the_accounts_own(tmp_path: Path) -> None:
    other = ScramKeys(b"salt", 4096, b"other", b"server")
    secrets = Secrets(tmp_path / "secrets.db")
    with pytest.raises(ValueError, match="no such account"):
        secrets.keep_app("a@x.test", "phone", (), "{SHA256}1", None, 2)
    secrets.keep("a@x.test", "{ARGON2ID}one", KEYS)
    secrets.keep_app("a@x.test", "phone", ("imap", "smtp"), "{SHA256}1", other, 2)
    secrets.keep_app("a@x.test", "all", (), "{SHA256}2", None, 2)
    assert sorted(secrets.app_hashes("a@x.test", "imap")) == ["{SHA256}1", "{SHA256}2"]
    assert secrets.app_hashes("a@x.test", "pop3") == ["{SHA256}2"]
    assert secrets.app_hashes("b@x.test", "imap") == [] == secrets.app_hashes("\udcff", "imap")
    assert secrets.scram_of("a@x.test", "smtp") == [KEYS, other]
    assert secrets.scram_of("a@x.test", "pop3") == [KEYS]
    assert [(name, words) for name, words, _ in secrets.apps("a@x.test")] == [
        ("all", ()),
        ("phone", ("imap", "smtp")),
    ]
    with pytest.raises(ValueError, match="of that name"):
        secrets.keep_app("a@x.test", "phone", (), "{SHA256}3", None, 3)
    with pytest.raises(ValueError, match="at most 2"):
        secrets.keep_app("a@x.test", "third", (), "{SHA256}3", None, 2)
    secrets.keep("a@x.test", "{ARGON2ID}two", None)
    assert len(secrets.apps("a@x.test")) == 2
    assert secrets.remove_app("a@x.test", "phone")
    assert not secrets.remove_app("a@x.test", "phone") and not secrets.remove_app("a@x.test", "")
    assert secrets.hash_of("a@x.test") == "{ARGON2ID}two"
    secrets.remove("a@x.test")
    assert secrets.apps("a@x.test") == []
    secrets.close()


def test_strangers_are_measured_by_accounts_own_passwords_alone(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets.db")
    assert secrets.any_iterations(7) is None
    secrets.keep("a@x.test", "{ARGON2ID}own", KEYS)
    for number in range(5):
        secrets.keep_app("a@x.test", str(number), (), "{SHA256}app", ScramKeys(b"s", 9999, b"k", b"k"), 20)
    for draw in range(0, 2**32, 2**29):
        assert secrets.any_hash(draw) == "{ARGON2ID}own"
        assert secrets.any_iterations(draw) == KEYS.iterations
    secrets.close()


def test_scram_is_for_all_while_no_password_lacks_keys(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets.db")
    assert secrets.all_have_scram()
    secrets.keep("a@x.test", "{ARGON2ID}own", KEYS)
    assert secrets.all_have_scram()
    secrets.keep("b@x.test", "{CRYPT}ready", None)
    assert not secrets.all_have_scram()
    secrets.keep("b@x.test", "{ARGON2ID}own", KEYS)
    secrets.keep_app("b@x.test", "phone", (), "{SHA256}app", None, 20)
    assert not secrets.all_have_scram()
    secrets.remove("b@x.test")
    assert secrets.all_have_scram()
    secrets.close()
