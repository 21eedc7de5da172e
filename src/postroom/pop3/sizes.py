"""Sizes of letters with binary parts, which one has to read to know: each worker remembers those it has read.

A letter never changes, and its UID is never given to another: what was measured stays true. Of each mailbox it is
known up to which UID its letters have been looked at, so that only new ones are. A letter without a binary part
costs 1.5 microseconds once in a worker's life, and nothing is remembered of it.
"""

from __future__ import annotations

import logging
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field

from postroom.net.limits import POP3_MAILBOXES_KNOWN, POP3_SIZES_KNOWN
from postroom.net.log import event
from postroom.net.turns import Pace
from postroom.pop3.reading import plan
from postroom.store.interface import Store, Unreadable
from postroom.store.values import MailboxId, Uid

logger = logging.getLogger(__name__)

_ROWS = 250
"""Letters looked at at once: less than half a millisecond's work."""


@dataclass(slots=True)
class _Mailbox:
    """What is known of one: all up to `last`, and the letters among them whose size isn't that of their lines."""

    last: Uid
    sizes: dict[Uid, int] = field(default_factory=dict)


class Sizes:
    """Those that one worker knows. At most POP3_MAILBOXES_KNOWN mailboxes are remembered, and POP3_SIZES_KNOWN
    sizes; those that were asked for longest ago are forgotten first."""

    def __init__(self) -> None:
        self._mailboxes: OrderedDict[MailboxId, _Mailbox] = OrderedDict()
        self._count = 0

    async def measure(self, store: Store, mailbox: MailboxId, uids: array[int]) -> dict[int, int]:
        """Sizes of those of the letters `uids` (ascending) of a mailbox that have binary parts which are sent as
        base64, by their indexes. Raises `StoreFault`."""
        known = self._mailboxes.pop(mailbox, None) or _Mailbox(Uid(0))
        self._count -= len(known.sizes)
        found = _Mailbox(known.last, {uid: size for uid, size in known.sizes.items() if _at(uids, uid) >= 0})
        pace = Pace(None)
        for uid in await _new(store, mailbox, found.last, Uid(uids[-1] if uids else 0), pace):
            if _at(uids, uid) >= 0 and (size := await _measured(store, mailbox, uid, pace)) is not None:
                found.sizes[uid] = size
        if uids:
            found.last = max(found.last, Uid(uids[-1]))
        self._remember(mailbox, found)
        return {_at(uids, uid): size for uid, size in found.sizes.items()}

    def _remember(self, mailbox: MailboxId, found: _Mailbox) -> None:
        # Another session may have looked at it meanwhile; what it knows is no less true, and is let go.
        other = self._mailboxes.pop(mailbox, None)
        self._count += len(found.sizes) - (len(other.sizes) if other else 0)
        self._mailboxes[mailbox] = found
        while len(self._mailboxes) > POP3_MAILBOXES_KNOWN or self._count > POP3_SIZES_KNOWN:
            self._count -= len(self._mailboxes.popitem(last=False)[1].sizes)


def _at(uids: array[int], uid: Uid) -> int:
    """The index of a UID, or -1."""
    at = bisect_left(uids, uid)
    return at if at < len(uids) and uids[at] == uid else -1


async def _new(store: Store, mailbox: MailboxId, after: Uid, last: Uid, pace: Pace) -> list[Uid]:
    """Letters with UIDs above `after`, and up to `last`, that may have binary parts."""
    found: list[Uid] = []
    at: Uid | None = after
    while at is not None and at < last:
        some, at = await store.with_binary(mailbox, at, _ROWS)
        found += some
        await pace.breathe()
    return found[: bisect_right(found, last)]


async def _measured(store: Store, mailbox: MailboxId, uid: Uid, pace: Pace) -> int | None:
    """The size of a letter that has parts to be sent as base64; None for another."""
    for letter in await store.kept_letters(mailbox, [uid]):
        try:
            made = await plan(store, letter, pace)
        except Unreadable as fault:
            # RETR will say so too.
            event(logger, logging.ERROR, "pop3.unreadable", letter=letter.email_id, reason=fault)
            continue
        if made.edits:
            return made.size
    return None
