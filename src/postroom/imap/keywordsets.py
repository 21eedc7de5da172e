"""The sets of keywords that the letters of a view have, a number for each, and every keyword among them.

A view's copy has the same sets until one of the two sees a new one. No I/O here.
"""

from __future__ import annotations

from array import array
from typing import Final

from postroom.imap.grammar.flags import SYSTEM_NAMES
from postroom.net.limits import IMAP_KEYWORD_SETS_UNUSED, IMAP_KEYWORDS_LISTED

_SET_OCTETS: Final = 600
"""What a set takes of memory, about; so much more each of its words and characters."""
_WORD_OCTETS: Final = 160
_CHARACTER_OCTETS: Final = 3


class KeywordSets:
    """See the module."""

    def __init__(self) -> None:
        self.sets = [""]
        self.folded = [frozenset[str]()]
        """The same sets in upper case: a keyword's case doesn't matter."""
        self.numbers = {"": 0}
        self.untold = False
        """Whether there are listed keywords that no FLAGS response has named yet."""
        self.octets = 0
        """Of memory, about."""
        self._listed: dict[str, str] = {}
        self._listed_of = 1
        """How many sets there were when the list was made anew."""
        self._most = IMAP_KEYWORD_SETS_UNUSED
        self._shared = False
        """Whether a copy has the same sets; nothing is changed in place then."""

    def copy(self) -> KeywordSets:
        """The same for another view."""
        twin = KeywordSets()
        twin.sets, twin.folded, twin.numbers = self.sets, self.folded, self.numbers
        twin.octets, twin._most = self.octets, self._most
        twin._listed, twin._listed_of = self._listed, self._listed_of
        self._shared = twin._shared = True
        return twin

    def _own(self) -> None:
        self.sets, self.folded = self.sets.copy(), self.folded.copy()
        self.numbers, self._listed = self.numbers.copy(), self._listed.copy()
        self._shared = False

    def number(self, keywords: str) -> int:
        """The number of a set, as store.values.Entry writes it."""
        number = self.numbers.get(keywords)
        if number is not None:
            return number
        if self._shared:
            self._own()
        words = keywords.split(" ")
        folded = [word.upper() for word in words]
        for fold, word in zip(folded, words, strict=True):
            if fold not in self._listed and len(self._listed) < IMAP_KEYWORDS_LISTED:
                self._listed[fold] = word
                self.untold = True
        self.numbers[keywords] = number = len(self.sets)
        self.sets.append(keywords)
        self.folded.append(frozenset(folded))
        self.octets += _octets_of(keywords, len(words))
        return number

    @property
    def crowded(self) -> bool:
        """Whether so many sets came that `forget` is worth it."""
        return len(self.sets) > self._most

    @property
    def full(self) -> bool:
        """Whether a keyword may be missing in the list where one stands that no letter has any more."""
        return len(self._listed) >= IMAP_KEYWORDS_LISTED and len(self.sets) > self._listed_of

    def relist(self, used: array[int]) -> array[int]:
        """`forget`, and list only keywords that letters have: for a client that was told of none yet."""
        renumbered = self.forget(used)
        self._listed = {}
        words = (word for keywords in self.sets[1:] for word in keywords.split(" "))
        for word in words:
            if len(self._listed) == IMAP_KEYWORDS_LISTED:
                break
            self._listed.setdefault(word.upper(), word)
        self._listed_of = len(self.sets)
        return renumbered

    def forget(self, used: array[int]) -> array[int]:
        """Forget the sets that no letter has any more; gives the letters' new numbers. What is listed stays."""
        old, kept = self.sets, sorted({0, *used})
        self.sets = [old[number] for number in kept]
        self.folded = [self.folded[number] for number in kept]
        self.numbers = {keywords: number for number, keywords in enumerate(self.sets)}
        self.octets = sum(map(_octets_of, self.sets[1:], map(len, self.folded[1:])))
        self._listed_of = 0
        self._most = 2 * len(kept) + IMAP_KEYWORD_SETS_UNUSED
        renumbered = {before: now for now, before in enumerate(kept)}
        return array("I", map(renumbered.__getitem__, used))

    def names(self) -> bytes:
        """The system flags and at most IMAP_KEYWORDS_LISTED keywords, as FLAGS lists them."""
        return b" ".join([SYSTEM_NAMES, *(word.encode() for word in self._listed.values())])


def _octets_of(keywords: str, words: int) -> int:
    return _SET_OCTETS + _WORD_OCTETS * words + _CHARACTER_OCTETS * len(keywords)
