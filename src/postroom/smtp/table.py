"""The verbs: one flat table, and what reads it: who may say what and when, EHLO, HELP, the mask of the tap.

Nothing about a verb is decided outside of its row and its handler (docs/design.md, "A conversation is a straight
line").
"""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from postroom.accounts.sasl import MECHANISMS
from postroom.net.limits import SMTP_RECIPIENTS
from postroom.smtp.chunking import bdat, drop
from postroom.smtp.data import data
from postroom.smtp.grammar import XCLIENT, XFORWARD
from postroom.smtp.greeting import greeted, helo, noop, not_here, quit_, rset, turn
from postroom.smtp.login import auth, starttls
from postroom.smtp.proxies import xclient, xforward
from postroom.smtp.replies import (
    R214_HELP,
    R250_GREETED,
    R500_UNKNOWN,
    R501_ARGUMENT,
    R501_NO_ARGUMENT,
    R502_NOT_HERE,
    R503_HELLO_FIRST,
    R503_IN_TRANSACTION,
    R503_LHLO_FIRST,
    R503_MAIL_FIRST,
    R504_NO_HELP,
    R530_LOGIN_FIRST,
    R530_TLS_FIRST,
    Reply,
    with_code,
)
from postroom.smtp.session import Refusal, Role, Session, State, Verify
from postroom.smtp.terminals import saml, send, soml
from postroom.smtp.transaction import mail, rcpt
from postroom.smtp.verifying import expn, vrfy

Handler = Callable[[Session, bytes], Awaitable[bytes]]
"""Takes the argument, gives the reply's octets. Raises Refusal, Closing, SyntaxFault, StoreFault."""
Offer = Callable[[Session], str]
"""The keyword with its parameters that EHLO announces now; empty where it isn't to be had."""


class Argument(enum.Enum):
    """What may stand behind the verb."""

    NONE = "none"
    NEEDED = "needed"
    FREE = "free"


class Who(enum.Enum):
    """Who may say it. A listener for strangers asks nobody to log in."""

    ANYBODY = "anybody"
    LOGGED_IN = "logged in, where the listener wants a login"


@dataclass(frozen=True, slots=True)
class Row:
    """One verb. See `TABLE` for the columns' order."""

    verb: bytes
    handler: Handler
    states: State
    """Where it is legal (RFC 5321 4.1.4)."""
    argument: Argument
    who: Who
    roles: frozenset[Role]
    """The listeners that know it; elsewhere it isn't implemented."""
    section: str
    help: str
    """What HELP says; empty for a verb that is known and not done."""
    offer: Offer | None = None
    """How EHLO announces it."""
    secret: bool = False
    """The argument's second word on is for nobody's eyes."""
    ends_group: bool = False
    """Nothing may be pipelined behind it (RFC 2920 3.1; RFC 3207 4): clients wait for the reply."""
    elsewhere: Reply = R502_NOT_HERE
    """What the other listeners say to it."""
    drop: Callable[[Session, bytes], Awaitable[None]] | None = None
    """Reads and drops the octets that follow the command, where it is refused."""
    proxies: bool = False
    """Only for proxies that the site knows; others are not told of it."""
    legal: tuple[State, ...] = field(init=False, repr=False)
    """`states`, one by one: quicker to look up, at each command."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "legal", tuple([state for state in State if state & self.states]))


# --- what EHLO announces


def _size(session: Session) -> str:
    """RFC 1870 3."""
    return f"SIZE {session.service.max_message_size}"


def _help(session: Session) -> str:
    return "HELP"


def _send(session: Session) -> str:
    """RFC 5321 F.6 wants the names of the three published."""
    return "SEND"


def _soml(session: Session) -> str:
    return "SOML"


def _saml(session: Session) -> str:
    return "SAML"


def _starttls(session: Session) -> str:
    """RFC 3207 4: not within TLS."""
    return "STARTTLS" if session.service.tls is not None and session.stream.tls is None else ""


def _auth(session: Session) -> str:
    """RFC 4954 3: never a login that would not be taken."""
    return f"AUTH {' '.join(session.service.directory.offered(session.stream))}" if session.may_login else ""


def _expn(session: Session) -> str:
    return "" if session.service.verify is Verify.NOBODY else "EXPN"


def _chunking(session: Session) -> str:
    """RFC 3030 2."""
    return "CHUNKING"


def _xclient(session: Session) -> str:
    return f"XCLIENT {' '.join(XCLIENT)}" if session.trusted else ""


def _xforward(session: Session) -> str:
    return f"XFORWARD {' '.join(XFORWARD)}" if session.trusted else ""


_WITHOUT_VERB: Final = (
    "8BITMIME",
    "BINARYMIME",
    "PIPELINING",
    "ENHANCEDSTATUSCODES",
    "SMTPUTF8",
    f"LIMITS RCPTMAX={SMTP_RECIPIENTS}",
)


def keywords(session: Session) -> list[str]:
    """All that EHLO announces now (RFC 5321 4.1.1.1)."""
    role = session.service.role
    offers = [row.offer(session) for row in _ROWS if row.offer is not None and role in row.roles]
    return [*_WITHOUT_VERB, *(offer for offer in offers if offer)]


async def ehlo(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.1: greet, and tell what is offered."""
    await greeted(session, argument, extended=True)
    return R250_GREETED.saying(session.service.hostname, *keywords(session))


# --- HELP


async def help_(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.8: the verbs of this listener, what one of them does, or what a reply's code may mean."""
    if not argument:
        verbs = [row.verb.decode("ascii") for row in TABLE.values() if _explained(row, session)]
        return R214_HELP.saying(" ".join(verbs), "HELP and a verb, or a reply's code, tells more")
    replies = with_code(argument.decode("ascii", "replace"))
    if replies:
        return R214_HELP.saying(*(f"{each.code} {each.enhanced} {each.text}" for each in replies))
    row = TABLE.get(argument.upper())
    if row is None or not _explained(row, session):
        raise Refusal(R504_NO_HELP)
    return R214_HELP.saying(row.help, row.section)


def _explained(row: Row, session: Session) -> bool:
    return bool(row.help) and session.service.role in row.roles and (session.trusted or not row.proxies)


# --- the table

_ALL: Final = frozenset(Role)
_LOGINS: Final = frozenset((Role.SUBMISSION, Role.SUBMISSIONS))
_LMTP: Final = frozenset((Role.LMTP,))
_SMTP: Final = _ALL - _LMTP
_HELLO: Final = State.READY | State.MAIL
_NONE, _NEEDED, _FREE = Argument.NONE, Argument.NEEDED, Argument.FREE
_ANY, _USER = Who.ANYBODY, Who.LOGGED_IN

# fmt: off
_ROWS: Final = (
    Row(b"EHLO", ehlo, State.ANY, _NEEDED, _ANY, _SMTP, "RFC 5321 4.1.1.1",
        "EHLO name: greet, and hear what is offered", ends_group=True, elsewhere=R500_UNKNOWN),
    Row(b"HELO", helo, State.ANY, _NEEDED, _ANY, _SMTP, "RFC 5321 4.1.1.1",
        "HELO name: greet, without extensions", elsewhere=R500_UNKNOWN),
    Row(b"LHLO", ehlo, State.ANY, _NEEDED, _ANY, _LMTP, "RFC 2033 4.1",
        "LHLO name: greet, and hear what is offered", ends_group=True, elsewhere=R500_UNKNOWN),
    Row(b"MAIL", mail, State.READY, _NEEDED, _USER, _ALL, "RFC 5321 4.1.1.2",
        "MAIL FROM:<sender> [SIZE=octets] [BODY=7BIT|8BITMIME|BINARYMIME] [SMTPUTF8]: begin a letter", offer=_size),
    Row(b"RCPT", rcpt, State.MAIL, _NEEDED, _USER, _ALL, "RFC 5321 4.1.1.3",
        "RCPT TO:<recipient>: add a recipient"),
    Row(b"DATA", data, State.MAIL, _NONE, _USER, _ALL, "RFC 5321 4.1.1.4",
        "DATA: send the letter, its end is a line with a dot alone", ends_group=True),
    Row(b"BDAT", bdat, State.MAIL, _NEEDED, _USER, _ALL, "RFC 3030 2",
        "BDAT octets [LAST]: send a part of the letter; so many octets follow", offer=_chunking, drop=drop),
    Row(b"RSET", rset, State.ANY, _NONE, _ANY, _ALL, "RFC 5321 4.1.1.5",
        "RSET: forget the letter under way"),
    Row(b"VRFY", vrfy, State.ANY, _NEEDED, _ANY, _ALL, "RFC 5321 4.1.1.6",
        "VRFY name [SMTPUTF8]: the mailbox of a user, told to whom the site tells it", ends_group=True),
    Row(b"EXPN", expn, State.ANY, _NEEDED, _ANY, _ALL, "RFC 5321 4.1.1.7",
        "EXPN name [SMTPUTF8]: the members of a list, told to whom the site tells them", offer=_expn,
        ends_group=True),
    Row(b"NOOP", noop, State.ANY, _FREE, _ANY, _ALL, "RFC 5321 4.1.1.9",
        "NOOP: nothing", ends_group=True),
    Row(b"HELP", help_, State.ANY, _FREE, _ANY, _ALL, "RFC 5321 4.1.1.8",
        "HELP [verb]: this", offer=_help),
    Row(b"STARTTLS", starttls, _HELLO, _NONE, _ANY, _ALL, "RFC 3207 4",
        "STARTTLS: go on within TLS", offer=_starttls, ends_group=True),
    Row(b"AUTH", auth, State.READY, _NEEDED, _ANY, _LOGINS, "RFC 4954 4",
        "AUTH mechanism [initial response]: log in", offer=_auth, secret=True, ends_group=True),
    Row(b"QUIT", quit_, State.ANY, _NONE, _ANY, _ALL, "RFC 5321 4.1.1.10",
        "QUIT: part", ends_group=True),
    Row(b"ETRN", not_here, State.ANY, _FREE, _ANY, _ALL, "RFC 1985 5.1", ""),
    Row(b"SEND", send, State.READY, _NEEDED, _USER, _SMTP, "RFC 821 4.1.1",
        "SEND FROM:<sender>: begin a letter for the recipients' terminals", offer=_send),
    Row(b"SOML", soml, State.READY, _NEEDED, _USER, _SMTP, "RFC 821 4.1.1",
        "SOML FROM:<sender>: begin a letter for terminals, or else for mailboxes", offer=_soml),
    Row(b"SAML", saml, State.READY, _NEEDED, _USER, _SMTP, "RFC 821 4.1.1",
        "SAML FROM:<sender>: begin a letter for terminals and for mailboxes", offer=_saml),
    Row(b"TURN", turn, State.READY, _NONE, _ANY, _SMTP, "RFC 821 4.1.1, RFC 5321 F.1",
        "TURN: change places; refused, for it would hand mail to whoever asks", ends_group=True),
    Row(b"XCLIENT", xclient, State.NEW | State.READY, _NEEDED, _ANY, _ALL, "Postfix XCLIENT_README",
        "XCLIENT name=value ...: speak for another client", offer=_xclient, ends_group=True, proxies=True),
    Row(b"XFORWARD", xforward, State.NEW | State.READY, _NEEDED, _ANY, _ALL, "Postfix XFORWARD_README",
        "XFORWARD name=value ...: tell where the next letter comes from", offer=_xforward, proxies=True),
)
# fmt: on

TABLE: Final[Mapping[bytes, Row]] = MappingProxyType({row.verb: row for row in _ROWS})
"""By verb, in upper case."""


def objection(row: Row, session: Session, argument: bytes) -> Reply | None:
    """Why the row's handler may not be called now, or None."""
    state = session.state
    legal = state in row.legal
    if session.service.role not in row.roles:
        return row.elsewhere
    if not legal and state is State.NEW:
        return R503_LHLO_FIRST if session.service.role is Role.LMTP else R503_HELLO_FIRST
    if row.who is Who.LOGGED_IN and session.account is None and session.service.role.wants_login:
        return R530_LOGIN_FIRST if session.may_login else R530_TLS_FIRST
    if not legal:
        return R503_MAIL_FIRST if state is State.READY else R503_IN_TRANSACTION
    if argument:
        return R501_NO_ARGUMENT if row.argument is Argument.NONE else None
    return R501_ARGUMENT if row.argument is Argument.NEEDED else None


# --- what the tap may show

_HIDDEN: Final = b"***"
_SECRET: Final = tuple(row.verb for row in _ROWS if row.secret)
_MECHANISM: Final = re.compile(rb"[A-Z0-9_-]{1,20}")
"""RFC 4422 3.1. In other cases only our own are shown: a secret that lost its mechanism looks alike."""


class Mask:
    """Hides a secret verb's initial response, and what stands behind such a command until a verb that is known: a
    client whose AUTH was refused may not have waited before it said its password."""

    __slots__ = ("_wary",)

    def __init__(self) -> None:
        self._wary = False

    def __call__(self, line: bytes) -> bytes:
        """What may be shown of a client's line."""
        words = line.split(None, 2)
        verb = words[0].upper() if words else b""
        if verb.startswith(_SECRET):
            self._wary = True
            return _shown(words)
        if verb in TABLE:
            self._wary = False
            return line
        return _HIDDEN + b"\r\n" if self._wary else line


def _shown(words: list[bytes]) -> bytes:
    """A secret verb with its mechanism alone."""
    verb, *rest = words
    if verb.upper() not in _SECRET:
        return verb[:4] + _HIDDEN + b"\r\n"
    shown = [verb]
    if rest and (_MECHANISM.fullmatch(rest[0]) or rest[0].decode("ascii", "replace").upper() in MECHANISMS):
        shown.append(rest.pop(0))
    if rest:
        shown.append(_HIDDEN)
    return b" ".join(shown) + b"\r\n"
