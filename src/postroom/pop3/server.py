"""The POP3 server's conversation (RFC 1939): one flat table of commands, and the loop that calls them.

The table decides which command may come when and with what; handlers live in `greeting`, `login` and `messages`. A
connection that is lost, or whose deadline passes, deletes nothing (RFC 1939 3): only QUIT does.
"""

from __future__ import annotations

import enum
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from postroom.net import http
from postroom.net.limits import BAD_COMMANDS, POP3_AUTH_LINE_OCTETS, POP3_COMMAND_OCTETS
from postroom.net.log import event
from postroom.net.stream import DeadlineExpired, EndOfStream, Farewell, LineTooLong, Stream
from postroom.pop3 import greeting, language, login, messages, replies
from postroom.pop3.grammar import SyntaxFault, read_command
from postroom.pop3.replies import Reply
from postroom.pop3.session import Closing, Pop3Service, Refusal, Session, State
from postroom.store.interface import StoreFault

logger = logging.getLogger(__name__)

Handler = Callable[[Session, bytes], Awaitable[bytes]]


class Takes(enum.Enum):
    """What may follow a keyword. RAW keeps the spaces around it."""

    NOTHING = enum.auto()
    MAYBE = enum.auto()
    WORDS = enum.auto()
    RAW = enum.auto()


class Secret(enum.Enum):
    """What of an argument the tap must not keep."""

    NO = enum.auto()
    ALL = enum.auto()
    REST = enum.auto()
    """All behind the first word."""


@dataclass(frozen=True, slots=True)
class Row:
    """One command."""

    keyword: bytes
    handler: Handler
    states: State
    takes: Takes
    section: str
    secret: Secret = Secret.NO
    early: bool = field(init=False)
    """Whether it may come in AUTHORIZATION; `late`: in TRANSACTION. Known once, for a flag takes longer to ask."""
    late: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "early", State.AUTHORIZATION in self.states)
        object.__setattr__(self, "late", State.TRANSACTION in self.states)


_EARLY, _LATE = State.AUTHORIZATION, State.TRANSACTION

# fmt: off
ROWS: Final = (
    Row(b"CAPA", greeting.capa,  State.ANY, Takes.NOTHING, "RFC 2449 5"),
    Row(b"QUIT", greeting.quit_, State.ANY, Takes.NOTHING, "RFC 1939 6"),
    Row(b"LANG", language.lang,  State.ANY, Takes.MAYBE,   "RFC 6856 3"),
    Row(b"UTF8", language.utf8,  _EARLY,    Takes.NOTHING, "RFC 6856 2"),
    Row(b"STLS", language.stls,  _EARLY,    Takes.NOTHING, "RFC 2595 4"),
    Row(b"USER", login.user,     _EARLY,    Takes.WORDS,   "RFC 1939 7"),
    Row(b"PASS", login.pass_,    _EARLY,    Takes.RAW,     "RFC 1939 7", Secret.ALL),
    Row(b"AUTH", login.auth,     _EARLY,    Takes.WORDS,   "RFC 5034 4", Secret.REST),
    Row(b"STAT", messages.stat,  _LATE,     Takes.NOTHING, "RFC 1939 5"),
    Row(b"LIST", messages.list_, _LATE,     Takes.MAYBE,   "RFC 1939 5"),
    Row(b"UIDL", messages.uidl,  _LATE,     Takes.MAYBE,   "RFC 1939 7"),
    Row(b"RETR", messages.retr,  _LATE,     Takes.WORDS,   "RFC 1939 5"),
    Row(b"TOP",  messages.top,   _LATE,     Takes.WORDS,   "RFC 1939 7"),
    Row(b"DELE", messages.dele,  _LATE,     Takes.WORDS,   "RFC 1939 5"),
    Row(b"RSET", messages.rset,  _LATE,     Takes.NOTHING, "RFC 1939 5"),
    Row(b"NOOP", messages.noop,  _LATE,     Takes.NOTHING, "RFC 1939 5"),
)
# fmt: on
TABLE: Final[Mapping[bytes, Row]] = {row.keyword: row for row in ROWS}

_FAREWELLS: Final = {
    Farewell.SHUTDOWN: replies.CLOSING,
    Farewell.ACCOUNT: replies.ACCOUNT_CHANGED,
    Farewell.ENDED: replies.ENDED,
}
_KEYWORD: Final = re.compile(rb"[A-Z]{3,4}")
_WORD: Final = re.compile(rb"[A-Za-z0-9_-]{1,20}")
"""No mechanism's name is longer (RFC 4422 3.1)."""
_HIDDEN: Final = b"***"


async def serve(stream: Stream, service: Pop3Service) -> None:
    """Hold one conversation to its end; whoever called closes the stream. Raises EndOfStream, and DeadlineExpired
    (RFC 1939 3: then nothing is said)."""
    session = Session(stream, service)
    if stream.conversation is not None:
        stream.conversation.mask = mask
    stream.write(greeting.greeting(session))
    try:
        while True:
            if reply := await _turn(session):
                stream.write(reply)
    except Closing as end:
        if end.words is not None:
            stream.write(end.words)
        # The last words have time of their own.
        stream.deadline(None)
    finally:
        session.release()


async def _turn(session: Session) -> bytes:
    """Hear one line, and give the answer. Raises Closing with the last one, EndOfStream, DeadlineExpired."""
    stream = session.stream
    patience = session.patience()
    if not patience:
        # Also for one whose next command always lies ready, so that no wait would tell.
        raise DeadlineExpired
    stream.deadline(patience)
    try:
        most = POP3_AUTH_LINE_OCTETS if session.maildrop is None else POP3_COMMAND_OCTETS
        line = await stream.line(most, wakeable=True)
    except LineTooLong:
        return _refused(session, replies.TOO_LONG)
    if stream.farewell is not None:
        raise Closing(_FAREWELLS[stream.farewell].octets)
    if line is None:
        return b""
    if len(line) > POP3_COMMAND_OCTETS and line[:5].upper() != b"AUTH ":
        return _refused(session, replies.TOO_LONG)
    return await _answer(session, line)


async def _answer(session: Session, line: bytes) -> bytes:
    """What a command gives, whoever's fault it may be: the client's grammar, its wish, or ours."""
    try:
        row, argument = _understood(session, line)
        return await row.handler(session, argument)
    except SyntaxFault:
        return _refused(session, replies.BAD_ARGUMENT)
    except Refusal as refusal:
        return _refused(session, refusal.reply)
    except (Closing, EndOfStream, DeadlineExpired):
        raise
    except StoreFault as fault:
        event(logger, logging.ERROR, "pop3.store-fault", session=session.id, reason=fault)
        reply = replies.STORE_FAULT.octets
    except Exception as fault:
        event(logger, logging.ERROR, "pop3.fault", session=session.id, trace=fault)
        if not session.midway:
            raise Closing(replies.FAULT.octets) from fault
    if session.midway:
        # A status line would be taken for one of the letter's, and an orderly end perhaps for the letter's end.
        session.stream.abort()
        raise Closing(None)
    return reply


def _understood(session: Session, line: bytes) -> tuple[Row, bytes]:
    """The row of a command that may come now, and its argument. Raises Refusal, Closing."""
    try:
        keyword, argument = read_command(line)
    except SyntaxFault as fault:
        _look_for_http(line)
        raise Refusal(replies.SYNTAX if line.endswith(b"\r\n") else replies.LINE_END) from fault
    row = TABLE.get(keyword)
    if row is None:
        _look_for_http(line)
        raise Refusal(replies.UNKNOWN)
    if session.maildrop is None:
        if not row.early:
            raise Refusal(replies.LOGIN_FIRST)
    elif not row.late:
        raise Refusal(replies.LOGGED_IN)
    if row.takes is not Takes.RAW:
        argument = argument.strip(b" ")
    if argument and row.takes is Takes.NOTHING:
        raise Refusal(replies.NO_ARGUMENT)
    if not argument and row.takes in (Takes.WORDS, Takes.RAW):
        raise Refusal(replies.ARGUMENT)
    return row, argument


def _look_for_http(line: bytes) -> None:
    """Close at once where another protocol is spoken: a method of HTTP, or a header's field."""
    word = line.partition(b" ")[0].strip().upper()
    if word in http.METHODS or word.endswith(b":"):
        raise Closing(None)


def _refused(session: Session, reply: Reply) -> bytes:
    """A negative answer; one too many is the last (docs/security.md, "error floods")."""
    if reply.blames:
        session.errors += 1
        if session.errors >= BAD_COMMANDS:
            raise Closing(replies.ERRORS.octets)
    return reply.octets


def mask(line: bytes) -> bytes:
    """What the tap may keep of a client's line: no password, and nothing that isn't understood, for it may be one
    that came at the wrong time."""
    try:
        keyword, argument = read_command(line)
    except SyntaxFault:
        return _HIDDEN
    row = TABLE.get(keyword)
    if row is None:
        return keyword if _KEYWORD.fullmatch(keyword) and not argument else _HIDDEN
    if row.secret is Secret.NO or not argument:
        return line
    shown, _, hidden = argument.strip(b" ").partition(b" ")
    if row.secret is Secret.ALL or not _WORD.fullmatch(shown):
        return b"%b %b" % (keyword, _HIDDEN)
    return b"%b %b%b" % (keyword, shown, b" " + _HIDDEN if hidden else b"")
