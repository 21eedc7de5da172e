"""The commands of the TRANSACTION state (RFC 1939 5, 7): STAT LIST UIDL RETR TOP DELE RSET NOOP.

A letter streams from the store to the client in chunks; \\Seen and everything else that IMAP shows stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from postroom.net.limits import POP3_IDLE_SECONDS
from postroom.net.log import event
from postroom.net.turns import Pace
from postroom.pop3.grammar import END, Lines, read_number, read_top
from postroom.pop3.maildrop import Gone, Maildrop
from postroom.pop3.replies import DELETED, GONE, NO_MESSAGE, OK_MARKED, OK_NOOP, OK_TOP, OK_UNIQUE_IDS, UNREADABLE
from postroom.pop3.session import Refusal, Session
from postroom.store.interface import Unreadable

logger = logging.getLogger(__name__)

_TOP_LINE: Final = 128
"""Octets that are read at first for each line of a body that TOP asks for."""


async def stat(session: Session, argument: bytes) -> bytes:
    """RFC 1939 5: how many messages, how many octets."""
    maildrop = await _measured(session)
    return b"+OK %d %d\r\n" % (len(maildrop), maildrop.octets)


async def list_(session: Session, argument: bytes) -> bytes:
    """RFC 1939 5: the size of one message, or of each."""
    maildrop = await _measured(session)
    if argument:
        number = _message(session, read_number(argument))
        return b"+OK %d %d\r\n" % (number, maildrop.size(number))
    session.stream.write(b"+OK %d messages (%d octets)\r\n" % (len(maildrop), maildrop.octets))
    return await _listing(session, maildrop.sizes())


async def uidl(session: Session, argument: bytes) -> bytes:
    """RFC 1939 7: the unique-id of one message, or of each."""
    maildrop = session.the_maildrop()
    if argument:
        number = _message(session, read_number(argument))
        return b"+OK %d %b\r\n" % (number, maildrop.unique_id(number).encode("ascii"))
    session.stream.write(OK_UNIQUE_IDS)
    return await _listing(session, maildrop.unique_ids())


async def retr(session: Session, argument: bytes) -> bytes:
    """RFC 1939 5: a whole message."""
    return await _send(session, read_number(argument), None)


async def top(session: Session, argument: bytes) -> bytes:
    """RFC 1939 7: a message's header and the first lines of its body."""
    return await _send(session, *read_top(argument))


async def dele(session: Session, argument: bytes) -> bytes:
    """RFC 1939 5: mark a message as deleted; QUIT does it."""
    session.the_maildrop().mark(_message(session, read_number(argument)))
    return OK_MARKED


async def rset(session: Session, argument: bytes) -> bytes:
    """RFC 1939 5: take all marks away."""
    maildrop = session.the_maildrop()
    maildrop.unmark()
    return b"+OK %d messages\r\n" % len(maildrop)


async def noop(session: Session, argument: bytes) -> bytes:
    """RFC 1939 5: nothing, but that the deadline moves."""
    return OK_NOOP


async def _measured(session: Session) -> Maildrop:
    """The maildrop, whose sizes are known."""
    maildrop = session.the_maildrop()
    await maildrop.measure(session.service.sizes)
    return maildrop


def _message(session: Session, number: int) -> int:
    """The number, where it is one of a message that isn't marked as deleted."""
    maildrop = session.the_maildrop()
    if number not in maildrop:
        raise Refusal(NO_MESSAGE)
    if maildrop.is_marked(number):
        raise Refusal(DELETED)
    return number


async def _listing(session: Session, blocks: Iterable[bytes]) -> bytes:
    """Write the lines of a listing, some hundred at a time; its end."""
    pace = Pace(session.stream)
    for block in blocks:
        if pace.due:
            await _flow(session, pace)
        session.stream.write(block)
    return END


async def _send(session: Session, number: int, top: int | None) -> bytes:
    """Write the status line and a letter's octets, with `top` its header and so many lines; the response's end.

    What can't be read at all is refused. Where it breaks off, the exception leaves the session `midway`: the
    connection must end without `END`, so that nobody takes the piece for the whole.
    """
    stream, pace = session.stream, None
    _message(session, number)
    maildrop = await _measured(session)
    try:
        reading, size = await maildrop.reading(number, first=None if top is None else top * _TOP_LINE)
        chunk = await reading.chunk()
    except Gone as fault:
        raise Refusal(GONE) from fault
    except Unreadable as fault:
        letter = maildrop.unique_id(number)
        event(logger, logging.ERROR, "pop3.unreadable", session=session.id, letter=letter, reason=fault)
        raise Refusal(UNREADABLE) from fault
    stream.write(OK_TOP if top is not None else b"+OK %d octets\r\n" % size)
    session.midway = True
    lines = Lines(top)
    while chunk:
        if octets := lines.feed(chunk):
            stream.write_body(octets)
        if lines.finished:
            break
        chunk = await reading.chunk()
        if chunk:
            # Most letters are one chunk, and need no pace.
            pace = pace or Pace(stream)
            await _flow(session, pace)
    if octets := lines.finish():
        stream.write_body(octets)
    session.midway = False
    return END


async def _flow(session: Session, pace: Pace) -> None:
    """Between two pieces of a long response: wait for a slow client, let other sessions have their turn."""
    session.stream.deadline(POP3_IDLE_SECONDS)
    await session.stream.flush()
    await pace.breathe()
