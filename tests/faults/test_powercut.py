"""A power cut at any moment: a trace of all processes' calls to the system, SQLite's own included, is replayed to
legal states of the disk (tests/faults/powercut.py)."""

from __future__ import annotations

import dataclasses
import errno
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.edge import Edge
from tests.faults.forms import WRITERS
from tests.faults.look import seen_by_store
from tests.faults.powercut import SECTOR, Disk
from tests.faults.replaying import Base, Traced, Wrong, replay
from tests.faults.story import Journal, house_below, journey
from tests.faults.trace import Kind, Phase, Record
from tests.scale import scaled

STATES = scaled(100, 2000)
PLANTED = 100
"""States among which a fault that was planted must show."""


@pytest.fixture(scope="module", params=WRITERS)
def traced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Traced:
    folder = tmp_path_factory.mktemp("traced")
    data = folder / "data"
    with Edge(folder, data, trace=True) as edge, house_below(edge, folder, request.param) as house:
        house.add_accounts()
        base, journal = Base.of(house.data), Journal(edge)
        world = seen_by_store(house.data)
        journal.mark("start", world)
        house.start()
        world = journey(house, journal, world, "one")
        journey(house, journal, world, "two")
        assert house.stop() == 0
        return Traced(base, edge.records(), journal)


def test_no_power_cut_loses_what_was_acknowledged(traced: Traced, tmp_path: Path) -> None:
    replay(traced, tmp_path, "cuts", STATES)


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(lambda path: path.endswith(".seg"), id="segments"),
        pytest.param(lambda path: path == "index.db-wal", id="index"),
        pytest.param(lambda path: path == "secrets.db-wal", id="secrets"),
        pytest.param(lambda path: path == "segments", id="names-of-segments"),
        pytest.param(lambda path: path == ".", id="names"),
    ],
)
def test_a_sync_that_is_not_made_is_found(traced: Traced, tmp_path: Path, of: Callable[[str], bool]) -> None:
    """The checker is checked."""
    planted = traced.without(lambda record: record.kind is Kind.SYNC and of(record.path))
    assert len(planted.records) < len(traced.records)
    with pytest.raises(Wrong):
        replay(planted, tmp_path, "planted", PLANTED)


@pytest.mark.parametrize("end", [".seg", "index.db-wal"])
def test_a_failed_sync_that_is_retried_and_called_good_is_found(traced: Traced, tmp_path: Path, end: str) -> None:
    """The same run as if each sync had failed once and was tried again at once."""
    records: list[Record] = []
    for record in traced.records:
        if record.kind is Kind.SYNC and record.phase is Phase.BEGIN and record.path.endswith(end):
            records.append(dataclasses.replace(record, phase=Phase.NOT_MADE, result=-errno.EIO))
        records.append(record)
    with pytest.raises(Wrong):
        replay(Traced(traced.base, records, traced.journal), tmp_path, "planted", PLANTED)


# --- the model itself

_DRAWS = 200


def _record(kind: Kind, path: str, *, phase: Phase | None = None, result: int = 0, **more: object) -> Record:
    wanted = phase or (Phase.BEGIN if kind in (Kind.WRITE, Kind.TRUNCATE) else Phase.END)
    values = {"other": "", "inode": len(path), "offset": 0, "length": 0, "data": b""} | more
    return Record(kind, wanted, 1, 1, path, result=result, **values)  # type: ignore[arg-type]


def _written(path: str, data: bytes, offset: int = 0) -> Record:
    return _record(Kind.WRITE, path, data=data, offset=offset, length=len(data))


def _synced(path: str, result: int = 0) -> Record:
    return _record(Kind.SYNC, path, result=result)


def _states(*records: Record) -> list[dict[str, bytes]]:
    disk = Disk({"a": b"old"}, ["f"])
    for record in records:
        disk.take(record)
    dice = random.Random(1)
    return [disk.draw(dice) for _ in range(_DRAWS)]


def test_what_was_synced_is_there_and_the_rest_may_be() -> None:
    states = _states(_written("a", b"new"), _synced("a"), _written("a", b"late", 3))
    assert {state["a"] for state in states} == {b"new", b"newlate"}


def test_a_name_waits_for_its_folder_and_not_for_its_file() -> None:
    born = (_record(Kind.OPEN, "f/b", result=3), _written("f/b", b"new"), _synced("f/b"))
    assert {state.get("f/b") for state in _states(*born)} == {None, b"new"}
    assert {state.get("f/b") for state in _states(*born, _synced("f"))} == {b"new"}


def test_a_rename_is_done_or_not() -> None:
    states = _states(_record(Kind.RENAME, "a", other="f/bb"))
    assert [set(state) for state in states if len(state) != 1] == []
    assert {"".join(state) for state in states} == {"a", "f/bb"}


def test_writes_are_torn_at_sectors_and_come_in_any_order() -> None:
    first, second = b"1" * SECTOR * 2, b"2" * SECTOR * 2
    found = {state["a"] for state in _states(_written("a", first), _written("a", second, SECTOR * 2))}
    assert first + second in found
    assert b"1" * SECTOR in found
    assert first + b"2" * SECTOR in found
    assert b"old" + bytes(SECTOR * 2 - 3) + second in found
    assert all(octets[at * SECTOR :][:1] in (b"", b"\0", b"o", b"1", b"2") for octets in found for at in range(4))


def test_what_a_failed_sync_was_to_cover_stays_in_doubt() -> None:
    states = _states(_written("a", b"new"), _synced("a", -5), _synced("a"))
    assert {state["a"] for state in states} == {b"old", b"new"}
    again = _states(_written("a", b"new"), _synced("a", -5), _written("a", b"yet"), _synced("a"))
    assert {state["a"] for state in again} == {b"yet"}
