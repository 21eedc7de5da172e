"""What FETCH asks for (RFC 3501 6.4.5), and the names under which it is answered (RFC 3501 7.4.2)."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.tokens import (
    NUMBER_MAX,
    at,
    read_astring,
    read_next,
    read_number64,
    read_open,
    read_space,
    read_word,
    write_astring,
)
from postroom.net.limits import IMAP_ELEMENTS, MIME_DEPTH


class Item(enum.Enum):
    """An item without arguments; its value is its name in the answer."""

    FLAGS = b"FLAGS"
    INTERNALDATE = b"INTERNALDATE"
    SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    """The body structure without extension data."""
    BODYSTRUCTURE = b"BODYSTRUCTURE"
    UID = b"UID"


class Text(enum.Enum):
    """Which text of a part a section means."""

    ALL = b""
    """The letter as a whole, or a part's body."""
    HEADER = b"HEADER"
    FIELDS = b"HEADER.FIELDS"
    FIELDS_NOT = b"HEADER.FIELDS.NOT"
    TEXT = b"TEXT"
    MIME = b"MIME"
    """The MIME header of a part; there is always a path."""


@dataclass(frozen=True, slots=True)
class Section:
    """What stands in the brackets: `1.2.HEADER.FIELDS (FROM TO)`."""

    path: tuple[int, ...] = ()
    """Numbers of parts, from the outermost inward; empty for the letter itself."""
    text: Text = Text.ALL
    fields: tuple[bytes, ...] = ()
    """Names of header fields as the client spells them, for FIELDS and FIELDS_NOT only."""


@dataclass(frozen=True, slots=True)
class Body:
    """An item that asks for octets of the letter."""

    section: Section
    peek: bool = False
    """Whether \\Seen stays as it is."""
    partial: tuple[int, int] | None = None
    """First octet, counted from 0, and count of octets, at least 1."""
    name: bytes = b""
    """The item's name in the answer: `BODY[TEXT]<0>`, `RFC822.HEADER`."""


FetchItem = Item | Body

_FAST: Final = (Item.FLAGS, Item.INTERNALDATE, Item.SIZE)
_MACROS: Final[dict[bytes, tuple[FetchItem, ...]]] = {
    b"FAST": _FAST,
    b"ALL": (*_FAST, Item.ENVELOPE),
    b"FULL": (*_FAST, Item.ENVELOPE, Item.BODY),
}
_ITEMS: Final[dict[bytes, FetchItem]] = {item.value: item for item in Item} | {
    b"RFC822": Body(Section(), name=b"RFC822"),
    b"RFC822.HEADER": Body(Section(text=Text.HEADER), peek=True, name=b"RFC822.HEADER"),
    b"RFC822.TEXT": Body(Section(text=Text.TEXT), name=b"RFC822.TEXT"),
}
_TEXTS: Final = {text.value: text for text in Text if text is not Text.ALL}
_PATH: Final = re.compile(rb"[1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9})*+")
_TEXT: Final = re.compile(rb"[A-Za-z.]+")


def read_fetch_items(buffer: bytes, position: int) -> tuple[tuple[FetchItem, ...], int]:
    """A macro, one item, or a list of at most IMAP_ELEMENTS; what is asked for twice is answered once."""
    if not at(buffer, position, b"("):
        macro, end = read_word(buffer, position)
        if macro in _MACROS:
            return _MACROS[macro], end
        item, position = _read_item(buffer, position)
        return (item,), position
    position = read_open(buffer, position)
    items: dict[FetchItem, None] = {}
    for _ in range(IMAP_ELEMENTS):
        item, position = _read_item(buffer, position)
        items[item] = None
        more, position = read_next(buffer, position)
        if not more:
            return tuple(items), position
    raise SyntaxFault("too many items")


def _read_item(buffer: bytes, position: int) -> tuple[FetchItem, int]:
    word, end = read_word(buffer, position)
    name, bracket, _ = word.partition(b"[")
    if bracket and name in (b"BODY", b"BODY.PEEK"):
        return _read_body(buffer, position + len(name), peek=name == b"BODY.PEEK")
    item = _ITEMS.get(word)
    if item is None:
        raise SyntaxFault("that can't be fetched")
    return item, end


def _read_body(buffer: bytes, position: int, *, peek: bool) -> tuple[Body, int]:
    section, position = read_section(buffer, position)
    partial = None
    if at(buffer, position, b"<"):
        start, position = read_number64(buffer, position + 1)
        if not at(buffer, position, b"."):
            raise SyntaxFault("a partial fetch is malformed")
        count, position = read_number64(buffer, position + 1)
        if count == 0 or not at(buffer, position, b">"):
            raise SyntaxFault("a partial fetch is malformed")
        partial, position = (start, count), position + 1
    name = b"BODY" + write_section(section)
    if partial is not None:
        name += b"<%d>" % partial[0]
    return Body(section, peek, partial, name), position


def read_section(buffer: bytes, position: int) -> tuple[Section, int]:
    """A section with its brackets; a path has at most MIME_DEPTH numbers."""
    path, position = _read_path(buffer, position + 1)
    text = Text.ALL
    fields: tuple[bytes, ...] = ()
    if path and at(buffer, position, b"."):
        text, position = _read_text(buffer, position + 1, inner=True)
    elif not path and not at(buffer, position, b"]"):
        text, position = _read_text(buffer, position, inner=False)
    if text in (Text.FIELDS, Text.FIELDS_NOT):
        fields, position = _read_fields(buffer, read_space(buffer, position))
    if not at(buffer, position, b"]"):
        raise SyntaxFault("a section has no end")
    return Section(path, text, fields), position + 1


def _read_path(buffer: bytes, position: int) -> tuple[tuple[int, ...], int]:
    found = _PATH.match(buffer, position)
    if found is None:
        return (), position
    path = tuple([int(number) for number in found.group().split(b".")])
    if len(path) > MIME_DEPTH or max(path) > NUMBER_MAX:
        raise SyntaxFault("a section is too deep or names too many parts")
    return path, found.end()


def _read_text(buffer: bytes, position: int, *, inner: bool) -> tuple[Text, int]:
    found = _TEXT.match(buffer, position)
    text = None if found is None else _TEXTS.get(found.group().upper())
    if found is None or text is None or (text is Text.MIME and not inner):
        raise SyntaxFault("a section is malformed")
    return text, found.end()


def _read_fields(buffer: bytes, position: int) -> tuple[tuple[bytes, ...], int]:
    position = read_open(buffer, position)
    fields: list[bytes] = []
    for _ in range(IMAP_ELEMENTS):
        field, position = read_astring(buffer, position)
        fields.append(field)
        more, position = read_next(buffer, position)
        if not more:
            return tuple(fields), position
    raise SyntaxFault("too many header fields")


def write_section(section: Section) -> bytes:
    """A section with its brackets, its field names as the client spelled them."""
    words = [b"%d" % number for number in section.path]
    if section.text is not Text.ALL:
        words.append(section.text.value)
    fields = b" (%b)" % b" ".join(map(write_astring, section.fields)) if section.fields else b""
    return b"[%b%b]" % (b".".join(words), fields)
