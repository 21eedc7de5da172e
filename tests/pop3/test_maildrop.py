from __future__ import annotations

import asyncio
import fcntl
import functools
import gc
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from postroom.message.structure import parse
from postroom.pop3.maildrop import InUse, Lock, Maildrop, NoMaildrop, Snapshot, open_maildrop
from postroom.pop3.server import serve
from postroom.pop3.sizes import Sizes
from postroom.store.changes import AddAccount, Copy, Expunge, Filed, Target
from postroom.store.interface import Delivery, Store, StoreFault
from postroom.store.sqlite import SqliteStore, open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import AccountId, Mailbox, MailboxId, MessageId, Uid
from tests.pop3.post import ALICE, LETTER, LOGIN, PREFIX, Post
from tests.scale import scaled
from tests.talk import converse

OWNER = AccountId(1)


def opened(post: Post, then: Callable[[Maildrop], Awaitable[None]]) -> None:
    async def run() -> None:
        drop = await open_maildrop(post.service.store, post.folder, OWNER)
        try:
            await then(drop)
        finally:
            drop.release()

    asyncio.run(run())


# --- the lock


def test_a_maildrop_is_had_by_one_at_a_time(tmp_path: Path) -> None:
    held = Lock(tmp_path, OWNER)
    with pytest.raises(InUse):
        Lock(tmp_path, OWNER)
    Lock(tmp_path, AccountId(2)).release()
    held.release()
    held.release()
    Lock(tmp_path, OWNER).release()


def test_another_process_is_kept_out_and_its_death_lets_us_in(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from postroom.pop3.maildrop import Lock;"
        "lock = Lock(pathlib.Path(sys.argv[1]), 1); print('held', flush=True); sys.stdin.read()"
    )
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InUse):
            Lock(tmp_path, OWNER)
        other.kill()
        other.wait()
    Lock(tmp_path, OWNER).release()


def test_who_comes_back_before_the_old_session_is_seen_to_end_waits_a_moment_for_it(post: Post) -> None:
    async def run() -> None:
        first = await open_maildrop(post.service.store, post.folder, OWNER)
        second = asyncio.create_task(open_maildrop(post.service.store, post.folder, OWNER))
        await asyncio.sleep(0)
        first.release()
        (await second).release()

    asyncio.run(run())


def test_the_lock_file_is_the_owners_alone_and_follows_no_link(tmp_path: Path) -> None:
    Lock(tmp_path, OWNER).release()
    assert (tmp_path / "1.lock").stat().st_mode & 0o777 == 0o600
    (tmp_path / "2.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Lock(tmp_path, AccountId(2))
    assert not (tmp_path / "elsewhere").exists()


def test_no_descriptor_is_left_where_a_lock_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(descriptor: int, operation: int) -> None:
        raise OSError("no locks available")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(fcntl, "flock", fails)
    with pytest.raises(OSError, match="no locks"):
        Lock(tmp_path, OWNER)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("wrong", [StoreFault("locked"), ZeroDivisionError()])
def test_nothing_stays_locked_where_a_maildrop_cannot_be_opened(post: Post, wrong: Exception) -> None:
    async def run() -> None:
        await open_maildrop(post.service.store, post.folder, OWNER)

    post.shelf.fault = wrong
    with pytest.raises(type(wrong)):
        asyncio.run(run())
    post.shelf.fault = None
    post.shelf.inboxes.clear()
    with pytest.raises(NoMaildrop):
        asyncio.run(run())
    Lock(post.folder, OWNER).release()


# --- the snapshot


def test_messages_are_numbered_by_uid_over_many_slices(post: Post) -> None:
    for number in range(1234):
        post.shelf.put(b"x" * number + b"\r\n")

    async def then(drop: Maildrop) -> None:
        assert len(drop) == 1234
        assert 1234 in drop
        assert 0 not in drop
        assert 1235 not in drop
        wanted = [len(PREFIX) + number + 1 for number in range(1, 1235)]
        assert b"".join(drop.sizes()) == b"".join(b"%d %d\r\n" % row for row in enumerate(wanted, 1))
        assert drop.octets == sum(wanted)
        assert drop.unique_id(1234) == "M1234.1"
        assert b"".join(drop.unique_ids()) == b"".join(b"%d M%d.1\r\n" % (row, row) for row in range(1, 1235))
        for number in (1, 500, 501, 1234):
            drop.mark(number)
            drop.mark(number)
        assert len(drop) == 1230
        assert drop.octets == sum(wanted) - sum(wanted[number - 1] for number in (1, 500, 501, 1234))
        left = [number for number in range(1, 1235) if number not in (1, 500, 501, 1234)]
        for listing in (drop.sizes(), drop.unique_ids()):
            assert [int(line.split()[0]) for line in b"".join(listing).splitlines()] == left
        drop.unmark()
        assert (len(drop), drop.octets) == (1234, sum(wanted))

    opened(post, then)
    assert post.shelf.reads == 0


def test_a_letter_of_a_large_maildrop_costs_less_than_a_hundred_octets(post: Post) -> None:
    count = scaled(5_000, 100_000)
    letters = [post.shelf.put(LETTER) for _ in range(2)]
    inbox = post.shelf.inboxes[MailboxId(1)]
    inbox[:] = [
        letters[0]._replace(uid=Uid(n), message=MessageId(n), email_id=f"M{n:032x}") for n in range(1, count + 1)
    ]

    async def then(drop: Maildrop) -> None:
        before = tracemalloc.get_traced_memory()[0]
        again = await Snapshot.of(post.service.store, MailboxId(1))
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 100 * count
        assert len(again) == len(drop) == count
        for number in range(1, count + 1):
            drop.mark(number)
        assert tracemalloc.get_traced_memory()[0] - before < 100 * count
        assert (len(drop), drop.octets) == (0, 0)

    tracemalloc.start()
    try:
        opened(post, then)
    finally:
        tracemalloc.stop()


def test_copies_of_one_letter_are_told_apart_by_their_order(post: Post) -> None:
    for email_id in ("Ma", "Mb", "Ma", "Ma", "Mb"):
        post.shelf.put(LETTER, email_id=email_id)

    async def then(drop: Maildrop) -> None:
        wanted = ["Ma.1", "Mb.1", "Ma.2", "Ma.3", "Mb.2"]
        assert [drop.unique_id(number) for number in range(1, 6)] == wanted
        assert b"".join(drop.unique_ids()).split()[1::2] == [each.encode() for each in wanted]

    opened(post, then)


def test_sizes_are_told_without_reading_a_letter_whatever_imap_stored(post: Post) -> None:
    for octets in (b"a\nb\r\n", b"a\r\nb", b"a\r\nb\r\n", b"", b"\r"):
        post.shelf.put(octets, prefix=b"")
    post.shelf.put(b"a\nb")

    async def then(drop: Maildrop) -> None:
        await drop.measure(post.service.sizes)
        assert [drop.size(number) for number in range(1, 7)] == [6, 6, 6, 0, 2, len(PREFIX) + 6]

    opened(post, then)
    assert post.shelf.reads == 0


def test_update_without_marks_asks_nothing_of_the_store(post: Post) -> None:
    post.shelf.put(LETTER)

    async def then(drop: Maildrop) -> None:
        drop.mark(1)
        drop.unmark()
        assert await drop.update() == 0

    opened(post, then)
    assert post.shelf.commits == []


# --- over the real store


class Real:
    """A real store with Alice's INBOX, and POP3 over it."""

    def __init__(self, root: Path, store: SqliteStore, inbox: Mailbox) -> None:
        self.store = store
        self.inbox = inbox
        post = Post(root / "run")
        service = replace(post.service, store=cast(Store, store))
        self.handler = functools.partial(serve, service=replace(service, directory=post.directory(store.account)))

    async def put(self, octets: bytes, prefix: bytes = PREFIX) -> None:
        blob = self.store.blob()
        blob.write(octets)
        target = Target(self.inbox.id, prefix)
        (filed,) = await self.store.deliver(Delivery(blob, parse(octets), (target,), 1_700_000_000))
        assert isinstance(filed, Filed)

    async def talk(self, text: str) -> dict[str, str]:
        return (await converse(self.handler, LOGIN + text)).names


def really(root: Path, test: Callable[[Real], Awaitable[None]]) -> None:
    """Run a test over the store under `root`, made where it isn't there yet."""

    async def run() -> None:
        (root / "run").mkdir(exist_ok=True)
        migrate(root)
        store = await open_store(root)
        try:
            if await store.account(ALICE) is None:
                await store.commit(AddAccount(ALICE))
            account = await store.account(ALICE)
            assert account is not None
            inbox = await store.mailbox(account.id, "INBOX")
            assert inbox is not None
            await test(Real(root, store, inbox))
        finally:
            await store.close()

    asyncio.run(run())


LISTING = "C: UIDL\nS: +OK *\nS: 1 {one}\nS: 2 {two}\nS: .\n"


def test_keep_mode_unique_ids_are_the_same_in_the_next_session_and_after_a_restart(tmp_path: Path) -> None:
    async def first(real: Real) -> None:
        await real.put(LETTER)
        await real.put(LETTER + b"two\r\n", prefix=b"")
        seen.append(await real.talk(LISTING))
        seen.append(await real.talk(LISTING + "C: QUIT\nS: +OK *\nS! end"))

    async def second(real: Real) -> None:
        seen.append(await real.talk(LISTING))

    seen: list[dict[str, str]] = []
    really(tmp_path, first)
    really(tmp_path, second)
    assert seen[0] == seen[1] == seen[2]
    assert len({*seen[0].values()}) == 2
    assert all(value.isascii() and value.isprintable() and 0 < len(value) <= 70 for value in seen[0].values())


def test_copies_have_one_email_id_and_unique_ids_of_their_own(tmp_path: Path) -> None:
    async def test(real: Real) -> None:
        await real.put(LETTER)
        entries = await real.store.entries(real.inbox.id, Uid(0), 10)
        await real.store.commit(Copy(real.inbox.id, (entries[0].uid,), real.inbox.id))
        names = await real.talk(LISTING)
        assert names["one"].removesuffix(".1") == names["two"].removesuffix(".2")

    really(tmp_path, test)


def test_delete_mode_leaves_an_empty_maildrop_and_the_deletion_stays(tmp_path: Path) -> None:
    async def first(real: Real) -> None:
        await real.put(LETTER)
        await real.put(LETTER)
        sent = len(PREFIX) + len(LETTER)
        retrieved = (
            f"S: +OK {sent} octets\nS: Return-Path: <>\nS: Subject: one\nS:\nS: Hello\nS: ..\nS: ...dots\nS: .\n"
        )
        await real.talk(
            f"C: RETR 1\n{retrieved}C: DELE 1\nS: +OK *\nC: RETR 2\n{retrieved}C: DELE 2\nS: +OK *\n"
            "C: QUIT\nS: +OK *\nS! end"
        )
        assert await real.store.entries(real.inbox.id, Uid(0), 10) == []

    async def second(real: Real) -> None:
        await real.talk("C: STAT\nS: +OK 0 0\n")

    really(tmp_path, first)
    really(tmp_path, second)


def test_reading_by_pop3_changes_nothing_that_imap_shows(tmp_path: Path) -> None:
    async def test(real: Real) -> None:
        await real.put(LETTER)
        before = await real.store.entries(real.inbox.id, Uid(0), 10)
        await real.talk(
            "C: TOP 1 0\nS: +OK *\nS: Return-Path: <>\nS: Subject: one\nS:\nS: .\nC: QUIT\nS: +OK *\nS! end"
        )
        assert await real.store.entries(real.inbox.id, Uid(0), 10) == before

    really(tmp_path, test)


def test_a_letter_that_imap_expunges_meanwhile_is_read_to_the_end(tmp_path: Path) -> None:
    async def test(real: Real) -> None:
        await real.put(b"Subject: gone\r\n\r\nbody\r\n")
        drop = await open_maildrop(real.store, tmp_path / "run", OWNER)
        await real.store.commit(Expunge(real.inbox.id, None, deleted_only=False))
        await drop.measure(Sizes())
        reading, size = await drop.reading(1)
        assert await reading.chunk() == PREFIX + b"Subject: gone\r\n\r\nbody\r\n"
        assert size == len(PREFIX) + 23
        drop.mark(1)
        assert await drop.update() == 1
        drop.release()

    really(tmp_path, test)


def test_what_imap_stored_with_bare_line_ends_is_served_with_crlf_and_its_size_says_so(tmp_path: Path) -> None:
    async def test(real: Real) -> None:
        await real.put(b"Subject: x\n\n.\nbody\rend", prefix=b"")
        await real.talk(
            "C: STAT\nS: +OK 1 28\nC: RETR 1\nS: +OK 28 octets\n"
            "S< Subject: x\\r\\n\\r\\n..\\r\\nbody\\r\\nend\\r\\n.\\r\\n"
        )

    really(tmp_path, test)
