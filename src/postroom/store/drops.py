"""A slice of a mailbox as the snapshot of a POP3 session needs it: by columns, as `store.columns`, and for the same
reason.

A pure value, as those of `store.values`; this module imports no I/O.
"""

from __future__ import annotations

from array import array
from typing import Final, NamedTuple

from postroom.store.columns import numbers

DROPS: Final = """
SELECT group_concat(printf('%08x', uid), ''), group_concat(printf('%016x', size), ''),
 group_concat(printf('%016x', message), ''), group_concat(email_id, char(10)) FROM
 (SELECT e.uid, e.size - m.size + m.crlf_size AS size, e.message, m.email_id
 FROM entries e CROSS JOIN messages m ON m.id = e.message
 WHERE e.mailbox = ? AND e.uid > ? ORDER BY e.uid LIMIT ?)"""
"""One row, of what `unpack_drops` takes; see `columns.PACKED`."""


class Drops(NamedTuple):
    """Letters of one mailbox, ascending; the n-th of each column is the n-th letter's."""

    uids: array[int]
    """Type "I"."""
    sizes: array[int]
    """Octets of the prefix and, with every line end as CRLF, of the blob: `Letter.crlf_size`. Type "Q"."""
    messages: array[int]
    """Numbers of the letters: copies have the same one. Type "Q"."""
    email_ids: str
    """RFC 8474's EMAILIDs, with a LF between each two: as one string they take a third of the memory."""


def unpack_drops(uids: str | None, sizes: str | None, messages: str | None, email_ids: str | None) -> Drops:
    """The columns of what DROPS gives; NULLs where there is no letter."""
    if uids is None or sizes is None or messages is None or email_ids is None:
        return Drops(array("I"), array("Q"), array("Q"), "")
    return Drops(numbers("I", uids), numbers("Q", sizes), numbers("Q", messages), email_ids)
