"""IMAP's ENVELOPE (RFC 9051 7.5.2)."""

from __future__ import annotations

from collections.abc import Mapping

from postroom.message.addresses import Address, read_addresses
from postroom.message.strings import NIL, nstring
from postroom.net.limits import ADDRESSES

FIELDS = frozenset(
    (b"date", b"subject", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"in-reply-to", b"message-id")
)


class Correspondents:
    """The address lists of one letter, read once for the envelope and the sort keys."""

    __slots__ = ("_fields", "_left", "_read")

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields
        self._left = ADDRESSES
        self._read: dict[bytes, list[Address]] = {}

    def __getitem__(self, name: bytes) -> list[Address]:
        """The addresses of a field (lower-case name), empty where there is none."""
        addresses = self._read.get(name)
        if addresses is None:
            value = self._fields.get(name)
            addresses = read_addresses(value, self._left) if value and self._left > 0 else []
            self._left -= len(addresses)
            self._read[name] = addresses
        return addresses


def envelope(fields: Mapping[bytes, bytes], people: Correspondents) -> bytes:
    """The parenthesised ENVELOPE of a header whose fields are given by lower-case name, unfolded."""
    get = fields.get
    authors, senders, reply_to = people[b"from"], people[b"sender"], people[b"reply-to"]
    written = _addresses(authors)
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(get(b"date")),
        nstring(get(b"subject")),
        written,
        _addresses(senders) if senders else written,
        _addresses(reply_to) if reply_to else written,
        _addresses(people[b"to"]),
        _addresses(people[b"cc"]),
        _addresses(people[b"bcc"]),
        nstring(get(b"in-reply-to")),
        nstring(get(b"message-id")),
    )


def _addresses(addresses: list[Address]) -> bytes:
    if not addresses:
        return NIL
    return b"(%b)" % b"".join(
        [
            b"(%b %b %b %b)" % (nstring(name), nstring(route), nstring(mailbox), nstring(host))
            for name, route, mailbox, host in addresses
        ]
    )
