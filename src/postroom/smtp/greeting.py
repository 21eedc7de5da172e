"""The verbs that need no mail transaction: HELO RSET NOOP VRFY QUIT, and those that are not done here."""

from __future__ import annotations

from postroom.smtp.grammar import read_client_name, write_reply
from postroom.smtp.replies import R221_BYE, R250_GREETED, R250_OK, R252_VRFY, R502_NOT_HERE
from postroom.smtp.session import Closing, Refusal, Session


def greeting(session: Session) -> bytes:
    """The first words (RFC 5321 4.2: the host's name comes first)."""
    return write_reply(220, "", (f"{session.service.hostname} ESMTP Postroom",))


def greeted(session: Session, argument: bytes, *, extended: bool) -> None:
    """Learn the client's name; a transaction under way is forgotten (RFC 5321 4.1.4). Raises SyntaxFault."""
    session.hello = read_client_name(argument)
    session.extended = extended
    session.reset()


async def helo(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.1: greet, as before there were extensions."""
    greeted(session, argument, extended=False)
    return R250_GREETED.saying(session.service.hostname)


async def rset(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.5: forget the transaction."""
    session.reset()
    return R250_OK.octets


async def noop(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.9: nothing; an argument is not looked at."""
    return R250_OK.octets


async def vrfy(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.6, 7.3: no stranger learns here who exists."""
    return R252_VRFY.octets


async def quit_(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.10: part."""
    raise Closing(R221_BYE)


async def not_here(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.2.4: known, and not done."""
    raise Refusal(R502_NOT_HERE)
