"""What the rest of the program may ask of the store, whatever engine lies behind.

The promise: when `deliver` or `commit` returns, what it changed is on stable storage and survives kill -9 and a
power cut (docs/design.md, "The store"). Nothing else is promised, and a raised `StoreFault` means that the change
must be taken as not made. Everything is async, so that an engine over a network fits; the SQLite engine's reads
answer without suspending. No read holds a transaction open across a call: a caller reads a mailbox in slices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from postroom.message.octets import Octets
from postroom.message.structure import Facts
from postroom.store.changes import Answer, Change, Filed, Refused, Target
from postroom.store.columns import Columns
from postroom.store.drops import Drops
from postroom.store.graves import Buried, Grave, Known, Sought
from postroom.store.search.clues import Candidates, Clue
from postroom.store.values import (
    Account,
    AccountId,
    Alias,
    Changes,
    Entry,
    Happening,
    Letter,
    Mailbox,
    MailboxId,
    MessageId,
    ModSeq,
    Quota,
    RefusedLetter,
    Span,
    Status,
    Uid,
)

__all__ = ["Blob", "Delivery", "StorageFull", "Store", "StoreBusy", "StoreFault", "TooManyChanges", "Unreadable"]


class StoreFault(Exception):
    """The store could not keep its promise; nothing of the change counts. Worth another try later."""


class StorageFull(StoreFault):
    """No room: ENOSPC, EDQUOT or EFBIG."""


class StoreBusy(StoreFault):
    """Somebody else held the index for as long as may be waited."""


class Unreadable(Exception):
    """A letter's octets are gone (expunged and compacted) or don't match their checksum."""


class TooManyChanges(Exception):
    """More changed than is worth reading at once: who asked reads the mailbox anew, in slices."""


class Blob(Protocol):
    """A letter on its way in. Small ones wait in memory for the group commit; one that grows past a threshold goes
    into a segment of its own at once, so that memory stays bounded."""

    size: int
    """Octets written so far."""

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next octets, unchanged. Raises `StorageFull` or `StoreFault`."""

    def contents(self) -> Octets:
        """All octets written, for parsing: the bytes themselves, or a map of the file for a large letter."""

    def discard(self) -> None:
        """Forget it; a second call, or one after the delivery, does nothing."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One letter into one or more mailboxes, whole or not at all."""

    blob: Blob
    facts: Facts
    """What `message.structure.parse` made of the blob's contents."""
    targets: tuple[Target, ...]
    internal_date: int
    """Seconds since 1970 UTC."""
    zone: int = 0
    """Minutes east of UTC."""
    by: str = ""
    """Whose session brings it, for the letter's story."""
    note: str = ""
    """What else its story is to begin with: sender, verdicts. One line."""


class Store(Protocol):
    """Accounts, mailboxes and letters. Any question raises `StoreFault` where the index can't be read."""

    # --- accounts

    async def account(self, address: str) -> Account | None:
        """The account of this name (lower-case address)."""

    async def account_by_short(self, short: str) -> Account | None:
        """The account of this name without a domain (lower case)."""

    async def refused(self, word: str, limit: int) -> list[RefusedLetter]:
        """Letters and recipients that were refused, the newest first; with a `word`, those that have it in any of
        their fields."""

    async def account_by_id(self, account: AccountId) -> Account | None:
        """The account of this number."""

    async def accounts(self) -> list[Account]:
        """All accounts, by address."""

    async def alias(self, name: str) -> Alias | None:
        """The alias of exactly this name; a second try in lower case is the caller's."""

    async def aliases(self) -> list[Alias]:
        """All aliases, by name."""

    async def quota(self, account: AccountId) -> Quota | None:
        """What an account and its domain keep, and what they may; None where it is gone."""

    # --- mailboxes

    async def mailboxes(self, account: AccountId) -> list[Mailbox]:
        """An account's mailboxes, by name, INBOX first."""

    async def mailbox(self, account: AccountId, name: str) -> Mailbox | None:
        """One by its name; "inbox" in any case is INBOX."""

    async def subscriptions(self, account: AccountId) -> list[str]:
        """Names subscribed to, by name; a mailbox of that name need not exist."""

    async def status(self, mailbox: MailboxId) -> Status | None:
        """Its counters; None where it is gone."""

    # --- letters

    async def entries(self, mailbox: MailboxId, after: Uid, limit: int) -> list[Entry]:
        """At most `limit` entries with UIDs above `after`, ascending."""

    async def columns(self, mailbox: MailboxId, after: Uid, limit: int) -> Columns:
        """What the view of a session needs of at most `limit` letters with UIDs above `after`, ascending: less than
        half the time of `entries`."""

    async def changes(self, mailbox: MailboxId, since: ModSeq, most: int | None = None) -> Changes:
        """All that happened after `since`; entries ascend by UID. Who asks after each hint gets little; another
        says of how many letters at the most, gone ones included. Raises `TooManyChanges` for more."""

    async def letters(self, mailbox: MailboxId, uids: Sequence[Uid], *, answers: bool = True) -> list[Letter]:
        """The letters of these UIDs (ascending, at most LETTERS_PER_READ a call) that are there, ascending.
        Without `answers` (two thirds of the time) envelope, body structure and parts are empty."""

    async def drops(self, mailbox: MailboxId, after: Uid, limit: int) -> Drops:
        """What a POP3 session keeps of at most `limit` letters with UIDs above `after`, ascending."""

    async def kept_letters(self, mailbox: MailboxId, uids: Sequence[Uid], *, answers: bool = True) -> list[Letter]:
        """What `letters` gives, also of letters that were taken away from there (expunged, moved, or gone with
        mailbox and account), for as long as they are kept for `undelete`: an hour at the least."""

    async def with_binary(self, mailbox: MailboxId, after: Uid, limit: int) -> tuple[list[Uid], Uid | None]:
        """Which letters may have a part with `Content-Transfer-Encoding: binary`, as their body structures say:
        `limit` letters with UIDs above `after`, ascending, are looked at. And where to go on, None at the end."""

    async def read(self, letter: Letter, start: int, length: int) -> bytes:
        """Octets of prefix + blob from `start` on, fewer at its end. Raises `Unreadable`."""

    async def read_each(self, letters: Sequence[Letter], spans: Sequence[Span]) -> list[bytes | Unreadable]:
        """What `read` gives for each letter (at most LETTERS_PER_READ a call) and its span, or why it can't be
        read: one letter's damage is its own. All of it is in memory at once: no more may be asked for than that.
        Letters that lie one behind the other, as those of a mailbox mostly do, are best asked for in their
        order."""

    async def search_candidates(
        self, account: AccountId, mailbox: MailboxId, clues: Sequence[Clue]
    ) -> Candidates | None:
        """Which letters of an account's mailbox may have the words that are sought; all that could not be ruled out
        are to be held against them. None: nothing is known, and any letter may."""

    async def search_text(self, account: AccountId, message: MessageId) -> str | None:
        """A letter's text, decoded and folded, where the account's indexer has made it; None means: read it and do
        so (`store.search.text`)."""

    async def story(self, message: MessageId) -> list[Happening]:
        """What happened to a letter, oldest first: its arrival, and the latest of what came after."""

    # --- what is gone, and can be brought back

    async def graves(self, address: str | None, after: MailboxId, limit: int) -> list[Grave]:
        """Mailboxes that letters may have gone from, of one account or of all, removed ones too, and those that
        were deleted: at most `limit` with numbers above `after`, ascending."""

    async def buried(self, mailbox: MailboxId, after: Uid, limit: int) -> tuple[list[Buried], Uid | None]:
        """What was expunged from a mailbox, which may itself be deleted, and can be brought back, ascending:
        `limit` entries that are gone, with UIDs above `after`, are looked at. And where to go on, None at the
        end."""

    async def known(self, sought: Sought, after: MessageId, limit: int) -> tuple[list[Known], MessageId | None]:
        """Letters that are sought, expunged ones too while they are kept: `limit` letters, with numbers above
        `after`, are looked at. And where to go on, None at the end."""

    # --- changes

    def blob(self) -> Blob:
        """Begin a letter."""

    async def deliver(self, delivery: Delivery) -> tuple[Filed | Refused, ...]:
        """File a letter; an answer per target, in order. A target whose mailbox is gone is `Refused`, the others
        have it. Where one target's account or domain has no room, nobody has it, and those without room are
        OVER_QUOTA: whoever brought it can't be told "for some". Raises `StoreFault`."""

    async def commit(self, change: Change) -> Answer:
        """Make one change durable (batched with all that came in the same turn). Raises `StoreFault`."""

    # --- events

    def watch(self, mailbox: MailboxId, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` (in the event loop, soon) after each change of a mailbox by anyone in any process; the
        watcher then reads `changes`. Gives back a function that ends the watch."""

    def watch_accounts(self, tell: Callable[[str], None]) -> Callable[[], None]:
        """Call `tell(address)` (in the event loop, soon) when an account was changed, disabled, removed or given a
        new password, by anyone in any process. Gives back a function that ends the watch."""

    async def close(self) -> None:
        """End: what was accepted is committed, files are closed."""
