"""The commands of the TRANSACTION state (RFC 1939 5, 7): STAT LIST UIDL RETR TOP DELE RSET NOOP.

A letter streams from the store to the client in chunks; \\Seen and everything else that IMAP shows stays as it is.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable
from typing import Final

from postroom.net.limits import POP3_IDLE_SECONDS
from postroom.net.log import event
from postroom.net.turns import Pace
from postroom.pop3.grammar import END, Lines, read_number, read_top
from postroom.pop3.replies import DELETED, NO_MESSAGE, OK_MARKED, OK_NOOP, OK_TOP, OK_UNIQUE_IDS, UNREADABLE
from postroom.pop3.session import Refusal, Session
from postroom.store.interface import Unreadable

logger = logging.getLogger(__name__)

_ROWS: Final = 500
"""Lines of a listing that are written at once."""


async def stat(session: Session, argument: bytes) -> bytes:
    """RFC 1939 5: how many messages, how many octets."""
    sizes = await session.the_maildrop().sizes()
    return b"+OK %d %d\r\n" % (len(sizes), sum(size for _, size in sizes))


async def list_(session: Session, argument: bytes) -> bytes:
    """RFC 1939 5: the size of one message, or of each."""
    maildrop = session.the_maildrop()
    if argument:
        number = _message(session, read_number(argument))
        return b"+OK %d %d\r\n" % (number, maildrop.size(number))
    sizes = await maildrop.sizes()
    session.stream.write(b"+OK %d messages (%d octets)\r\n" % (len(sizes), sum(size for _, size in sizes)))
    return await _listing(session, (b"%d %d\r\n" % row for row in sizes))


async def uidl(session: Session, argument: bytes) -> bytes:
    """RFC 1939 7: the unique-id of one message, or of each."""
    maildrop = session.the_maildrop()
    if argument:
        number = _message(session, read_number(argument))
        return b"+OK %d %b\r\n" % (number, maildrop.unique_id(number).encode("ascii"))
    session.stream.write(OK_UNIQUE_IDS)
    rows = (f"{number} {maildrop.unique_id(number)}\r\n".encode("ascii") for number in maildrop.numbers())
    return await _listing(session, rows)


async def retr(session: Session, argument: bytes) -> bytes:
    """RFC 1939 5: a whole message."""
    number = _message(session, read_number(argument))
    size = session.the_maildrop().size(number)
    return await _send(session, number, b"+OK %d octets\r\n" % size, Lines())


async def top(session: Session, argument: bytes) -> bytes:
    """RFC 1939 7: a message's header and the first lines of its body."""
    number, lines = read_top(argument)
    return await _send(session, _message(session, number), OK_TOP, Lines(lines))


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


def _message(session: Session, number: int) -> int:
    """The number, where it is one of a message that isn't marked as deleted."""
    maildrop = session.the_maildrop()
    if number not in maildrop:
        raise Refusal(NO_MESSAGE)
    if maildrop.is_marked(number):
        raise Refusal(DELETED)
    return number


async def _listing(session: Session, rows: Iterable[bytes]) -> bytes:
    """Write the lines of a listing, some hundred at a time; its end."""
    rows = iter(rows)
    pace = Pace(session.stream)
    while block := b"".join(itertools.islice(rows, _ROWS)):
        await _flow(session, pace)
        session.stream.write(block)
    return END


async def _send(session: Session, number: int, status: bytes, lines: Lines) -> bytes:
    """Write the status line and a letter's octets; the end of the response.

    What can't be read at all is refused. Where it breaks off, the exception leaves the session `midway`: the
    connection must end without `END`, so that nobody takes the piece for the whole.
    """
    stream, pace = session.stream, Pace(session.stream)
    reading = session.the_maildrop().reading(number)
    try:
        chunk = await reading.chunk()
    except Unreadable as fault:
        event(
            logger,
            logging.ERROR,
            "pop3.unreadable",
            session=session.id,
            letter=session.the_maildrop().unique_id(number),
            reason=fault,
        )
        raise Refusal(UNREADABLE) from fault
    stream.write(status)
    session.midway = True
    while chunk and not lines.finished:
        if octets := lines.feed(chunk):
            stream.write_body(octets)
        chunk = await reading.chunk()
        if chunk:
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
