"""What changes make of the model: those of mailboxes and accounts, and the way to all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from postroom.store.changes import (
    AddAccount,
    AddAlias,
    Answer,
    BringBack,
    BringBackMailbox,
    Copy,
    CreateMailbox,
    DeleteMailbox,
    Done,
    Expunge,
    Expunged,
    Filed,
    FlagsSet,
    LimitAccount,
    LimitDomain,
    Reason,
    Refused,
    RemoveAccount,
    RemoveAlias,
    RenameMailbox,
    SetFlags,
    Subscribe,
    Sweep,
    SwitchAccount,
    TakeRecent,
)
from postroom.store.values import (
    FIRST_MAILBOXES,
    INBOX,
    SEPARATOR,
    Account,
    AccountId,
    Mailbox,
    MailboxId,
    UidValidity,
)
from tests.store import modelletters
from tests.store.model import Box, Person, Sent, Why, Wish, World

__all__ = ["Expected", "agrees", "apply"]

Expected = Answer | tuple[Filed | Refused, ...]


def apply(world: World, wish: Wish) -> Expected:
    """Do it; gives the answer that a store must have for it, as far as it is known before (see `agrees`)."""
    return _DO[type(wish)](world, wish)


def agrees(answer: object, expected: Expected) -> bool:
    """Whether a store's answer is the model's, but for numbers that nobody can know before."""
    match answer, expected:
        case FlagsSet(), FlagsSet():
            return answer.modified == expected.modified
        case Expunged(), Expunged():
            return answer.uids == expected.uids
        case Mailbox(), Mailbox():
            return (answer.name, answer.special_use) == (expected.name, expected.special_use)
        case Account(), Account():
            return answer.address == expected.address
    return answer == expected


def create(world: World, change: CreateMailbox) -> Mailbox | Refused:
    """CREATE."""
    person = world.person(change.account)
    if person is None:
        return Refused(Reason.NO_SUCH_ACCOUNT)
    if change.name in world.boxes_of(person):
        return Refused(Reason.MAILBOX_EXISTS)
    return _as_mailbox(world.make(person, change.name, change.special_use))


def delete(world: World, change: DeleteMailbox) -> Done | Refused:
    """DELETE."""
    boxes = world.boxes_of(world.person(change.account))
    if change.name == INBOX:
        return Refused(Reason.NOT_FOR_INBOX)
    if change.name not in boxes:
        return Refused(Reason.NO_SUCH_MAILBOX)
    if any(name.startswith(change.name + SEPARATOR) for name in boxes):
        return Refused(Reason.HAS_CHILDREN)
    world.bury(boxes[change.name])
    return Done()


def rename(world: World, change: RenameMailbox) -> Done | Refused:
    """RENAME."""
    name, new = change.name, change.new
    person = world.person(change.account)
    boxes = world.boxes_of(person)
    if name not in boxes:
        return Refused(Reason.NO_SUCH_MAILBOX)
    if new in boxes:
        return Refused(Reason.MAILBOX_EXISTS)
    assert person is not None
    if name == INBOX:
        letters, inbox = list(boxes[name].held.values()), boxes[name]
        world.arrive(world.make(person, new), letters)
        world.leave(inbox, list(inbox.held), Why.MOVED)
        return Done()
    if new.startswith(name + SEPARATOR):
        return Refused(Reason.BAD_NAME)
    moved = {each: new + each[len(name) :] for each in boxes if (each + SEPARATOR).startswith(name + SEPARATOR)}
    if any(each in boxes for each in moved.values()):
        return Refused(Reason.MAILBOX_EXISTS)
    # The levels above the new name are made while the old names are still taken.
    world.make_above(person, new)
    for old, each in moved.items():
        boxes[old].name = each
    return Done()


def subscribe(world: World, change: Subscribe) -> Done | Refused:
    """SUBSCRIBE and UNSUBSCRIBE."""
    person = world.person(change.account)
    if person is None:
        return Refused(Reason.NO_SUCH_ACCOUNT) if change.on else Done()
    if change.on:
        person.subscriptions.add(change.name)
    else:
        person.subscriptions.discard(change.name)
    return Done()


def bring_back_mailbox(world: World, change: BringBackMailbox) -> Mailbox | Refused:
    """`postroom undelete` of a mailbox."""
    grave = next((box for box in world.boxes if box.id == change.mailbox), None)
    if grave is None or grave.deleted is None or grave.restored:
        return Refused(Reason.NOTHING_THERE)
    person = world.person(change.account)
    uids = [uid for uid in grave.buried() if grave.gone[uid].tick == grave.deleted]
    octets = sum([grave.gone[uid].held.size for uid in uids])
    if person is not None and not world.fits(person, octets, len(uids)):
        return Refused(Reason.OVER_QUOTA)
    boxes = world.boxes_of(person)
    target = boxes.get(change.name) if change.join else None
    if target is None:
        if person is None:
            return Refused(Reason.NO_SUCH_ACCOUNT)
        if change.name in boxes:
            return Refused(Reason.MAILBOX_EXISTS)
        taken = grave.use in [box.use for box in boxes.values()]
        target = world.make(person, change.name, None if taken else grave.use)
    world.rise(grave, uids, target)
    grave.restored = True
    return _as_mailbox(target)


def add_account(world: World, change: AddAccount) -> Account | Refused:
    """With its first mailboxes."""
    if change.address in world.people:
        return Refused(Reason.ACCOUNT_EXISTS)
    person = world.people[change.address] = Person(change.address)
    for name, use in FIRST_MAILBOXES:
        world.make(person, name, use)
        person.subscriptions.add(name)
    return Account(AccountId(0), change.address)


def remove_account(world: World, change: RemoveAccount) -> Done | Refused:
    """With its mailboxes, which can be brought back for another."""
    person = world.people.pop(change.address, None)
    if person is None:
        return Refused(Reason.NO_SUCH_ACCOUNT)
    for box in world.boxes_of(person).values():
        world.bury(box)
    return Done()


def change_account(world: World, change: SwitchAccount | LimitAccount) -> Done | Refused:
    """Disabled, or limited."""
    person = world.people.get(change.address)
    if person is None:
        return Refused(Reason.NO_SUCH_ACCOUNT)
    if isinstance(change, SwitchAccount):
        person.disabled = change.disabled
    else:
        person.limits = change.octets, change.letters
    return Done()


def limit_domain(world: World, change: LimitDomain) -> Done:
    """Also one that has no accounts."""
    world.domains[change.domain] = change.octets, change.letters
    return Done()


def add_alias(world: World, change: AddAlias) -> Done:
    """Further targets behind those that are there."""
    targets = world.aliases.setdefault(change.name, [])
    targets += [each for each in dict.fromkeys(change.targets) if each not in targets]
    return Done()


def remove_alias(world: World, change: RemoveAlias) -> Done | Refused:
    """With all its targets."""
    return Refused(Reason.NO_SUCH_ALIAS) if world.aliases.pop(change.name, None) is None else Done()


def _as_mailbox(box: Box) -> Mailbox:
    return Mailbox(MailboxId(0), AccountId(0), box.name, UidValidity(0), box.use, "")


_DO: Final[dict[type[Any], Callable[[World, Any], Expected]]] = {
    Sent: modelletters.deliver,
    Copy: modelletters.copy,
    SetFlags: modelletters.set_flags,
    Expunge: modelletters.expunge,
    TakeRecent: modelletters.take_recent,
    BringBack: modelletters.bring_back,
    Sweep: modelletters.sweep,
    CreateMailbox: create,
    DeleteMailbox: delete,
    RenameMailbox: rename,
    Subscribe: subscribe,
    BringBackMailbox: bring_back_mailbox,
    AddAccount: add_account,
    RemoveAccount: remove_account,
    SwitchAccount: change_account,
    LimitAccount: change_account,
    LimitDomain: limit_domain,
    AddAlias: add_alias,
    RemoveAlias: remove_alias,
}
