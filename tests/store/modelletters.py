"""What changes of letters make of the model; each function gives the answer that a store must have for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from postroom.store.changes import (
    BringBack,
    Copy,
    Expunge,
    Expunged,
    Filed,
    FlagsSet,
    How,
    Reason,
    Recent,
    Refused,
    SetFlags,
    Sweep,
    Swept,
    TakeRecent,
    Target,
)
from postroom.store.values import Flag, ModSeq, Uid
from tests.store.model import Box, Held, Sent, Why, World

__all__ = ["bring_back", "copy", "deliver", "expunge", "set_flags", "sweep", "take_recent"]


def deliver(world: World, sent: Sent) -> tuple[Filed | Refused, ...]:
    """One letter into one or more mailboxes."""
    boxes = [world.box(target.mailbox) for target in sent.targets]
    there = [(box, target) for box, target in zip(boxes, sent.targets, strict=True) if box is not None]
    full = [_is_full(world, box, there, len(sent.octets)) for box, _ in there]
    if any(full):
        reasons = iter([Reason.OVER_QUOTA if each else Reason.TOGETHER for each in full])
        return tuple([Refused(Reason.NO_SUCH_MAILBOX if box is None else next(reasons)) for box in boxes])
    if there:
        number = len(world.letters) + 1
        world.letters[number] = sent.octets
        world.ids[number] = sent.ids
    answers: list[Filed | Refused] = []
    for box, target in zip(boxes, sent.targets, strict=True):
        if box is None:
            answers.append(Refused(Reason.NO_SUCH_MAILBOX))
            continue
        held = Held(
            number,
            target.prefix,
            len(target.prefix) + len(sent.octets),
            int(target.flags),
            _changed((), How.SET, target.keywords),
            sent.date,
            sent.zone,
            box.owner.thread(sent.ids, number),
            0,
        )
        answers.append(Filed(box.validity, world.arrive(box, [held])))
    return tuple(answers)


def _is_full(world: World, box: Box, there: Sequence[tuple[Box, Target]], size: int) -> bool:
    """Whether what comes for an account, or its domain, has no room there."""
    sizes = [(each.owner, size + len(target.prefix)) for each, target in there]
    own = [octets for owner, octets in sizes if owner is box.owner]
    domain = [octets for owner, octets in sizes if owner.domain == box.owner.domain]
    return not (
        world.fits_account(box.owner, sum(own), len(own))
        and world.fits_domain(box.owner.domain, sum(domain), len(domain))
    )


def copy(world: World, change: Copy) -> Filed | Refused:
    """COPY and MOVE."""
    source, target = world.box(change.source), world.box(change.target)
    if source is None or target is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    found = [Uid(uid) for uid in sorted(set(change.uids) & set(source.held))]
    letters = [source.held[uid] for uid in found]
    octets, count = sum([each.size for each in letters]), len(letters)
    within = change.move and source.owner is target.owner
    same_domain = change.move and source.owner.domain == target.owner.domain
    own, domain = target.owner, target.owner.domain
    if not within and not (
        world.fits_account(own, octets, count) and (same_domain or world.fits_domain(domain, octets, count))
    ):
        return Refused(Reason.OVER_QUOTA)
    made = world.arrive(target, world.at_home(letters, source.owner, target.owner))
    if change.move:
        world.leave(source, found, Why.MOVED)
    return Filed(target.validity, made, tuple(found))


def set_flags(world: World, change: SetFlags) -> FlagsSet | Refused:
    """STORE."""
    box = world.box(change.mailbox)
    if box is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    found = sorted(set(change.uids) & set(box.held))
    since = float("inf") if change.unchanged_since is None else change.unchanged_since
    modified = tuple([Uid(uid) for uid in found if box.modseq(box.held[uid].tick) > since])
    tick = world.tick()
    for uid in found:
        held = box.held[uid]
        after = replace(
            held,
            flags=_bits(held.flags, change.how, int(change.flags)),
            keywords=_changed(held.keywords, change.how, change.keywords),
        )
        if uid not in modified and after != held:
            box.held[uid] = replace(after, tick=tick)
    return FlagsSet(ModSeq(0), modified)


def expunge(world: World, change: Expunge) -> Expunged | Refused:
    """EXPUNGE, and POP3's QUIT."""
    box = world.box(change.mailbox)
    if box is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    named = box.held if change.uids is None else set(change.uids) & set(box.held)
    going = [Uid(uid) for uid in sorted(named) if not change.deleted_only or box.held[uid].flags & Flag.DELETED]
    world.leave(box, going)
    return Expunged(ModSeq(0), tuple(going))


def take_recent(world: World, change: TakeRecent) -> Recent | Refused:
    """SELECT claims what nobody was told of."""
    box = world.box(change.mailbox)
    if box is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    if not box.recent:
        return Recent(Uid(box.uid_next))
    first, box.first_recent = box.first_recent, box.uid_next
    return Recent(Uid(first))


def bring_back(world: World, change: BringBack) -> Filed | Refused:
    """`postroom undelete` of letters."""
    target = world.box(change.target)
    if target is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    grave = next((box for box in world.boxes if box.id == change.mailbox), None)
    buried = [] if grave is None else grave.buried()
    uids = [uid for uid in buried if change.uids is None or uid in change.uids]
    if grave is None or not uids:
        return Refused(Reason.NOTHING_THERE)
    if not world.fits(target.owner, sum([grave.gone[uid].held.size for uid in uids]), len(uids)):
        return Refused(Reason.OVER_QUOTA)
    return Filed(target.validity, world.rise(grave, uids, target), tuple(map(Uid, uids)))


def sweep(world: World, change: Sweep) -> Swept:
    """Everything that is gone is past its time (the model has no clock)."""
    dead = {each.held.letter for box in world.boxes for each in box.gone.values()}
    entries = sum([len(box.gone) for box in world.boxes])
    for box in world.boxes:
        box.gone.clear()
    world.boxes = [box for box in world.boxes if box.deleted is None]
    dead -= {each.letter for box in world.boxes for each in box.held.values()}
    world.forgotten |= dead
    return Swept(entries, len(dead), sum([len(world.letters[number]) for number in dead]))


def _bits(before: int, how: How, flags: int) -> int:
    return {How.SET: flags, How.ADD: before | flags, How.REMOVE: before & ~flags}[how]


def _changed(before: tuple[str, ...], how: How, keywords: Iterable[str]) -> tuple[str, ...]:
    """Compared without regard to case; the spelling that came first stays."""
    old = {each.upper(): each for each in before}
    named: dict[str, str] = {}
    for each in keywords:
        named.setdefault(each.upper(), each)
    after = {
        How.SET: {name: old.get(name, spelling) for name, spelling in named.items()},
        How.ADD: named | old,
        How.REMOVE: {name: spelling for name, spelling in old.items() if name not in named},
    }[how]
    return tuple(sorted(after.values()))
