"""What came with a letter and is no part of it: envelope, who brought it, and the letter as the checks see it.

Pure values, shared by all ways in (SMTP, LMTP, the console, reports) and by the checks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from postroom.message.structure import Facts
from postroom.smtp.grammar import Address
from postroom.smtp.replies import Reply
from postroom.store.interface import Blob
from postroom.store.values import Account

ReversePath = Address | None
"""Whom reports about the letter go to; None is `<>`: no report may be written about it (RFC 5321 3.6.3)."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One account that gets the letter, and the address by which it was first reached."""

    account: Account
    address: Address


@dataclass(frozen=True, slots=True)
class Envelope:
    """Sender and recipients (RFC 5321 2.3.1). Each account stands there once, whichever names led to it."""

    sender: ReversePath
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who brought the letter, as its Received field will tell (RFC 5321 4.4)."""

    hello: str
    """What the client called itself; empty where it didn't."""
    peer: str
    """Its IP address; empty for the program itself."""
    protocol: str
    """The word behind "with": SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, LMTP …"""
    id: str
    """The letter's id in the logs, and behind "id"."""
    login: str = ""
    """The account that was logged in, or empty."""
    by: str = ""
    """Whose session it is, for the letter's story."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A whole letter at the door: what a check judges."""

    envelope: Envelope
    origin: Origin
    header: bytes
    """The letter's own header, as far as it is looked at (HEADER_OCTETS)."""
    facts: Facts
    blob: Blob


@dataclass(frozen=True, slots=True)
class Passed:
    """The check has nothing against the letter."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The letter isn't taken: 4yz for now, 5yz for good."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Accepted:
    """The letter is on stable storage."""

    id: str


PASSED: Final = Passed()
Verdict = Passed | Rejected
Check = Callable[[Arrival], Awaitable[Verdict]]
