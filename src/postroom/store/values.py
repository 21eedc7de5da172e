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
    short: str | None = None
    """A name without a domain, by which it may log in too."""
    tags: bool = False
    """What is addressed to user+tag@ comes into its mailbox "tag", where it has one of that name."""
    hourly: int | None = None
    """Letters that it may send in an hour; 0: any number; None: the site's default."""
    daily: int | None = None


@dataclass(frozen=True, slots=True)
class RefusedLetter:
    """A letter or a recipient that was not taken: when (seconds since 1970 UTC), in which session, from which
    address and login, for whom (empty: a letter for all of its recipients), by which check, with which reply."""

    time: int
    session: str
    peer: str
    login: str
    sender: str
    recipient: str
    judge: str
    reply: str


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
        """Whether so much more may come. Nothing more always may, also where a limit is below what is there."""
        return (not (self.max_octets and octets) or self.octets + octets <= self.max_octets) and (
            not (self.max_letters and letters) or self.letters + letters <= self.max_letters
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
