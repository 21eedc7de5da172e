#!/usr/bin/env python3
"""How long one durable letter takes while something else goes on: p99 of MAIL..250, quiet and beside it.

    .venv/bin/python bench/beside.py [--only fetch,indexer,compaction,backup,compact] [--dir /var/tmp] [--json out.json]
        [--letters 10000] [--phase 1000] [--rounds 3] [--workers 1] [--set 'writer = "inline"'] [--keep]

One connection sends one letter of 10 KB after the other. For each row the phases go quiet, beside, quiet, beside ...;
the figures are medians of the phases' p99s, the ratio is beside / quiet of this run (the goal: at most 2).

  fetch       another IMAP session fetches an INBOX of --letters letters, whole, again and again
  indexer     the search index of a mailbox of --letters letters is built (its file is taken away before each phase)
  compaction  segments, half of them dead, are compacted at the configuration's rate, as the runner does it
  backup      `postroom backup DIR` runs, again and again
  compact     `postroom compact --all` runs at full speed; what it competes for is the disk: no goal, for comparison

What goes on beside is checked to have gone on until each phase's end; the work it did is printed with the row."""
from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from growth import ALICE, BOB, Site, fill, letter, note, site_in

from postroom.config import load
from postroom.site.runner import compaction_rules
from postroom.store.compaction.compactor import Compactor
from postroom.store.sqlite import open_store
from postroom.store.compaction.sweeping import Sweeper
from postroom.store.changes import AddAccount, Expunge, Expunged
from postroom.store.values import Account, Uid

CAROL = "carol@example.test"
"""Whose mailbox the background works on; nobody else looks into it."""
OCTETS = 10_240
LATER = 15 * 86400
"""Seconds from now on which what is expunged today may go."""
PATIENCE = 90.0
Beside = Callable[[Site], contextlib.AbstractContextManager[dict[str, float]]]


# --- the letters in front


def phase(site: Site, count: int) -> list[float]:
    """Milliseconds of each letter."""
    body = letter(1, OCTETS)
    with site.smtp() as client:
        return [client.send("sender@example.test", BOB, body) * 1000 for _ in range(count)]


def p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


# --- what goes on beside: each is a context that has begun when it is entered, and ends with it


@contextlib.contextmanager
def fetching(site: Site) -> Iterator[dict[str, float]]:
    """Another session that reads everything."""
    told, stop = {"fetched, MB": 0.0}, threading.Event()
    reader = subprocess.Popen(
        [sys.executable, __file__, "--read", str(site.ports["imap"])], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    reader.stdout.readline()  # it has begun
    try:
        yield told
        _still_on(reader.poll() is None, "the reader")
    finally:
        stop.set()
        reader.terminate()
        told["fetched, MB"] = float((reader.communicate()[0].split() or ["0"])[-1])


@contextlib.contextmanager
def indexing(site: Site) -> Iterator[dict[str, float]]:
    """The runner builds the index of Carol's mailbox anew, and is waited for afterwards."""
    told = {}
    path = site.root / "search" / f"{_number_of(site, CAROL)}.db"
    _wait(lambda: _filed(path) >= _last(site), "the index to be whole")
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()
    _wait(lambda: 0 < _filed(path), "the indexer to notice")
    before = _filed(path)
    yield told
    after = _filed(path)
    _still_on(after < _last(site), "the indexer")
    told["letters indexed"] = after - before
    _wait(lambda: _filed(path) >= _last(site), "the index to be whole")


def _filed(path: pathlib.Path) -> int:
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as search:
            return int(search.execute("SELECT coalesce(max(uid), 0) FROM marks").fetchone()[0])
    except sqlite3.Error:
        return 0


def _ask(site: Site, sql: str, *bound: str) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{site.root}/index.db?mode=ro", uri=True, timeout=5)) as index:
        return int(index.execute(sql, bound).fetchone()[0])


def _number_of(site: Site, address: str) -> int:
    return _ask(site, "SELECT id FROM accounts WHERE address = ?", address)


def _last(site: Site) -> int:
    sql = "SELECT max(uid_next) - 1 FROM mailboxes m JOIN accounts a ON a.id = m.owner WHERE a.address = ?"
    return _ask(site, sql, CAROL)


@contextlib.contextmanager
def compacting(site: Site) -> Iterator[dict[str, float]]:
    """As the runner does it, at the rate of [compaction]; each phase takes up where the one before was stopped."""
    with _running([sys.executable, __file__, "--compact", str(site.config)], "compaction", 1) as told:
        yield told


@contextlib.contextmanager
def compacting_by_hand(site: Site) -> Iterator[dict[str, float]]:
    """At full speed, again and again: the first run has the most to do."""
    with _again_and_again(lambda _: site.command("compact", "--all"), "compactions") as told:
        yield told


@contextlib.contextmanager
def backing_up(site: Site) -> Iterator[dict[str, float]]:
    """A full backup to the same disk, and the next when it is done."""
    folders: list[pathlib.Path] = []

    def command(number: int) -> list[str]:
        for each in folders:
            shutil.rmtree(each, ignore_errors=True)
        folders.append(site.folder / f"backup-{time.monotonic_ns()}")
        return site.command("backup", str(folders[-1]))

    try:
        with _again_and_again(command, "backups") as told:
            yield told
    finally:
        for each in folders:
            shutil.rmtree(each, ignore_errors=True)


@contextlib.contextmanager
def _running(command: list[str], what: str, lines: int) -> Iterator[dict[str, float]]:
    """A command that says when it has begun, and is ended before its end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    try:
        yield {}
        _still_on(process.poll() is None, what)
    finally:
        process.terminate()
        process.communicate()


@contextlib.contextmanager
def _again_and_again(command: Callable[[int], list[str]], what: str) -> Iterator[dict[str, float]]:
    """A command that is begun anew whenever it ends; one that fails fails the row."""
    told, stop, failed = {what: 0.0}, threading.Event(), []

    def run() -> None:
        while not stop.is_set():
            done = subprocess.run(command(int(told[what])), capture_output=True, text=True, check=False)
            if done.returncode:
                failed.append(done.stderr[-500:])
                return
            told[what] += 1

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.5)  # Python's own start is not what is measured
    try:
        yield told
        _still_on(not failed, f"{what}: {''.join(failed)}")
    finally:
        stop.set()
        thread.join()


def _still_on(going: bool, what: str) -> None:
    if not going:
        raise SystemExit(f"{what} ended before the phase did: more --letters, or a smaller --phase")


def _wait(done: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > until:
            raise SystemExit(f"waited in vain for {what}")
        time.sleep(0.05)


# --- what they work on


async def furnish(site: Site, letters: int, dead: bool) -> None:
    """Alice's INBOX to be fetched, and Carol's to be indexed and, where half of it is `dead`, compacted."""
    store = await open_store(site.root, name="bench")
    try:
        if await store.account(CAROL) is None:
            await store.commit(AddAccount(CAROL))
        for address in (ALICE, CAROL):
            account = await store.account(address)
            assert isinstance(account, Account)
            inbox = await store.mailbox(account.id, "INBOX")
            status = await store.status(inbox.id) if inbox is not None else None
            assert inbox is not None and status is not None
            await fill(store, inbox.id, range(status.messages, letters), OCTETS)
            if dead and address == CAROL:
                uids = tuple([Uid(uid) for uid in range(1, letters + 1, 2)])
                assert isinstance(await store.commit(Expunge(inbox.id, uids, deleted_only=False)), Expunged)
                with Sweeper(site.root, store, 0, {}, clock=lambda: time.time() + LATER) as sweeper:
                    await sweeper.run(thorough=True)
    finally:
        await store.close()


async def compact(path: str) -> None:
    """The runner's compaction, of every segment with something dead in it."""
    config = load(pathlib.Path(path))
    rules = replace(compaction_rules(config), everything=True)
    store = await open_store(config.root, name=f"bench-{os.getpid()}")
    try:
        with Compactor(config.root, store, rules, clock=lambda: time.time() + LATER) as compactor:
            await compactor.run(lambda done, total: print(done, total, flush=True))
    finally:
        await store.close()


def read(port: int) -> None:
    """Fetch an INBOX until somebody ends it; says how many MB it was."""
    import signal

    from growth import PASSWORD
    from imapload import Imap
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Imap("127.0.0.1", port, ALICE, PASSWORD, "INBOX") as client:
        print("begun", flush=True)
        _, size = client.drain("FETCH 1:* BODY.PEEK[]", stop.is_set)
        print(size / 1e6, flush=True)


# --- rows


ROWS: dict[str, Beside] = {
    "fetch": fetching,
    "indexer": indexing,
    "compaction": compacting,
    "backup": backing_up,
    "compact": compacting_by_hand,
}


def measure(site: Site, name: str, a: argparse.Namespace) -> dict[str, object]:
    """One row."""
    quiet, beside, work = [], [], []
    phase(site, a.phase // 5)
    for _ in range(a.rounds):
        quiet.append(p99(phase(site, a.phase)))
        with ROWS[name](site) as told:
            beside.append(p99(phase(site, a.phase)))
        work.append({what: round(value, 1) for what, value in told.items()})
    return {"row": name, "quiet": quiet, "beside": beside, "work": work,
            "ratio": statistics.median(beside) / statistics.median(quiet)}


def line(row: dict[str, object]) -> str:
    """In markdown."""
    def figures(name: str) -> str:
        values = row[name]
        assert isinstance(values, list)
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    return f"| {row['row']} | {figures('quiet')} | {figures('beside')} | {row['ratio']:.2f} | {row['work']} |"


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--only", default="fetch,indexer,compaction,backup,compact")
    ap.add_argument("--dir", default="/var/tmp")
    ap.add_argument("--json")
    ap.add_argument("--letters", type=int, default=10_000)
    ap.add_argument("--phase", type=int, default=1000, help="letters in front, of each phase")
    ap.add_argument("--rounds", type=int, default=3, help="pairs of phases")
    ap.add_argument("--workers", type=int, default=1)
    ap.add_argument("--set", default="", help="TOML for the top of the configuration")
    ap.add_argument("--keep", action="store_true")
    ap.add_argument("--read", type=int, help=argparse.SUPPRESS)
    ap.add_argument("--compact", help=argparse.SUPPRESS)
    a = ap.parse_args()
    if a.read:
        read(a.read)
    elif a.compact:
        asyncio.run(compact(a.compact))
    else:
        run(a)


def run(a: argparse.Namespace) -> None:
    """All rows that are asked for: those that want dead letters come last, since they spoil the others' ground."""
    asked = [name for name in ROWS if name in a.only.split(",")]
    rows = []
    with site_in(a.dir, a.keep, workers=a.workers, settings=a.set) as site:
        asyncio.run(site.people([ALICE, BOB]))
        note(f"filling two mailboxes of {a.letters:,} letters")
        asyncio.run(furnish(site, a.letters, dead=False))
        site.start()
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; p99 of one letter of {OCTETS // 1024} KB, ms\n")
        print("| beside | quiet | beside it | ratio | what it did |\n|---|---|---|---|---|", flush=True)
        spoiled = False
        for name in asked:
            if name in ("compaction", "compact") and not spoiled:
                site.stop()  # so that every segment but the newest is closed
                asyncio.run(furnish(site, a.letters, dead=True))
                site.start()
                spoiled = True
            rows.append(measure(site, name, a))
            print(line(rows[-1]), flush=True)
        site.stop()
    if a.json:
        pathlib.Path(a.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
