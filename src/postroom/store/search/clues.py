"""What a search asks the search index for, and what that answers. Pure.

The index rules letters out and never in: whoever asks holds each candidate against the text itself.
"""

from __future__ import annotations

import enum
from array import array
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from postroom.store.values import Uid

__all__ = ["CLUE_CHARACTERS", "Candidates", "Clue", "Suspects", "Where", "clue"]

CLUE_CHARACTERS: Final = 3
"""The index knows letters by groups of so many characters: shorter words have no short cut."""


class Where(enum.Enum):
    """Where in a letter a word is sought. Names are those of the index's tables."""

    HEADER = "headers"
    """All of the header that a client sees, the entry's prefix included (`message.text.header_text`)."""
    BODY = "bodies"
    """`message.text.body_text`."""


class Clue(NamedTuple):
    """A word that a letter must have there."""

    where: Where
    word: str
    """Folded (`message.text.folded`), at least CLUE_CHARACTERS."""


def clue(where: Where, word: str) -> Clue | None:
    """What to ask for a folded word; None where the index is no help."""
    return Clue(where, word) if len(word) >= CLUE_CHARACTERS else None


@dataclass(frozen=True, slots=True)
class Suspects:
    """Letters of a mailbox that may have a word: those named, and all behind the last one that is indexed."""

    uids: array[int]
    """Ascending."""
    indexed: Uid

    def __contains__(self, uid: int) -> bool:
        if uid > self.indexed:
            return True
        at = bisect_left(self.uids, uid)
        return at < len(self.uids) and self.uids[at] == uid


@dataclass(frozen=True, slots=True)
class Candidates:
    """The index's answer about one mailbox, as of one moment."""

    indexed: Uid
    """Letters with higher UIDs may have any word."""
    uids: Mapping[Clue, array[int]]
    """Of the others, those that may have it, ascending. A clue that isn't here is found too often to be of use, or
    was one too many: any letter may have it."""

    def suspects(self, clue: Clue) -> Suspects | None:
        """Those that may have it; None for all."""
        uids = self.uids.get(clue)
        return None if uids is None else Suspects(uids, self.indexed)
