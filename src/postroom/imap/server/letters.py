"""What the commands about letters have in common: going through them in slices, those that are gone, and mailboxes
that must not be changed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Final

from postroom.imap.server.refusals import Refusal, because, no_such_target
from postroom.imap.server.session import Selected, Session
from postroom.net.log import event
from postroom.store.changes import Reason, Refused

_log: Final = logging.getLogger("postroom.imap")


def slices(ranges: Iterable[range], count: int) -> Iterator[list[range]]:
    """The same numbers in the same order, at most `count` at a time.

    >>> list(slices([range(1, 4), range(7, 9)], 2))
    [[range(1, 3)], [range(3, 4), range(7, 8)], [range(8, 9)]]
    """
    slice: list[range] = []
    room = count
    for numbers in ranges:
        while len(numbers) >= room:
            slice.append(numbers[:room])
            numbers = numbers[room:]
            yield slice
            slice, room = [], count
        if numbers:
            slice.append(numbers)
            room -= len(numbers)
    if slice:
        yield slice


def writable(session: Session) -> Selected:
    """The selected mailbox. Raises `Refusal` where it was opened to be read only (RFC 3501 6.3.2)."""
    selected = session.the_selected()
    if selected.read_only:
        raise Refusal(b"The mailbox is open for reading only", b"READ-ONLY")
    return selected


def some_are_gone() -> Refusal:
    """Letters were named by number that are expunged, as the client will now hear (RFC 2180 4, RFC 5530 3)."""
    return Refusal(b"Some of the letters are no longer there", b"EXPUNGEISSUED")


def kept_out(session: Session, refused: Refused) -> Refusal:
    """Why letters can't come into the mailbox that APPEND, COPY or MOVE named: it is gone, and the client may make
    it, or the quota has no room for them (RFC 9208 4.3.1)."""
    if refused.reason is Reason.NO_SUCH_MAILBOX:
        return no_such_target()
    if refused.reason is Reason.OVER_QUOTA:
        event(_log, logging.INFO, "imap.over-quota", session=session.id, account=session.the_account().address)
    return because(refused)
