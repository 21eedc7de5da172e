"""XCLIENT and XFORWARD: a proxy that the site knows tells whom it speaks for (Postfix's XCLIENT_README and
XFORWARD_README).

By XCLIENT the session becomes that client's and begins anew: its address counts wherever addresses count. What
XFORWARD tells is for the log and the trace.
"""

from __future__ import annotations

import logging

from postroom.intake.recipients import Local
from postroom.net.log import event
from postroom.net.transport import Address
from postroom.smtp.grammar import XCLIENT, XFORWARD, AddressFault, read_address, read_attributes
from postroom.smtp.greeting import greeting
from postroom.smtp.replies import R250_OK, R550_PROXIES, R550_UNKNOWN_USER
from postroom.smtp.session import Refusal, Session
from postroom.store.values import Account

_logger = logging.getLogger("postroom.smtp")


async def xclient(session: Session, argument: bytes) -> bytes:
    """Be somebody else's session from here on; the reply is a new greeting.

    What the proxy says of the client's HELO stays, and then no other is needed; a login goes without a password.
    """
    told = _told(session, "smtp.xclient", argument, XCLIENT)
    account = await _account(session, told["LOGIN"]) if told.get("LOGIN") else None
    stream = session.stream
    stream.peer = _end(stream.peer, told.get("ADDR"), told.get("PORT"))
    stream.local = _end(stream.local, told.get("DESTADDR"), told.get("DESTPORT"))
    if stream.conversation is not None:
        stream.conversation.peer = stream.peer.host
    session.forget()
    if session.visit is not None:
        await session.visit.close()
        session.visit = None
    session.become(account)
    session.hello = told.get("HELO", "")
    session.extended = bool(session.hello) and told.get("PROTO", "") != "SMTP"
    return greeting(session)


async def xforward(session: Session, argument: bytes) -> bytes:
    """Hear where the next letter came from."""
    _told(session, "smtp.xforward", argument, XFORWARD)
    return R250_OK.octets


def _told(session: Session, name: str, argument: bytes, known: tuple[str, ...]) -> dict[str, str]:
    """What the proxy says, which the log and the trace hear too. Raises Refusal, SyntaxFault."""
    if not session.trusted:
        raise Refusal(R550_PROXIES)
    told = read_attributes(argument, known)
    words = " ".join([f"{key}={value}" for key, value in told.items()])
    event(_logger, logging.INFO, name, session=session.id, told=words)
    return told


def _end(now: Address, host: str | None, port: str | None) -> Address:
    """One end of the connection as the proxy tells it; what it doesn't tell stays as it is."""
    return Address(host or now.host, now.port if port is None else int(port or 0))


async def _account(session: Session, login: str) -> Account:
    """The account of that name. Raises Refusal, StoreFault."""
    try:
        found = await session.service.intake.recipient(read_address(login))
    except AddressFault as fault:
        raise Refusal(R550_UNKNOWN_USER) from fault
    if isinstance(found, Local):
        for account in found.accounts:
            if account.address == login.lower():
                return account
    raise Refusal(R550_UNKNOWN_USER)
