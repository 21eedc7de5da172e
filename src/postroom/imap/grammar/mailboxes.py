"""The arguments of commands that name mailboxes: SELECT, CREATE, STATUS and their like (RFC 3501 6.3)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.names import decode_name, read_mailbox
from postroom.imap.grammar.tokens import at, read_astring, read_end, read_next, read_open, read_space, read_word
from postroom.store.values import SEPARATOR, SpecialUse


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT and EXAMINE (RFC 3501 6.3.1, 6.3.2)."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Create:
    """CREATE (RFC 3501 6.3.3, RFC 6154 3). A separator at the name's end is taken away."""

    mailbox: str
    uses: tuple[SpecialUse, ...] = ()
    foreign_use: bool = False
    """An attribute was asked for that no mailbox here can have: the answer is NO [USEATTR]."""


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE (RFC 3501 6.3.4)."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename:
    """RENAME (RFC 3501 6.3.5). A separator at the new name's end is taken away."""

    mailbox: str
    new: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE and UNSUBSCRIBE (RFC 3501 6.3.6, 6.3.7)."""

    mailbox: str


class StatusItem(enum.Enum):
    """What STATUS tells (RFC 3501 6.3.10; SIZE and DELETED are RFC 9051 6.3.11's)."""

    MESSAGES = b"MESSAGES"
    RECENT = b"RECENT"
    UIDNEXT = b"UIDNEXT"
    UIDVALIDITY = b"UIDVALIDITY"
    UNSEEN = b"UNSEEN"
    DELETED = b"DELETED"
    SIZE = b"SIZE"


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS (RFC 3501 6.3.10)."""

    mailbox: str
    items: tuple[StatusItem, ...]
    """Each once, in the client's order."""


def read_select(buffer: bytes, position: int) -> Select:
    """A mailbox."""
    return Select(_read_mailbox_alone(buffer, position))


def read_delete(buffer: bytes, position: int) -> Delete:
    """A mailbox."""
    return Delete(_read_mailbox_alone(buffer, position))


def read_subscribe(buffer: bytes, position: int) -> Subscribe:
    """A mailbox."""
    return Subscribe(_read_mailbox_alone(buffer, position))


def _read_mailbox_alone(buffer: bytes, position: int) -> str:
    mailbox, position = read_mailbox(buffer, read_space(buffer, position))
    read_end(buffer, position)
    return mailbox


def _read_new_mailbox(buffer: bytes, position: int) -> tuple[str, int]:
    """A name whose last octet may be the separator: "in any case, the name created is without the trailing
    hierarchy delimiter" (RFC 3501 6.3.3)."""
    octets, position = read_astring(buffer, position)
    return decode_name(octets.removesuffix(SEPARATOR.encode())), position


def read_create(buffer: bytes, position: int) -> Create:
    """A mailbox, and perhaps `(USE (\\Sent))`."""
    mailbox, position = _read_new_mailbox(buffer, read_space(buffer, position))
    attributes: list[bytes] = []
    if at(buffer, position, b" "):
        attributes, position = _read_uses(buffer, position + 1)
    read_end(buffer, position)
    uses = tuple(use for use in SpecialUse if use.upper().encode() in attributes)
    return Create(mailbox, uses, len(uses) < len(set(attributes)))


def _read_uses(buffer: bytes, position: int) -> tuple[list[bytes], int]:
    word, position = read_word(buffer, read_open(buffer, position))
    if word != b"USE":
        raise SyntaxFault("CREATE has an unknown parameter")
    position = read_open(buffer, read_space(buffer, position))
    attributes: list[bytes] = []
    more = not at(buffer, position, b")")
    position += not more
    while more:
        if not at(buffer, position, b"\\"):
            raise SyntaxFault("a special use is malformed")
        attribute, position = read_word(buffer, position + 1)
        attributes.append(b"\\" + attribute)
        more, position = read_next(buffer, position)
    if not at(buffer, position, b")"):
        raise SyntaxFault("CREATE has an unknown parameter")
    return attributes, position + 1


def read_rename(buffer: bytes, position: int) -> Rename:
    """A mailbox and its new name."""
    mailbox, position = read_mailbox(buffer, read_space(buffer, position))
    new, position = _read_new_mailbox(buffer, read_space(buffer, position))
    read_end(buffer, position)
    return Rename(mailbox, new)


_STATUS_ITEMS: Final = {item.value: item for item in StatusItem}


def read_status(buffer: bytes, position: int) -> Status:
    """A mailbox and a list of items."""
    mailbox, position = read_mailbox(buffer, read_space(buffer, position))
    position = read_open(buffer, read_space(buffer, position))
    items: dict[StatusItem, None] = {}
    more = True
    while more:
        word, position = read_word(buffer, position)
        if (item := _STATUS_ITEMS.get(word)) is None:
            raise SyntaxFault("STATUS has no such item")
        items[item] = None
        more, position = read_next(buffer, position)
    read_end(buffer, position)
    return Status(mailbox, tuple(items))
