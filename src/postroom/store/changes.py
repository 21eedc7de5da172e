"""Each change that can be asked of the index, and what it answers.

Pure values like those of `store.values`. Each change is applied whole or refused whole; a commit of several is one
transaction, but one that is refused does not stop the others.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from postroom.store.values import (
    NO_FLAGS,
    Account,
    AccountId,
    Flag,
    Mailbox,
    MailboxId,
    MessageId,
    ModSeq,
    RefusedLetter,
    SpecialUse,
    Uid,
    UidValidity,
)


class Reason(enum.Enum):
    """Why the index refused a change."""

    NO_SUCH_MAILBOX = "no such mailbox"
    MAILBOX_EXISTS = "mailbox already exists"
    HAS_CHILDREN = "mailbox has inferior mailboxes"
    NOT_FOR_INBOX = "that can't be done to INBOX"
    BAD_NAME = "that is no name for a mailbox"
    NO_SUCH_ACCOUNT = "no such account"
    ACCOUNT_EXISTS = "account already exists"
    NO_SUCH_ALIAS = "no such alias"
    TOO_MANY = "too many"
    BAD_ADDRESS = "that is no name for an account"
    OVER_QUOTA = "no room is left in the quota"
    TOGETHER = "another recipient has no room in the quota"
    NAME_TAKEN = "another account has that name"
    NOTHING_THERE = "nothing of that is there any more"


@dataclass(frozen=True, slots=True)
class Refused:
    """The index's answer to a change that can't be: nothing of it was done."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Target:
    """One mailbox that a letter goes into, and what is its own there."""

    mailbox: MailboxId
    prefix: bytes = b""
    flags: Flag = NO_FLAGS
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filed:
    """Where a letter (or its copies, in order) now is. `uids[i]` belongs to the i-th letter asked for."""

    uid_validity: UidValidity
    uids: tuple[Uid, ...]
    sources: tuple[Uid, ...] = ()
    """COPY and MOVE: the UIDs that were found in the source, in the order of `uids`."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy entries to the end of a mailbox, keeping flags, keywords and internal date; `move` takes them away
    from the source in the same transaction. UIDs that aren't there (any more) are passed over.
    Answered by `Filed`."""

    source: MailboxId
    uids: tuple[Uid, ...]
    target: MailboxId
    move: bool = False
    by: str = ""
    """Whose session asks, for the letters' stories; as in the changes below."""


class How(enum.Enum):
    """How the named flags meet those that an entry has."""

    SET = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"


@dataclass(frozen=True, slots=True)
class SetFlags:
    """Change flags and keywords of entries. Entries whose modseq is above `unchanged_since` are left alone and
    named in the answer. An entry that already is as asked keeps its modseq. Answered by `FlagsSet`."""

    mailbox: MailboxId
    uids: tuple[Uid, ...]
    how: How
    flags: Flag
    keywords: tuple[str, ...] = ()
    unchanged_since: ModSeq | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class FlagsSet:
    """After `SetFlags`: the mailbox's highest modseq, and the UIDs that had been modified meanwhile."""

    modseq: ModSeq
    modified: tuple[Uid, ...] = ()


@dataclass(frozen=True, slots=True)
class Expunge:
    """Take entries away for good, leaving a tombstone each. With `deleted_only` just those that carry \\Deleted.
    `uids` None means all. Answered by `Expunged`."""

    mailbox: MailboxId
    uids: tuple[Uid, ...] | None
    deleted_only: bool = True
    by: str = ""


@dataclass(frozen=True, slots=True)
class Expunged:
    """After `Expunge`: the mailbox's highest modseq and the UIDs that went, ascending."""

    modseq: ModSeq
    uids: tuple[Uid, ...]


@dataclass(frozen=True, slots=True)
class BringBack:
    """Bring expunged letters back: those of a mailbox (that may itself be deleted) with these UIDs, None for all
    that were expunged and not moved or brought back, get new entries at the end of `target`. Answered by `Filed`;
    by `Refused` (NOTHING_THERE) where none of them can be."""

    mailbox: MailboxId
    uids: tuple[Uid, ...] | None
    target: MailboxId
    by: str = ""


@dataclass(frozen=True, slots=True)
class BringBackMailbox:
    """Make a deleted mailbox anew, under its own name or another, for an account, with the letters that were in it
    when it was deleted; it is a new one to clients (RFC 9051 2.3.1.1). With `join` they come into the mailbox that
    has the name, where there is one. Answered by `Mailbox`; by `Refused` (NOTHING_THERE) where it was brought back
    before."""

    mailbox: MailboxId
    account: AccountId
    name: str
    by: str = ""
    join: bool = False


@dataclass(frozen=True, slots=True)
class CreateMailbox:
    """Make a mailbox and the missing levels above it (RFC 9051 6.3.4). Answered by `Mailbox`."""

    account: AccountId
    name: str
    special_use: SpecialUse | None = None


@dataclass(frozen=True, slots=True)
class DeleteMailbox:
    """Take a mailbox with its letters away; refused for INBOX and where it has inferiors. Answered by `Done`."""

    account: AccountId
    name: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class RenameMailbox:
    """Rename a mailbox and its inferiors; INBOX is emptied into a new one instead (RFC 9051 6.3.6).
    Answered by `Done`."""

    account: AccountId
    name: str
    new: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Put a name on the account's list of subscriptions, or take it off. Answered by `Done`."""

    account: AccountId
    name: str
    on: bool = True


@dataclass(frozen=True, slots=True)
class TakeRecent:
    """Claim the letters that are \\Recent for one session (RFC 3501 2.3.2). Answered by `Recent`."""

    mailbox: MailboxId


@dataclass(frozen=True, slots=True)
class Recent:
    """After `TakeRecent`: letters with a UID from `first` on are recent to the session that asked."""

    first: Uid


@dataclass(frozen=True, slots=True)
class AddAccount:
    """A new account with its first mailboxes. Answered by `Account`."""

    address: str
    admin: bool = False
    fxp: bool = False
    files: str | None = None


@dataclass(frozen=True, slots=True)
class SwitchAccount:
    """Disable or enable an account. Answered by `Done`."""

    address: str
    disabled: bool


@dataclass(frozen=True, slots=True)
class RemoveAccount:
    """Take an account, its mailboxes and entries away. Answered by `Done`."""

    address: str
    by: str = ""


AS_IT_IS: Final = -1
"""A limit that is not to be changed."""


@dataclass(frozen=True, slots=True)
class LimitAccount:
    """Set what an account may keep; None is the site's default, 0 no limit, AS_IT_IS no change. Answered by
    `Done`."""

    address: str
    octets: int | None
    letters: int | None


@dataclass(frozen=True, slots=True)
class LimitDomain:
    """The same for all accounts of a domain together. Answered by `Done`."""

    domain: str
    octets: int | None
    letters: int | None


@dataclass(frozen=True, slots=True)
class ArrangeAccount:
    """Set what an account has chosen, all of it. `short` is a lower-case name without a domain, and no other
    account's (`Reason.NAME_TAKEN`). Answered by `Done`."""

    address: str
    short: str | None
    tags: bool
    hourly: int | None
    daily: int | None


@dataclass(frozen=True, slots=True)
class NoteRefused:
    """Keep what was refused, and no more than REFUSALS_KEPT in all. Answered by `Done`."""

    refused: tuple[RefusedLetter, ...]


@dataclass(frozen=True, slots=True)
class TellAccount:
    """An account's secrets changed elsewhere: those who watch accounts are to hear of it. Answered by `Done`."""

    address: str


@dataclass(frozen=True, slots=True)
class AddAlias:
    """Let `name` stand for further targets. Answered by `Done`."""

    name: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveAlias:
    """Take an alias away. Answered by `Done`."""

    name: str


@dataclass(frozen=True, slots=True)
class Done:
    """A change that has nothing more to tell."""


# --- upkeep: changes that nobody sees but by the room they win


@dataclass(frozen=True, slots=True)
class Sweep:
    """Forget what was expunged, moved or deleted at or before a time (seconds since 1970 UTC): at most `limit` such
    entries, the oldest first, and the letters that nothing holds any more. Answered by `Swept`."""

    before: int
    limit: int


@dataclass(frozen=True, slots=True)
class DropLetters:
    """Forget those of these letters that nothing holds. Answered by `Swept`."""

    messages: tuple[MessageId, ...]


@dataclass(frozen=True, slots=True)
class Swept:
    """What was forgotten: expunged entries, letters, and the letters' octets, which compaction may now win."""

    entries: int = 0
    letters: int = 0
    octets: int = 0

    def __add__(self, other: Swept) -> Swept:
        return Swept(self.entries + other.entries, self.letters + other.letters, self.octets + other.octets)


@dataclass(frozen=True, slots=True)
class MoveLetters:
    """Letters' records have been copied to another segment, which has `end` octets now: look for them there. Those
    that aren't where they were copied from are passed over. Answered by `Moved`."""

    source: int
    target: int
    end: int
    moves: tuple[tuple[MessageId, int, int], ...]
    """The letter, its payload's offset in the source, and in the target."""


@dataclass(frozen=True, slots=True)
class Moved:
    """After `MoveLetters`."""

    letters: int
    octets: int


@dataclass(frozen=True, slots=True)
class RetireSegments:
    """Those of these segments that no letter lies in are to be taken away after a while. Answered by `Done`."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ForgetSegments:
    """The files of these retired segments are gone. The highest number stays known, and so is never given again.
    Answered by `Done`."""

    numbers: tuple[int, ...]


Change = (
    Copy
    | SetFlags
    | Expunge
    | BringBack
    | BringBackMailbox
    | CreateMailbox
    | DeleteMailbox
    | RenameMailbox
    | Subscribe
    | TakeRecent
    | AddAccount
    | SwitchAccount
    | RemoveAccount
    | LimitAccount
    | LimitDomain
    | ArrangeAccount
    | NoteRefused
    | TellAccount
    | AddAlias
    | RemoveAlias
    | Sweep
    | DropLetters
    | MoveLetters
    | RetireSegments
    | ForgetSegments
)
Answer = Filed | FlagsSet | Expunged | Mailbox | Recent | Account | Done | Swept | Moved | Refused
