"""What may be asked of a store whose state the model knows: drawn by dice, mostly of what is there."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.changes import (
    AddAccount,
    AddAlias,
    BringBack,
    BringBackMailbox,
    Change,
    Copy,
    CreateMailbox,
    DeleteMailbox,
    Expunge,
    How,
    LimitAccount,
    LimitDomain,
    RemoveAccount,
    RemoveAlias,
    RenameMailbox,
    SetFlags,
    Subscribe,
    Sweep,
    SwitchAccount,
    TakeRecent,
    Target,
)
from postroom.store.values import INBOX, AccountId, Flag, MailboxId, ModSeq, SpecialUse, Uid
from tests.store.model import Box, Sent, Wish, World

__all__ = ["Dice", "a_common_wish", "a_letter", "a_wish"]

T = TypeVar("T")

ADDRESSES: Final = ("alice@example.test", "bob@example.test", "carol@example.org")
NAMES: Final = (INBOX, "Sent", "Junk", "Work", "Work/A", "Work/A/x", "Play", "Play/A", "\u00c4pfel")
KEYWORDS: Final = ("a", "B", "b", "$c", "$C")
IDS: Final = tuple(f"<{number}@example.test>" for number in range(12))
NOBODY, NOWHERE = AccountId(10**9), MailboxId(10**9)
FAR: Final = 2**40
"""Seconds since 1970: nothing is younger."""


class Dice(random.Random):
    """Throws about a world."""

    def __init__(self, world: World, seed: int) -> None:
        super().__init__(seed)
        self.world = world

    def of(self, things: Sequence[T], otherwise: T) -> T:
        """One of them, mostly."""
        return self.choice(things) if things and self.random() < 0.95 else otherwise

    def box(self) -> Box | None:
        """A mailbox that is there, and rather one with letters."""
        boxes = [box for box in self.world.boxes if box.deleted is None and box.id is not None]
        full = [box for box in boxes if box.held]
        return self.choice(full if full and self.random() < 0.7 else boxes) if boxes else None

    def mailbox(self) -> MailboxId:
        """The number of one, or of one that was deleted, or of none."""
        box = self.box()
        if box is None or box.id is None or self.random() < 0.03:
            return self.grave()
        return box.id

    def grave(self) -> MailboxId:
        """A mailbox that letters have gone from."""
        return self.of([box.id for box in self.world.boxes if box.id is not None and box.gone], NOWHERE)

    def deleted(self) -> MailboxId:
        """One that is gone itself."""
        return self.of([box.id for box in self.world.boxes if box.id and box.deleted is not None], NOWHERE)

    def account(self) -> AccountId:
        """One that is there, or none."""
        return self.of([each.id for each in self.world.people.values() if each.id is not None], NOBODY)

    def uids(self, mailbox: MailboxId) -> tuple[Uid, ...]:
        """Some, of letters that are there, that were, and that never were."""
        box = self.world.box(mailbox)
        share = self.choice((0.2, 0.6, 1.0))
        return tuple([Uid(uid) for uid in range(1, (box.uid_next if box else 3) + 2) if self.random() < share])

    def flags(self) -> Flag:
        """Any."""
        return Flag(self.randrange(32))

    def keywords(self) -> tuple[str, ...]:
        """Mostly none."""
        return tuple([each for each in KEYWORDS if self.random() < 0.15])

    def by(self) -> str:
        """Whose session it is."""
        return self.choice(("", "alice@example.test imap-1"))

    def limit(self) -> int | None:
        """Mostly no limit."""
        return self.choice((None, None, 0, 3, 8, 400, 1500))


def a_letter(dice: Dice, filling: int = 0) -> Sent:
    """A letter into one or more mailboxes."""
    own, *known = dice.sample(IDS, 3)
    # What was sent before has the same octets and ids now and then: two letters all the same.
    number = dice.randrange(10**6)
    header = f"Subject: {number}\r\n"
    ids: tuple[str, ...] = ()
    if dice.random() < 0.8:
        header, ids = f"{header}Message-ID: {own}\r\n", (own,)
    if dice.random() < 0.5:
        header, ids = f"{header}References: {' '.join(known)}\r\n", (*ids, *known)
    targets = [
        Target(
            dice.mailbox(), b"P: %d\r\n" % dice.randrange(10 ** dice.randrange(1, 6)), dice.flags(), dice.keywords()
        )
        for _ in range(dice.choice((1, 1, 1, 2, 3)))
    ]
    octets = header.encode() + b"\r\n" + b"x" * (filling or dice.randrange(100))
    return Sent(octets, tuple(targets), ids, dice.randrange(10**9), dice.choice((0, 60, -480)))


def _a_large_letter(dice: Dice) -> Sent:
    """One that lies in a segment of its own."""
    return a_letter(dice, BLOB_IN_MEMORY + 1)


def _copy(dice: Dice) -> Change:
    source = dice.mailbox()
    return Copy(source, dice.uids(source), dice.mailbox(), dice.random() < 0.5, dice.by())


def _set_flags(dice: Dice) -> Change:
    mailbox, since = dice.mailbox(), None
    box = dice.world.box(mailbox)
    if box is not None and dice.random() < 0.3:
        since = ModSeq(dice.choice([0, box.highest, *box.modseqs.values()]))
    how = dice.choice(list(How))
    return SetFlags(mailbox, dice.uids(mailbox), how, dice.flags(), dice.keywords(), since, dice.by())


def _expunge(dice: Dice) -> Change:
    mailbox = dice.mailbox()
    uids = None if dice.random() < 0.3 else dice.uids(mailbox)
    return Expunge(mailbox, uids, dice.random() < 0.7, dice.by())


def _bring_back(dice: Dice) -> Change:
    grave = dice.grave()
    return BringBack(grave, None if dice.random() < 0.3 else dice.uids(grave), dice.mailbox(), dice.by())


def _bring_back_mailbox(dice: Dice) -> Change:
    name = dice.choice(NAMES)
    return BringBackMailbox(dice.deleted(), dice.account(), name, dice.by(), dice.random() < 0.4)


def _create(dice: Dice) -> Change:
    use = dice.choice((None, None, SpecialUse.JUNK, SpecialUse.ARCHIVE))
    return CreateMailbox(dice.account(), dice.choice(NAMES), use)


def _add_alias(dice: Dice) -> Change:
    return AddAlias(dice.choice(("info", "post")), tuple(dice.sample(ADDRESSES, dice.randint(1, 2))))


_KINDS: Final[tuple[tuple[int, Callable[[Dice], Wish]], ...]] = (
    (20, a_letter),
    (14, _set_flags),
    (12, _copy),
    (10, _expunge),
    (4, lambda dice: TakeRecent(dice.mailbox())),
    (5, _create),
    (5, lambda dice: DeleteMailbox(dice.account(), dice.choice(NAMES), dice.by())),
    (6, lambda dice: RenameMailbox(dice.account(), dice.choice(NAMES), dice.choice(NAMES), dice.by())),
    (4, lambda dice: Subscribe(dice.account(), dice.choice(NAMES), dice.random() < 0.6)),
    (5, _bring_back),
    (4, _bring_back_mailbox),
    (2, lambda dice: LimitAccount(dice.choice(ADDRESSES), dice.limit(), dice.limit())),
    (2, lambda dice: LimitDomain(dice.choice(("example.test", "example.org")), dice.limit(), dice.limit())),
    (3, lambda dice: AddAccount(dice.choice(ADDRESSES))),
    (1, lambda dice: RemoveAccount(dice.choice(ADDRESSES), dice.by())),
    (1, lambda dice: SwitchAccount(dice.choice(ADDRESSES), dice.random() < 0.5)),
    (2, _add_alias),
    (1, lambda dice: RemoveAlias(dice.choice(("info", "post")))),
    (1, lambda dice: Sweep(FAR, 10**6)),
)
"""How often each comes, and what draws it."""


_LARGE: Final = 0.03
"""How often a letter is large: it costs much more, and has no more to show."""


def a_common_wish(dice: Dice) -> Wish:
    """Anything that can come together with others."""
    (kind,) = dice.choices([kind for _, kind in _KINDS], [often for often, _ in _KINDS])
    return kind(dice)


def a_wish(dice: Dice) -> Wish:
    """Anything."""
    return _a_large_letter(dice) if dice.random() < _LARGE else a_common_wish(dice)
