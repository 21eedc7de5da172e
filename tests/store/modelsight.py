"""What can be seen of a store by asking it, and how that is held against the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from postroom.store.graves import Buried, Grave
from postroom.store.interface import Store, Unreadable
from postroom.store.values import (
    INBOX,
    Account,
    AccountId,
    Alias,
    Changes,
    Entry,
    Flag,
    Letter,
    Mailbox,
    MailboxId,
    ModSeq,
    Quota,
    Status,
    Uid,
    Usage,
)
from tests.store.model import Box, Person, Why, World

__all__ = ["Follower", "Sight", "look"]

_SLICE = 50


@dataclass(frozen=True, slots=True)
class SightOfBox:
    """One mailbox."""

    mailbox: Mailbox
    status: Status
    entries: list[Entry]
    letters: list[Letter]
    octets: list[bytes | Unreadable]


@dataclass(frozen=True, slots=True)
class Sight:
    """All that a store says at one time."""

    accounts: list[Account]
    aliases: list[Alias]
    quotas: dict[AccountId, Quota | None]
    subscriptions: dict[AccountId, list[str]]
    boxes: list[SightOfBox]
    graves: list[Grave]
    buried: dict[MailboxId, list[Buried]]


async def look(store: Store) -> Sight:
    """Ask for everything, in slices."""
    accounts = await store.accounts()
    boxes = [await _look_into(store, box) for each in accounts for box in await store.mailboxes(each.id)]
    graves: list[Grave] = []
    while more := await store.graves(None, graves[-1].mailbox if graves else MailboxId(0), _SLICE):
        graves += more
    return Sight(
        accounts,
        await store.aliases(),
        {each.id: await store.quota(each.id) for each in accounts},
        {each.id: await store.subscriptions(each.id) for each in accounts},
        boxes,
        graves,
        {each.mailbox: await _dig(store, each.mailbox) for each in graves},
    )


async def _look_into(store: Store, mailbox: Mailbox) -> SightOfBox:
    status = await store.status(mailbox.id)
    assert status is not None
    entries: list[Entry] = []
    while more := await store.entries(mailbox.id, entries[-1].uid if entries else Uid(0), _SLICE):
        entries += more
    letters = await store.letters(mailbox.id, [each.uid for each in entries])
    octets = await store.read_each(letters, [(0, each.size) for each in entries])
    return SightOfBox(mailbox, status, entries, letters, octets)


async def _dig(store: Store, mailbox: MailboxId) -> list[Buried]:
    found, after = await store.buried(mailbox, Uid(0), _SLICE)
    while after is not None:
        more, after = await store.buried(mailbox, after, _SLICE)
        found += more
    return found


class Follower:
    """A session that knows a mailbox by its changes alone."""

    def __init__(self) -> None:
        self.modseq = ModSeq(0)
        self.entries: dict[Uid, Entry] = {}

    def follow(self, changes: Changes, now: SightOfBox) -> None:
        """Take in what happened since the last time, and know what there is now."""
        assert changes.exists
        assert changes.modseq == now.status.highest_modseq >= self.modseq
        for entry in changes.entries:
            assert entry.modseq > self.modseq
            # RFC 7162 3.1: who was not told of a change finds the entry as it was
            assert entry != self.entries.get(entry.uid), "told of a change that is none"
            self.entries[entry.uid] = entry
        for uid in changes.vanished:
            self.entries.pop(uid, None)
        if now.status.forgotten > self.modseq:
            # Tombstones were swept: what vanished is what isn't there.
            there = {each.uid for each in now.entries}
            self.entries = {uid: entry for uid, entry in self.entries.items() if uid in there}
        assert [self.entries[uid] for uid in sorted(self.entries)] == now.entries, "changes tell something else"
        self.modseq = changes.modseq


def compare(world: World, sight: Sight) -> None:
    """Raises AssertionError where the store says something else than the model; learns what the store has drawn."""
    _compare_accounts(world, sight)
    for person in world.people.values():
        mine = [each for each in sight.boxes if each.mailbox.owner == person.id]
        boxes = world.boxes_of(person)
        assert [each.mailbox.name for each in mine] == sorted(boxes, key=lambda name: (name != INBOX, name)), (
            "names"
        )
        for each in mine:
            _Look(world, boxes[each.mailbox.name]).at(each)
    _compare_graves(world, sight)


def _compare_accounts(world: World, sight: Sight) -> None:
    assert [each.address for each in sight.accounts] == sorted(world.people), "accounts"
    for account in sight.accounts:
        person = world.people[account.address]
        assert person.id in (None, account.id)
        person.id = account.id
        assert account.disabled == person.disabled
        assert sight.subscriptions[account.id] == sorted(person.subscriptions), "subscriptions"
        usage, told = _quota(world, person), sight.quotas[account.id]
        assert told == usage, f"usage: {told} in place of {usage}"
    assert [(each.name, list(each.targets)) for each in sight.aliases] == sorted(world.aliases.items()), "aliases"


def _quota(world: World, person: Person) -> Quota:
    own, domain = person.limits, world.domains.get(person.domain, (None, None))
    return Quota(
        Usage(*world.usage(person), own[0] or 0, own[1] or 0),
        Usage(*world.usage_of_domain(person.domain), domain[0] or 0, domain[1] or 0),
    )


@dataclass(frozen=True, slots=True)
class _Look:
    """At one mailbox."""

    world: World
    box: Box

    def at(self, sight: SightOfBox) -> None:
        self._learn(sight.mailbox)
        self._compare_counters(sight.status)
        self._compare_modseqs(sight.entries, sight.status.highest_modseq)
        assert (
            [each.uid for each in sight.entries] == sorted(self.box.held) == [each.uid for each in sight.letters]
        ), "UIDs"
        for entry, letter, octets in zip(sight.entries, sight.letters, sight.octets, strict=True):
            self._compare_entry(entry)
            self._compare_letter(letter, octets)

    def _learn(self, mailbox: Mailbox) -> None:
        box = self.box
        if box.id is None:
            assert mailbox.uid_validity not in self.world.validities, "a UIDVALIDITY was given again"
            self.world.validities[mailbox.uid_validity] = mailbox.id
            box.id, box.validity, box.object_id = mailbox.id, mailbox.uid_validity, mailbox.object_id
        assert (mailbox.id, mailbox.uid_validity, mailbox.object_id) == (box.id, box.validity, box.object_id)
        assert mailbox.special_use == box.use

    def _compare_counters(self, status: Status) -> None:
        box, held = self.box, self.box.held.values()
        assert (status.uid_validity, status.uid_next) == (box.validity, box.uid_next), "the next UID"
        assert (status.messages, status.size, status.recent) == (len(held), box.octets, box.recent), "counters"
        assert status.unseen == sum([not each.flags & Flag.SEEN for each in held]), "unseen"
        assert status.deleted == sum([bool(each.flags & Flag.DELETED) for each in held]), "deleted"

    def _compare_modseqs(self, entries: list[Entry], highest: ModSeq) -> None:
        """One for each change, ascending with the changes, above all that was seen before."""
        box = self.box
        assert highest >= box.highest, "the highest modseq went back"
        new: dict[int, int] = {}
        for entry in entries:
            tick = box.held[entry.uid].tick if entry.uid in box.held else 0
            known = box.modseqs.get(tick)
            if known is None:
                assert box.highest < entry.modseq == new.setdefault(tick, entry.modseq), "a new modseq is not new"
            assert known in (None, entry.modseq), "a modseq changed without a change"
        assert [new[tick] for tick in sorted(new)] == sorted(new.values()), "modseqs out of order"
        assert max(new.values(), default=0) <= highest
        box.modseqs |= new
        box.highest = highest

    def _compare_entry(self, entry: Entry) -> None:
        held = self.box.held[entry.uid]
        assert (entry.flags, tuple(entry.keywords.split())) == (held.flags, held.keywords), "flags"
        assert (entry.internal_date, entry.zone, entry.size) == (held.date, held.zone, held.size)

    def _compare_letter(self, letter: Letter, octets: bytes | Unreadable) -> None:
        held = self.box.held[letter.uid]
        assert octets == held.prefix + self.world.letters[held.letter], "octets"
        assert (letter.prefix, letter.internal_date, letter.zone) == (held.prefix, held.date, held.zone)
        _one_to_one(self.world.email_ids, held.letter, letter.email_id)
        _one_to_one(self.world.thread_ids, held.thread, letter.thread_id)


def _one_to_one(names: dict[int, str], number: int, name: str) -> None:
    """What has one name has always had it, and nothing else has."""
    if number not in names:
        assert name not in names.values(), f"{name} is the id of two"
        names[number] = name
    assert names[number] == name, f"the id was {names[number]}, and is {name}"


def _compare_graves(world: World, sight: Sight) -> None:
    graves = {each.mailbox: each for each in sight.graves}
    expected = {box.id: box for box in world.boxes if box.gone or box.deleted is not None}
    assert set(graves) >= {number for number in expected if number is not None}, "a grave is lost"
    for box in expected.values():
        # A mailbox that was made and deleted unseen is known by its letters alone.
        if box.id is not None:
            _compare_grave(world, box, graves.pop(box.id), sight.buried[box.id])
    assert len(graves) == sum([box.id is None for box in world.boxes if box.gone or box.deleted is not None])


def _compare_grave(world: World, box: Box, grave: Grave, buried: list[Buried]) -> None:
    there = box.owner if world.people.get(box.owner.address) is box.owner else None
    assert (grave.address, grave.account) == (box.owner.address, there.id if there else None)
    assert (grave.name, grave.gone is None, grave.restored) == (box.name, box.deleted is None, box.restored)
    expunged = {uid: each for uid, each in sorted(box.gone.items()) if each.why is Why.EXPUNGED}
    assert [each.letter.uid for each in buried] == list(expunged), "undelete has other letters"
    together = [each.held.size for each in expunged.values() if each.tick == box.deleted]
    assert (grave.letters, grave.octets) == (len(together), sum(together))
    for each in buried:
        gone = expunged[each.letter.uid]
        assert (each.flags, each.size) == (gone.held.flags, gone.held.size)
        assert each.with_mailbox == (gone.tick == box.deleted)
        _one_to_one(world.email_ids, gone.held.letter, each.letter.email_id)


def same(one: Sight, other: Sight) -> bool:
    """Whether two stores say the same."""
    return dataclasses.astuple(one) == dataclasses.astuple(other)


Followers = Mapping[MailboxId, Follower]
