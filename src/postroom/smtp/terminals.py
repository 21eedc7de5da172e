"""SEND, SOML, SAML: they begin a transaction as MAIL does, for the recipients' terminals (RFC 821 3.4, 4.1.1; RFC
5321 F.6). What becomes of its letter: `showing`."""

from __future__ import annotations

from postroom.smtp.session import Kind, Session
from postroom.smtp.showing import deliver, recipient
from postroom.smtp.transaction import mail

__all__ = ["deliver", "recipient", "saml", "send", "soml"]


async def send(session: Session, argument: bytes) -> bytes:
    """RFC 821 4.1.1: to the terminal."""
    return await _begin(session, argument, Kind.SEND)


async def soml(session: Session, argument: bytes) -> bytes:
    """RFC 821 4.1.1: to the terminal, or to the mailbox."""
    return await _begin(session, argument, Kind.SOML)


async def saml(session: Session, argument: bytes) -> bytes:
    """RFC 821 4.1.1: to the terminal, and to the mailbox."""
    return await _begin(session, argument, Kind.SAML)


async def _begin(session: Session, argument: bytes, kind: Kind) -> bytes:
    reply = await mail(session, argument)
    assert session.transaction is not None, "mail has begun one, or has raised"
    session.transaction.kind = kind
    return reply
