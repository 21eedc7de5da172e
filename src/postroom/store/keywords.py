"""A letter's keywords as the index keeps them: sorted, single spaces between; pure.

Keywords are compared without regard to case (RFC 9051 2.3.2) and keep the spelling that came first.
"""

from __future__ import annotations

from collections.abc import Iterable

from postroom.net.limits import IMAP_KEYWORDS
from postroom.store.changes import How

__all__ = ["TooManyKeywords", "change_keywords", "pack_keywords"]


class TooManyKeywords(Exception):
    """More than IMAP_KEYWORDS on one letter."""


def pack_keywords(keywords: Iterable[str]) -> str:
    """Keywords as one string. Raises `TooManyKeywords`, and ValueError for what can't be a keyword.

    >>> pack_keywords(["b", "$a", "B"])
    '$a b'
    """
    return _pack(_by_name(keywords))


def change_keywords(packed: str, how: How, keywords: Iterable[str]) -> str:
    """A letter's keywords after a change. Raises as `pack_keywords` does.

    >>> change_keywords("$a b", How.REMOVE, ["$A"])
    'b'
    """
    old, named = _by_name(packed.split()), _by_name(keywords)
    match how:
        case How.ADD:
            return _pack(named | old)
        case How.REMOVE:
            return _pack({name: spelling for name, spelling in old.items() if name not in named})
        case How.SET:
            return _pack({name: old.get(name, spelling) for name, spelling in named.items()})


def _by_name(keywords: Iterable[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for keyword in keywords:
        if not keyword.isascii() or not keyword.isprintable() or not keyword or " " in keyword:
            raise ValueError("not a keyword")
        names.setdefault(keyword.upper(), keyword)
    return names


def _pack(names: dict[str, str]) -> str:
    if len(names) > IMAP_KEYWORDS:
        raise TooManyKeywords
    return " ".join(sorted(names.values()))
