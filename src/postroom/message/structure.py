"""What one pass over a letter finds: offsets, IMAP's ENVELOPE and BODYSTRUCTURE, sort keys, thread hints."""

from __future__ import annotations

from dataclasses import dataclass

from postroom.message import bodystructure
from postroom.message.addresses import Address
from postroom.message.casemap import casemap
from postroom.message.dates import read_date
from postroom.message.envelope import Correspondents, envelope
from postroom.message.hashes import first_id, references
from postroom.message.octets import Octets, crlf_size
from postroom.message.subject import base_subject
from postroom.message.words import decode_words
from postroom.net.limits import SORT_KEY_CHARACTERS

PARSER = 1
"""Version of these answers: rows made by an older one are remade behind delivery."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The answers that are made once, at delivery, and kept in the index."""

    header_size: int
    """Octets of the header with its closing empty line; the whole letter where there is no such line."""
    crlf_size: int
    """Octets of the letter with every line end, and the last line's too, as CRLF: what POP3 sends (RFC 1939 11)."""
    envelope: bytes
    """IMAP's ENVELOPE, parentheses included (RFC 9051 7.5.2); 8-bit or odd strings stand as literals."""
    bodystructure: bytes
    """IMAP's BODYSTRUCTURE with its extension data."""
    parts: bytes
    """Packed map of parts, read by `parts.read_parts`: offsets within the blob."""
    sent: int | None
    """Date field, seconds since 1970 UTC."""
    sent_zone: int | None
    """Minutes east of UTC of the clock that the Date field was written by; None where `sent` is."""
    message_id: int | None
    """Signed 64-bit hash of the Message-ID; None where there is none."""
    references: tuple[int, ...]
    """Hashes of References, else of In-Reply-To's first id, oldest first."""
    subject: str
    """Base subject (RFC 5256 2.1), upper-cased for comparison as i;unicode-casemap has it."""
    is_reply: bool
    """Whether the base subject was reached by taking a reply's or forward's mark away."""
    sender: str
    """Sort keys of From, To and Cc: the first address's mailbox (RFC 5256 3), upper-cased the same way."""
    to: str
    cc: str


def parse(data: Octets) -> Facts:
    """What a letter says, for any octets: never raises, in time linear in their number.

    The answers are well-formed IMAP whatever the letter holds. Beyond the limits of `net.limits` ("letters") a part
    is a leaf application/octet-stream and what is too much of a header is not looked at.
    """
    found = bodystructure.walk(data)
    fields = found.fields
    people = Correspondents(fields)
    date = fields.get(b"date")
    sent = read_date(date) if date else None
    subject, is_reply = base_subject(fields.get(b"subject", b""))
    return Facts(
        header_size=found.header_size,
        crlf_size=crlf_size(data),
        envelope=envelope(fields, people),
        bodystructure=found.bodystructure,
        parts=found.parts,
        sent=None if sent is None else sent.seconds,
        sent_zone=None if sent is None else sent.zone,
        message_id=first_id(fields.get(b"message-id", b"")),
        references=references(fields.get(b"references"), fields.get(b"in-reply-to")),
        subject=_sort_key(subject),
        is_reply=is_reply,
        sender=_mailbox(people[b"from"]),
        to=_mailbox(people[b"to"]),
        cc=_mailbox(people[b"cc"]),
    )


def _mailbox(addresses: list[Address]) -> str:
    """The first address's addr-mailbox as a sort key (RFC 5256 3)."""
    mailbox = addresses[0].mailbox if addresses else None
    return _sort_key(decode_words(mailbox)) if mailbox else ""


def _sort_key(text: str) -> str:
    return casemap(text[:SORT_KEY_CHARACTERS]).replace("\0", "")
