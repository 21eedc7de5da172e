"""What a worker keeps of the mailboxes that were selected: the next SELECT costs what changed since, not what is
there.

A view that is kept is brought up to date with each SELECT, and a session gets a copy, which takes no time and,
until one of the two changes, no memory. A session that leaves gives back what it knows, where that is newer. Where
too much has changed, or the store may have forgotten some of it, the mailbox is read anew, in slices between which
the others have their turn.

Whoever waits here works on what it holds, and takes a change twice or late without harm (`View.apply`), so that any
number of sessions may select the same mailbox at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from postroom.imap.view import View
from postroom.net.limits import (
    IMAP_CHANGES_AT_SELECT,
    IMAP_ENTRIES_PER_READ,
    IMAP_VIEWS_LETTERS,
    IMAP_VIEWS_OCTETS,
)
from postroom.store.interface import Store, TooManyChanges
from postroom.store.values import MailboxId, Status, Uid, UidValidity


@dataclass(frozen=True, slots=True)
class _Kept:
    uid_validity: UidValidity
    view: View
    octets: int


class Views:
    """The views that one worker keeps, the latest used last: no more of them than `octets` allow, and none of fewer
    letters than `letters`."""

    def __init__(self, octets: int = IMAP_VIEWS_OCTETS, letters: int = IMAP_VIEWS_LETTERS) -> None:
        self._most = octets
        self._fewest = letters
        self._kept = OrderedDict[MailboxId, _Kept]()
        self.octets = 0
        """What is kept, about."""

    async def open(
        self,
        store: Store,
        mailbox: MailboxId,
        status: Status,
        *,
        read_only: bool,
        breathe: Callable[[], Awaitable[None]],
    ) -> View:
        """A session's view of a mailbox as it is, or was a moment ago: nothing that happened since its `modseq` is
        lacking in the changes. `status` was read before; `breathe` is awaited between slices, and what it raises
        ends this. Raises `StoreFault`."""
        view = await self._up_to_date(store, mailbox, status)
        if view is not None:
            return view.copy(read_only=read_only)
        view = View(status.highest_modseq, read_only=read_only)
        last = Uid(0)
        while True:
            letters = await store.columns(mailbox, last, IMAP_ENTRIES_PER_READ)
            view.fill(letters)
            if len(letters.uids) < IMAP_ENTRIES_PER_READ:
                break
            last = Uid(letters.uids[-1])
            await breathe()
        self.keep(mailbox, status.uid_validity, view)
        return view

    async def _up_to_date(self, store: Store, mailbox: MailboxId, status: Status) -> View | None:
        """The view that is kept, after what changed; None where all must be read."""
        kept = self._kept.get(mailbox)
        if kept is None:
            return None
        view, since = kept.view, kept.view.modseq
        if kept.uid_validity != status.uid_validity or status.forgotten > since:
            self._forget(mailbox)
            return None
        if status.highest_modseq > since:
            try:
                changes = await store.changes(mailbox, since, IMAP_CHANGES_AT_SELECT)
            except TooManyChanges:
                self._forget(mailbox)
                return None
            # Asked behind the changes: what was forgotten in the meantime may lack in them.
            after = await store.status(mailbox)
            if after is None or after.forgotten > since:
                self._forget(mailbox)
                return None
            view.apply(changes)
            view.settle()
        self.keep(mailbox, kept.uid_validity, view)
        return view

    def keep(self, mailbox: MailboxId, uid_validity: UidValidity, view: View) -> None:
        """Keep what a session's view knows for the next one, where nothing newer is kept; or forget a mailbox that
        is gone. The session may go on with its view."""
        kept = self._kept.get(mailbox)
        if view.lost:
            self._forget(mailbox)
        elif kept is not None and kept.uid_validity == uid_validity and kept.view.modseq >= view.modseq:
            self._put(mailbox, uid_validity, kept.view)
        elif len(view) >= self._fewest:
            self._put(mailbox, uid_validity, view.copy())

    def _put(self, mailbox: MailboxId, uid_validity: UidValidity, view: View) -> None:
        self._forget(mailbox)
        octets = view.octets
        if len(view) < self._fewest or octets > self._most:
            return
        self._kept[mailbox] = _Kept(uid_validity, view, octets)
        self.octets += octets
        while self.octets > self._most:
            self._forget(next(iter(self._kept)))

    def _forget(self, mailbox: MailboxId) -> None:
        kept = self._kept.pop(mailbox, None)
        if kept is not None:
            self.octets -= kept.octets
