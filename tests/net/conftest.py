"""What the tests of the net share: a certificate made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from postroom.net.tls import KeyPair, make_self_signed


@pytest.fixture(scope="session")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    folder: Path = tmp_path_factory.mktemp("tls")
    pair = KeyPair(folder / "cert.pem", folder / "key.pem")
    make_self_signed(pair, "mx.example.test")
    return pair
