"""What is made before the first start, and what is said of a configuration that can't be served."""

from __future__ import annotations

from pathlib import Path

import pytest

from postroom.config import Config, ConfigError, parse
from postroom.net.tls import KeyPair, make_self_signed
from postroom.site.prepare import check_engines, check_pairs, pair, prepare


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
