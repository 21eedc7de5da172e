"""STARTTLS (RFC 3207) and AUTH (RFC 4954): how a client becomes somebody.

A password is neither offered nor taken where the service's login policy forbids it, and no secret leaves this
module but towards `accounts`.
"""

from __future__ import annotations

import binascii

from postroom.accounts.authority import Outcome
from postroom.accounts.sasl import (
    Cancelled,
    Malformed,
    NoSuchMechanism,
    decode_base64,
    decode_initial,
)
from postroom.net.limits import LOGINS_PER_SESSION, SMTP_AUTH_LINE_OCTETS
from postroom.net.stream import DeadlineExpired, EndOfStream, LineTooLong
from postroom.smtp.replies import (
    R220_TLS,
    R235_LOGGED_IN,
    R421_LOGINS,
    R454_LOGIN_UNAVAILABLE,
    R500_AUTH_TOO_LONG,
    R501_CANCELLED,
    R501_MALFORMED,
    R502_NOT_HERE,
    R503_LOGGED_IN,
    R503_TLS_ON,
    R504_MECHANISM,
    R535_DENIED,
    R538_TLS_FIRST,
)
from postroom.smtp.session import Closing, Refusal, Session
from postroom.store.values import Account


async def starttls(session: Session, argument: bytes) -> bytes:
    """RFC 3207 4: go over to TLS. What the client sent behind the command is dropped, what it said before is
    forgotten."""
    if session.stream.tls is not None:
        raise Refusal(R503_TLS_ON)
    if session.service.tls is None:
        raise Refusal(R502_NOT_HERE)
    try:
        await session.stream.start_tls(session.service.tls, R220_TLS.octets)
    except DeadlineExpired as fault:
        # No word in clear may follow the go-ahead.
        session.stream.abort()
        raise EndOfStream("no TLS handshake in time") from fault
    session.forget()
    return b""


async def auth(session: Session, argument: bytes) -> bytes:
    """RFC 4954 4: log in, once in a session, outside of a transaction."""
    if session.account is not None:
        raise Refusal(R503_LOGGED_IN)
    if not session.may_login:
        raise Refusal(R538_TLS_FIRST)
    mechanism, _, initial = argument.partition(b" ")
    answer = await _ask_who(session, mechanism, initial.strip(b" "))
    if isinstance(answer, Account):
        session.become(answer)
        return R235_LOGGED_IN.octets
    if answer is Outcome.UNAVAILABLE:
        raise Refusal(R454_LOGIN_UNAVAILABLE)
    # Denied and blocked sound alike: a stranger doesn't learn that it was found out.
    session.failed_logins += 1
    if session.failed_logins >= LOGINS_PER_SESSION:
        session.stream.write(R535_DENIED.octets)
        raise Closing(R421_LOGINS)
    raise Refusal(R535_DENIED)


async def _ask_who(session: Session, mechanism: bytes, initial: bytes) -> Account | Outcome:
    """Run the mechanism's exchange."""
    stream, service = session.stream, session.service

    async def ask(challenge: bytes) -> bytes:
        stream.write(b"334 " + binascii.b2a_base64(challenge, newline=False) + b"\r\n")
        line = await stream.line(SMTP_AUTH_LINE_OCTETS, secret=True)
        if not line.endswith(b"\r\n"):
            raise Malformed("lines end with CR LF")
        return decode_base64(line[:-2])

    try:
        return await service.directory.authenticate(
            mechanism.decode("ascii", "replace"),
            decode_initial(initial) if initial else None,
            ask,
            stream,
            service.role.value,
            session.id,
        )
    except NoSuchMechanism as fault:
        raise Refusal(R504_MECHANISM) from fault
    except Cancelled as fault:
        raise Refusal(R501_CANCELLED) from fault
    except Malformed as fault:
        raise Refusal(R501_MALFORMED) from fault
    except LineTooLong as fault:
        raise Refusal(R500_AUTH_TOO_LONG) from fault
