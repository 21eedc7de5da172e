from __future__ import annotations

from pathlib import Path

import pytest

from tests.pop3.post import Post


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


@pytest.fixture
def strict(tmp_path: Path) -> Post:
    """One where passwords need TLS."""
    return Post(tmp_path, require_tls=True)
