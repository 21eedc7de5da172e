"""Who is there in all workers, and showing a letter there: by the sockets of other workers, bounded."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest

import postroom.site.terminals
from postroom.config import parse
from postroom.imap.server.alerts import Alerts, Ear
from postroom.net import ipc
from postroom.net.ipc import Refused, Values
from postroom.net.limits import TERMINAL_LISTENERS, TERMINAL_WAITING
from postroom.net.memory import pair
from postroom.site.places import Places
from postroom.site.services import Services
from postroom.site.terminals import SiteTerminals
from postroom.smtp.notices import Notice
from postroom.store.values import Account, AccountId
from tests.net.wire import until

ALICE, BOB, CAROL = "alice@example.test", "bob@example.test", "carol@example.test"
NOTICE = Notice("a.1", "jo@other.test", "Jo", "Alice", "", "Lunch", "It is ready.\n", True)


class Worker:
    """One worker's terminals and its control socket."""

    def __init__(self, places: Places, name: str) -> None:
        self.places = places
        self.name = name
        self.alerts = Alerts()
        self.terminals = SiteTerminals(places, name, self.alerts, self._account)
        self.lines: list[bytes] = []

    async def _account(self, address: str) -> Account | None:
        return Account(AccountId(1), address) if address in (ALICE, BOB) else None

    def session(self, account: str) -> Ear:
        """A session of IMAP that says nothing by itself."""
        return self.alerts.enter(account, pair()[0])

    async def talking(self, account: str) -> None:
        """A session of IMAP that says what it has to."""
        ear = self.session(account)
        while True:
            await ear.say(self.lines.append)
            await asyncio.sleep(0.001)

    def peer(self) -> ipc.Peer:
        return ipc.Peer(self.places.control(self.name))


@contextlib.asynccontextmanager
async def site(root: Path, *names: str) -> AsyncIterator[list[Worker]]:
    places = Places(root)
    places.make()
    async with contextlib.AsyncExitStack() as stack:
        workers = []
        for name in names:
            worker = Worker(places, name)
            server = await ipc.serve(places.control(name), worker.terminals.handlers())
            stack.push_async_callback(server.close)
            stack.push_async_callback(worker.terminals.close)
            workers.append(worker)
        yield workers


@contextlib.asynccontextmanager
async def running(*stories: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for story in stories:
            story.cancel()
        await asyncio.gather(*stories, return_exceptions=True)


def test_sessions_of_all_workers_are_known(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, "worker-0", "worker-1") as (here, there):
            assert await here.terminals.present([ALICE, BOB]) == set()
            ear = here.session(ALICE)
            there.session(BOB)
            assert await here.terminals.present([ALICE, BOB, CAROL]) == {ALICE, BOB}
            assert await there.terminals.present([ALICE]) == {ALICE}
            here.alerts.leave(ALICE, ear)
            assert await there.terminals.present([ALICE]) == set()

    asyncio.run(story())


def test_a_letter_is_said_by_the_sessions_of_all_workers(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            site(tmp_path, "worker-0", "worker-1") as (here, there),
            running(asyncio.create_task(here.talking(ALICE)), asyncio.create_task(there.talking(ALICE))),
        ):
            await until(lambda: bool(here.alerts.present([ALICE]) and there.alerts.present([ALICE])))
            assert await here.terminals.show([ALICE, BOB], NOTICE) == {ALICE}
            line = b"* OK [ALERT] Message from jo@other.test: It is ready.\r\n"
            assert here.lines == there.lines == [line]

    asyncio.run(story())


def test_what_no_session_says_in_time_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postroom.site.terminals, "TERMINAL_SHOW_SECONDS", 0.01)

    async def story() -> None:
        async with site(tmp_path, "worker-0", "worker-1") as (here, there):
            ears = [here.session(ALICE), there.session(ALICE)]
            assert await here.terminals.show([ALICE], NOTICE) == set()
            for ear in ears:
                await ear.say(here.lines.append)
            assert here.lines == []

    asyncio.run(story())


def test_who_listens_is_there_and_a_letter_counts_when_it_was_printed(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, "worker-0", "worker-1") as (here, there):
            peer = there.peer()
            async with aclosing(peer.stream("listen", account=ALICE)) as rows:
                assert await anext(rows) == {}
                assert await here.terminals.present([ALICE, BOB]) == {ALICE}
                showing = asyncio.create_task(here.terminals.show([ALICE, BOB], NOTICE))
                row = await anext(rows)
                assert row["account"] == ALICE
                assert Notice.from_json(row["notice"]) == NOTICE
                assert not showing.done()
                assert await peer.call("heard", ticket=row["ticket"]) == {"counts": True}
                assert await showing == {ALICE}
                assert await peer.call("heard", ticket=row["ticket"]) == {"counts": False}
                assert await peer.call("heard", ticket="x") == {"counts": False}
            await peer.close()

    asyncio.run(story())


def test_a_listener_that_goes_without_a_word_has_shown_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, "worker-0") as (here,):
            peer = here.peer()
            async with aclosing(peer.stream("listen", account=ALICE)) as rows:
                await anext(rows)
                showing = asyncio.create_task(here.terminals.show([ALICE], NOTICE))
                await anext(rows)
            assert await asyncio.wait_for(showing, 10) == set()

    asyncio.run(story())


def test_who_listens_for_everybody_is_no_owner(tmp_path: Path) -> None:
    async def story(owners: bool, saw: set[str]) -> None:
        async with site(tmp_path, "worker-0") as (here,):
            peer = here.peer()
            async with aclosing(peer.stream("listen", account=None)) as rows:
                await anext(rows)
                assert await here.terminals.present([ALICE, BOB]) == {ALICE, BOB}
                showing = asyncio.create_task(here.terminals.show([BOB], NOTICE, owners=owners))
                row = await anext(rows)
                await peer.call("heard", ticket=row["ticket"])
                assert await showing == saw
            await peer.close()

    asyncio.run(story(False, {BOB}))
    asyncio.run(story(True, set()))


def test_nobody_listens_for_an_account_that_is_not_there(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, "worker-0") as (here,):
            for account, why in ((CAROL, "no such account"), (7, "is an address")):
                with pytest.raises(Refused, match=why):
                    await anext(here.peer().stream("listen", account=account))
            with pytest.raises(Refused, match="not a notice"):
                await here.peer().call("show", accounts=[ALICE], notice={"id": 1})
            assert await here.peer().call("present", accounts="x") == {"accounts": []}

    asyncio.run(story())


def test_so_many_listen_to_one_worker(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, "worker-0") as (here,), contextlib.AsyncExitStack() as stack:
            for _ in range(TERMINAL_LISTENERS):
                rows = await stack.enter_async_context(aclosing(here.peer().stream("listen", account=ALICE)))
                await anext(rows)
            for _ in range(3):
                with pytest.raises(Refused, match="too many"):
                    await anext(here.peer().stream("listen", account=ALICE))

    asyncio.run(story())


def test_so_many_letters_wait_for_one_that_listens(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, "worker-0") as (here,):
            listening = here.terminals.handlers()["listen"]({"account": ALICE})
            assert isinstance(listening, AsyncGenerator)
            async with aclosing(listening) as rows:
                await anext(rows)
                count = TERMINAL_WAITING * 3
                showing = [asyncio.create_task(here.terminals.show([ALICE], NOTICE)) for _ in range(count)]
                await until(lambda: sum(each.done() for each in showing) == count - TERMINAL_WAITING)
                for _ in range(TERMINAL_WAITING):
                    row: Values = await anext(rows)
                    await here.peer().call("heard", ticket=row["ticket"])
                shown = [await each for each in showing]
                assert shown.count({ALICE}) == TERMINAL_WAITING

    asyncio.run(story())


@pytest.mark.parametrize(
    ("setting", "strangers", "users"),
    [("", True, True), ('terminals = "accounts"', False, True), ('terminals = "nobody"', False, False)],
)
def test_a_site_says_whose_letters_come_to_terminals(
    tmp_path: Path, setting: str, strangers: bool, users: bool
) -> None:
    config = parse(f'hostname = "mx.example.test"\n[smtp]\n{setting}', tmp_path / "postroom.toml")
    terminals = SiteTerminals(Places(tmp_path), "worker-0", Alerts(), Worker(Places(tmp_path), "x")._account)
    services = Services(config, cast(Any, None), cast(Any, None), cast(Any, None), terminals=terminals)
    for protocol, reached in (("smtp", strangers), ("submission", users), ("submissions", users)):
        handler = services.handler(protocol, cast(Any, None))
        assert isinstance(handler, functools.partial)
        assert (handler.keywords["service"].terminals is terminals) == reached


@pytest.mark.parametrize("name", ["present", "show"])
def test_a_worker_that_hangs_is_not_asked_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(postroom.site.terminals, "TERMINAL_WORKER_SECONDS", 0.05)

    async def story() -> None:
        asked: list[Values] = []
        awake = asyncio.Event()

        async def hang(values: Values) -> Values:
            asked.append(values)
            await awake.wait()
            return {"accounts": [ALICE]}

        async with site(tmp_path, "worker-0", "worker-1") as (here, there):
            there.session(BOB)
            server = await ipc.serve(here.places.control("worker-2"), {"present": hang, "show": hang})
            if name == "show":
                assert await here.terminals.show([ALICE], NOTICE) == set()
            for _ in range(3):
                assert await here.terminals.present([ALICE, BOB]) == {BOB}
            # The question, and one that waits for the first sign of life.
            await until(lambda: len(asked) == 2)
            assert asked[1] == {"accounts": []}
            awake.set()
            async with asyncio.timeout(10):
                while await here.terminals.present([ALICE, BOB]) != {ALICE, BOB}:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            await server.close()

    asyncio.run(story())


def test_a_dead_worker_and_one_that_knows_no_terminals_are_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        async def broken(values: Values) -> Values:
            raise RuntimeError("broken")

        async with site(tmp_path, "worker-0", "worker-1") as (here, there):
            there.session(BOB)
            here.places.control("worker-2").touch()
            other = await ipc.serve(here.places.control("supervisor"), {})
            third = await ipc.serve(here.places.control("worker-3"), {"present": broken})
            assert await here.terminals.present([ALICE, BOB]) == {BOB}
            await other.close()
            await third.close()
            assert await here.terminals.present([ALICE, BOB]) == {BOB}

    asyncio.run(story())


def test_a_worker_that_was_started_anew_is_found(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, "worker-0") as (here,):
            for _ in range(2):
                async with site(tmp_path, "worker-1") as (there,):
                    assert await here.terminals.present([ALICE]) == set()
                    there.session(ALICE)
                    assert await here.terminals.present([ALICE]) == {ALICE}
                assert await here.terminals.present([ALICE]) == set()

    asyncio.run(story())
