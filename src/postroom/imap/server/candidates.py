"""A letter on trial in a SEARCH: as much of it as is known so far. Pure.

What is known is filled in step by step, cheapest first, by whoever searches:

    VIEW      number, UID, flags: always there        ENTRY    internal date and size
    LETTER    when it was sent                        HEADER   its header         BODY   its text

A `Look` is a key that looks into header or text. A letter that the search index rules out needs none. Where what it
needs isn't there, or `Candidate.room` is used up, it leaves itself in `Candidate.asked`: then the searcher sees to
that, gives others their turn, and checks again.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from postroom.message.headers import unfolded
from postroom.message.text import folded, header_text
from postroom.message.words import decode_words
from postroom.net.limits import HEADER_OCTETS
from postroom.store.search.clues import Clue, Suspects
from postroom.store.values import Entry, Letter


class Need(enum.IntEnum):
    """What must be known of a letter; the later, the dearer."""

    VIEW = 0
    ENTRY = 1
    LETTER = 2
    HEADER = 3
    BODY = 4


@dataclass(slots=True, eq=False)
class Candidate:
    """A letter, as far as it is known."""

    number: int
    uid: int
    flags: int
    keywords: str
    entry: Entry | None = None
    letter: Letter | None = None
    header: Header | None = None
    body: str | None = None
    """Decoded and folded."""
    room: int = 0
    """So many characters may still be looked through in this turn (the last look may pass it)."""
    looks: dict[Look, bool] = field(default_factory=dict)
    """What came of those that had their look."""
    asked: Look | None = None
    """The first one that could not have it."""

    def search_on(self, room: int) -> None:
        """Begin a turn."""
        self.room = room
        self.asked = None


class Header:
    """A letter's header, each thing made of it once."""

    __slots__ = ("_fields", "_octets", "_text", "_values")

    def __init__(self, octets: bytes) -> None:
        """Of the octets HEADER_OCTETS are looked at."""
        self._octets = octets[:HEADER_OCTETS]
        self._text: str | None = None
        self._fields: dict[bytes, list[bytes]] | None = None
        self._values: dict[bytes, list[str]] = {}

    def __len__(self) -> int:
        """Octets."""
        return len(self._octets)

    def text(self) -> str:
        """All of it, decoded and folded."""
        if self._text is None:
            self._text = folded(header_text(self._octets))
        return self._text

    def fields(self, name: bytes) -> list[bytes]:
        """The unfolded values of all fields of this lower-case name, as they stand."""
        if self._fields is None:
            self._fields = {}
            for line in unfolded(self._octets):
                field, colon, value = line.partition(b":")
                if colon:
                    self._fields.setdefault(field.rstrip(_WSP).lower(), []).append(value.strip(_WSP))
        return self._fields.get(name, [])

    def values(self, name: bytes) -> list[str]:
        """The same decoded and folded."""
        if name not in self._values:
            self._values[name] = [folded(decode_words(value)) for value in self.fields(name)]
        return self._values[name]


_WSP: Final = b" \t\r"


@dataclass(slots=True, eq=False)
class Look:
    """A look into a candidate's header, or its body: whichever `need` names is there when it looks."""

    need: Need
    look: Callable[[Candidate], bool]
    clue: Clue | None = None
    """What to ask the search index."""
    suspects: Suspects | None = None
    """What that said: no other letter can match."""

    def __call__(self, candidate: Candidate) -> bool | None:
        """As a `Check`."""
        if self.suspects is not None and candidate.uid not in self.suspects:
            return False
        known = candidate.looks.get(self)
        if known is not None:
            return known
        seen = candidate.header if self.need is Need.HEADER else candidate.body
        if seen is None or candidate.room <= 0:
            candidate.asked = candidate.asked or self
            return None
        candidate.room -= _LOOK_COSTS + len(seen)
        candidate.looks[self] = found = self.look(candidate)
        return found


_LOOK_COSTS: Final = 1000
"""As much as looking through so many characters."""
