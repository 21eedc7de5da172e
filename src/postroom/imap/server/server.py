"""The conversation: greet, command after command, part. Decides nothing itself; what a verb is stands in `table`.

One command is one buffer, its literals in place; a letter of APPEND is the only thing that streams. All answers
pass through here: untagged news of the selected mailbox, then the tagged answer, then perhaps the end."""

from __future__ import annotations

import logging
from typing import Final

from postroom.imap.grammar.commands import Head, append_names_by_literal, read_head
from postroom.imap.grammar.faults import NameFault, SyntaxFault
from postroom.imap.grammar.tokens import LiteralHead, literal_at_end
from postroom.imap.server.any import capabilities
from postroom.imap.server.appending import pass_over
from postroom.imap.server.login import refuse_in_clear
from postroom.imap.server.refusals import Goodbye, Refusal, announces_unasked, farewell, mailbox_gone, of_fault
from postroom.imap.server.session import ImapService, Session, State
from postroom.imap.server.table import EXTENSIONS, TABLE, Mask, Row
from postroom.net import http
from postroom.net.limits import BAD_COMMANDS, CLOSE_SECONDS, IMAP_APPEND_BEFORE_LOGIN
from postroom.net.log import event
from postroom.net.stream import DeadlineExpired, EndOfStream, LineTooLong, Stream
from postroom.store.interface import StoreFault

_logger = logging.getLogger(__name__)

_TOO_LONG: Final = "the command is too long"


class _HangUp(Exception):
    """Close at once, without a word."""


async def serve(stream: Stream, service: ImapService) -> None:
    """Hold one conversation to its end; whoever called closes the stream. Raises EndOfStream, DeadlineExpired."""
    session = Session(stream, service, EXTENSIONS)
    if stream.conversation is not None:
        stream.conversation.mask = Mask()
    try:
        session.rearm()
        session.write(b"* OK [%b] %b Postroom is ready\r\n" % (capabilities(session), service.hostname.encode()))
        while session.ending is None:
            await _turn(session)
        session.write(session.ending)
    except Goodbye as goodbye:
        session.write(b"* BYE %b\r\n" % _text(goodbye))
    except DeadlineExpired:
        session.write(b"* BYE [UNAVAILABLE] You were silent for too long\r\n")
        raise
    except _HangUp:
        pass
    finally:
        session.leave()
        # The last words have time of their own, also after the deadline.
        stream.deadline(CLOSE_SECONDS)


async def _turn(session: Session) -> None:
    """One command and its answers."""
    stream = session.stream
    if stream.farewell is not None:
        raise farewell(stream.farewell)
    session.tag, session.midway = b"*", False
    await session.say_alerts()
    try:
        line = await stream.line(session.command_octets, wakeable=True)
    except LineTooLong as fault:
        _never_run(fault)
        _bad(session, SyntaxFault(_TOO_LONG))
        return
    if line is None:
        return  # Something happened in the mailbox: the client is told after its next command; alerts at once.
    session.rearm()
    await _answer(session, line)
    session.rearm()
    if session.selected is not None and session.selected.view.lost:
        raise mailbox_gone()


async def _answer(session: Session, line: bytes) -> None:
    """Do the command that begins with `line`, and say what came of it. Raises Goodbye, EndOfStream,
    DeadlineExpired."""
    head = read_head(line)
    # A word alone may be a secret, of a client that didn't wait to hear that AUTHENTICATE is refused: the answer
    # must not carry it into the tap.
    session.tag = head.tag if session.account is not None or b" " in line else b"*"
    row = TABLE.get(head.verb)
    if row is None and head.tag.upper() in http.METHODS:
        raise _HangUp
    try:
        text = await _obey(session, head, row, line)
    except NameFault as fault:
        await _tell_news(session, row)
        _no(session, Refusal(_capital(fault.text), b"CANNOT"))
    except SyntaxFault as fault:
        await _tell_news(session, row)
        _bad(session, fault)
    except LineTooLong as fault:
        _never_run(fault)
        _bad(session, SyntaxFault(_TOO_LONG))
    except Refusal as refusal:
        await _tell_news(session, row)
        _no(session, refusal)
    except StoreFault as trouble:
        event(_logger, logging.ERROR, "imap.store-fault", session=session.id, reason=trouble)
        _no(session, of_fault(trouble))
    except (Goodbye, EndOfStream, DeadlineExpired):
        raise
    except Exception as fault:
        event(_logger, logging.ERROR, "imap.fault", trace=fault, session=session.id, verb=row.verb if row else None)
        _no(session, Refusal(b"Something went wrong here; it was written down", b"SERVERBUG"))
    else:
        await _tell_news(session, row)
        if text:
            session.write(b"%b OK %b\r\n" % (session.tag, text))
        if session.account is not None:
            session.errors = 0
    if session.midway:
        raise Goodbye(b"A letter was cut off here", b"UNAVAILABLE")


def _no(session: Session, refusal: Refusal) -> None:
    _let_go(refusal)
    session.write(b"%b NO %b\r\n" % (session.tag, _text(refusal)))


def _bad(session: Session, fault: SyntaxFault) -> None:
    """Refuse a command for its grammar. Too many, in all before the login and one after the other behind it, end
    the session."""
    _let_go(fault)
    session.write(b"%b BAD %b\r\n" % (session.tag, _capital(fault.text)))
    session.errors += 1
    if session.errors >= BAD_COMMANDS:
        event(_logger, logging.INFO, "imap.too-many-errors", session=session.id, peer=session.stream.peer.host)
        raise Goodbye(b"Too many errors")


def _let_go(fault: Refusal | SyntaxFault) -> None:
    """Some are made first and raised later: the frame that did so holds its exception, which holds the frame. That
    ring would lie about until the collector comes, with all that the command had in memory."""
    fault.__traceback__ = None


def _capital(text: str) -> bytes:
    return (text[:1].upper() + text[1:]).encode()


def _text(answer: Refusal | Goodbye) -> bytes:
    return b"[%b] %b" % (answer.code, answer.text) if answer.code else answer.text


def _never_run(fault: LineTooLong) -> None:
    """Raises `Goodbye` where a line that was dropped may have announced octets that come unasked."""
    if announces_unasked(fault.tail):
        raise Goodbye(b"The command is too long", b"TOOBIG")


# --- a command


async def _obey(session: Session, head: Head, row: Row | None, line: bytes) -> bytes:
    """Read the rest of a command and do it; gives the text of its OK."""
    objection = _objection(session, row)
    buffer, letter = await _collect(session, head, row, line, objection)
    if objection is not None:
        raise objection
    assert row is not None
    session.midway = letter is not None and letter.nonsync
    try:
        command = row.read(buffer, head.position)
    except SyntaxFault:
        if letter is not None:
            await pass_over(session, letter)
        raise
    return await row.handle(session, command)


def _objection(session: Session, row: Row | None) -> SyntaxFault | Refusal | None:
    """Why a verb can't be obeyed here, whatever its arguments."""
    if row is None:
        return SyntaxFault("there is no such command")
    if session.state not in row.states:
        return SyntaxFault(_not_here(session, row))
    if row.secret:
        try:
            refuse_in_clear(session)
        except Refusal as refusal:
            return refusal
    return None


def _not_here(session: Session, row: Row) -> str:
    if session.account is None:
        return "log in first"
    return "you are logged in" if row.states is State.NOT_AUTHENTICATED else "select a mailbox first"


async def _collect(
    session: Session, head: Head, row: Row | None, line: bytes, objection: SyntaxFault | Refusal | None
) -> tuple[bytes, LiteralHead | None]:
    """The whole command with its literals in place; of one whose last literal is a letter, all before that, and the
    letter's head. Only the last line tells: a literal's octets before it may look like a head, too.

    A literal that must not be is refused before the client is asked for it (RFC 3501 4.3); one that comes unasked
    is read where it is small, and not run, or the session ends (RFC 7888 4). Raises what is wrong, Goodbye."""
    stream, limit = session.stream, session.command_octets
    literal = literal_at_end(line)
    if literal is None:
        return line, None
    buffer = bytearray(line)
    while literal is not None:
        if row is not None and row.streams and objection is None:
            whole = bytes(buffer)
            if not append_names_by_literal(whole, head.position):
                return whole, literal
        too_big = len(buffer) + literal.size > limit or (
            session.account is None and row is not None and row.streams and literal.size > IMAP_APPEND_BEFORE_LOGIN
        )
        if literal.nonsync:
            if too_big:
                raise Goodbye(b"The literal is too big", b"TOOBIG")
        elif objection is not None or too_big:
            raise objection or SyntaxFault("the literal is too big")
        else:
            session.write(b"+ Go on\r\n")
        buffer += await stream.exactly(literal.size)
        line = await stream.line(max(limit - len(buffer), 0), secret=row is not None and row.secret)
        buffer += line
        literal = literal_at_end(line)
    return bytes(buffer), None


async def _tell_news(session: Session, row: Row | None) -> None:
    """Say what happened in the selected mailbox, as far as it may be said before this command's answer."""
    if row is None or session.selected is None:
        return
    try:
        await session.catch_up()
    except StoreFault as trouble:
        # What the command did stands; the news wait for the next one.
        event(_logger, logging.ERROR, "imap.store-fault", session=session.id, reason=trouble)
    view = session.selected.view
    for line in view.news(expunges=row.expunges, with_uid=row.by_uid):
        session.write(line)
        await session.breathe()
