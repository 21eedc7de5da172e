"""SEARCH's arguments (RFC 3501 6.4.4), read and written; the keys themselves are values of `searchkeys`.

    >>> read_search(b'UNSEEN OR FROM "bob" LARGER 1000\\r\\n', 0)[0].key
    And(keys=(HasFlag(flag=<Flag.SEEN: 1>, present=False), Or(keys=(InHeader(field='FROM', text='bob'),
        Size(octets=1000, larger=True)))))

Alternatives within alternatives are made one flat `Or`, keys within keys that must all hold one flat `And`, NOT of
NOT is nothing, however long such a chain is. Every other key within a key counts as one level, and neither the
reader nor who walks over its answer goes deeper than IMAP_NESTING of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from postroom.imap.grammar.dates import read_date, write_date
from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.flags import read_keyword
from postroom.imap.grammar.searchkeys import (
    All,
    And,
    HasFlag,
    HasKeyword,
    InBody,
    InHeader,
    InText,
    IsRecent,
    Not,
    Numbers,
    Or,
    Relation,
    SearchKey,
    Size,
    Uids,
    When,
)
from postroom.imap.grammar.sets import read_sequence_set, write_sequence_set
from postroom.imap.grammar.tokens import (
    at,
    read_astring,
    read_next,
    read_number64,
    read_space,
    read_word,
    to_text,
    write_astring,
)
from postroom.net.limits import IMAP_ELEMENTS, IMAP_NESTING
from postroom.store.values import Flag

__all__ = [
    "CHARSETS",
    "All",
    "And",
    "HasFlag",
    "HasKeyword",
    "InBody",
    "InHeader",
    "InText",
    "IsRecent",
    "Not",
    "Numbers",
    "Or",
    "Relation",
    "Search",
    "SearchKey",
    "Size",
    "Uids",
    "When",
    "read_search",
    "write_search",
]

CHARSETS: Final = (b"US-ASCII", b"UTF-8")
"""What SEARCH understands, for BADCHARSET (RFC 3501 7.1)."""


@dataclass(frozen=True, slots=True)
class Search:
    """SEARCH's arguments. `key` is None where CHARSET isn't one of CHARSETS: then the answer is NO [BADCHARSET]."""

    key: SearchKey | None


_WORDS: Final[dict[bytes, SearchKey]] = {
    b"ALL": All(),
    b"ANSWERED": HasFlag(Flag.ANSWERED),
    b"DELETED": HasFlag(Flag.DELETED),
    b"DRAFT": HasFlag(Flag.DRAFT),
    b"FLAGGED": HasFlag(Flag.FLAGGED),
    b"SEEN": HasFlag(Flag.SEEN),
    b"UNANSWERED": HasFlag(Flag.ANSWERED, present=False),
    b"UNDELETED": HasFlag(Flag.DELETED, present=False),
    b"UNDRAFT": HasFlag(Flag.DRAFT, present=False),
    b"UNFLAGGED": HasFlag(Flag.FLAGGED, present=False),
    b"UNSEEN": HasFlag(Flag.SEEN, present=False),
    b"RECENT": IsRecent(),
    b"OLD": IsRecent(present=False),
    b"NEW": And((IsRecent(), HasFlag(Flag.SEEN, present=False))),
}
_FIELDS: Final = (b"BCC", b"CC", b"FROM", b"SUBJECT", b"TO")
_CHARSET: Final = re.compile(rb"CHARSET ", re.IGNORECASE)
_OR: Final = re.compile(rb"OR ", re.IGNORECASE)
_NOT: Final = re.compile(rb"NOT ", re.IGNORECASE)
_SET_BEGINS: Final = re.compile(rb"[0-9*]")


def read_search(buffer: bytes, position: int) -> tuple[Search, int]:
    """The arguments after SEARCH and its space: perhaps CHARSET, and one key or more.

    Where no CHARSET stands, strings are UTF-8 (RFC 9051 6.4.4). Octets that aren't of the charset are a fault.
    """
    charset = b"UTF-8"
    if (found := _CHARSET.match(buffer, position)) is not None:
        charset, position = read_astring(buffer, found.end())
        charset = charset.upper()
        position = read_space(buffer, position)
    keys = _Keys(charset)
    key, position = keys.read_all(buffer, position, 0, listed=False)
    return Search(key if charset in CHARSETS else None), position


class _Keys:
    """Reads keys whose strings are of one charset, and counts them."""

    __slots__ = ("_left", "_text")

    def __init__(self, charset: bytes) -> None:
        self._text = _TEXTS.get(charset, _text_of_any)
        self._left = IMAP_ELEMENTS

    def read_all(self, buffer: bytes, position: int, depth: int, *, listed: bool) -> tuple[SearchKey, int]:
        """Keys with spaces between that must all hold; where `listed`, up to a ")"."""
        keys: list[SearchKey] = []
        more = True
        while more:
            key, position = self._read(buffer, position, depth)
            keys += key.keys if isinstance(key, And) else (key,)
            if listed:
                more, position = read_next(buffer, position)
            elif more := at(buffer, position, b" "):
                position += 1
        return keys[0] if len(keys) == 1 else And(tuple(keys)), position

    def _read(self, buffer: bytes, position: int, depth: int) -> tuple[SearchKey, int]:
        self._count(depth)
        if at(buffer, position, b"("):
            return self.read_all(buffer, position + 1, depth + 1, listed=True)
        if _OR.match(buffer, position) is not None:
            return self._read_or(buffer, position, depth + 1)
        if _NOT.match(buffer, position) is not None:
            return self._read_not(buffer, position, depth + 1)
        if _SET_BEGINS.match(buffer, position) is not None:
            chosen, position = read_sequence_set(buffer, position)
            return Numbers(chosen), position
        word, position = read_word(buffer, position)
        if (key := _WORDS.get(word)) is not None:
            return key, position
        if (argument := _ARGUMENTS.get(word)) is None:
            raise SyntaxFault("that can't be searched for")
        return argument(buffer, read_space(buffer, position), self._text)

    def _count(self, depth: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise SyntaxFault("too many search keys")
        if depth > IMAP_NESTING:
            raise SyntaxFault("search keys are nested too deep")

    def _read_or(self, buffer: bytes, position: int, depth: int) -> tuple[SearchKey, int]:
        """`OR a b`; an OR in the place of a or b asks for one key more."""
        keys: list[SearchKey] = []
        missing = 1
        while missing:
            if (found := _OR.match(buffer, position)) is not None:
                self._count(depth)
                missing, position = missing + 1, found.end()
                continue
            key, position = self._read(buffer, position, depth)
            keys += key.keys if isinstance(key, Or) else (key,)
            missing -= 1
            if missing:
                position = read_space(buffer, position)
        return Or(tuple(keys)), position

    def _read_not(self, buffer: bytes, position: int, depth: int) -> tuple[SearchKey, int]:
        negative = False
        while (found := _NOT.match(buffer, position)) is not None:
            self._count(depth)
            negative, position = not negative, found.end()
        key, position = self._read(buffer, position, depth)
        if not negative:
            return key, position
        return key.key if isinstance(key, Not) else Not(key), position


# --- keys with arguments: each reader begins behind the word's space

_Text = Callable[[bytes], str]
_Argument = Callable[[bytes, int, _Text], tuple[SearchKey, int]]


def _text_of_ascii(octets: bytes) -> str:
    if not octets.isascii():
        raise SyntaxFault("a string is not US-ASCII")
    return octets.decode("ascii")


def _text_of_any(octets: bytes) -> str:
    """Of an unknown charset, for a key that is dropped."""
    return octets.decode("latin-1")


_TEXTS: Final[dict[bytes, _Text]] = {b"US-ASCII": _text_of_ascii, b"UTF-8": to_text}


def _text(make: Callable[[str], SearchKey]) -> _Argument:
    def read(buffer: bytes, position: int, text: _Text) -> tuple[SearchKey, int]:
        octets, position = read_astring(buffer, position)
        return make(text(octets)), position

    return read


def _field(field: str) -> _Argument:
    return _text(lambda text: InHeader(field, text))


def _header(buffer: bytes, position: int, text: _Text) -> tuple[SearchKey, int]:
    field, position = read_astring(buffer, position)
    octets, position = read_astring(buffer, read_space(buffer, position))
    return InHeader(_text_of_ascii(field).upper(), text(octets)), position


def _keyword(*, present: bool) -> _Argument:
    def read(buffer: bytes, position: int, _: _Text) -> tuple[SearchKey, int]:
        keyword, position = read_keyword(buffer, position)
        return HasKeyword(keyword, present), position

    return read


def _when(relation: Relation, *, sent: bool) -> _Argument:
    def read(buffer: bytes, position: int, _: _Text) -> tuple[SearchKey, int]:
        day, position = read_date(buffer, position)
        return When(relation, day, sent), position

    return read


def _size(*, larger: bool) -> _Argument:
    def read(buffer: bytes, position: int, _: _Text) -> tuple[SearchKey, int]:
        octets, position = read_number64(buffer, position)
        return Size(octets, larger), position

    return read


def _uids(buffer: bytes, position: int, _: _Text) -> tuple[SearchKey, int]:
    chosen, position = read_sequence_set(buffer, position)
    return Uids(chosen), position


_ARGUMENTS: Final[dict[bytes, _Argument]] = {
    b"BODY": _text(InBody),
    b"TEXT": _text(InText),
    b"HEADER": _header,
    b"KEYWORD": _keyword(present=True),
    b"UNKEYWORD": _keyword(present=False),
    b"LARGER": _size(larger=True),
    b"SMALLER": _size(larger=False),
    b"UID": _uids,
    **{field: _field(field.decode()) for field in _FIELDS},
    **{relation.value.encode(): _when(relation, sent=False) for relation in Relation},
    **{b"SENT" + relation.value.encode(): _when(relation, sent=True) for relation in Relation},
}


# --- written


def write_search(search: Search) -> bytes:
    """The arguments as `read_search` reads them, without the space before them; with CHARSET UTF-8 where a string
    isn't ASCII. The key must be there."""
    assert search.key is not None
    written = b" ".join(_write(key) for key in _members(search.key))
    return written if written.isascii() else b"CHARSET UTF-8 " + written


def _members(key: SearchKey) -> tuple[SearchKey, ...]:
    return key.keys if isinstance(key, And) else (key,)


_FLAG_WORDS: Final = {key: word for word, key in _WORDS.items()}


def _write(key: SearchKey) -> bytes:
    match key:
        case All() | HasFlag() | IsRecent():
            return _FLAG_WORDS[key]
        case HasKeyword(keyword, present):
            return b"%b %b" % (b"KEYWORD" if present else b"UNKEYWORD", keyword.encode())
        case When(relation, day, sent):
            return b"%b%b %b" % (b"SENT" if sent else b"", relation.value.encode(), write_date(day))
        case Size(octets, larger):
            return b"%b %d" % (b"LARGER" if larger else b"SMALLER", octets)
        case InHeader(field, text):
            return b"HEADER %b %b" % (write_astring(field.encode()), write_astring(text.encode()))
        case InBody(text):
            return b"BODY " + write_astring(text.encode())
        case InText(text):
            return b"TEXT " + write_astring(text.encode())
        case Numbers(chosen):
            return write_sequence_set(chosen)
        case Uids(chosen):
            return b"UID " + write_sequence_set(chosen)
        case Not(inner):
            return b"NOT " + _write(inner)
        case Or(keys):
            return b"OR " * (len(keys) - 1) + b" ".join(_write(member) for member in keys)
        case And(keys):
            return b"(%b)" % b" ".join(_write(member) for member in keys)
