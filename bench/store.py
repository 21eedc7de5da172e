"""The store by itself, without protocols: durable deliveries a second, and reads over ten thousand letters.

    .venv/bin/python bench/store.py [--rounds 5] [--letters 2000] [--loop uvloop|asyncio] [--keeper]

Works in a new directory under TMPDIR (default /var/tmp, which should be a real disk: a RAM disk's syncs cost nothing)
and removes it. Prints medians of rounds, and the spread. Deliveries parse nothing: the facts are made once, so that
the figure is the write path's alone. Beside them stands what the disk gives to a bare append and fdatasync. With
--keeper deliveries go through both forms of the writer, in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import uvloop

from postroom.message.structure import Facts, parse
from postroom.store.interface import Delivery
from postroom.store.sqlite import SqliteStore, open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.changes import AddAccount, How, SetFlags, Target
from postroom.store.values import Account, Flag, MailboxId, Uid

LETTERS = 10_000
PREFIX = (
    b"Return-Path: <sender@example.test>\r\nReceived: from client.example.test ([192.0.2.1])\r\n"
    b"\tby mx.example.test with ESMTPS id 0123456789abcdef;\r\n\tTue, 1 Jul 2025 10:00:00 +0000\r\n"
)


def letter(number: int, octets: int) -> bytes:
    """A two-part letter of so many octets."""
    head = (
        b"From: Sender <sender@example.test>\r\nTo: alice@example.test\r\nSubject: Letter %d of many\r\n"
        b"Date: Tue, 1 Jul 2025 10:00:00 +0000\r\nMessage-ID: <%d@bench.example.test>\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/alternative; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" % (number, number)
    )
    tail = b"\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello</p>\r\n--b--\r\n"
    line = b"All work and no play makes a dull letter, said the post to the room.\r\n"
    fill = (line * (octets // len(line) + 1))[: max(0, octets - len(head) - len(tail))]
    return head + fill + tail


def facts_of(body: bytes) -> Callable[[int], Facts]:
    """Facts that differ by their Message-ID only."""
    facts = parse(body)
    return lambda number: replace(facts, message_id=number * 0x9E3779B97F4A7C15 % 2**63)


async def deliveries(store: SqliteStore, mailbox: MailboxId, callers: int, letters: int) -> tuple[float, float]:
    """Letters a second, and the 99th percentile of one delivery in milliseconds."""
    body = letter(0, 10_240)
    facts = facts_of(body)
    numbers = iter(range(time.time_ns(), time.time_ns() + letters))
    times: list[float] = []

    async def caller() -> None:
        for number in numbers:
            began = time.perf_counter()
            blob = store.blob()
            blob.write(body)
            await store.deliver(Delivery(blob, facts(number), (Target(mailbox, PREFIX),), 1_750_000_000))
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    took = time.perf_counter() - began
    return len(times) / took, sorted(times)[int(len(times) * 0.99)] * 1000


async def timed(rounds: int, what: Callable[[], Awaitable[object]]) -> tuple[float, float, float]:
    """Median, least and most milliseconds."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        await what()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), min(took), max(took)


async def fill(store: SqliteStore, account: Account) -> MailboxId:
    """A mailbox of ten thousand letters of 2 KB, all different."""
    inbox = await store.mailbox(account.id, "INBOX")
    assert inbox is not None
    for first in range(0, LETTERS, 100):
        waiting = []
        for number in range(first, first + 100):
            blob = store.blob()
            blob.write(letter(number, 2048))
            delivery = Delivery(blob, parse(blob.contents()), (Target(inbox.id, PREFIX),), 1_750_000_000)
            waiting.append(store.deliver(delivery))
        await asyncio.gather(*waiting)
    return inbox.id


async def reads(store: SqliteStore, inbox: MailboxId, rounds: int) -> None:
    """The questions that FETCH asks, in the slices that it asks them in."""

    async def flags() -> None:
        after = Uid(0)
        while slice_ := await store.entries(inbox, after, 500):
            after = slice_[-1].uid

    async def letters() -> None:
        for first in range(1, LETTERS + 1, 500):
            await store.letters(inbox, [Uid(uid) for uid in range(first, first + 500)])

    async def every_other() -> None:
        for first in range(1, LETTERS + 1, 1000):
            await store.letters(inbox, [Uid(uid) for uid in range(first, first + 1000, 2)])

    async def whole() -> None:
        for first in range(1, LETTERS + 1, 500):
            for each in await store.letters(inbox, [Uid(uid) for uid in range(first, first + 500)]):
                await store.read(each, 0, 1 << 30)

    show("entries (flags) of 10,000", *await timed(rounds, flags))
    show("letters of 10,000, in runs", *await timed(rounds, letters))
    show("letters of 5,000, every other", *await timed(rounds, every_other))
    show("letters and whole octets of 10,000 (2 KB)", *await timed(rounds, whole))

    seen = [How.ADD, How.REMOVE] * rounds
    uids = tuple([Uid(uid) for uid in range(1, LETTERS + 1)])
    change = lambda: store.commit(SetFlags(inbox, uids, seen.pop(), Flag.SEEN))  # noqa: E731
    show("set flags of 10,000 at once", *await timed(rounds, change))


def show(what: str, median: float, least: float, most: float) -> None:
    """One row."""
    print(f"{what:<44} {median:9.2f} ms   ({least:.2f} to {most:.2f})", flush=True)


def disk(folder: Path) -> float:
    """Milliseconds of appending 10 KB and fdatasync."""
    descriptor = os.open(folder / "probe", os.O_WRONLY | os.O_CREAT, 0o600)
    took = []
    for _ in range(100):
        began = time.perf_counter()
        os.write(descriptor, bytes(10_240))
        os.fdatasync(descriptor)
        took.append((time.perf_counter() - began) * 1000)
    os.close(descriptor)
    return statistics.median(took)


KEEPER = """
import asyncio, pathlib, sys, uvloop
from postroom.store.writer.keeper import keep

async def main() -> None:
    async with keep(pathlib.Path(sys.argv[1])):
        print("ready", flush=True)
        await asyncio.Event().wait()

uvloop.run(main())
"""


@contextlib.asynccontextmanager
async def forms(root: Path, store: SqliteStore, keeper: bool) -> AsyncIterator[dict[str, SqliteStore]]:
    """The store by each form of its writer; the keeper is a process of its own."""
    if not keeper:
        yield {"": store}
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KEEPER, str(root), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        kept = await open_store(root, name="kept", keeper=True)
        try:
            yield {" inline": store, " keeper": kept}
        finally:
            await kept.close()
    finally:
        process.kill()
        await process.wait()


class Neighbour:
    """Another session of the same process, which only wants the loop now and then."""

    def __init__(self) -> None:
        self._waits: list[float] = []
        self._task = asyncio.create_task(self._live())

    async def _live(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.002)
            self._waits.append(time.perf_counter() - began - 0.002)

    async def p99(self) -> float:
        """Milliseconds that it had to wait; it ends."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return sorted(self._waits)[int(len(self._waits) * 0.99)] * 1000


async def writes(stores: dict[str, SqliteStore], mailbox: MailboxId, rounds: int, count: int) -> None:
    """Deliveries by each form, round by round in turn."""
    for callers in (1, 20, 100):
        figures: dict[str, list[tuple[float, float, float]]] = {form: [] for form in stores}
        for _ in range(rounds):
            for form, store in stores.items():
                letters = count if callers > 1 else count // 4
                neighbour = Neighbour()
                rate, p99 = await deliveries(store, mailbox, callers, letters)
                figures[form].append((rate, p99, await neighbour.p99()))
        for form, each in figures.items():
            rates, p99s, waits = zip(*each, strict=True)
            print(
                f"deliver 10 KB, {callers:3} at a time{form} {statistics.median(rates):{18 - len(form)},.0f} a second "
                f"  ({min(rates):,.0f} to {max(rates):,.0f}), p99 {statistics.median(p99s):.1f} ms, "
                f"another session's {statistics.median(waits):.1f} ms",
                flush=True,
            )


async def bench(root: Path, rounds: int, count: int, keeper: bool) -> None:
    migrate(root)
    store = await open_store(root, name="bench")
    try:
        print(
            f"append 10 KB and fdatasync: {disk(root):.2f} ms; load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
        )
        account = await store.commit(AddAccount("alice@example.test"))
        other = await store.commit(AddAccount("bob@example.test"))
        assert isinstance(account, Account) and isinstance(other, Account)
        target = await store.mailbox(other.id, "INBOX")
        assert target is not None
        async with forms(root, store, keeper) as stores:
            await writes(stores, target.id, rounds, count)
        await reads(store, await fill(store, account), rounds)
    finally:
        await store.close()


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--letters", type=int, default=2000, help="a round of deliveries")
    asked.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    asked.add_argument("--keeper", action="store_true", help="measure the keeper's form beside the inline one")
    given = asked.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="postroom-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    factory = uvloop.new_event_loop if given.loop == "uvloop" else asyncio.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(bench(folder, given.rounds, given.letters, given.keeper))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
