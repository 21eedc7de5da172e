"""What a site holds, as a plain value: what it ought to hold after each change, and what was seen of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from postroom.store.values import FIRST_MAILBOXES
from tests.mailbag import without_trace

Place = tuple[str, str]
"""An account's address and a mailbox's name."""


def digest(letter: bytes) -> str:
    """A letter's octets but for what delivery put in front of them, as a short name."""
    return hashlib.sha256(without_trace(letter)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Kept:
    """A letter in a mailbox."""

    digest: str
    flags: frozenset[str] = frozenset()
    """In lower case, without \\Recent."""


@dataclass(frozen=True, slots=True)
class Box:
    """A mailbox. A `validity` of 0 is one that was not seen yet; `modseq` is the least that it may have."""

    letters: Mapping[int, Kept] = field(default_factory=dict)
    """By UID."""
    next: int = 1
    validity: int = 0
    modseq: int = 0

    def file(self, kept: Iterable[Kept]) -> Box:
        """With letters behind those that are there."""
        new = dict(enumerate(kept, self.next))
        return replace(
            self, letters={**self.letters, **new}, next=self.next + len(new), modseq=self.modseq + bool(new)
        )

    def without(self, uids: Iterable[int]) -> Box:
        """Without some of its letters."""
        left = {uid: kept for uid, kept in self.letters.items() if uid not in set(uids)}
        return replace(self, letters=left, modseq=self.modseq + (len(left) < len(self.letters)))

    def flag(self, uids: Iterable[int], *flags: str) -> Box:
        """With flags added to some of its letters."""
        new = {uid: Kept(self.letters[uid].digest, self.letters[uid].flags | set(flags)) for uid in uids}
        return replace(self, letters={**self.letters, **new}, modseq=self.modseq + 1)

    def flagged(self, flag: str) -> list[int]:
        """UIDs of the letters that have a flag."""
        return [uid for uid, kept in self.letters.items() if flag in kept.flags]


@dataclass(frozen=True, slots=True)
class World:
    """All of it."""

    boxes: Mapping[Place, Box] = field(default_factory=dict)
    subscribed: frozenset[Place] = frozenset()
    passwords: Mapping[str, str] = field(default_factory=dict)
    """Hashes by address, where one was looked for."""
    aliases: frozenset[str] = frozenset()

    def at(self, place: Place, change: Callable[[Box], Box]) -> World:
        """With one mailbox changed."""
        return replace(self, boxes={**self.boxes, place: change(self.boxes[place])})

    def with_box(self, place: Place, box: Box | None = None) -> World:
        """With a mailbox, an empty one unless it is given."""
        return replace(self, boxes={**self.boxes, place: box or Box()})

    def without_boxes(self, places: Iterable[Place]) -> World:
        """Without some mailboxes."""
        gone = set(places)
        return replace(self, boxes={place: box for place, box in self.boxes.items() if place not in gone})

    def with_account(self, address: str) -> World:
        """With a new account's first mailboxes."""
        first = [(address, name) for name, _ in FIRST_MAILBOXES]
        boxes = {**self.boxes, **{place: Box() for place in first}}
        return replace(self, boxes=boxes, subscribed=self.subscribed | set(first))


def differences(seen: World, wanted: World) -> list[str]:
    """Why what was seen can't be what is wanted; empty where it can."""
    faults = [f"{place}: there, and should not be" for place in seen.boxes.keys() - wanted.boxes.keys()]
    faults += [f"{place}: lost" for place in wanted.boxes.keys() - seen.boxes.keys()]
    for place in seen.boxes.keys() & wanted.boxes.keys():
        faults += [f"{place}: {fault}" for fault in _box_differences(seen.boxes[place], wanted.boxes[place])]
    faults += [f"{place}: subscription" for place in seen.subscribed ^ wanted.subscribed]
    faults += [f"alias {name}" for name in seen.aliases ^ wanted.aliases]
    faults += [
        f"password of {address}"
        for address in seen.passwords.keys() | wanted.passwords.keys()
        if seen.passwords.get(address) != wanted.passwords.get(address)
    ]
    return faults


def _box_differences(seen: Box, wanted: Box) -> list[str]:
    faults = []
    if wanted.validity not in (0, seen.validity):
        faults.append(f"UIDVALIDITY {seen.validity}, was {wanted.validity}")
    if seen.next != wanted.next:
        faults.append(f"UIDNEXT {seen.next} in place of {wanted.next}")
    if seen.modseq < wanted.modseq:
        faults.append(f"HIGHESTMODSEQ {seen.modseq}, and was to be {wanted.modseq} at least")
    for uid in sorted(seen.letters.keys() | wanted.letters.keys()):
        if seen.letters.get(uid) != wanted.letters.get(uid):
            faults.append(f"UID {uid}: {seen.letters.get(uid)} in place of {wanted.letters.get(uid)}")
    return faults


def settle(seen: World, possible: Iterable[World]) -> World:
    """Hold what was seen to be one of the possible worlds; gives it with what only looking tells."""
    tried = [differences(seen, world) for world in possible]
    assert [] in tried, f"half-visible, lost or never sent: {min(tried, key=len)[:8]}"
    return seen
