"""The store's contract, held by chance: after any sequence of changes the store says what a plain model says.

The model is dictionaries. A session that reads nothing but `changes` is kept beside, and must see the same.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from postroom.store.interface import Store
from postroom.store.values import (
    Change,
    Copy,
    CreateMailbox,
    DeleteMailbox,
    Done,
    Entry,
    Expunge,
    Expunged,
    Filed,
    Flag,
    FlagsSet,
    How,
    Mailbox,
    ModSeq,
    Reason,
    Recent,
    Refused,
    SetFlags,
    TakeRecent,
    Target,
    Uid,
)
from tests.store.site import (
    Site,
    deliver,
    entries,
    find,
    letter_of,
    new_account,
    octets_of,
    status,
)

STEPS = 80
NOTHING_SEEN = ModSeq(0)
KEYWORDS = ("a", "b", "$c")


@dataclass(slots=True)
class Held:
    """One letter in one mailbox."""

    octets: bytes
    flags: int
    keywords: frozenset[str]
    modseq: int = 0


@dataclass(slots=True)
class Box:
    """One mailbox, and what a session knows of it that only follows its changes."""

    mailbox: Mailbox
    held: dict[int, Held] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    uid_next: int = 1
    first_recent: int = 1
    seen: dict[Uid, Entry] = field(default_factory=dict)
    modseq: ModSeq = NOTHING_SEEN

    def arrive(self, octets: bytes, flags: int, keywords: frozenset[str]) -> Uid:
        uid, self.uid_next = Uid(self.uid_next), self.uid_next + 1
        self.held[uid] = Held(octets, flags, keywords)
        return uid

    def leave(self, uid: int) -> None:
        del self.held[uid]
        self.gone.add(uid)


class Walk:
    """Chance, the store and the model."""

    def __init__(self, store: Store, seed: int, boxes: list[Box]) -> None:
        self.store = store
        self.chance = random.Random(seed)
        self.boxes = boxes
        self.owner = boxes[0].mailbox.owner
        self.letters = 0

    # --- what can happen: each changes the model and gives the question and the answer that it must have

    def uids(self, box: Box) -> tuple[Uid, ...]:
        """Some, of letters that are there, that were, and that never were."""
        return tuple(Uid(uid) for uid in range(1, box.uid_next + 2) if self.chance.random() < 0.4)

    def flags(self) -> Flag:
        return Flag(self.chance.randrange(32))

    def keywords(self) -> tuple[str, ...]:
        return tuple(each for each in KEYWORDS if self.chance.random() < 0.3)

    def file(self) -> tuple[Coroutine[Any, Any, object], object]:
        self.letters += 1
        letter = b"Subject: %d\r\n\r\n" % self.letters + b"x" * self.chance.randrange(100)
        targets, answers = [], []
        for box in self.chance.sample(self.boxes, self.chance.randint(1, 2)):
            prefix, flags, keywords = b"P: %d\r\n" % self.chance.randrange(10**6), self.flags(), self.keywords()
            targets.append(Target(box.mailbox.id, prefix, flags, keywords))
            uid = box.arrive(prefix + letter, flags, frozenset(keywords))
            answers.append(Filed(box.mailbox.uid_validity, (uid,)))
        return deliver(self.store, letter, *targets), tuple(answers)

    def set_flags(self) -> tuple[Coroutine[Any, Any, object], object]:
        box, how = self.chance.choice(self.boxes), self.chance.choice(list(How))
        uids, flags, keywords = self.uids(box), self.flags(), self.keywords()
        for uid in uids:
            held = box.held.get(uid)
            if held is None:
                continue
            if how is How.SET:
                held.flags, held.keywords = int(flags), frozenset(keywords)
            elif how is How.ADD:
                held.flags, held.keywords = held.flags | flags, held.keywords.union(keywords)
            else:
                held.flags, held.keywords = held.flags & ~flags, held.keywords.difference(keywords)
        return self.ask(SetFlags(box.mailbox.id, uids, how, flags, keywords)), FlagsSet

    def copy(self) -> tuple[Coroutine[Any, Any, object], object]:
        source, target = self.chance.choice(self.boxes), self.chance.choice(self.boxes)
        uids, move = self.uids(source), self.chance.random() < 0.5
        found = tuple([uid for uid in uids if uid in source.held])
        made = []
        for uid in found:
            held = source.held[uid]
            made.append(target.arrive(held.octets, held.flags, held.keywords))
        if move:
            for uid in found:
                source.leave(uid)
        change = Copy(source.mailbox.id, uids, target.mailbox.id, move)
        return self.ask(change), Filed(target.mailbox.uid_validity, tuple(made), found)

    def expunge(self) -> tuple[Coroutine[Any, Any, object], object]:
        box, deleted_only = self.chance.choice(self.boxes), self.chance.random() < 0.8
        uids = None if self.chance.random() < 0.3 else self.uids(box)
        named = sorted(box.held) if uids is None else [uid for uid in uids if uid in box.held]
        went = [uid for uid in named if box.held[uid].flags & Flag.DELETED or not deleted_only]
        for uid in went:
            box.leave(uid)
        return self.ask(Expunge(box.mailbox.id, uids, deleted_only)), tuple(went)

    def take_recent(self) -> tuple[Coroutine[Any, Any, object], object]:
        box = self.chance.choice(self.boxes)
        if not any(uid >= box.first_recent for uid in box.held):
            return self.ask(TakeRecent(box.mailbox.id)), Recent(Uid(box.uid_next))
        first, box.first_recent = box.first_recent, box.uid_next
        return self.ask(TakeRecent(box.mailbox.id)), Recent(Uid(first))

    def refused(self) -> tuple[Coroutine[Any, Any, object], object]:
        name = self.chance.choice(self.boxes).mailbox.name
        if self.chance.random() < 0.5:
            return self.ask(CreateMailbox(self.owner, name)), Refused(Reason.MAILBOX_EXISTS)
        return self.ask(DeleteMailbox(self.owner, "nothing")), Refused(Reason.NO_SUCH_MAILBOX)

    async def ask(self, change: Change) -> object:
        answer = await self.store.commit(change)
        if isinstance(answer, FlagsSet):
            assert answer.modified == ()
            return FlagsSet
        return answer.uids if isinstance(answer, Expunged) else answer

    # --- one step, and the look at it

    async def step(self) -> None:
        """One change, or several in one turn."""
        kinds: list[Callable[[], tuple[Coroutine[Any, Any, object], object]]] = [
            self.file,
            self.file,
            self.set_flags,
            self.set_flags,
            self.copy,
            self.expunge,
            self.take_recent,
            self.refused,
        ]
        asked = [self.chance.choice(kinds)() for _ in range(self.chance.choice((1, 1, 2, 5)))]
        answers = await asyncio.gather(*[question for question, _ in asked])
        assert answers == [expected for _, expected in asked]

    async def look(self, box: Box) -> None:
        """Counters, entries and news against the model."""
        now, found = await status(self.store, box.mailbox), await entries(self.store, box.mailbox)
        held = box.held
        assert [each.uid for each in found] == sorted(held)
        for each in found:
            assert (each.flags, frozenset(each.keywords.split())) == (held[each.uid].flags, held[each.uid].keywords)
            assert each.size == len(held[each.uid].octets)
            assert each.modseq <= now.highest_modseq
        assert (now.uid_validity, now.uid_next) == (box.mailbox.uid_validity, box.uid_next)
        assert (now.messages, now.size) == (len(held), sum(len(each.octets) for each in held.values()))
        assert now.unseen == sum(not each.flags & Flag.SEEN for each in held.values())
        assert now.deleted == sum(bool(each.flags & Flag.DELETED) for each in held.values())
        assert now.recent == sum(uid >= box.first_recent for uid in held)
        await self.follow(box, now.highest_modseq, found)

    async def follow(self, box: Box, highest: ModSeq, found: list[Entry]) -> None:
        changes = await self.store.changes(box.mailbox.id, box.modseq)
        assert changes.exists
        assert changes.modseq == highest >= box.modseq
        for entry in changes.entries:
            assert entry.modseq > box.modseq
            # RFC 7162 3.1: who was not told of a change finds the entry as it was
            assert entry != box.seen.get(entry.uid)
            box.seen[entry.uid] = entry
        for uid in changes.vanished:
            box.seen.pop(uid, None)
        assert set(changes.vanished) <= box.gone
        assert [box.seen[uid] for uid in sorted(box.seen)] == found
        box.modseq = changes.modseq

    async def read(self) -> None:
        """All octets of all letters."""
        for box in self.boxes:
            for uid, held in box.held.items():
                assert await octets_of(self.store, box.mailbox, Uid(uid)) == held.octets
                assert (await letter_of(self.store, box.mailbox, Uid(uid))).uid == uid
            assert (await self.store.changes(box.mailbox.id, ModSeq(0))).vanished == sorted(box.gone)


@pytest.mark.parametrize("seed", range(4))
def test_after_any_sequence_of_changes_the_store_says_what_a_model_says(site: Site, seed: int) -> None:
    async def story(store: Store) -> list[Box]:
        account = await new_account(store)
        boxes = [Box(await find(store, account, name)) for name in ("INBOX", "Sent", "Junk")]
        walk = Walk(store, seed, boxes)
        for _ in range(STEPS):
            await walk.step()
            # A session looks now and then, so that it also hears of several changes at once.
            for box in boxes:
                if walk.chance.random() < 0.4:
                    await walk.look(box)
        for box in boxes:
            await walk.look(box)
        await walk.read()
        return boxes

    boxes = site.run(story)

    async def later(store: Store) -> None:
        walk = Walk(store, seed + 1, boxes)
        for box in boxes:
            await walk.look(box)
        await walk.step()
        for box in boxes:
            await walk.look(box)
        await walk.read()
        assert isinstance(await store.commit(DeleteMailbox(walk.owner, "Junk")), Done)

    site.run(later)
