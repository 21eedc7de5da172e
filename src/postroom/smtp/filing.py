"""The end of a letter, by whichever way it came: intake's word on it as the reply, or with LMTP as the replies."""

from __future__ import annotations

import logging

from postroom.intake.envelope import Accepted, Envelope, Origin, Rejected
from postroom.intake.submission import HeaderRepair
from postroom.net.log import event
from postroom.smtp.receiving import Failure
from postroom.smtp.replies import R250_ACCEPTED, R451_FAULT, R452_STORAGE_FULL, Reply
from postroom.smtp.session import Kind, Refusal, Role, Session, Transaction
from postroom.smtp.showing import deliver
from postroom.store.interface import Blob, StorageFull, StoreFault

_logger = logging.getLogger("postroom.smtp")


def repair(session: Session) -> HeaderRepair | None:
    """What mends the header of a letter that begins now (RFC 6409 8); None where letters stay as they are."""
    service = session.service
    return HeaderRepair(service.hostname, service.intake.now()) if service.role.wants_login else None


async def file(session: Session, transaction: Transaction, blob: Blob, failure: Failure | None) -> bytes:
    """The reply to a letter that has come whole; a `failure` is why it isn't taken.

    Raises Refusal, StoreFault.
    """
    envelope = Envelope(
        transaction.sender, tuple(transaction.recipients.values()), transaction.body, transaction.utf8
    )
    note_failure(session, transaction, failure)
    if session.service.role is Role.LMTP:
        return await _file_each(session, transaction, envelope, blob, failure)
    if failure is not None:
        raise failure if isinstance(failure, StoreFault) else Refusal(failure)
    origin = _origin(session, transaction)
    if transaction.kind is Kind.MAIL:
        answer = await session.service.intake.accept(envelope, origin, blob)
    else:
        answer = await deliver(session, transaction.kind, envelope, origin, blob)
    if isinstance(answer, Accepted):
        return _taken(answer)
    raise Refusal(answer.reply)


def note_failure(session: Session, transaction: Transaction, failure: Failure | None) -> None:
    """Leave a record of a letter that was refused for what it is."""
    if isinstance(failure, Reply):
        first = next(iter(transaction.recipients.values()))
        session.note_refused(transaction.sender, str(first.address), "letter", failure)


async def _file_each(
    session: Session, transaction: Transaction, envelope: Envelope, blob: Blob, failure: Failure | None
) -> bytes:
    """RFC 2033 4.2: a reply for each RCPT that was taken, in order. Where one meant several accounts, and some of
    them have the letter, it is delivered: the sender can do nothing for the others."""
    answers: tuple[Accepted | Rejected, ...] = ()
    if failure is None:
        try:
            answers = await session.service.intake.accept_each(envelope, _origin(session, transaction), blob)
        except StoreFault as fault:
            failure = fault
    if failure is not None:
        reply = reply_to(session, failure) if isinstance(failure, StoreFault) else failure
        return reply.octets * len(transaction.told)
    by_account = {each.account.id: answer for each, answer in zip(envelope.recipients, answers, strict=True)}
    replies = []
    for accounts in transaction.told:
        meant = [by_account[account.id] for account in accounts]
        best = next((each for each in meant if isinstance(each, Accepted)), meant[0])
        replies.append(_taken(best) if isinstance(best, Accepted) else best.reply.octets)
    return b"".join(replies)


def _taken(answer: Accepted) -> bytes:
    return R250_ACCEPTED.saying(f"Letter accepted as {answer.id}")


def reply_to(session: Session, fault: StoreFault) -> Reply:
    """What the client hears where we failed; the log hears why."""
    event(_logger, logging.ERROR, "smtp.store-fault", session=session.id, reason=fault)
    return R452_STORAGE_FULL if isinstance(fault, StorageFull) else R451_FAULT


def _origin(session: Session, transaction: Transaction) -> Origin:
    """What the Received field will tell."""
    session.letters += 1
    account = session.account
    return Origin(
        session.hello,
        session.stream.peer.host,
        protocol(session, utf8=transaction.utf8),
        f"{session.id}.{session.letters}",
        account.address if account else "",
        session.by,
        session.visit,
    )


def protocol(session: Session, *, utf8: bool) -> str:
    """The word behind "with": RFC 3848's, and of a letter with SMTPUTF8 those of RFC 6531 4.3."""
    if not session.extended:
        return "SMTP"
    kind = "LMTP" if session.service.role is Role.LMTP else "SMTP"
    prefix = "UTF8" if utf8 else "E" if kind == "SMTP" else ""
    return f"{prefix}{kind}{'S' if session.stream.tls else ''}{'A' if session.account else ''}"
