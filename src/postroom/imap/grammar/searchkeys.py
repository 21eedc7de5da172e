"""What SEARCH asks for (RFC 3501 6.4.4): a tree of values, as `search` reads and writes it.

The words for flags become `HasFlag`, those for fields `InHeader`, those for dates `When`; NEW is RECENT and UNSEEN
together.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from postroom.imap.grammar.sets import SequenceSet
from postroom.store.values import Flag


@dataclass(frozen=True, slots=True)
class All:
    """Every letter."""


@dataclass(frozen=True, slots=True)
class HasFlag:
    """Letters that have a system flag, or that haven't."""

    flag: Flag
    present: bool = True


@dataclass(frozen=True, slots=True)
class HasKeyword:
    """Letters that have a keyword, or that haven't; a keyword's case doesn't matter."""

    keyword: str
    present: bool = True


@dataclass(frozen=True, slots=True)
class IsRecent:
    """Letters that are \\Recent in this session, or that aren't."""

    present: bool = True


class Relation(enum.Enum):
    """How a letter's day lies to the day asked for."""

    BEFORE = "BEFORE"
    ON = "ON"
    SINCE = "SINCE"
    """On that day or later."""


@dataclass(frozen=True, slots=True)
class When:
    """Letters by day: of the internal date, or of the Date field where `sent` is set. Held against `day_of`."""

    relation: Relation
    day: int
    """Days since 1 January 1970."""
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Size:
    """Letters that are larger than so many octets, or smaller; never those that are just as large."""

    octets: int
    larger: bool


@dataclass(frozen=True, slots=True)
class InHeader:
    """Letters with a header field of this name that holds the text; an empty text asks just for the field."""

    field: str
    """In upper case."""
    text: str


@dataclass(frozen=True, slots=True)
class InBody:
    """Letters that hold the text in their bodies."""

    text: str


@dataclass(frozen=True, slots=True)
class InText:
    """Letters that hold the text in header or body."""

    text: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """Letters by sequence number."""

    chosen: SequenceSet


@dataclass(frozen=True, slots=True)
class Uids:
    """Letters by UID."""

    chosen: SequenceSet


@dataclass(frozen=True, slots=True)
class Not:
    """Letters for which the key doesn't hold."""

    key: SearchKey


@dataclass(frozen=True, slots=True)
class Or:
    """Letters for which at least one of two or more keys holds."""

    keys: tuple[SearchKey, ...]


@dataclass(frozen=True, slots=True)
class And:
    """Letters for which all of two or more keys hold."""

    keys: tuple[SearchKey, ...]


SearchKey = (
    All
    | HasFlag
    | HasKeyword
    | IsRecent
    | When
    | Size
    | InHeader
    | InBody
    | InText
    | Numbers
    | Uids
    | Not
    | Or
    | And
)
