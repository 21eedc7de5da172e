"""secrets.db: what is kept stays, is the owner's only, and a newer schema is left alone."""

from __future__ import annotations

import stat
from pathlib import Path

import apsw
import pytest

from postroom.accounts.passwords import ScramKeys
from postroom.accounts.secrets import Secrets, SecretsFault

KEYS = ScramKeys(b"salt", 4096, b"stored", b"server")


def test_a_kept_hash_is_there_after_a_restart(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets.db")
    secrets.keep("a@x.test", "{ARGON2ID}one", KEYS)
    secrets.keep("a@x.test", "{ARGON2ID}two", KEYS)
    secrets.close()
    secrets = Secrets(tmp_path / "secrets.db")
    assert secrets.hash_of("a@x.test") == "{ARGON2ID}two"
    assert secrets.scram_of("a@x.test") == KEYS
    assert secrets.hash_of("b@x.test") is None
    secrets.close()


def test_without_keys_there_is_no_scram(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets.db")
    secrets.keep("a@x.test", "{ARGON2ID}one", KEYS)
    secrets.keep("a@x.test", "{CRYPT}two", None)
    assert secrets.scram_of("a@x.test") is None
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
