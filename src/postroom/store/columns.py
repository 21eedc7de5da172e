"""A slice of a mailbox by columns: what the view of a session needs of each letter, for mailboxes with a million of
them. SQLite packs the numbers, so that no letter of its own passes through Python: less than half the time of rows.

A pure value, as those of `store.values`; this module imports no I/O.
"""

from __future__ import annotations

import sys
from array import array
from typing import Final, NamedTuple

PACKED: Final = """
SELECT group_concat(printf('%08x', uid), ''), group_concat(printf('%02x', flags), ''),
 group_concat(printf('%016x', modseq), ''), group_concat(keywords, char(10))
 FROM (SELECT uid, flags, modseq, keywords FROM entries WHERE mailbox = ? AND uid > ? ORDER BY uid LIMIT ?)"""
"""One row, of what `unpack` takes: an aggregate takes the rows as the subquery's order and limit give them."""


class Columns(NamedTuple):
    """Letters of one mailbox, ascending; the n-th of each column is the n-th letter's. See `values.Entry`."""

    uids: array[int]
    """Type "I", as no UID has more than 32 bits."""
    flags: array[int]
    """Type "B"."""
    modseqs: array[int]
    """Type "Q"."""
    keywords: list[str]


def unpack(uids: str | None, flags: str | None, modseqs: str | None, keywords: str | None) -> Columns:
    """The columns of what PACKED gives; NULLs where there is no letter."""
    if uids is None or flags is None or modseqs is None or keywords is None:
        return Columns(array("I"), array("B"), array("Q"), [])
    # No keyword has a line end.
    return Columns(numbers("I", uids), numbers("B", flags), numbers("Q", modseqs), keywords.split("\n"))


def numbers(typecode: str, digits: str) -> array[int]:
    """Numbers of one type of `array` that were written in hexadecimal digits, one behind the other."""
    column = array(typecode, bytes.fromhex(digits))
    if sys.byteorder == "little":
        column.byteswap()
    return column
