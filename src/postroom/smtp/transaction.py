"""MAIL and RCPT: the envelope (RFC 5321 3.3). All is judged here, before a letter is read: check, then proceed."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from typing import Final

from postroom.intake.envelope import Body, Recipient
from postroom.intake.recipients import Disabled, Elsewhere, Local, Resolution, TooWide, Unknown
from postroom.net.limits import SMTP_RECIPIENTS, SMTP_UNKNOWN_RECIPIENTS
from postroom.net.log import event
from postroom.smtp.grammar import (
    Address,
    AddressFault,
    Parameter,
    SyntaxFault,
    Utf8Fault,
    read_literal,
    read_mail,
    read_number,
    read_rcpt,
    read_reverse_path,
    read_xtext,
)
from postroom.smtp.judged import judge_mail, judge_rcpt
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
    R503_CHUNKS,
    R503_FAILED,
    R550_DISABLED,
    R550_NOT_YOURS,
    R550_RELAY,
    R550_UNKNOWN_USER,
    R552_TOO_BIG,
    R553_8BIT_ADDRESS,
    R553_RECIPIENT_UTF8,
    R553_SENDER_UTF8,
    R555_PARAMETER,
    Reply,
)
from postroom.smtp.session import Closing, Kind, Refusal, Role, Session, Transaction
from postroom.smtp.showing import recipient

_logger = logging.getLogger("postroom.smtp")


async def mail(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.2: begin a transaction."""
    wide = not argument.isascii()
    if wide and b"SMTPUTF8" not in argument.upper():
        raise Refusal(R553_8BIT_ADDRESS)
    try:
        sender, parameters = read_mail(argument)
    except Utf8Fault as fault:
        raise Refusal(R553_SENDER_UTF8) from fault
    except AddressFault as fault:
        raise Refusal(R501_SENDER) from fault
    transaction = Transaction(sender)
    for parameter in parameters:
        rule = _MAIL_PARAMETERS.get(parameter.keyword)
        if rule is None:
            raise Refusal(R555_PARAMETER)
        rule(session, transaction, parameter)
    if wide and not transaction.utf8:
        raise Refusal(R553_8BIT_ADDRESS)
    account = session.account
    # The null sender belongs to everybody: disposition notifications are sent with it (RFC 8098 3).
    if not (account is None or sender is None or await session.service.intake.may_send_as(account, sender)):
        session.note_refused(sender, "", "mail", R550_NOT_YOURS)
        raise Refusal(R550_NOT_YOURS)
    await judge_mail(session, sender, parameters)
    session.transaction = transaction
    return R250_SENDER.octets


def _size(session: Session, transaction: Transaction, parameter: Parameter) -> None:
    """RFC 1870 6: what is announced as too big isn't begun."""
    transaction.declared = read_number(parameter.value or b"")
    if transaction.declared > session.service.max_message_size:
        session.note_refused(transaction.sender, "", "mail", R552_TOO_BIG)
        raise Refusal(R552_TOO_BIG)


_BODIES: Final = {body.value.encode("ascii"): body for body in Body}


def _body(session: Session, transaction: Transaction, parameter: Parameter) -> None:
    """RFC 6152 2, RFC 3030 3."""
    body = _BODIES.get((parameter.value or b"").upper())
    if body is None:
        raise SyntaxFault("BODY is 7BIT, 8BITMIME or BINARYMIME")
    transaction.body = body


def _utf8(session: Session, transaction: Transaction, parameter: Parameter) -> None:
    """RFC 6531 3.4."""
    if parameter.value is not None:
        raise SyntaxFault("SMTPUTF8 has no value")
    transaction.utf8 = True


def _auth(session: Session, transaction: Transaction, parameter: Parameter) -> None:
    """RFC 4954 5: read, and not believed; only where AUTH is known at all."""
    if not session.service.role.wants_login:
        raise Refusal(R555_PARAMETER)
    if parameter.value != b"<>":
        path = b"<" + read_xtext(parameter.value or b"") + b">"
        if read_reverse_path(path, 0)[1] != len(path):
            raise SyntaxFault("AUTH is an address or <>")


_MAIL_PARAMETERS: Final[dict[str, Callable[[Session, Transaction, Parameter], None]]] = {
    "SIZE": _size,
    "BODY": _body,
    "SMTPUTF8": _utf8,
    "AUTH": _auth,
}


async def rcpt(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.3: add a recipient. Where an account has no room for what MAIL announced, that is said here,
    where it is this recipient's trouble alone (RFC 1870 6.4); of an alias all must have room."""
    transaction = session.transaction
    assert transaction is not None, "the verb table has RCPT within a transaction only"
    if transaction.failed or transaction.chunks is not None:
        raise Refusal(R503_FAILED if transaction.failed else R503_CHUNKS)
    if not (transaction.utf8 or argument.isascii()):
        raise Refusal(R553_8BIT_ADDRESS)
    try:
        address, parameters = read_rcpt(argument)
    except Utf8Fault as fault:
        raise Refusal(R553_RECIPIENT_UTF8) from fault
    except AddressFault as fault:
        raise Refusal(R501_RECIPIENT) from fault
    if parameters:
        raise Refusal(R555_PARAMETER)
    if len(transaction.told) >= SMTP_RECIPIENTS:
        raise Refusal(R452_RECIPIENTS)
    found = transaction.heard.get(address)
    if found is None:
        if max(len(transaction.heard), len(transaction.recipients)) >= SMTP_RECIPIENTS:
            raise Refusal(R452_RECIPIENTS)
        found = transaction.heard[address] = await session.service.intake.recipient(_here(session, address))
    if not isinstance(found, Local) or found.away:
        raise _refused(session, address, _reply_to(session.service.role, found))
    if not await session.service.intake.has_room(transaction.recipients, found.accounts, transaction.declared):
        raise _refused(session, address, R452_OVER_QUOTA)
    if transaction.kind is not Kind.MAIL:
        absent = await recipient(session, found.accounts)
        if absent is not None:
            raise _refused(session, address, absent)
    objection = await judge_rcpt(session, transaction.sender, address, parameters)
    if objection is not None:
        raise _refused(session, address, objection.reply, objection.judge)
    for account in found.accounts:
        transaction.recipients.setdefault(account.id, Recipient(account, address, found.tags.get(account.id, "")))
    if session.service.role is Role.LMTP:
        transaction.told.append(found.accounts)
    return R250_RECIPIENT.octets


def _here(session: Session, address: Address) -> Address:
    """Whom an address literal means: ours, where the client came to that address (RFC 5321 4.1.3), is our main
    domain."""
    if address.domain[:1] != "[":
        return address
    try:
        ours = ipaddress.ip_address(session.stream.local.host.partition("%")[0])
    except ValueError:
        return address
    return Address(address.local, "") if read_literal(address.domain) == ours else address


def _refused(session: Session, address: Address, reply: Reply, judge: str = "rcpt") -> Refusal | Closing:
    event(
        _logger,
        logging.INFO,
        "smtp.recipient-refused",
        session=session.id,
        peer=session.stream.peer.host,
        recipient=address,
        reply=f"{reply.code} {reply.enhanced}",
    )
    transaction = session.transaction
    assert transaction is not None, "a recipient is refused within a transaction only"
    session.note_refused(transaction.sender, str(address), judge, reply)
    if reply is R550_UNKNOWN_USER:
        session.unknown_recipients += 1
        if session.unknown_recipients >= SMTP_UNKNOWN_RECIPIENTS:
            session.stream.write(reply.octets)
            return Closing(R421_RECIPIENTS)
    return Refusal(reply)


def _reply_to(role: Role, found: Resolution) -> Reply:
    """Why nobody here gets it. Without a login mail is for our own domains alone (RFC 5321 7.1)."""
    match found:
        case Unknown():
            return R550_UNKNOWN_USER
        case Disabled():
            return R550_DISABLED
        case TooWide():
            return R451_ALIAS
        case Elsewhere(by_alias=False) if not role.wants_login:
            return R550_RELAY
        case _:
            return R451_NO_RELAY
