"""MAIL and RCPT: the envelope (RFC 5321 3.3). All is judged here, before a letter is read: check, then proceed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from postroom.intake.envelope import Recipient
from postroom.intake.recipients import Disabled, Elsewhere, Local, Resolution, TooWide, Unknown
from postroom.net.limits import SMTP_RECIPIENTS, SMTP_UNKNOWN_RECIPIENTS
from postroom.net.log import event
from postroom.smtp.grammar import (
    Address,
    AddressFault,
    Parameter,
    SyntaxFault,
    read_mail,
    read_number,
    read_rcpt,
    read_reverse_path,
    read_xtext,
)
from postroom.smtp.replies import (
    R250_RECIPIENT,
    R250_SENDER,
    R421_RECIPIENTS,
    R451_ALIAS,
    R451_NO_RELAY,
    R452_OVER_QUOTA,
    R452_RECIPIENTS,
    R501_RECIPIENT,
    R501_SENDER,
    R550_DISABLED,
    R550_NOT_YOURS,
    R550_RELAY,
    R550_UNKNOWN_USER,
    R552_TOO_BIG,
    R553_8BIT_ADDRESS,
    R555_PARAMETER,
    Reply,
)
from postroom.smtp.session import Closing, Refusal, Role, Session, Transaction

_logger = logging.getLogger("postroom.smtp")


async def mail(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.2: begin a transaction."""
    if not argument.isascii():
        raise Refusal(R553_8BIT_ADDRESS)
    try:
        sender, parameters = read_mail(argument)
    except AddressFault as fault:
        raise Refusal(R501_SENDER) from fault
    declared = 0
    for parameter in parameters:
        rule = _MAIL_PARAMETERS.get(parameter.keyword)
        if rule is None:
            raise Refusal(R555_PARAMETER)
        rule(session, parameter)
        if parameter.keyword == "SIZE":
            declared = read_number(parameter.value or b"")
    account = session.account
    # The null sender belongs to everybody: disposition notifications are sent with it (RFC 8098 3).
    if not (account is None or sender is None or await session.service.intake.may_send_as(account, sender)):
        raise Refusal(R550_NOT_YOURS)
    session.transaction = Transaction(sender, declared)
    return R250_SENDER.octets


def _size(session: Session, parameter: Parameter) -> None:
    """RFC 1870 6: what is announced as too big isn't begun."""
    if read_number(parameter.value or b"") > session.service.max_message_size:
        raise Refusal(R552_TOO_BIG)


def _body(session: Session, parameter: Parameter) -> None:
    """RFC 6152 2: octets are kept as they come either way."""
    if (parameter.value or b"").upper() not in (b"7BIT", b"8BITMIME"):
        raise SyntaxFault("BODY is 7BIT or 8BITMIME")


def _auth(session: Session, parameter: Parameter) -> None:
    """RFC 4954 5: read, and not believed; only where AUTH is known at all."""
    if not session.service.role.wants_login:
        raise Refusal(R555_PARAMETER)
    if parameter.value != b"<>":
        path = b"<" + read_xtext(parameter.value or b"") + b">"
        if read_reverse_path(path, 0)[1] != len(path):
            raise SyntaxFault("AUTH is an address or <>")


_MAIL_PARAMETERS: Final[dict[str, Callable[[Session, Parameter], None]]] = {
    "SIZE": _size,
    "BODY": _body,
    "AUTH": _auth,
}


async def rcpt(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.3: add a recipient. Where an account has no room for what MAIL announced, that is said here,
    where it is this recipient's trouble alone (RFC 1870 6.4); of an alias all must have room."""
    transaction = session.transaction
    assert transaction is not None, "the verb table has RCPT within a transaction only"
    if not argument.isascii():
        raise Refusal(R553_8BIT_ADDRESS)
    try:
        address, parameters = read_rcpt(argument)
    except AddressFault as fault:
        raise Refusal(R501_RECIPIENT) from fault
    if parameters:
        raise Refusal(R555_PARAMETER)
    found = transaction.heard.get(address)
    if found is None:
        if max(len(transaction.heard), len(transaction.recipients)) >= SMTP_RECIPIENTS:
            raise Refusal(R452_RECIPIENTS)
        found = transaction.heard[address] = await session.service.intake.recipient(address)
    if not isinstance(found, Local) or found.away:
        raise _refused(session, address, _reply_to(session.service.role, found))
    if not await session.service.intake.has_room(transaction.recipients, found.accounts, transaction.declared):
        raise _refused(session, address, R452_OVER_QUOTA)
    for account in found.accounts:
        transaction.recipients.setdefault(account.id, Recipient(account, address))
    return R250_RECIPIENT.octets


def _refused(session: Session, address: Address, reply: Reply) -> Refusal | Closing:
    event(
        _logger,
        logging.INFO,
        "smtp.recipient-refused",
        session=session.id,
        peer=session.stream.peer.host,
        recipient=address,
        reply=f"{reply.code} {reply.enhanced}",
    )
    if reply is R550_UNKNOWN_USER:
        session.unknown_recipients += 1
        if session.unknown_recipients >= SMTP_UNKNOWN_RECIPIENTS:
            session.stream.write(reply.octets)
            return Closing(R421_RECIPIENTS)
    return Refusal(reply)


def _reply_to(role: Role, found: Resolution) -> Reply:
    """Why nobody here gets it. Port 25 takes mail for our own domains alone, from everybody (RFC 5321 7.1)."""
    match found:
        case Unknown():
            return R550_UNKNOWN_USER
        case Disabled():
            return R550_DISABLED
        case TooWide():
            return R451_ALIAS
        case Elsewhere(by_alias=False) if role is Role.SMTP:
            return R550_RELAY
        case _:
            return R451_NO_RELAY
