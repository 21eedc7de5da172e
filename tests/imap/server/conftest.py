"""What the tests of the IMAP server share; see `house`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imap.server.house import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)
