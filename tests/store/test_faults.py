"""Kill -9 at any instant, and disks that are full: what was answered is there, whole, and nothing is half there."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.check.findings import Severity
from postroom.store.check.whole import check
from postroom.store.interface import StorageFull, StoreFault
from postroom.store.sqlite import SqliteStore, open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import Mailbox, Uid
from tests.store.site import LETTER, entries, file, find, new_account, octets_of

_WRITER = f"""
import asyncio, hashlib, os, sys
from collections.abc import Iterator
from pathlib import Path
from postroom.message.structure import parse
from postroom.store.interface import Delivery
from postroom.store.sqlite import open_store
from postroom.store.changes import Target

async def main():
    store = await open_store(Path(sys.argv[1]), name=sys.argv[2])
    inbox = await store.mailbox((await store.account("alice@example.test")).id, "INBOX")

    async def caller(number):
        while True:
            letter = b"Subject: x\\r\\n\\r\\n" + os.urandom({BLOB_IN_MEMORY} if number == 0 else 2000)
            blob = store.blob()
            blob.write(letter)
            delivery = Delivery(blob, parse(blob.contents()), (Target(inbox.id, b"P: x\\r\\n"),), 0)
            (filed,) = await store.deliver(delivery)
            os.write(1, b"%d %s\\n" % (filed.uids[0], hashlib.sha256(letter).hexdigest().encode()))

    await asyncio.gather(*(caller(number) for number in range(8)))

asyncio.run(main())
"""


def _problems(root: Path) -> list[str]:
    return [finding.what for finding in check(root) if finding.severity is Severity.PROBLEM]


def _crash(root: Path, answers: int) -> dict[int, str]:
    """Two processes file letters until they gave so many answers; then both are killed. What they had answered."""
    both = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(root), name], stdout=subprocess.PIPE)
        for name in ("one", "two")
    ]
    lines: list[bytes] = []
    try:
        first = both[0].stdout
        assert first is not None
        lines += [first.readline() for _ in range(answers)]
    finally:
        for each in both:
            each.send_signal(signal.SIGKILL)
        for each in both:
            assert each.stdout is not None
            with each.stdout:
                lines += each.stdout.read().splitlines(keepends=True)
            each.wait()
    answered = {}
    for line in lines:
        if line.endswith(b"\n"):
            uid, digest = line.decode().split()
            assert int(uid) not in answered
            answered[int(uid)] = digest
    return answered


def test_all_that_was_answered_survives_kill_nine_and_no_uid_comes_twice(tmp_path: Path) -> None:
    migrate(tmp_path)

    async def begin() -> Mailbox:
        store = await open_store(tmp_path)
        try:
            return await find(store, await new_account(store))
        finally:
            await store.close()

    async def look() -> dict[int, str]:
        store = await open_store(tmp_path)
        try:
            found = {}
            for entry in await store.entries(inbox.id, Uid(0), 100_000):
                octets = await octets_of(store, inbox, entry.uid)
                assert octets.startswith(b"P: x\r\n")
                found[int(entry.uid)] = hashlib.sha256(octets[6:]).hexdigest()
            return found
        finally:
            await store.close()

    inbox = asyncio.run(begin())
    answered: dict[int, str] = {}
    chance = random.Random(1)
    for _ in range(5):
        now = _crash(tmp_path, chance.randrange(1, 120))
        assert not answered.keys() & now.keys()
        answered |= now
        found = asyncio.run(look())
        assert answered.items() <= found.items()
        assert sorted(found) == list(range(1, len(found) + 1))
        assert _problems(tmp_path) == []
    assert len(answered) > 5


@contextlib.contextmanager
def _files_no_larger_than(octets: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [20_000, BLOB_IN_MEMORY + 1])
def test_a_real_limit_fails_letters_until_it_is_lifted(tmp_path: Path, size: int) -> None:
    letter = LETTER + bytes(size)

    async def story() -> None:
        store = await open_store(tmp_path)
        try:
            inbox = await find(store, await new_account(store))
            await file(store, inbox)
            with _files_no_larger_than(10_000):
                for _ in range(3):
                    with pytest.raises(StorageFull):
                        await file(store, inbox, letter)
            assert await file(store, inbox, letter) == 2
            assert await octets_of(store, inbox, Uid(2)) == letter
            assert await octets_of(store, inbox, Uid(1)) == LETTER
        finally:
            await store.close()

    migrate(tmp_path)
    asyncio.run(story())
    assert _problems(tmp_path) == []


def test_an_index_that_may_not_grow_fails_letters_until_it_may(tmp_path: Path) -> None:
    async def story() -> None:
        store = await open_store(tmp_path)
        try:
            inbox = await find(store, await new_account(store))
            await file(store, inbox)
            log = os.path.getsize(tmp_path / "index.db-wal")
            # What matters is where records end: zeros may have been written ahead of them.
            records = [path.read_bytes().rstrip(b"\0") for path in (tmp_path / "segments").iterdir()]
            assert sum(map(len, records)) < log
            with _files_no_larger_than(log):
                for _ in range(3):
                    with pytest.raises(StorageFull):
                        await file(store, inbox)
            assert [entry.uid for entry in await entries(store, inbox)] == [1]
            assert await file(store, inbox) == 2
            assert await octets_of(store, inbox, Uid(2)) == LETTER
        finally:
            await store.close()

    migrate(tmp_path)
    asyncio.run(story())
    assert _problems(tmp_path) == []


def test_a_failed_sync_is_never_tried_again_on_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fdatasync = os.fdatasync

    def fails_once(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        if len(synced) == 1:
            raise OSError(5, "Input/output error")
        fdatasync(descriptor)

    async def story() -> None:
        store: SqliteStore = await open_store(tmp_path)
        try:
            inbox = await find(store, await new_account(store))
            await file(store, inbox)
            monkeypatch.setattr(os, "fdatasync", fails_once)
            answers = await asyncio.gather(*(file(store, inbox) for _ in range(3)), return_exceptions=True)
            assert [type(answer) for answer in answers] == [StoreFault] * 3
            assert await file(store, inbox) == 2
            assert synced == ["0000000001.seg", "0000000002.seg", "0000000002.seg"]
            assert [await octets_of(store, inbox, Uid(uid)) for uid in (1, 2)] == [LETTER, LETTER]
        finally:
            await store.close()

    migrate(tmp_path)
    asyncio.run(story())
    assert _problems(tmp_path) == []
