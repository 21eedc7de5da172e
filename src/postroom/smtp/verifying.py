"""VRFY and EXPN: who exists, and who is on a list (RFC 5321 3.5, 7.3), told to whom the site tells it.

Everybody else hears 252 about everybody. Who guesses names is left, as at RCPT.
"""

from __future__ import annotations

from collections.abc import Sequence

from postroom.intake.recipients import Disabled, Elsewhere, Local, Resolution, TooWide, Unknown
from postroom.net.limits import SMTP_EXPN_MEMBERS, SMTP_UNKNOWN_RECIPIENTS, SMTP_VRFY_DOMAINS
from postroom.smtp.grammar import Address, AddressFault, Utf8Fault, read_address, read_mailbox, read_wish
from postroom.smtp.replies import (
    R250_VERIFIED,
    R252_LIST,
    R252_UTF8,
    R252_VRFY,
    R421_RECIPIENTS,
    R451_ALIAS,
    R501_RECIPIENT,
    R550_DISABLED,
    R550_NOT_A_LIST,
    R550_UNKNOWN_USER,
    R551_NOT_LOCAL,
    R553_8BIT_ADDRESS,
    R553_AMBIGUOUS,
    R553_RECIPIENT_UTF8,
    Reply,
)
from postroom.smtp.session import Closing, Refusal, Session, Verify

Found = tuple[Address, Resolution]
"""A name with its domain, and whom it means."""


async def vrfy(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.6: the mailbox of a user."""
    wish, utf8 = _asked(argument)
    if not _may_know(session):
        return R252_VRFY.octets
    _, found = await _find(session, wish, utf8=utf8)
    match found:
        case Local(accounts=(one,), away=()):
            return _told([one.address], utf8=utf8)
        case Local() | Elsewhere(addresses=(_, _, *_)):
            return R252_LIST.octets
        case Elsewhere(addresses=(address,), by_alias=True):
            return _elsewhere(address, utf8=utf8)
    raise _refused(session, found)


async def expn(session: Session, argument: bytes) -> bytes:
    """RFC 5321 4.1.1.7: the members of a list, at most SMTP_EXPN_MEMBERS of them."""
    wish, utf8 = _asked(argument)
    if not _may_know(session):
        return R252_VRFY.octets
    name, found = await _find(session, wish, utf8=utf8)
    match found:
        case Local(accounts=(one,), away=()) if _is_user(name, one.address):
            raise Refusal(R550_NOT_A_LIST)
        case Local(accounts=accounts, away=away):
            return _told([*(each.address for each in accounts), *map(str, away)], utf8=utf8)
        case Elsewhere(addresses=addresses, by_alias=True):
            return _told([str(each) for each in addresses], utf8=utf8)
    raise _refused(session, found)


def _asked(argument: bytes) -> tuple[bytes, bool]:
    """What is asked about, and whether the answer may go beyond ASCII. Raises Refusal."""
    wish, utf8 = read_wish(argument)
    if not (utf8 or wish.isascii()):
        raise Refusal(R553_8BIT_ADDRESS)
    try:
        wish.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise Refusal(R553_RECIPIENT_UTF8) from fault
    return wish, utf8


def _may_know(session: Session) -> bool:
    match session.service.verify:
        case Verify.EVERYBODY:
            return True
        case Verify.ACCOUNTS:
            return session.account is not None
        case Verify.NOBODY:
            return False


async def _find(session: Session, wish: bytes, *, utf8: bool) -> Found:
    """The one whom a wish names. A name without a domain is looked for in all of ours; where it means several, they
    are told. Raises Refusal, StoreFault."""
    try:
        name = read_mailbox(wish)
    except Utf8Fault as fault:
        raise Refusal(R553_RECIPIENT_UTF8) from fault
    except AddressFault as fault:
        raise Refusal(R501_RECIPIENT) from fault
    intake, domains = session.service.intake, session.service.domains[:SMTP_VRFY_DOMAINS]
    if name.domain or not domains:
        return name, await intake.recipient(name)
    candidates = [Address(name.local, domain) for domain in domains]
    found = [(each, await intake.recipient(each)) for each in candidates]
    known = [each for each in found if not isinstance(each[1], Unknown)]
    if not known:
        return found[0]
    if any(resolution != known[0][1] for _, resolution in known):
        raise Refusal(R553_AMBIGUOUS, _ambiguous([str(each) for each, _ in known], utf8=utf8))
    return known[0]


def _ambiguous(names: Sequence[str], *, utf8: bool) -> bytes:
    """A name means several (RFC 5321 3.5.1): they are told."""
    shown = [f"<{each}>" for each in names if utf8 or each.isascii()]
    return R553_AMBIGUOUS.saying("User ambiguous; possibilities are", *shown, utf8=utf8)


def _told(addresses: Sequence[str], *, utf8: bool) -> bytes:
    """Mailboxes, a line for each (RFC 5321 4.2.1)."""
    lines = [f"<{each}>" for each in addresses[:SMTP_EXPN_MEMBERS]]
    if not utf8 and not all(line.isascii() for line in lines):
        return R252_UTF8.octets
    if len(addresses) > len(lines):
        lines.append(f"and {len(addresses) - len(lines)} more")
    return R250_VERIFIED.saying(*lines, utf8=utf8)


def _elsewhere(address: Address, *, utf8: bool) -> bytes:
    """RFC 5321 3.4; RFC 6531 3.7.4.1: nothing beyond ASCII unasked."""
    path = f"<{address}>"
    if not utf8 and not path.isascii():
        return R252_UTF8.octets
    return R551_NOT_LOCAL.saying(f"User not local; please try {path}", utf8=utf8)


def _is_user(name: Address, account: str) -> bool:
    """Whether a name is an account's own, with or without a tag, and not an alias's."""
    try:
        local = read_address(account).local
    except AddressFault:
        return False
    return name.local.lower().partition("+")[0] == local.partition("+")[0]


def _refused(session: Session, found: Resolution) -> Refusal | Closing:
    reply: Reply = R551_NOT_LOCAL
    match found:
        case Disabled():
            reply = R550_DISABLED
        case TooWide():
            reply = R451_ALIAS
        case Unknown():
            reply = R550_UNKNOWN_USER
            session.unknown_recipients += 1
            if session.unknown_recipients >= SMTP_UNKNOWN_RECIPIENTS:
                session.stream.write(reply.octets)
                return Closing(R421_RECIPIENTS)
    return Refusal(reply)
