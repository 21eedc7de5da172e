"""The store as dictionaries: what is there, and what it is counted from.

    world = World()
    expected = apply(world, AddAccount("alice@example.test"))       # tests.store.modelchanges

The model knows no rows, counters or transactions: everything that the store keeps as a number (messages, unseen,
usage, \\Recent ...) is counted anew from what is held. Numbers that a store draws as it likes (ids, UIDVALIDITYs,
modseqs, EMAILIDs) are learned when they are first seen, and held against what the model knows of them ever after
(`tests.store.modelsight`). A *tick* is the model's own modseq: one for each change of a mailbox, in their order.
"""

from __future__ import annotations

import enum
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from postroom.store.changes import Change, Target
from postroom.store.values import SEPARATOR, AccountId, Flag, MailboxId, SpecialUse, Uid, UidValidity

__all__ = ["Box", "Gone", "Held", "Person", "Sent", "Why", "Wish", "World"]

_NOT_DELETED: Final = ~int(Flag.DELETED)
_UNKNOWN: Final = UidValidity(0)
Limits = tuple[int | None, int | None]
"""Octets and letters."""


class Why(enum.Enum):
    """How an entry left its mailbox."""

    EXPUNGED = enum.auto()
    MOVED = enum.auto()
    BROUGHT_BACK = enum.auto()


@dataclass(frozen=True, slots=True)
class Sent:
    """A letter that is delivered; `ids` are its Message-ID and those it refers to."""

    octets: bytes
    targets: tuple[Target, ...]
    ids: tuple[str, ...]
    date: int
    zone: int


Wish = Sent | Change
"""What can be asked of a store."""


@dataclass(frozen=True, slots=True)
class Held:
    """One letter in one mailbox."""

    letter: int
    prefix: bytes
    size: int
    flags: int
    keywords: tuple[str, ...]
    date: int
    zone: int
    thread: int
    tick: int


@dataclass(frozen=True, slots=True)
class Gone:
    """One that was there."""

    held: Held
    tick: int
    why: Why


@dataclass(slots=True, eq=False)
class Box:
    """A mailbox, also one that was deleted."""

    owner: Person
    name: str
    use: SpecialUse | None
    id: MailboxId | None = None
    """None until it is seen."""
    validity: UidValidity = _UNKNOWN
    object_id: str = ""
    held: dict[int, Held] = field(default_factory=dict)
    gone: dict[int, Gone] = field(default_factory=dict)
    uid_next: int = 1
    first_recent: int = 1
    modseqs: dict[int, int] = field(default_factory=dict)
    """By tick."""
    highest: int = 0
    deleted: int | None = None
    """The tick of the letters that went with it."""
    restored: bool = False

    def modseq(self, tick: int) -> float:
        """Of a change; one that was not seen yet is above all."""
        return self.modseqs.get(tick, float("inf"))

    def buried(self) -> list[int]:
        """The UIDs of the letters that can be brought back."""
        return sorted(uid for uid, each in self.gone.items() if each.why is Why.EXPUNGED)

    @property
    def octets(self) -> int:
        """Of all its letters, prefixes included."""
        return sum([each.size for each in self.held.values()])

    @property
    def recent(self) -> int:
        """Letters that nobody was told of."""
        return sum([uid >= self.first_recent for uid in self.held])


@dataclass(slots=True, eq=False)
class Person:
    """An account."""

    address: str
    id: AccountId | None = None
    disabled: bool = False
    subscriptions: set[str] = field(default_factory=set)
    threads: dict[str, int] = field(default_factory=dict)
    limits: Limits = (None, None)

    @property
    def domain(self) -> str:
        """Behind the @."""
        return self.address.partition("@")[2]

    def thread(self, ids: Sequence[str], own: int) -> int:
        """Of a letter with these Message-IDs, which from now on are known."""
        thread = min([self.threads[each] for each in ids if each in self.threads], default=own)
        for each in ids:
            self.threads.setdefault(each, thread)
        return thread


class World:
    """All of a site."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.boxes: list[Box] = []
        """Deleted ones too, until they are swept."""
        self.aliases: dict[str, list[str]] = {}
        self.domains: dict[str, Limits] = {}
        self.letters: dict[int, bytes] = {}
        """The octets of every letter that was ever filed, by number."""
        self.ids: dict[int, tuple[str, ...]] = {}
        """The Message-IDs of each."""
        self.email_ids: dict[int, str] = {}
        self.thread_ids: dict[int, str] = {}
        self.validities: dict[int, int] = {}
        """Every UIDVALIDITY that was ever seen, and whose it is."""
        self.forgotten: set[int] = set()
        """Letters that were swept."""
        self.ticks = 0

    def fork(self) -> World:
        """A copy that goes its own way."""
        copy = pickle.loads(pickle.dumps(self))
        assert isinstance(copy, World)
        return copy

    # --- what is there

    def box(self, number: MailboxId) -> Box | None:
        """A mailbox that is there, by its number."""
        return next((box for box in self.boxes if box.id == number and box.deleted is None), None)

    def boxes_of(self, person: Person | None) -> dict[str, Box]:
        """A person's mailboxes, by name."""
        return {box.name: box for box in self.boxes if box.owner is person and box.deleted is None}

    def person(self, number: AccountId) -> Person | None:
        """By the account's number."""
        return next((person for person in self.people.values() if person.id == number), None)

    def usage(self, person: Person) -> tuple[int, int]:
        """Octets and letters of an account."""
        boxes = self.boxes_of(person).values()
        return sum([box.octets for box in boxes]), sum([len(box.held) for box in boxes])

    def usage_of_domain(self, domain: str) -> tuple[int, int]:
        """Of all accounts of a domain together."""
        each = [self.usage(person) for person in self.people.values() if person.domain == domain]
        return sum([octets for octets, _ in each]), sum([letters for _, letters in each])

    @property
    def limited(self) -> bool:
        """Whether anything may refuse a letter for its size."""
        limits = [person.limits for person in self.people.values()] + list(self.domains.values())
        return any(any(each) for each in limits)

    # --- quotas

    def fits_account(self, person: Person, octets: int, letters: int) -> bool:
        """Whether an account's own limit lets so much more come."""
        return _fits(person.limits, self.usage(person), octets, letters)

    def fits_domain(self, domain: str, octets: int, letters: int) -> bool:
        """Whether its domain's does."""
        return _fits(self.domains.get(domain, (None, None)), self.usage_of_domain(domain), octets, letters)

    def fits(self, person: Person, octets: int, letters: int) -> bool:
        """Whether both do."""
        return self.fits_account(person, octets, letters) and self.fits_domain(person.domain, octets, letters)

    # --- what changes are made of

    def tick(self) -> int:
        """The next one."""
        self.ticks += 1
        return self.ticks

    def arrive(self, box: Box, letters: Iterable[Held]) -> tuple[Uid, ...]:
        """They get new UIDs, and one tick together."""
        tick = self.tick()
        uids = []
        for each in letters:
            box.held[box.uid_next] = replace(each, tick=tick)
            uids.append(Uid(box.uid_next))
            box.uid_next += 1
        return tuple(uids)

    def leave(self, box: Box, uids: Iterable[int], why: Why = Why.EXPUNGED) -> int:
        """They go, with one tick together."""
        tick = self.tick()
        for uid in uids:
            box.gone[uid] = Gone(box.held.pop(uid), tick, why)
        return tick

    def bury(self, box: Box) -> None:
        """A mailbox goes with its letters."""
        box.deleted = self.leave(box, list(box.held))

    def at_home(self, letters: Sequence[Held], owner: Person, target: Person) -> Sequence[Held]:
        """As another account threads them, where they go to one."""
        if owner is target:
            return letters
        return [replace(each, thread=target.thread(self.ids[each.letter], each.letter)) for each in letters]

    def rise(self, grave: Box, uids: Sequence[int], target: Box) -> tuple[Uid, ...]:
        """Letters that were expunged are there again, elsewhere."""
        risen = self.at_home([grave.gone[uid].held for uid in uids], grave.owner, target.owner)
        for uid in uids:
            grave.gone[uid] = replace(grave.gone[uid], why=Why.BROUGHT_BACK)
        return self.arrive(target, [replace(each, flags=each.flags & _NOT_DELETED) for each in risen])

    def make(self, person: Person, name: str, use: SpecialUse | None = None) -> Box:
        """A new mailbox, with the missing levels above."""
        self.make_above(person, name)
        self.boxes.append(Box(person, name, use))
        return self.boxes[-1]

    def make_above(self, person: Person, name: str) -> None:
        """The missing levels above a name."""
        levels = name.split(SEPARATOR)
        for count in range(1, len(levels)):
            above = SEPARATOR.join(levels[:count])
            if above not in self.boxes_of(person):
                self.boxes.append(Box(person, above, None))


def _fits(limits: Limits, used: tuple[int, int], octets: int, letters: int) -> bool:
    """Nothing more always fits."""
    more = octets, letters
    return all(
        not limit or not new or old + new <= limit for limit, old, new in zip(limits, used, more, strict=True)
    )
