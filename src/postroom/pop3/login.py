"""USER and PASS (RFC 1939 7), AUTH (RFC 5034, RFC 2449 6.3) and STLS (RFC 2595 4): how a client becomes somebody.

A password is neither offered nor taken where the service's login policy forbids it, and no secret leaves this
module but towards `accounts`. Whoever is let in has the maildrop, locked.
"""

from __future__ import annotations

import binascii
import logging

from postroom.accounts.authority import Outcome
from postroom.accounts.sasl import (
    Cancelled,
    Malformed,
    NoSuchMechanism,
    credentials,
    decode_base64,
    decode_initial,
)
from postroom.net.limits import LOGINS_PER_SESSION, POP3_AUTH_LINE_OCTETS
from postroom.net.log import event
from postroom.net.stream import LineTooLong
from postroom.pop3.grammar import write_ok
from postroom.pop3.maildrop import InUse, NoMaildrop, open_maildrop
from postroom.pop3.replies import (
    CANCELLED,
    DENIED,
    IN_USE,
    LOGIN_UNAVAILABLE,
    MALFORMED,
    MECHANISM,
    NO_MAILDROP,
    NO_TLS,
    OK_PASSWORD,
    OK_TLS,
    STORE_FAULT,
    TLS_FIRST,
    TLS_ON,
    TOO_LONG,
    USER_FIRST,
)
from postroom.pop3.session import Closing, Refusal, Session
from postroom.store.values import Account

logger = logging.getLogger(__name__)


async def stls(session: Session, argument: bytes) -> bytes:
    """RFC 2595 4: go over to TLS. What came behind the command is dropped, what was learned forgotten."""
    if session.stream.tls is not None:
        raise Refusal(TLS_ON)
    if session.service.tls is None:
        raise Refusal(NO_TLS)
    await session.stream.start_tls(session.service.tls, OK_TLS)
    session.name = None
    return b""


async def user(session: Session, argument: bytes) -> bytes:
    """RFC 1939 7: who it claims to be. The answer is the same whoever exists; where TLS is missing the refusal
    comes here, before a password is said."""
    if not session.may_login:
        raise Refusal(TLS_FIRST)
    session.name = argument
    return OK_PASSWORD


async def pass_(session: Session, argument: bytes) -> bytes:
    """RFC 1939 7: the password. Spaces are part of it."""
    if not session.may_login:
        raise Refusal(TLS_FIRST)
    name, session.name = session.name, None
    if name is None:
        raise Refusal(USER_FIRST)
    try:
        claimed = credentials(name, argument)
    except Malformed as fault:
        raise Refusal(MALFORMED) from fault
    service, stream = session.service, session.stream
    return await _admit(
        session, await service.directory.login(claimed, stream.peer.host, service.protocol, session.id)
    )


async def auth(session: Session, argument: bytes) -> bytes:
    """RFC 5034: log in by SASL, with an initial response or without."""
    session.name = None
    if not session.may_login:
        raise Refusal(TLS_FIRST)
    mechanism, _, initial = argument.partition(b" ")
    return await _admit(session, await _ask_who(session, mechanism, initial.strip(b" ")))


async def _ask_who(session: Session, mechanism: bytes, initial: bytes) -> Account | Outcome:
    """Run the mechanism's exchange."""
    stream, service = session.stream, session.service

    async def ask(challenge: bytes) -> bytes:
        stream.write(b"+ " + binascii.b2a_base64(challenge, newline=False) + b"\r\n")
        line = await stream.line(POP3_AUTH_LINE_OCTETS, secret=True)
        if not line.endswith(b"\r\n"):
            raise Malformed("lines end with CR LF")
        return decode_base64(line[:-2])

    try:
        return await service.directory.authenticate(
            mechanism.decode("ascii", "replace"),
            decode_initial(initial) if initial else None,
            ask,
            stream,
            service.protocol,
            session.id,
        )
    except NoSuchMechanism as fault:
        raise Refusal(MECHANISM) from fault
    except Cancelled as fault:
        raise Refusal(CANCELLED) from fault
    except Malformed as fault:
        raise Refusal(MALFORMED) from fault
    except LineTooLong as fault:
        raise Refusal(TOO_LONG) from fault


async def _admit(session: Session, answer: Account | Outcome) -> bytes:
    """Open the maildrop of whom the directory knows."""
    if isinstance(answer, Account):
        return await _open(session, answer)
    if answer is Outcome.UNAVAILABLE:
        raise Refusal(LOGIN_UNAVAILABLE)
    # Denied and blocked sound alike: a stranger doesn't learn that it was found out.
    session.failed_logins += 1
    if session.failed_logins >= LOGINS_PER_SESSION:
        raise Closing(DENIED.octets)
    raise Refusal(DENIED)


async def _open(session: Session, account: Account) -> bytes:
    """RFC 1939 4: lock and open the maildrop; where that can't be, the client may try again."""
    service = session.service
    try:
        by = f"{account.address} {service.protocol}-{session.id}"
        maildrop = await open_maildrop(service.store, service.maildrops, account.id, by)
    except InUse as fault:
        raise Refusal(IN_USE) from fault
    except NoMaildrop as fault:
        raise Refusal(NO_MAILDROP) from fault
    except OSError as fault:
        event(logger, logging.ERROR, "pop3.lock-fault", session=session.id, account=account.address, reason=fault)
        raise Refusal(STORE_FAULT) from fault
    session.maildrop = maildrop
    if session.stream.conversation is not None:
        session.stream.conversation.account = account.address
    return write_ok(f"{len(maildrop)} messages")
