"""The verbs that need no mail transaction: HELO RSET NOOP QUIT, and those that are not done: TURN and others."""

from __future__ import annotations

from postroom.smtp.grammar import read_client_name
from postroom.smtp.judged import judge_hello
from postroom.smtp.replies import (
    R220_GREETING,
    R221_BYE,
    R250_GREETED,
    R250_OK,
    R502_NOT_HERE,
    R502_TURN,
)
from postroom.smtp.session import Closing, Refusal, Role, Session


def greeting(session: Session) -> bytes:
    """The first words (RFC 5321 4.2: the host's name comes first)."""
    protocol = "LMTP" if session.service.role is Role.LMTP else "ESMTP"
    return R220_GREETING.saying(f"{session.service.hostname} {protocol} Postroom")


async def greeted(session: Session, argument: bytes, *, extended: bool) -> None:
    """Learn the client's name; a transaction under way is forgotten (RFC 5321 4.1.4). Raises SyntaxFault, and
    Refusal or Closing where the checks don't like the name."""
    name = read_client_name(argument)
    await judge_hello(session, name)
    session.hello = name
    session.extended = extended
    session.reset()


async def helo(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.1: greet, as before there were extensions."""
    await greeted(session, argument, extended=False)
    return R250_GREETED.saying(session.service.hostname)


async def rset(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.5: forget the transaction."""
    session.reset()
    return R250_OK.octets


async def noop(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.9: nothing; an argument is not looked at."""
    return R250_OK.octets


async def quit_(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.10: part."""
    raise Closing(R221_BYE)


async def turn(session: Session, argument: bytes) -> bytes:
    """RFC 821 3.8; RFC 5321 F.1: whoever asks would be given others' mail, so nobody is."""
    raise Refusal(R502_TURN)


async def not_here(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.2.4: known, and not done."""
    raise Refusal(R502_NOT_HERE)
