"""The store's words: what a letter, a mailbox, an entry is, and each change that can be asked of the index.

Pure values, shared by every engine, by the servers and by the command line; this module imports no I/O.
Rows that are read by the ten thousand (`Entry`, `Letter`) are named tuples, which SQLite's rows become without a
copy; everything else is a frozen dataclass.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, NewType

AccountId = NewType("AccountId", int)
MailboxId = NewType("MailboxId", int)
MessageId = NewType("MessageId", int)
"""Row number of a stored letter; the header field of that name is `message_id` bytes elsewhere."""
Uid = NewType("Uid", int)
ModSeq = NewType("ModSeq", int)
UidValidity = NewType("UidValidity", int)

INBOX = "INBOX"
SEPARATOR = "/"
"""Between the levels of a mailbox's name, in the store and on the wire."""
MAX_PREFIX = 4096
"""Octets of header that one recipient's entry may put before the shared letter."""


class Flag(enum.IntFlag):
    """The system flags that a client may set (RFC 9051 2.3.2); \\Recent is a session's, keywords are strings."""

    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16


NO_FLAGS = Flag(0)


class SpecialUse(enum.StrEnum):
    """What a mailbox is for (RFC 6154 2)."""

    DRAFTS = "\\Drafts"
    SENT = "\\Sent"
    JUNK = "\\Junk"
    TRASH = "\\Trash"
    ARCHIVE = "\\Archive"


FIRST_MAILBOXES: tuple[tuple[str, SpecialUse | None], ...] = (
    (INBOX, None),
    ("Drafts", SpecialUse.DRAFTS),
    ("Sent", SpecialUse.SENT),
    ("Junk", SpecialUse.JUNK),
    ("Trash", SpecialUse.TRASH),
    ("Archive", SpecialUse.ARCHIVE),
)
"""What every account has from its first day, all of it subscribed."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who has mail and files here. `address` is the name and the login: lower case, user@domain."""

    id: AccountId
    address: str
    disabled: bool = False
    admin: bool = False
    fxp: bool = False
    files: str | None = None
    """The root of the account's file tree where it isn't data/files/<address>."""
    created: int = 0


@dataclass(frozen=True, slots=True)
class Quotas:
    """What an account, and all accounts of a domain together, may keep where no limit of their own is set: octets
    (prefixes included) and letters. 0 is no limit."""

    account_octets: int = 0
    account_letters: int = 0
    domain_octets: int = 0
    domain_letters: int = 0


NO_QUOTAS = Quotas()


@dataclass(frozen=True, slots=True)
class Usage:
    """What is kept, and what may be: by one account, or by all accounts of a domain. A maximum of 0 is none."""

    octets: int
    letters: int
    max_octets: int
    max_letters: int

    def has_room(self, octets: int, letters: int) -> bool:
        """Whether so much more may come."""
        return (not self.max_octets or self.octets + octets <= self.max_octets) and (
            not self.max_letters or self.letters + letters <= self.max_letters
        )


@dataclass(frozen=True, slots=True)
class Quota:
    """An account's usage and that of its domain."""

    account: Usage
    domain: Usage

    def has_room(self, octets: int, letters: int = 1) -> bool:
        """Whether so much more may come."""
        return self.account.has_room(octets, letters) and self.domain.has_room(octets, letters)


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of a letter's story."""

    at: int
    """Seconds since 1970 UTC."""
    what: str
    """One word: arrived, copied, moved, flags, expunged, ..."""
    by: str
    """Whose session did it; "-" where nobody's did."""
    detail: str


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name for accounts (or for names elsewhere); `name` keeps any legal local part, domain lower case."""

    name: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox as the index names it. `name` is its whole path in Unicode, levels apart by SEPARATOR."""

    id: MailboxId
    owner: AccountId
    name: str
    uid_validity: UidValidity
    special_use: SpecialUse | None
    object_id: str
    """RFC 8474's MAILBOXID, the same after a rename."""


@dataclass(frozen=True, slots=True)
class Status:
    """A mailbox's counters, kept with every commit, so that STATUS and SELECT count nothing."""

    uid_validity: UidValidity
    uid_next: Uid
    highest_modseq: ModSeq
    messages: int
    unseen: int
    deleted: int
    size: int
    """Octets of all its letters, prefixes included."""
    recent: int
    """Letters that no session has been told of as \\Recent (RFC 3501 2.3.2)."""
    forgotten: ModSeq = ModSeq(0)
    """Entries that vanished up to here may not be known any more: `changes` since less than this may lack some."""


class Place(NamedTuple):
    """Where a letter's octets lie: the payload of one record of a segment, without its frame."""

    segment: int
    offset: int
    size: int


Span = tuple[int, int]
"""First octet of prefix and blob, counted from 0, and how many."""


class Entry(NamedTuple):
    """One letter in one mailbox, as a session's view needs it."""

    uid: Uid
    flags: int
    """Bits of `Flag`."""
    keywords: str
    """The letter's keywords, sorted, with single spaces between; empty for none."""
    modseq: ModSeq
    internal_date: int
    """Seconds since 1970 UTC."""
    zone: int
    """Minutes east of UTC in which the internal date was given."""
    size: int
    """Octets that a client sees: prefix and blob."""


class Letter(NamedTuple):
    """One letter in one mailbox with the answers made at delivery; envelope and body structure are IMAP's bytes."""

    uid: Uid
    message: MessageId
    email_id: str
    """RFC 8474's EMAILID; the same for all copies."""
    thread_id: str
    segment: int
    offset: int
    blob_size: int
    crlf_size: int
    """Octets of the blob with every line end, and the last line's too, as CRLF; those of the prefix are so."""
    prefix: bytes
    """Header lines of this recipient, each ended by CRLF, that clients see before the blob."""
    header_size: int
    """Octets of the blob's header, its closing empty line included; the prefix is not counted."""
    sent: int | None
    """The Date field as seconds since 1970 UTC; None where it is missing or can't be read."""
    sent_zone: int | None
    """Minutes east of UTC of the clock that the Date field was written by; None where `sent` is."""
    internal_date: int
    zone: int
    save_date: int
    envelope: bytes
    bodystructure: bytes
    parts: bytes
    """`message.structure`'s packed map of parts: offsets within the blob."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a mailbox after a modseq: entries that are new or changed, and UIDs that are gone."""

    modseq: ModSeq
    """The mailbox's highest now; the next question starts here."""
    entries: list[Entry]
    vanished: list[Uid]
    exists: bool = True
    """False once the mailbox itself is gone."""


# --- changes: what may be asked of the index. Each is applied whole or refused whole; a commit of several is one
# transaction, but one that is refused does not stop the others.


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
    when it was deleted; it is a new one to clients (RFC 9051 2.3.1.1). Answered by `Mailbox`."""

    mailbox: MailboxId
    account: AccountId
    name: str
    by: str = ""


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


@dataclass(frozen=True, slots=True)
class LimitAccount:
    """Set what an account may keep; None is the site's default, 0 no limit. Answered by `Done`."""

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
    | TellAccount
    | AddAlias
    | RemoveAlias
)
Answer = Filed | FlagsSet | Expunged | Mailbox | Recent | Account | Done | Refused
