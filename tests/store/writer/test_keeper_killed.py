"""kill -9 of the keeper and of those who ask it: each change is done once or never, and who asked is told which."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.apply.keeping import kept_writers
from postroom.store.changes import Subscribe
from postroom.store.check.findings import Severity
from postroom.store.check.whole import check
from postroom.store.interface import StoreFault
from postroom.store.sqlite import SqliteStore, open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import INBOX, Mailbox
from postroom.store.writer.keeper import keep
from tests.scale import scaled
from tests.store.site import ALICE, entries, file, find, new_account, octets_of

KILLS = scaled(10, 200)
PATIENCE = 60.0
INSTANTS = [
    ("postroom.store.writer.inline:transact", "after"),
    ("postroom.store.writer.link:Link.send", "before"),
    ("os:fdatasync", "before"),
    ("postroom.store.apply.keeping:keep", "before"),
    ("postroom.store.events:Hints.send", "before"),
    ("os:pwritev", "after"),
    ("postroom.store.writer.inline:transact", "before"),
    ("postroom.store.writer.link:Link.send", "after"),
    ("os:fdatasync", "after"),
    ("postroom.store.apply.keeping:keep", "after"),
]
"""Calls before or after one of which a keeper ends itself: often nobody has been told yet of what is committed."""
_DONE = re.compile(r"keeper\.lost done=[1-9]")
_NUMBER = re.compile(rb"^Subject: (\S+)\r\n")

_KEEPER = """
import asyncio, importlib, itertools, os, pathlib, signal, sys
from postroom.store.writer.keeper import keep

def dies(place: str, at: int, when: str) -> None:
    module, _, name = place.partition(":")
    *path, name = name.split(".")
    owner = importlib.import_module(module)
    for each in path:
        owner = getattr(owner, each)
    real, calls = getattr(owner, name), itertools.count(1)

    def call(*given):
        last = next(calls) == at
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*given)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, call)

if len(sys.argv) > 2:
    dies(sys.argv[2], int(sys.argv[3]), sys.argv[4])

async def main() -> None:
    async with keep(pathlib.Path(sys.argv[1])):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

_WORKER = """
import asyncio, itertools, pathlib, sys
from postroom.store.sqlite import open_store
from tests.store.site import ALICE, file, find

async def main() -> None:
    store = await open_store(pathlib.Path(sys.argv[1]), keeper=True)
    inbox = await find(store, await store.account(ALICE))
    numbers = itertools.count()

    async def session() -> None:
        for number in numbers:
            await file(store, inbox, b"Subject: %s-%d\\r\\n\\r\\n" % (sys.argv[2].encode(), number))
            print(number, flush=True)

    await asyncio.gather(*(session() for _ in range(20)))

asyncio.run(main())
"""


async def _start(script: str, *words: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *words, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )


@contextlib.asynccontextmanager
async def _keepers(root: Path) -> AsyncIterator[list[Process]]:
    """A keeper, and its successor that waits already; the list's first is the one that has the lock."""
    running = [await _start(_KEEPER, str(root))]
    await _begun(running[0])
    try:
        yield running
    finally:
        for each in running:
            with contextlib.suppress(ProcessLookupError):
                each.kill()
            await each.wait()


async def _begun(keeper: Process) -> None:
    """It has the lock, or has ended already."""
    assert keeper.stdout is not None
    async with asyncio.timeout(PATIENCE):
        await keeper.stdout.readline()


async def _ends(keeper: Process) -> None:
    """It has been told when to end."""
    async with asyncio.timeout(PATIENCE):
        assert await keeper.wait() == -signal.SIGKILL


async def _kill(keeper: Process, load: Load, dice: random.Random) -> None:
    """Some time under load, then its end at a random instant."""
    await load.wait_for(dice.randrange(1, 60))
    await asyncio.sleep(dice.random() * 0.004)
    keeper.kill()
    await keeper.wait()


@dataclass(slots=True)
class Load:
    """Sessions that file letters and subscribe to names, each under its own number, and what they were told."""

    inbox: Mailbox
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    done: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)
    stop: bool = False

    async def session(self, store: SqliteStore) -> None:
        """One of them."""
        while not self.stop:
            number = next(self.numbers)
            try:
                await self._change(store, number)
                self.done.add(number)
            except StoreFault:
                self.failed.add(number)
            async with self.grown:
                self.grown.notify_all()

    async def _change(self, store: SqliteStore, number: int) -> None:
        if number % 7 == 0:
            await store.commit(Subscribe(self.inbox.owner, f"{number}"))
        else:
            size = BLOB_IN_MEMORY + 1 if number % 40 == 1 else 10
            await file(store, self.inbox, b"Subject: %d\r\n\r\n" % number + bytes(size))

    async def wait_for(self, more: int) -> None:
        """Until so many more are done."""
        count = len(self.done) + more
        async with asyncio.timeout(PATIENCE), self.grown:
            await self.grown.wait_for(lambda: len(self.done) >= count)


async def _there(root: Path) -> Counter[str]:
    """What is in the index: letters by their subjects, and names subscribed to."""
    store = await open_store(root, name="look")
    try:
        account = await store.account(ALICE)
        assert account is not None
        inbox = await find(store, account)
        found = Counter[str]()
        for entry in await entries(store, inbox):
            subject = _NUMBER.match(await octets_of(store, inbox, entry.uid))
            assert subject is not None
            found[subject[1].decode()] += 1
        found.update(
            set(await store.subscriptions(account.id)) - {"INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"}
        )
        return found
    finally:
        await store.close()


async def _made(root: Path) -> Mailbox:
    """Alice's INBOX in a new data directory."""
    store = await open_store(root, name="first")
    try:
        return await find(store, await new_account(store), INBOX)
    finally:
        await store.close()


def test_a_keeper_killed_at_any_instant_has_done_each_change_once_or_never_and_says_which(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    migrate(tmp_path)
    dice = random.Random(4)

    async def tell() -> Load:
        load = Load(await _made(tmp_path))
        async with contextlib.AsyncExitStack() as stack:
            keepers = await stack.enter_async_context(_keepers(tmp_path))
            stores = [await open_store(tmp_path, name=name, keeper=True) for name in ("a", "b")]
            for store in stores:
                stack.push_async_callback(store.close)
            sessions = [asyncio.create_task(load.session(store)) for store in stores for _ in range(15)]
            chosen = itertools.cycle(INSTANTS)
            by_itself = False
            for number in range(KILLS):
                place, when = next(chosen)
                at = [place, f"{dice.randrange(2, 25)}", when] if number % 3 else []
                keepers.append(await _start(_KEEPER, str(tmp_path), *at))
                await (_ends(keepers.pop(0)) if by_itself else _kill(keepers.pop(0), load, dice))
                await _begun(keepers[0])
                by_itself = bool(at)
            keepers.append(await _start(_KEEPER, str(tmp_path)))
            await (_ends(keepers.pop(0)) if by_itself else _kill(keepers.pop(0), load, dice))
            await load.wait_for(60)
            load.stop = True
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*sessions)
        return load

    load = asyncio.run(tell())
    there = asyncio.run(_there(tmp_path))
    assert max(there.values()) == 1, "something is there twice"
    assert {int(number) for number in there} == load.done
    assert not load.done & load.failed
    assert load.failed, "nothing was under way at any kill"
    assert _DONE.search(caplog.text), "nothing was done that nobody had been told of"
    assert [each for each in check(tmp_path) if each.severity is Severity.PROBLEM] == []


def test_a_worker_killed_with_changes_under_way_holds_up_nobody(tmp_path: Path) -> None:
    migrate(tmp_path)
    dice = random.Random(5)

    async def killed(number: int) -> set[str]:
        """What a worker was told is done."""
        worker = await _start(_WORKER, str(tmp_path), f"{number}")
        assert worker.stdout is not None
        told = set()
        for _ in range(dice.randrange(1, 200)):
            told.add(f"{number}-{int(await worker.stdout.readline())}")
        worker.kill()
        while line := await worker.stdout.readline():
            if line.endswith(b"\n"):
                told.add(f"{number}-{int(line)}")
        await worker.wait()
        return told

    async def tell() -> set[str]:
        inbox = await _made(tmp_path)
        async with keep(tmp_path) as keeper, asyncio.timeout(PATIENCE * scaled(1, 10)):
            told = set().union(*await asyncio.gather(*(killed(number) for number in range(scaled(3, 40)))))
            store = await open_store(tmp_path, keeper=True)
            try:
                await file(store, inbox, b"Subject: last-1\r\n\r\n")
                assert len(kept_writers(keeper._index)) == scaled(3, 40) + 1
            finally:
                await store.close()
        return told | {"last-1"}

    told = asyncio.run(tell())
    there = asyncio.run(_there(tmp_path))
    assert told <= there.keys()
    assert max(there.values()) == 1, "something is there twice"
    assert [each for each in check(tmp_path) if each.severity is Severity.PROBLEM] == []


_DIES_AT_WAL = """
import apsw, os, pathlib, signal, sys

class File(apsw.VFSFile):
    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        if pathlib.Path(sys.argv[1], "armed").exists():
            os.kill(os.getpid(), signal.SIGKILL)

class Disk(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("dies", "unix", makedefault=True)

    def xOpen(self, name, flags):
        return File("unix", name, flags)

disk = Disk()
"""
"""A keeper that ends when the log has its commit on stable storage, and no process knows of it."""


def test_what_was_answered_by_a_fault_does_not_turn_up_after_a_power_cut(tmp_path: Path) -> None:
    root, later = tmp_path / "data", tmp_path / "later"
    migrate(root)

    async def tell() -> None:
        inbox = await _made(root)
        keeper = await _start(_DIES_AT_WAL + _KEEPER, str(root))
        await _begun(keeper)
        store = await open_store(root, keeper=True)
        try:
            await file(store, inbox, b"Subject: 1\r\n\r\n")
            (root / "armed").touch()
            asked = asyncio.create_task(file(store, inbox, b"Subject: 2\r\n\r\n"))
            await _ends(keeper)
            (root / "armed").unlink()
            async with keep(root):
                with pytest.raises(StoreFault):
                    await asked
                _power_cut(root, later)
        finally:
            await store.close()

    asyncio.run(tell())
    assert asyncio.run(_there(later)) == {"1": 1}
    assert asyncio.run(_there(root)) == {"1": 1}
    assert [each for each in check(later) if each.severity is Severity.PROBLEM] == []


def _power_cut(root: Path, later: Path) -> None:
    """What a power cut leaves now: the files, and nothing of the memory that SQLite's processes share."""
    shutil.copytree(root, later, ignore=shutil.ignore_patterns("*-shm", "run"))
