"""What came with a letter and is no part of it: envelope, who brought it, and the letter as the checks see it.

Pure values, shared by all ways in (SMTP, LMTP, the console, reports) and by the checks.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from postroom.message.structure import Facts
from postroom.smtp.grammar import Address
from postroom.smtp.replies import Reply
from postroom.store.interface import Blob
from postroom.store.values import Account

if TYPE_CHECKING:
    from postroom.intake.judging import Visit

ReversePath = Address | None
"""Whom reports about the letter go to; None is `<>`: no report may be written about it (RFC 5321 3.6.3)."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One account that gets the letter, the address by which it was first reached, and the tag of that address or
    of the alias's target, empty where there was none."""

    account: Account
    address: Address
    tag: str = ""


class Body(enum.Enum):
    """What MAIL's BODY declared (RFC 6152, RFC 3030)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"
    BINARY = "BINARYMIME"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Sender and recipients (RFC 5321 2.3.1). Each account stands there once, whichever names led to it. `utf8`:
    MAIL said SMTPUTF8 (RFC 6531)."""

    sender: ReversePath
    recipients: tuple[Recipient, ...]
    body: Body = Body.EIGHT_BIT
    utf8: bool = False


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
    visit: Visit | None = field(default=None, compare=False, repr=False)
    """The session's way through the checks; None where no client's session brings the letter."""


@dataclass(frozen=True, slots=True)
class Tls:
    """What TLS a client speaks: protocol, cipher, and the bits of its secret."""

    version: str
    cipher: str
    bits: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Who stands at the door, as far as is known by now: what a check judges before there is a letter."""

    peer: str
    """The client's IP address; empty for one that has none."""
    port: int
    door: str
    """The listener's name: smtp, submission, submissions, lmtp."""
    session: str
    hello: str
    """What the client called itself."""
    login: str = ""
    """The account that is logged in, or empty."""
    tls: Tls | None = None
    letter: str = ""
    """The id that the letter will have in the logs; from MAIL on, as the next."""
    sender: ReversePath = None
    recipient: Address | None = None
    """From RCPT on."""


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
    judge: str = field(default="", compare=False)
    """Which check said so; empty where none did."""


@dataclass(frozen=True, slots=True)
class Junk:
    """The letter is taken, into each account's \\Junk. `why`: a few words for the log."""

    why: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A filter made another letter or another envelope of it, and this is what is judged and filed from here on.
    `what`: a few words for the log; `junk`: why it goes into \\Junk, empty where it doesn't."""

    arrival: Arrival
    what: str
    junk: str = ""


@dataclass(frozen=True, slots=True)
class Discarded:
    """A filter wants the letter to be taken and forgotten."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The letter is on stable storage."""

    id: str


PASSED: Final = Passed()
DISCARDED: Final = Discarded()
Verdict = Passed | Rejected | Junk | Changed | Discarded
Check = Callable[[Arrival], Awaitable[Verdict]]
