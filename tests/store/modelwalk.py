"""A walk: a store and the model of it side by side, with crashes between, step by step."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, Final, TypeVar

import pytest

from postroom.message.structure import parse
from postroom.store.changes import AddAccount, LimitDomain, RemoveAccount, Sweep
from postroom.store.check.findings import Severity
from postroom.store.check.whole import check
from postroom.store.compaction.compactor import Compactor
from postroom.store.interface import Delivery, Store
from postroom.store.sqlite import open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import MailboxId, ModSeq
from postroom.store.writer.keeper import keep
from tests.store.compactions import ALL
from tests.store.crash import Camera, Lost, Picture
from tests.store.model import Sent, Wish, World
from tests.store.modelchanges import agrees, apply
from tests.store.modelsight import Follower, Sight, compare, look
from tests.store.modelwishes import ADDRESSES, FAR
from tests.store.suspending import SuspendingStore

__all__ = ["FORMS", "Form", "Walk", "ground"]

T = TypeVar("T")
_MEMORY: Final = "/dev/shm"


@dataclass(frozen=True, slots=True)
class Form:
    """How stores are opened."""

    wrap: Callable[[Store], Store] = lambda store: store
    kept: bool = False
    """By way of a keeper, which lives in the same process here, so that the camera sees its disk too."""


FORMS: Final = {"sqlite": Form(), "suspending": Form(SuspendingStore), "keeper": Form(kept=True)}


class Walk:
    """See the module. `folder` is where data directories are made: syncs need no real disk here, since what they
    save is the camera's to know. `template` is an empty one."""

    def __init__(self, folder: Path, template: Path, form: Form) -> None:
        self._folder = Path(mkdtemp(dir=folder))
        self._form = form
        self._roots = 0
        self._root = self._new_root()
        shutil.copytree(template, self._root)
        self._camera = Camera(self._root)
        self._camera.__enter__()
        self._loop = asyncio.new_event_loop()
        self._stores: list[Store] = []
        self._around = contextlib.AsyncExitStack()
        self._followers: dict[MailboxId, Follower] = {}
        self._midway = False
        """Whether a step has begun and not come to its end."""
        self.world = World()
        try:
            self._open()
            self.ask([AddAccount(ADDRESSES[0])])
        except BaseException:
            self.abandon()
            raise

    def _new_root(self) -> Path:
        self._roots += 1
        return self._folder / str(self._roots)

    def _run(self, what: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(what)

    def _open(self) -> None:
        if not self._stores and self._form.kept:
            self._run(self._around.enter_async_context(keep(self._root)))
        name = f"model-{len(self._stores)}"
        store = self._run(open_store(self._root, name=name, keeper=self._form.kept))
        self._stores.append(self._form.wrap(store))

    def _close(self) -> None:
        while self._stores:
            self._run(self._stores.pop().close())
        self._run(self._around.aclose())

    def end(self) -> None:
        """Close everything, hold the directory against fsck, take it away. Behind a step that went wrong nothing
        more is said."""
        try:
            self._close()
            if not self._midway:
                self._check()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Take everything away, whatever is wrong with it."""
        try:
            self._close()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
            self._camera.__exit__()
            shutil.rmtree(self._folder)

    def _check(self) -> None:
        with self._camera.looking_away():
            problems = [each.what for each in check(self._root) if each.severity is Severity.PROBLEM]
        assert problems == [], problems

    # --- steps

    def ask(self, wishes: Sequence[Wish], which: int = 0) -> None:
        """Several changes in one turn; their answers must be the model's, and what is there afterwards too."""
        self._midway = True
        store = self._stores[which % len(self._stores)]
        answers = self._run(_ask(store, wishes, []))
        for wish, answer in zip(wishes, answers, strict=True):
            expected = apply(self.world, wish)
            assert agrees(answer, expected), f"{wish}: {answer} in place of {expected}"
        self.look(which + 1)

    def look(self, which: int = 0) -> None:
        """All that can be seen, by one of the stores."""
        self._midway = True
        compare(self.world, self._sight(which))
        self._midway = False

    def _sight(self, which: int = 0) -> Sight:
        return self._run(look(self._stores[which % len(self._stores)]))

    def follow(self, dice: random.Random) -> None:
        """Sessions that look now and then, each at its own time, so that they also hear of several changes at
        once."""
        self._midway = True
        sight = self._sight()
        for box in sight.boxes:
            if dice.random() < 0.4:
                number = box.mailbox.id
                follower = self._followers.setdefault(number, Follower())
                follower.follow(self._run(self._stores[-1].changes(number, follower.modseq)), box)
        there = {box.mailbox.id for box in sight.boxes}
        for number in self._followers.keys() - there:
            assert not self._run(self._stores[0].changes(number, ModSeq(0))).exists
            del self._followers[number]
        self._midway = False

    def reopen(self) -> None:
        """Close the stores, and open one again."""
        self._close()
        self._open()
        self.look()

    def open_another(self) -> None:
        """One more store on the same directory, as another process has it."""
        if len(self._stores) < 3:
            self._open()
        self.look(-1)

    def compact(self) -> None:
        """What is past its time is swept, and segments are copied without it; nobody sees a difference."""
        self.ask([Sweep(FAR, 10**6)])
        self._midway = True
        self._run(self._compact())
        self.look()

    async def _compact(self) -> None:
        with Compactor(self._root, self._stores[0], ALL) as compactor:
            await compactor.run()

    # --- crashes

    def crash(self, wishes: Sequence[Wish], when: float, lost: Lost, dice: random.Random) -> None:
        """Changes in one turn, and a crash somewhere between their beginning and their end."""
        self._midway = True
        wishes = _visible(self.world, wishes)
        done: list[int] = []
        with self._camera.taking(lambda: len(done)) as pictures:
            self._run(_ask(self._stores[0], wishes, done))
        worlds = [self.world]
        for wish in wishes:
            worlds.append(worlds[-1].fork())
            apply(worlds[-1], wish)
        self._wake_up(_at(pictures, when), lost, dice, worlds)

    def crash_compacting(self, when: float, lost: Lost, dice: random.Random) -> None:
        """A crash somewhere in a compaction."""
        self._midway = True
        with self._camera.taking(lambda: 0) as pictures:
            self._run(self._compact())
        self._wake_up(_at(pictures, when), lost, dice, [self.world])

    def _wake_up(self, picture: Picture, lost: Lost, dice: random.Random, worlds: Sequence[World]) -> None:
        """Go on in the directory that the crash left. What was acknowledged must be there, what came behind it may
        be: which of the worlds it is decides what the store says. Fsck must find nothing."""
        self._close()
        self._root = self._new_root()
        picture.develop(self._root, lost, dice)
        self._camera.move_to(self._root)
        self._check()
        self._open()
        sight = self._sight()
        told: list[str] = []
        for world in reversed(worlds[picture.acknowledged :]):
            candidate = world.fork()
            try:
                compare(candidate, sight)
            except AssertionError as error:
                told.append(str(error))
            else:
                self.world, self._midway = candidate, False
                return
        pytest.fail(f"after a crash behind {picture.after}, {lost}: {told}")


def _visible(world: World, wishes: Sequence[Wish]) -> list[Wish]:
    """Those whose coming about can be seen: not the limits of a domain where nobody is."""
    gone = [wish.address for wish in wishes if isinstance(wish, RemoveAccount)]
    domains = {person.domain for person in world.people.values() if person.address not in gone}
    return [wish for wish in wishes if not isinstance(wish, LimitDomain) or wish.domain in domains]


def _at(pictures: Sequence[Picture], when: float) -> Picture:
    return pictures[min(int(when * len(pictures)), len(pictures) - 1)]


async def _ask(store: Store, wishes: Sequence[Wish], done: list[int]) -> list[object]:
    """The answers in order; `done` grows with each."""

    async def one(wish: Wish) -> object:
        answer: object = await (_deliver(store, wish) if isinstance(wish, Sent) else store.commit(wish))
        done.append(1)
        return answer

    return await asyncio.gather(*map(one, wishes))


async def _deliver(store: Store, sent: Sent) -> object:
    blob = store.blob()
    blob.write(sent.octets)
    contents = blob.contents()
    facts = parse(contents)
    if not isinstance(contents, bytes):
        contents.close()
    try:
        return await store.deliver(Delivery(blob, facts, sent.targets, sent.date, sent.zone))
    finally:
        blob.discard()


@contextlib.contextmanager
def ground() -> Iterator[tuple[Path, Path]]:
    """A folder for walks, in memory where that can be, and an empty data directory to be copied."""
    with TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder:
        migrate(Path(folder) / "template")
        yield Path(folder), Path(folder) / "template"
