"""Node's world: nodemailer submits letters, node-pop3 brings them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.mailbag import append, drive, empty, fetched, hashes, needs, without_trace

NODE: Final = Path(__file__).parent / "node"


@pytest.fixture(autouse=True)
def node() -> None:
    needs("node")
    if not (NODE / "node_modules").is_dir():
        needs("npm packages of tests/clients/node")


@pytest.mark.parametrize("way", ["submission", "submissions"])
def test_nodemailer_submits_each_letter(house: House, files: list[Path], carried: list[bytes], way: str) -> None:
    empty(house, BOB)
    secure = "1" if way == "submissions" else "0"
    words = ["node", str(NODE / "send.cjs"), str(house.port(way)), secure, ALICE, PASSWORDS[ALICE], BOB]
    drive([*words, *map(str, files)])
    assert hashes(map(without_trace, fetched(house, BOB))) == hashes(carried)


@pytest.mark.parametrize("way", ["pop3", "pop3s"])
def test_node_pop3_brings_each_letter(house: House, carried: list[bytes], tmp_path: Path, way: str) -> None:
    empty(house, ALICE)
    append(house, ALICE, carried)
    tls = "1" if way == "pop3s" else "0"
    drive(
        ["node", str(NODE / "retr.mjs"), str(house.port(way)), tls, ALICE, PASSWORDS[ALICE], str(tmp_path)],
        seconds=120,
    )
    assert hashes(path.read_bytes() for path in sorted(tmp_path.glob("*.eml"))) == hashes(carried)
