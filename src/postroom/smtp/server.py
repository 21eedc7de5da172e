"""The server's conversation: greeting, commands, parting (RFC 5321 3.1 to 3.8). It decides nothing itself.

A fault has three kinds, by whose it is, and here, in one place, each becomes a reply: the client broke the grammar
(`SyntaxFault`, 50z), asked for what can't be (`Refusal`, 4yz or 5yz), or we failed (`StoreFault` 451 and 452, and
anything else 421, the only ones logged as errors). Never does a traceback, or what the client sent, reach the wire.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from postroom.net import http
from postroom.net.limits import BAD_COMMANDS, SMTP_COMMAND_OCTETS
from postroom.net.log import event
from postroom.net.stream import DeadlineExpired, EndOfStream, Farewell, LineTooLong, Stream
from postroom.smtp.filing import reply_to
from postroom.smtp.grammar import ControlFault, LineEndFault, SyntaxFault, read_command
from postroom.smtp.greeting import greeting
from postroom.smtp.replies import (
    R421_ACCOUNT,
    R421_CLOSING,
    R421_ENDED,
    R421_ERRORS,
    R421_FAULT,
    R421_TIMEOUT,
    R500_BAD_LINE,
    R500_TOO_LONG,
    R500_UNKNOWN,
    R501_CONTROL,
    R501_SYNTAX,
    R503_FAILED,
    R554_TALKED_FIRST,
    Reply,
)
from postroom.smtp.session import Closing, Refusal, Role, Session, SmtpService
from postroom.smtp.table import TABLE, Mask, objection
from postroom.store.interface import StoreFault

_logger = logging.getLogger("postroom.smtp")

_FAREWELLS: Final = {
    Farewell.SHUTDOWN: R421_CLOSING,
    Farewell.ACCOUNT: R421_ACCOUNT,
    Farewell.ENDED: R421_ENDED,
}
_SYNTAX: Final[dict[type[SyntaxFault], Reply]] = {LineEndFault: R500_BAD_LINE, ControlFault: R501_CONTROL}
_TURNS_BEFORE_GREETING: Final = 2
"""Turns of the loop in which octets that have already come reach the stream, whatever the loop."""

_PAUSE_LOOK_SECONDS: Final = 0.25
"""In the pause before the greeting a shutdown is looked for so often."""


async def serve(stream: Stream, service: SmtpService) -> None:
    """Hold one conversation to its end; whoever called closes the stream. Raises EndOfStream."""
    session = Session(stream, service)
    if stream.conversation is not None:
        stream.conversation.mask = Mask()
    try:
        await _greet(session)
        while True:
            await _turn(session)
    except Closing as closing:
        last_words = closing.reply
    except DeadlineExpired:
        last_words = R421_TIMEOUT
    finally:
        session.reset()
        if session.visit is not None:
            await session.visit.close()
    if last_words is not None:
        stream.write(last_words.octets)
    # The last words have time of their own, also after the deadline.
    stream.deadline(None)


async def _greet(session: Session) -> None:
    """RFC 5321 4.3.1: the client waits for our first words; who doesn't is no mail program."""
    for _ in range(_TURNS_BEFORE_GREETING):
        await asyncio.sleep(0)
    talked = bool(session.stream.unread_octets)
    pause = session.service.greeting_pause
    if pause and not talked and session.service.role is Role.SMTP:
        talked = await _talks_within(session.stream, pause)
    if talked:
        event(_logger, logging.INFO, "smtp.talked-first", session=session.id, peer=session.stream.peer.host)
        raise Closing(R554_TALKED_FIRST)
    session.stream.write(greeting(session))


async def _talks_within(stream: Stream, seconds: float) -> bool:
    """Whether a client says anything in that time; a shutdown cuts it short. Raises EndOfStream."""
    while seconds > 0 and stream.farewell is None:
        stream.deadline(min(seconds, _PAUSE_LOOK_SECONDS))
        seconds -= _PAUSE_LOOK_SECONDS
        try:
            await stream.some(1)
        except DeadlineExpired:
            continue
        return True
    return False


async def _turn(session: Session) -> None:
    """One command and its reply."""
    stream = session.stream
    if stream.farewell is not None:
        raise Closing(_FAREWELLS[stream.farewell])
    patience = session.patience()
    if not patience:
        # Also for one whose next command always lies ready, so that no wait would tell.
        raise DeadlineExpired
    stream.deadline(patience)
    try:
        line = await stream.line(SMTP_COMMAND_OCTETS, wakeable=True)
    except LineTooLong:
        stream.write(_refused(session, R500_TOO_LONG, R500_TOO_LONG.octets))
        return
    if line is not None:
        stream.write(await _reply(session, line))


async def _reply(session: Session, line: bytes) -> bytes:
    """The reply to a command line, whatever comes of it. Raises Closing, EndOfStream, DeadlineExpired."""
    try:
        return await _obey(session, line)
    except Refusal as refusal:
        return _refused(session, refusal.reply, refusal.octets)
    except SyntaxFault as fault:
        reply = _SYNTAX.get(type(fault), R501_SYNTAX)
        return _refused(session, reply, reply.octets)
    except (Closing, EndOfStream, DeadlineExpired):
        raise
    except StoreFault as fault:
        reply = reply_to(session, fault)
    except Exception as fault:
        event(_logger, logging.ERROR, "smtp.fault", trace=fault, session=session.id)
        raise Closing(R421_FAULT) from fault
    if session.midway:
        raise Closing(R421_FAULT)
    return reply.octets


async def _obey(session: Session, line: bytes) -> bytes:
    try:
        verb, argument = read_command(line)
    except LineEndFault:
        _look_for_http(line)
        raise
    row = TABLE.get(verb)
    if row is None:
        _look_for_http(line)
        raise Refusal(R500_UNKNOWN)
    reply = objection(row, session, argument)
    if reply is not None:
        if row.drop is not None:
            await row.drop(session, argument)
        raise Refusal(reply)
    return await row.handler(session, argument)


def _look_for_http(line: bytes) -> None:
    """Close at once where another protocol is spoken: a method of HTTP, or a header's field."""
    word = line.partition(b" ")[0].strip().upper()
    if word in http.METHODS or word.endswith(b":"):
        raise Closing(None)


def _refused(session: Session, reply: Reply, octets: bytes) -> bytes:
    """A reply's octets; counts it where it is for a bad command, not for a letter that can't be taken."""
    # Chunks that were on their way when one of them was refused are no new error (RFC 3030 2).
    if (500 <= reply.code < 550 or reply.code == 555) and reply is not R503_FAILED:
        session.errors += 1
        if session.errors >= BAD_COMMANDS:
            event(_logger, logging.INFO, "smtp.too-many-errors", session=session.id, peer=session.stream.peer.host)
            session.stream.write(octets)
            raise Closing(R421_ERRORS)
    return octets
