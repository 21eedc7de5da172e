"""What is gone and can still be brought back, and where a letter lies or lay. Pure values, as those of `values`."""

from __future__ import annotations

from dataclasses import dataclass

from postroom.store.values import AccountId, Flag, Letter, MailboxId, MessageId, Uid

__all__ = ["Buried", "Grave", "Known", "Lying", "Sought", "SoughtByHeader", "SoughtById", "SoughtByWord"]


@dataclass(frozen=True, slots=True)
class Grave:
    """A mailbox that letters may have gone from, or that went itself."""

    mailbox: MailboxId
    account: AccountId | None
    """None where the account was removed."""
    address: str
    name: str
    gone: int | None
    """When it was deleted, seconds since 1970 UTC; None while it is there."""
    restored: bool
    """It was deleted, and made anew since."""
    letters: int
    """How many went with it when it was deleted, and weren't brought back; 0 while it is there."""
    octets: int
    """Of those letters."""


@dataclass(frozen=True, slots=True)
class Buried:
    """A letter that was expunged and can be brought back. `letter` can be read as any."""

    letter: Letter
    flags: Flag
    size: int
    """Octets that a client saw."""
    gone: int
    """Seconds since 1970 UTC."""
    with_mailbox: bool
    """It was there when its mailbox was deleted."""


@dataclass(frozen=True, slots=True)
class SoughtById:
    """The letter of this EMAILID (RFC 8474 4)."""

    email_id: str


@dataclass(frozen=True, slots=True)
class SoughtByHeader:
    """The letters whose Message-ID has this hash (`message.hashes`). All letters are looked through."""

    message_id: int


@dataclass(frozen=True, slots=True)
class SoughtByWord:
    """The letters in whose story this stands. All stories are looked through."""

    text: str


Sought = SoughtById | SoughtByHeader | SoughtByWord


@dataclass(frozen=True, slots=True)
class Lying:
    """An entry of a letter that is there, or was."""

    address: str
    """The account's."""
    mailbox: MailboxId
    name: str
    uid: Uid
    gone: int | None
    """When it left, seconds since 1970 UTC; None while it is there."""
    left: str
    """Why: "expunged", "moved" or "restored" (expunged and brought back since); empty while it is there."""


@dataclass(frozen=True, slots=True)
class Known:
    """A letter and all its entries, those that are gone behind."""

    message: MessageId
    email_id: str
    entries: tuple[Lying, ...]
