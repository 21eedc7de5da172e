#!/usr/bin/env python3
"""What grows with a mailbox and with the number of accounts, and what doesn't: curves of one machine, one run.

    .venv/bin/python bench/growth.py [--letters 1000,10000,100000,1000000] [--accounts 1,100,10000]
        [--dir /var/tmp] [--json out.json] [--rounds 5] [--accept 2000] [--no-index] [--keep]

Letters of 1 KB go into one INBOX in bulk (by the store's own writer, 100 at a time, with the server down), are
indexed, and then the real program is started and asked over its sockets. Each curve ends in a markdown table for
docs/performance.md. The data lies under --dir, which must be a real disk. 10^6 letters need about 6 GB there.

Rows: accept (durable letters of 1 KB a second over 20 connections, and the p99 of one), SELECT, STATUS, FETCH of 50
(FLAGS, ENVELOPE), STORE of one flag, SEARCH for a word that 5 letters have and for one that none has, the start to
"ready" after a clean stop and after kill -9, the worker's memory (PSS, and its private part) before and with the
mailbox selected, and octets a letter of it."""
from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from imapload import Imap, Smtp, Wrong

from postroom.config import load
from postroom.message.structure import Facts, parse
from postroom.site.office import open_office
from postroom.store.search.indexer import Indexer
from postroom.store.interface import Delivery
from postroom.store.sqlite import SqliteStore, open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.changes import AddAccount, Target
from postroom.store.values import Account, MailboxId

ALICE, BOB = "alice@example.test", "bob@example.test"
PASSWORD = "Secret-pw-1"
PREFIX = b"Return-Path: <sender@example.test>\r\nDelivered-To: alice@example.test\r\n"
RARE, ABSENT = "zyzzyva", "quixotry"
RARE_NUMBERS = range(100, 1000, 200)
"""Letters that have the rare word: as many in a mailbox of 1,000 as in one of a million."""
OCTETS = 1024
_LINES = [" ".join(random.Random(seed).choices([f"{w:07x}"[::-1] for w in range(0, 10**8, 48611)], k=9)) for seed in range(2048)]


# --- a site of its own


class Site:
    """A configuration, its data, and the real program on them."""

    def __init__(self, folder: pathlib.Path, workers: int = 1, settings: str = ""):
        self.folder, self.log = folder, folder / "server.log"
        self.config = folder / "postroom.toml"
        listen = "\n".join(f'{name} = ["127.0.0.1:0"]' for name in ("smtp", "imap"))
        self.config.write_text(
            f'hostname = "mx.example.test"\ndata = "data"\nworkers = {workers}\n{settings}\n[listen]\n{listen}\n'
            '[tls]\nloopback_plain = true\n[limits]\nconnections_per_address = 20000\n'
            'exempt_networks = ["127.0.0.0/8"]\n')
        self.root = load(self.config).root
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen[str] | None = None
        migrate(self.root)

    def command(self, *words: str) -> list[str]:
        """The words of a `postroom` command on this site."""
        return [sys.executable, "-m", "postroom", *words, "--config", str(self.config)]

    async def people(self, addresses: Sequence[str]) -> None:
        """Accounts that can log in."""
        async with open_office(load(self.config)) as office:
            for address in addresses:
                if await office.store.account(address) is None:
                    await office.authority.set_password(address, PASSWORD.encode())
                    await office.store.commit(AddAccount(address))

    def start(self) -> float:
        """Seconds until it is ready."""
        began = time.perf_counter()
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command("serve"), stdout=subprocess.PIPE, stderr=log,
                                            stdin=subprocess.DEVNULL, text=True, start_new_session=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "ready\n":
                return time.perf_counter() - began
            _, protocol, place = line.split()
            self.ports[protocol] = int(place.rpartition(":")[2])
        raise SystemExit("the server did not start: " + self.log.read_text()[-2000:])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM to the supervisor, or SIGKILL to all of them."""
        if self.process is not None:
            if how == signal.SIGKILL:
                os.killpg(self.process.pid, how)
            else:
                self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def pid(self, role: str) -> int:
        """Of a role that runs."""
        return int(re.findall(rf"role-started role={role} pid=(\d+)", self.log.read_text())[-1])

    def imap(self, mailbox: str | None = None, user: str = ALICE) -> Imap:
        """A session."""
        return Imap("127.0.0.1", self.ports["imap"], user, PASSWORD, mailbox)

    def smtp(self) -> Smtp:
        """A connection."""
        return Smtp("127.0.0.1", self.ports["smtp"])


@contextlib.contextmanager
def site_in(folder: str, keep: bool, **settings: object) -> Iterator[Site]:
    """A site that is gone afterwards."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="postroom-growth-", dir=folder))
    site = Site(place, **settings)  # type: ignore[arg-type]
    try:
        yield site
    finally:
        site.stop(signal.SIGKILL)
        print(f"kept {place}" if keep else "", end="")
        if not keep:
            shutil.rmtree(place)


# --- letters in bulk


def letter(number: int, octets: int = OCTETS) -> bytes:
    """All have the same size and the same structure; their words differ."""
    head = (b"From: Sender <sender@example.test>\r\nTo: alice@example.test\r\nSubject: Letter %07d of many\r\n"
            b"Date: Tue, 1 Jul 2025 10:00:00 +0000\r\nMessage-ID: <%07d@bench.example.test>\r\nMIME-Version: 1.0\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n\r\n" % (number, number))
    count = (octets - len(head)) // (len(_LINES[0]) + 2)
    lines = [_LINES[(number * 31 + each * (number // 2048 * 2 + 1)) % 2048] for each in range(count)]
    if number in RARE_NUMBERS:
        lines[0] = RARE + lines[0][len(RARE):]
    return head + "\r\n".join(lines).encode() + b"\r\n"


def facts_of() -> Callable[[int], Facts]:
    """What parsing each of them would give, without parsing each."""
    first, zero = parse(letter(0)), b"0000000"

    def facts(number: int) -> Facts:
        name = b"%07d" % number
        return replace(first, message_id=number * 0x9E3779B97F4A7C15 % 2**63, envelope=first.envelope.replace(zero, name),
                       subject=first.subject.replace(zero.decode(), name.decode()))

    return facts


async def fill(store: SqliteStore, mailbox: MailboxId, numbers: range, octets: int = OCTETS) -> None:
    """These letters, 100 in each transaction."""
    facts = facts_of() if octets == OCTETS else lambda number: parse(letter(number, octets))

    async def one(number: int) -> None:
        blob = store.blob()
        blob.write(letter(number, octets))
        await store.deliver(Delivery(blob, facts(number), (Target(mailbox, PREFIX),), 1_750_000_000 + number))

    for first in range(numbers.start, numbers.stop, 100):
        await asyncio.gather(*map(one, range(first, min(first + 100, numbers.stop))))


async def load_letters(site: Site, numbers: range, index: bool) -> dict[str, float]:
    """Into Alice's INBOX, and into her search index; seconds that each took."""
    store = await open_store(site.root, name="bench")
    try:
        account = await store.account(ALICE)
        assert account is not None
        inbox = await store.mailbox(account.id, "INBOX")
        assert inbox is not None
        began = time.perf_counter()
        await fill(store, inbox.id, numbers)
        filled = time.perf_counter()
        if index:
            indexer = Indexer(site.root, store, share=1.0)
            await indexer.catch_up()
            indexer.close()
        return {"load": filled - began, "index": time.perf_counter() - filled}
    finally:
        await store.close()


async def load_accounts(site: Site, numbers: range) -> None:
    """Accounts with the mailboxes that each has from its first day."""
    store = await open_store(site.root, name="bench")
    try:
        for first in range(numbers.start, numbers.stop, 100):
            names = [f"user{number}@example.test" for number in range(first, min(first + 100, numbers.stop))]
            for answer in await asyncio.gather(*[store.commit(AddAccount(name)) for name in names]):
                assert isinstance(answer, Account), answer
    finally:
        await store.close()


# --- what is measured


def timed(rounds: int, what: Callable[[], object]) -> float:
    """The median of so many, in milliseconds."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        what()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def accept(site: Site, recipients: Sequence[str], count: int, connections: int = 20) -> tuple[float, float]:
    """Letters a second over so many connections, and the p99 of one in milliseconds."""
    numbers, lock, took = iter(range(10**6, 10**6 + count)), threading.Lock(), []

    def sender() -> None:
        with site.smtp() as client:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                took.append(client.send("sender@example.test", recipients[number % len(recipients)], letter(number)))

    threads = [threading.Thread(target=sender) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(took) != count:
        raise Wrong(f"{len(took)} of {count} letters were taken")
    return count / (time.perf_counter() - began), sorted(took)[int(count * 0.99)] * 1000


def memory(pid: int) -> tuple[float, float]:
    """A process's PSS and its private part, in MB."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(size) for name, size in re.findall(r"^(\w+): +(\d+) kB$", text, re.M)}
    return found["Pss"] / 1024, found.get("Pss_Anon", found["Private_Dirty"]) / 1024


def starts(site: Site) -> dict[str, float]:
    """Seconds to "ready", after a clean stop and after kill -9; it runs afterwards."""
    site.start()
    with site.smtp() as client:  # something for the log that the kill leaves
        client.send("sender@example.test", BOB, letter(0))
    site.stop()
    clean = site.start()
    with site.smtp() as client:
        client.send("sender@example.test", BOB, letter(0))
    site.stop(signal.SIGKILL)
    return {"start after a clean stop, s": clean, "start after kill -9, s": site.start()}


def questions(site: Site, size: int, rounds: int, *, indexed: bool) -> dict[str, float]:
    """What a session asks of a mailbox of so many letters."""
    dice, worker = random.Random(size), site.pid("worker-0")
    with site.imap() as client:
        client.select("INBOX")  # what is recent is claimed once
        client.ok("UNSELECT")
        row = {"STATUS, ms": timed(rounds * 4, lambda: client.ok("STATUS INBOX (MESSAGES UNSEEN UIDNEXT SIZE)"))}
    with site.imap() as client:
        pss, private = memory(worker)
        client.select("INBOX")
        with_pss, with_private = memory(worker)
        row["SELECT, ms"] = timed(rounds, lambda: client.select("INBOX"))
        have = client.exists

        def fetch() -> None:
            first = dice.randrange(1, have - 49)
            if len(client.ok(f"FETCH {first}:{first + 49} (FLAGS ENVELOPE)").untagged(b"FETCH")) != 50:
                raise Wrong("not 50 letters")

        def search(word: str, found: int) -> None:
            if len(client.ok(f"SEARCH TEXT {word}").found()) != found:
                raise Wrong(f"not {found} letters with {word}")

        row["FETCH of 50, ms"] = timed(rounds * 4, fetch)
        row["STORE of one flag, ms"] = timed(
            rounds * 4, lambda: client.ok(f"STORE {dice.randrange(1, have + 1)} FLAGS ({dice.choice((FLAGGED, SEEN))})"))
        if indexed:
            row["SEARCH for a rare word, ms"] = timed(rounds, lambda: search(RARE, len(RARE_NUMBERS)))
            row["SEARCH for an absent word, ms"] = timed(rounds, lambda: search(ABSENT, 0))
    return row | {"worker, MB": pss, "worker, private MB": private, "with it selected, MB": with_pss,
                  "with it selected, private MB": with_private,
                  "octets a letter of it": (with_private - private) * 2**20 / size}


FLAGGED, SEEN = "\\Flagged", "\\Seen"


def letters_curve(a: argparse.Namespace) -> dict[str, dict[str, float]]:
    """One mailbox, growing."""
    curve: dict[str, dict[str, float]] = {}
    with site_in(a.dir, a.keep) as site:
        asyncio.run(site.people([ALICE, BOB]))
        have = 0
        for size in a.letters:
            took = asyncio.run(load_letters(site, range(have, size), not a.no_index))
            have = size
            note(f"{size:,} letters: loaded in {took['load']:.0f} s, indexed in {took['index']:.0f} s")
            row = starts(site)
            row |= questions(site, size, a.rounds, indexed=not a.no_index)
            row["accept, 20 at a time, a second"], row["accept, p99 ms"] = accept(site, [ALICE], a.accept)
            site.stop()
            row["index.db, MB"] = (site.root / "index.db").stat().st_size / 2**20
            curve[f"{size:,}"] = row
            have += a.accept  # those are numbered from a million on, and count
    return curve


def accounts_curve(a: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Many accounts, each with an empty INBOX but for Alice's 1,000 letters."""
    curve: dict[str, dict[str, float]] = {}
    with site_in(a.dir, a.keep) as site:
        asyncio.run(site.people([ALICE, BOB]))
        asyncio.run(load_letters(site, range(1000), not a.no_index))
        have = 0
        for count in a.accounts:
            asyncio.run(load_accounts(site, range(have, count)))
            have = count
            note(f"{count:,} accounts")
            row = starts(site) | questions(site, 1000, a.rounds, indexed=not a.no_index)
            row.pop("octets a letter of it")
            names = [f"user{number}@example.test" for number in range(count)]
            random.Random(count).shuffle(names)
            row["accept, 20 at a time, a second"], row["accept, p99 ms"] = accept(site, names, a.accept)
            site.stop()
            curve[f"{count:,}"] = row
    return curve


# --- telling


def note(text: str) -> None:
    """For whoever waits."""
    print(f"# {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def table(what: str, curve: dict[str, dict[str, float]]) -> str:
    """In markdown."""
    def number(value: float) -> str:
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"

    rows = list(dict.fromkeys(name for column in curve.values() for name in column))
    lines = [f"| {what} | " + " | ".join(curve) + " |", "|---" * (len(curve) + 1) + "|"]
    return "\n".join(lines + [f"| {row} | " + " | ".join(number(column[row]) for column in curve.values()) + " |" for row in rows])


def main() -> None:
    sizes = lambda text: [int(each) for each in text.split(",") if each]  # noqa: E731
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--letters", type=sizes, default=sizes("1000,10000,100000,1000000"))
    ap.add_argument("--accounts", type=sizes, default=sizes("1,100,10000"))
    ap.add_argument("--dir", default="/var/tmp")
    ap.add_argument("--json")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--accept", type=int, default=2000, help="letters of each accept row")
    ap.add_argument("--no-index", action="store_true", help="leave the search index to the server: no SEARCH")
    ap.add_argument("--keep", action="store_true", help="leave the data")
    a = ap.parse_args()
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    report: dict[str, object] = {"machine": machine}
    print(machine, flush=True)
    for what, curve in (("letters", letters_curve), ("accounts", accounts_curve)):
        if getattr(a, what):
            report[what] = found = curve(a)
            print("\n" + table(what, found), flush=True)
    if a.json:
        pathlib.Path(a.json).write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
