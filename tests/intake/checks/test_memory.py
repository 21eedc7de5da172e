from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import apsw
import pytest

from postroom.intake.checks.memory import FILE, Mark, Memory, key_of
from postroom.net.limits import CHECK_KEYS_KEPT, CHECK_TRIES, CHECK_TRY_SECONDS
from tests.intake.checks.callers import Clock, memory

KEY = key_of("test", "somebody")


def once_more(mark: Mark | None) -> Mark:
    return Mark(1.0, 1, 1e12) if mark is None else mark._replace(times=mark.times + 1)


def change(kept: Memory, key: bytes = KEY) -> Mark | None:
    return asyncio.run(kept.change(key, once_more))


def test_what_one_process_writes_another_reads_and_a_restart_loses_nothing(tmp_path: Path) -> None:
    one, other = memory(tmp_path, Clock()), memory(tmp_path, Clock())
    assert [change(one), change(other), change(one)] == [Mark(1.0, n, 1e12) for n in (1, 2, 3)]
    one.close()
    other.close()
    assert change(memory(tmp_path, Clock())) == Mark(1.0, 4, 1e12)


def test_what_stays_as_it_is_is_not_written(tmp_path: Path) -> None:
    kept = memory(tmp_path, Clock())
    first = change(kept)
    holder = apsw.Connection(str(tmp_path / FILE))
    holder.execute("BEGIN IMMEDIATE").fetchall()
    assert asyncio.run(kept.change(KEY, lambda mark: mark or Mark(0, 0, 0))) == first
    holder.close()


def test_a_file_that_somebody_holds_is_tried_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("postroom.intake.checks.memory.asyncio.sleep", sleep)
    kept = memory(tmp_path, Clock())
    change(kept)
    holder = apsw.Connection(str(tmp_path / FILE))
    holder.execute("BEGIN IMMEDIATE").fetchall()
    assert change(kept) is None
    assert slept == [CHECK_TRY_SECONDS] * (CHECK_TRIES - 1)
    holder.execute("ROLLBACK").fetchall()
    assert change(kept) == Mark(1.0, 2, 1e12)
    holder.close()


def test_what_no_longer_matters_is_forgotten(tmp_path: Path) -> None:
    clock = Clock()
    kept = memory(tmp_path, clock)

    async def fill() -> int:
        for number in range(1500):
            await kept.change(key_of("old", number), lambda _: Mark(clock.now, 1, clock.now + 1))
        clock.now += 10
        for number in range(600):
            await kept.change(key_of("new", number), lambda _: Mark(clock.now, 1, clock.now + 1))
        return rows(tmp_path)

    assert asyncio.run(fill()) < 700


@pytest.mark.parametrize("count", [50, 51, 5000])
def test_no_more_is_kept_than_may_be_and_what_matters_longest_stays(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CHECK_KEYS_KEPT == 500_000
    monkeypatch.setattr("postroom.intake.checks.memory.CHECK_KEYS_KEPT", 50)
    clock = Clock()
    kept = memory(tmp_path, clock)
    asyncio.run(kept.change(KEY, lambda _: Mark(clock.now, 1, clock.now + 1_000_000)))

    async def flood() -> None:
        for number in range(count):
            await kept.change(key_of("flood", number), lambda _: Mark(clock.now, 1, clock.now + 100))

    asyncio.run(flood())
    # It is looked at once in a thousand changes.
    assert rows(tmp_path) <= 50 + 1000
    assert asyncio.run(kept.change(KEY, once_more)) == Mark(clock.now, 2, clock.now + 1_000_000)


@pytest.mark.parametrize("damage", [b"this is no database, and never was one " * 100, b""])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_bytes(damage)
    kept = memory(tmp_path, Clock())
    with caplog.at_level(logging.WARNING):
        change(kept)
    change(kept)
    assert change(kept) is not None
    assert len(caplog.records) == bool(damage)


def test_a_folder_that_is_not_there_lets_everybody_pass_and_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = memory(tmp_path / "nowhere", Clock())
    with caplog.at_level(logging.WARNING):
        assert [change(kept), change(kept)] == [None, None]
    assert len(caplog.records) == 1


def rows(folder: Path) -> int:
    connection = apsw.Connection(str(folder / FILE))
    try:
        return int(str(connection.execute("SELECT count(*) FROM marks").fetchall()[0][0]))
    finally:
        connection.close()
