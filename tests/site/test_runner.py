"""What is done behind delivery goes on, whatever fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from postroom.config import Config, parse
from postroom.site import runner
from postroom.site.prepare import prepare
from postroom.site.runner import Task, compaction_rules, going, kept, work
from postroom.store.changes import Target
from postroom.store.compaction.compactor import Rules
from postroom.store.interface import StorageFull
from postroom.store.sqlite import open_store
from postroom.store.values import SpecialUse
from tests.store.compactions import body, expunge, files, letters, rows
from tests.store.site import deliver, find, new_account


def _config(folder: Path, text: str = "") -> Config:
    return parse(text, folder / "postroom.toml")


async def _until(done: Callable[[], bool]) -> None:
    """Nothing tells when the upkeep has done something, and nobody but tests would ask."""
    for _ in range(2000):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it is never done")


def test_a_task_that_fails_is_told_of_once_for_each_way_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    ways = [StorageFull("full"), StorageFull("full"), None, StorageFull("full"), KeyError("bug"), KeyError("bug")]
    others = 0

    async def story() -> None:
        done = asyncio.Event()

        async def fails() -> None:
            if not ways:
                done.set()
                return
            way = ways.pop(0)
            if way is not None:
                raise way

        async def works() -> None:
            nonlocal others
            others += 1

        async with going([Task("fails", 0, 0, fails), Task("works", 0, 0, works)]):
            await asyncio.wait_for(done.wait(), 10)

    with caplog.at_level(logging.ERROR):
        asyncio.run(story())
    said = [(record.getMessage(), record.exc_info is not None) for record in caplog.records]
    assert said == [
        ('task-failed task=fails reason="StorageFull: full"', False),
        ('task-failed task=fails reason="StorageFull: full"', False),
        ("task-failed task=fails reason=\"KeyError: 'bug'\"", True),
    ]
    assert others > 3


def test_the_settings_are_those_of_the_file(tmp_path: Path) -> None:
    config = _config(
        tmp_path,
        'undelete = "2d"\n[compaction]\nrate = "1MiB"\ndead_share = 50\nage = "1w"\n[keep]\ntrash = "30d"\n',
    )
    assert compaction_rules(config) == Rules(2**20, 50, 7 * 86400, 2 * 86400)
    assert kept(config) == {SpecialUse.TRASH: 30 * 86400, SpecialUse.JUNK: 0}
    assert config.unused == ()
    assert compaction_rules(_config(tmp_path)) == Rules(8 * 2**20, 30, 30 * 86400, 14 * 86400)


@pytest.mark.parametrize("rate", ["8MiB", "0"])
def test_expunged_letters_are_forgotten_and_their_room_is_won(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: str
) -> None:
    for name in ("CHECKPOINT_SECONDS", "SWEEP_SECONDS", "COMPACTION_SECONDS", "SWEEP_PAUSE"):
        monkeypatch.setattr(runner, name, 0.01)
    config = _config(tmp_path, f'[compaction]\nrate = "{rate}"\n')
    prepare(config)

    async def fill() -> None:
        store = await open_store(config.root)
        inbox = await find(store, await new_account(store))
        for number in range(1, 11):
            await deliver(store, body(number), Target(inbox.id))
        await expunge(store, inbox, list(range(1, 10)))
        await store.close()

    async def story() -> None:
        async with work(config):
            await _until(lambda: rows(config.root, "SELECT count(*) FROM messages") == [(1,)])
            if rate != "0":
                await _until(lambda: rows(config.root, "SELECT segment FROM messages") == [(2,)])
        store = await open_store(config.root)
        assert await letters(store) == {10: body(10)}
        await store.close()

    asyncio.run(fill())
    rows(config.root, "UPDATE tombstones SET gone = gone - 15 * 86400")
    asyncio.run(story())
    assert sorted(files(config.root)) == ([1] if rate == "0" else [1, 2]), "the old file stays for a while"
