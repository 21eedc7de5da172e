"""Who is told of a change: in this process, in the others, and when hints are lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from postroom.net.limits import HINTS_PER_DATAGRAM
from postroom.store import events as module
from postroom.store.changes import Done, SwitchAccount, TakeRecent, TellAccount
from postroom.store.events import Hints
from postroom.store.sqlite import SqliteStore, open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import Mailbox, MailboxId, ModSeq, Uid
from tests.store.site import ALICE, BOB, do, file, find, new_account

PATIENCE = 10.0


@contextlib.asynccontextmanager
async def _opened(root: Path, *names: str) -> AsyncIterator[list[SqliteStore]]:
    migrate(root)
    stores = [await open_store(root, name=name) for name in names]
    try:
        yield stores
    finally:
        for store in stores:
            await store.close()


async def _inbox(store: SqliteStore) -> Mailbox:
    return await find(store, await new_account(store))


def _sockets(root: Path) -> list[str]:
    return sorted(os.listdir(root / "run" / "events"))


@contextlib.contextmanager
def _address(root: Path, name: str) -> Iterator[str]:
    """Where a socket of this name is bound and found, however long the way there is."""
    folder = os.open(root / "run" / "events", os.O_PATH)
    try:
        yield f"/proc/self/fd/{folder}/{name}"
    finally:
        os.close(folder)


class _Bell:
    """Rings are counted, and can be waited for."""

    def __init__(self) -> None:
        self.rings: list[object] = []
        self._rung = asyncio.Event()

    def ring(self, what: object = None) -> None:
        self.rings.append(what)
        self._rung.set()

    async def wait(self) -> None:
        await asyncio.wait_for(self._rung.wait(), PATIENCE)
        self._rung.clear()


def test_who_watches_is_woken_in_the_same_and_in_another_process(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one", "two") as (one, two):
            inbox = await _inbox(one)
            here, there, elsewhere = _Bell(), _Bell(), _Bell()
            one.watch(inbox.id, here.ring)
            two.watch(inbox.id, there.ring)
            two.watch(MailboxId(inbox.id + 1), elsewhere.ring)
            await file(one, inbox)
            await here.wait()
            await there.wait()
            assert (await two.changes(inbox.id, (await two.entries(inbox.id, Uid(0), 1))[0].modseq)).entries == []
            assert not elsewhere.rings

    asyncio.run(story())


def test_a_watch_that_ended_is_not_called_even_if_the_change_was_before(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one") as (one,):
            inbox = await _inbox(one)
            bell, other = _Bell(), _Bell()
            end = one.watch(inbox.id, bell.ring)
            one.watch(inbox.id, other.ring)
            one._watchers.wake([inbox.id])
            end()
            end()
            await other.wait()
            assert not bell.rings

    asyncio.run(story())


def test_a_watcher_may_end_watches_and_begin_others_while_it_is_called(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one") as (one,):
            inbox = await _inbox(one)
            bell = _Bell()

            def again() -> None:
                end()
                one.watch(inbox.id, bell.ring)

            end = one.watch(inbox.id, again)
            await file(one, inbox)
            await file(one, inbox)
            await bell.wait()

    asyncio.run(story())


def test_who_watches_accounts_hears_each_change_once_by_its_address(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one", "two") as (one, two):
            here, there = _Bell(), _Bell()
            one.watch_accounts(here.ring)
            end = two.watch_accounts(there.ring)
            await new_account(one, ALICE)
            await there.wait()
            await do(two, SwitchAccount(ALICE, True), Done)
            await there.wait()
            await do(one, TellAccount(BOB), Done)
            await there.wait()
            two._look()
            await asyncio.sleep(0)
            assert here.rings == there.rings == [ALICE, ALICE, BOB]
            end()
            await new_account(two, BOB)
            await here.wait()
            assert len(there.rings) == 3

    asyncio.run(story())


def test_what_happened_before_the_store_was_opened_is_no_news(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one") as (one,):
            await new_account(one, ALICE)
            async with _opened(tmp_path, "two") as (two,):
                bell = _Bell()
                two.watch_accounts(bell.ring)
                two._look()
                await asyncio.sleep(0)
                assert not bell.rings

    asyncio.run(story())


def test_a_lost_hint_is_healed_by_the_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        monkeypatch.setattr(Hints, "send", lambda *_: None)
        monkeypatch.setattr(module, "HINTS_LOOK_SECONDS", 0.01)
        async with _opened(tmp_path, "one", "two") as (one, two):
            inbox = await _inbox(one)
            letters, accounts = _Bell(), _Bell()
            two.watch(inbox.id, letters.ring)
            two.watch_accounts(accounts.ring)
            await letters.wait()  # the first look knows nothing of what was before
            await file(one, inbox)
            await letters.wait()
            await do(one, TellAccount(BOB), Done)
            while BOB not in accounts.rings:
                await accounts.wait()

    asyncio.run(story())


def test_a_look_wakes_only_those_whose_mailbox_changed(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one") as (one,):
            inbox = await _inbox(one)
            bell = _Bell()
            one.watch(inbox.id, bell.ring)
            one._look()
            await bell.wait()
            one._look()
            await asyncio.sleep(0)
            assert len(bell.rings) == 1

    asyncio.run(story())


def test_who_watches_all_hears_of_each_change_and_now_and_then_of_nothing_certain(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one", "two") as (one, two):
            inbox = await _inbox(one)
            here, there, ended = _Bell(), _Bell(), _Bell()
            one.watch_all(here.ring)
            two.watch_all(there.ring)
            end = two.watch_all(ended.ring)
            await file(one, inbox)
            end()
            for bell in (here, there):
                await bell.wait()
                assert {inbox.id} in bell.rings
            there.rings.clear()
            two._look()
            await there.wait()
            assert there.rings == [None]
            assert ended.rings in ([], [{inbox.id}])

    asyncio.run(story())


def test_a_socket_is_its_owners_alone_and_goes_with_its_store(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "worker-0"):
            (name,) = _sockets(tmp_path)
            assert name.startswith("worker-0-")
            assert stat.S_IMODE((tmp_path / "run" / "events" / name).stat().st_mode) == 0o600
        assert _sockets(tmp_path) == []

    asyncio.run(story())


def test_the_socket_of_a_dead_process_is_removed_by_the_next_hint(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one") as (one,):
            inbox = await _inbox(one)
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead,
                _address(tmp_path, "dead-0123456789abcdef.sock") as address,
            ):
                dead.bind(address)
            assert len(_sockets(tmp_path)) == 2
            await file(one, inbox)
            assert [name.split("-")[0] for name in _sockets(tmp_path)] == ["one"]

    asyncio.run(story())


def test_a_data_directory_may_lie_deeper_than_a_sockets_address_is_long(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path / ("deep/" * 40), "one", "two") as (one, two):
            inbox = await _inbox(one)
            bell = _Bell()
            two.watch(inbox.id, bell.ring)
            await file(one, inbox)
            await bell.wait()

    asyncio.run(story())


def _receive_all(sock: socket.socket) -> list[list[int | str]]:
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(json.loads(sock.recv(65536)))
    return heard


@contextlib.contextmanager
def _bare_peer(root: Path) -> Iterator[socket.socket]:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as peer,
        _address(root, "slow-0123456789abcdef.sock") as address,
    ):
        peer.bind(address)
        yield peer


@pytest.mark.parametrize("mailboxes", [HINTS_PER_DATAGRAM, HINTS_PER_DATAGRAM + 1])
def test_more_hints_than_a_datagram_holds_become_look_at_everything(tmp_path: Path, mailboxes: int) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one") as (one,):
            with _bare_peer(tmp_path) as peer:
                one._hints.send([MailboxId(number) for number in range(mailboxes)], False)
                (told,) = _receive_all(peer)
                expected = list(range(mailboxes)) if mailboxes <= HINTS_PER_DATAGRAM else ["everything"]
                assert sorted(told, key=str) == sorted(expected, key=str)

    asyncio.run(story())


def test_a_process_that_does_not_listen_is_told_later_and_holds_up_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one") as (one,):
            with _bare_peer(tmp_path) as peer:
                for number in range(1000):
                    one._hints.send([MailboxId(number)], number == 999)
                heard: set[int | str] = set()
                async with asyncio.timeout(PATIENCE):
                    while not heard >= {0, "everything"}:
                        heard.update(*_receive_all(peer))
                        await asyncio.sleep(0.001)
                assert one._hints._untold == {}

    asyncio.run(story())


def test_look_at_everything_wakes_the_watchers_of_what_changed(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one") as (one,):
            inbox = await _inbox(one)
            bell = _Bell()
            one.watch(inbox.id, bell.ring)
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer,
                _address(tmp_path, _sockets(tmp_path)[0]) as address,
            ):
                for junk in (b"not json", b"7", b"[]", b'["everything"]'):
                    peer.sendto(junk, address)
            await bell.wait()

    asyncio.run(story())


_OTHER = """
import asyncio, sys
from pathlib import Path
from postroom.store.sqlite import open_store
from postroom.store.changes import How, SetFlags
from postroom.store.values import Flag, MailboxId, Uid

async def main():
    store = await open_store(Path(sys.argv[1]), name="other")
    seen = asyncio.Event()
    store.watch(MailboxId(int(sys.argv[2])), seen.set)
    print("ready", flush=True)
    await asyncio.wait_for(seen.wait(), 10)
    await store.commit(SetFlags(MailboxId(int(sys.argv[2])), (Uid(1),), How.ADD, Flag.FLAGGED))
    await store.close()

asyncio.run(main())
"""


def test_two_processes_tell_each_other(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one") as (one,):
            inbox = await _inbox(one)
            other = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _OTHER, str(tmp_path), str(inbox.id), stdout=subprocess.PIPE
            )
            assert other.stdout is not None
            assert await asyncio.wait_for(other.stdout.readline(), PATIENCE) == b"ready\n"

            async def look() -> None:
                while True:
                    await bell.wait()
                    if (await one.changes(inbox.id, seen)).entries:
                        return

            bell = _Bell()
            one.watch(inbox.id, bell.ring)
            await file(one, inbox)
            seen = (await one.changes(inbox.id, ModSeq(0))).modseq
            await look()
            assert (await one.entries(inbox.id, Uid(0), 1))[0].flags == 4
            assert await other.wait() == 0

    asyncio.run(story())


def test_a_change_that_changes_nothing_wakes_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        async with _opened(tmp_path, "one") as (one,):
            inbox = await _inbox(one)
            bell = _Bell()
            one.watch(inbox.id, bell.ring)
            await one.commit(TakeRecent(inbox.id))
            await asyncio.sleep(0)
            assert not bell.rings

    asyncio.run(story())
