"""A house for each module of client tests, and the letters that every client carries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import House
from tests.letters import letters
from tests.scale import LETTERS


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(scope="session")
def carried() -> list[bytes]:
    """The letters, as octets with CRLF."""
    return letters(LETTERS)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, carried: list[bytes]) -> list[Path]:
    """The letters as files, in order."""
    folder = tmp_path_factory.mktemp("letters")
    paths = [folder / f"{number:04}.eml" for number in range(len(carried))]
    for path, letter in zip(paths, carried, strict=True):
        path.write_bytes(letter)
    return paths
