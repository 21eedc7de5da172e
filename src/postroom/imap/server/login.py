"""How a client becomes somebody: STARTTLS, AUTHENTICATE, LOGIN (RFC 3501 6.2).

A password is neither offered nor taken where the service's login policy forbids it, and no secret leaves this
module but towards `accounts`. All that is wrong with a login sounds the same: a stranger learns neither that an
account is there nor that it was found out guessing."""

from __future__ import annotations

import binascii
from typing import Final

from postroom.accounts.authority import Outcome
from postroom.accounts.sasl import (
    Cancelled,
    Malformed,
    NoSuchMechanism,
    credentials,
)
from postroom.imap.grammar.commands import Authenticate, Login, Nothing, read_sasl_response
from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.server.any import capabilities
from postroom.imap.server.refusals import Refusal, refuse_literal
from postroom.imap.server.session import Session
from postroom.net.limits import IMAP_BASE64_OCTETS, LOGINS_PER_SESSION
from postroom.store.values import Account

_TOO_MANY: Final = b"* BYE Too many failed logins\r\n"


async def starttls(session: Session, command: Nothing) -> bytes:
    """RFC 3501 6.2.1: go over to TLS. What the client sent behind the command is dropped (CVE-2011-0411)."""
    if session.service.tls is None:
        raise SyntaxFault("TLS can't be begun here")
    if session.stream.tls is not None:
        raise SyntaxFault("TLS is on already")
    await session.stream.start_tls(session.service.tls, session.tag + b" OK Begin TLS negotiation now\r\n")
    return b""


def refuse_in_clear(session: Session) -> None:
    """Raises `Refusal` where a password must not be said; to be asked before the client is let say one."""
    if not session.may_login:
        raise Refusal(b"Begin TLS first, a password is not taken in clear", b"PRIVACYREQUIRED")


async def login(session: Session, command: Login) -> bytes:
    """RFC 3501 6.2.3."""
    refuse_in_clear(session)
    try:
        claim = credentials(command.user.encode(), command.password)
    except Malformed:
        return _denied(session)
    service, stream = session.service, session.stream
    return _judged(session, await service.directory.login(claim, stream.peer.host, service.protocol, session.id))


async def authenticate(session: Session, command: Authenticate) -> bytes:
    """RFC 3501 6.2.2, with an initial response by RFC 4959."""
    refuse_in_clear(session)
    stream, service = session.stream, session.service

    async def ask(challenge: bytes) -> bytes:
        stream.write(b"+ %b\r\n" % binascii.b2a_base64(challenge, newline=False))
        line = await stream.line(IMAP_BASE64_OCTETS + 2, secret=True)
        refuse_literal(line)
        response = read_sasl_response(line)
        if response is None:
            raise Cancelled
        return response

    try:
        answer = await service.directory.authenticate(
            command.mechanism.decode("ascii"), command.initial, ask, stream, service.protocol, session.id
        )
    except NoSuchMechanism:
        raise Refusal(b"No such mechanism", b"CANNOT") from None
    except Cancelled:
        raise SyntaxFault("AUTHENTICATE was cancelled") from None
    except Malformed:
        return _denied(session)
    return _judged(session, answer)


def _judged(session: Session, answer: Account | Outcome) -> bytes:
    if isinstance(answer, Account):
        session.account = answer
        session.errors = 0
        if session.stream.conversation is not None:
            session.stream.conversation.account = answer.address
        return b"[%b] Logged in" % capabilities(session)
    if answer is Outcome.UNAVAILABLE:
        raise Refusal(b"Logins can't be checked just now; try again later", b"UNAVAILABLE")
    return _denied(session)


def _denied(session: Session) -> bytes:
    """Raises `Refusal`; after too many of them the session ends behind the answer."""
    session.failed_logins += 1
    if session.failed_logins >= LOGINS_PER_SESSION:
        session.ending = _TOO_MANY
    raise Refusal(b"Login or password is wrong", b"AUTHENTICATIONFAILED")
