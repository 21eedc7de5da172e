"""Letters for terminals (RFC 821 3.4): who is there, and what becomes of a letter sent by SEND, SOML or SAML.

    SEND   shown, or refused with 450
    SOML   shown, or else filed
    SAML   filed, and shown to whom is there

A letter counts as shown where a live session has confirmed it. SOML also files a letter that a terminal can't show
whole, so that of what was acknowledged nothing is lost. What the checks take for junk is shown to nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import replace

from postroom.intake.envelope import Accepted, Envelope, Origin, Recipient, Rejected
from postroom.intake.judging import Judged
from postroom.net.log import event
from postroom.smtp.notices import Notice, notice
from postroom.smtp.replies import R450_NOT_ACTIVE, Reply
from postroom.smtp.session import Kind, Session
from postroom.store.interface import Blob
from postroom.store.values import Account

__all__ = ["deliver", "recipient"]

_logger = logging.getLogger("postroom.smtp")


async def recipient(session: Session, accounts: Collection[Account]) -> Reply | None:
    """Why RCPT can't take these accounts in this transaction, or None: of SEND all must be there (of an alias too,
    as with quotas), for nobody else would have the letter."""
    transaction = session.transaction
    assert transaction is not None, "the verb table has RCPT within a transaction only"
    if transaction.kind is not Kind.SEND:
        return None
    names = _addresses(accounts)
    return None if (await _present(session, names)).issuperset(names) else R450_NOT_ACTIVE


async def deliver(
    session: Session, kind: Kind, envelope: Envelope, origin: Origin, blob: Blob
) -> Accepted | Rejected:
    """What `Intake.accept` does for MAIL, as `kind` asks for it. Raises `StoreFault`."""
    intake = session.service.intake
    if kind is Kind.MAIL or not await _present(session, _addresses(each.account for each in envelope.recipients)):
        return Rejected(R450_NOT_ACTIVE) if kind is Kind.SEND else await intake.accept(envelope, origin, blob)
    judged = await intake.judge(envelope, origin, blob)
    if not isinstance(judged, Judged):
        return judged
    try:
        return await _deliver(session, kind, judged)
    finally:
        if judged.arrival.blob is not blob:
            judged.arrival.blob.discard()


async def _deliver(session: Session, kind: Kind, judged: Judged) -> Accepted | Rejected:
    """The same for a letter that the checks let in."""
    intake, envelope, id = session.service.intake, judged.arrival.envelope, judged.arrival.origin.id
    # Before it is filed: then its octets are the store's.
    shown = notice(id, str(envelope.sender or ""), judged.arrival.blob.contents())
    if kind is Kind.SAML:
        answer = await intake.file(judged)
        if isinstance(answer, Accepted) and not judged.junk:
            await _show(session, kind, envelope, shown)
        return answer
    missing = envelope.recipients if judged.junk else await _show(session, kind, envelope, shown)
    if kind is Kind.SEND:
        # One reply for all: whoever has seen it sees it again when the sender tries again.
        return Rejected(R450_NOT_ACTIVE) if missing else Accepted(id)
    if not shown.whole:
        missing = envelope.recipients
    if not missing:
        return Accepted(id)
    rest = replace(judged.arrival, envelope=replace(envelope, recipients=missing))
    return await intake.file(replace(judged, arrival=rest))


async def _present(session: Session, names: Collection[str]) -> set[str]:
    terminals = session.service.terminals
    return await terminals.present(names) if terminals is not None and names else set()


async def _show(session: Session, kind: Kind, envelope: Envelope, shown: Notice) -> tuple[Recipient, ...]:
    """Show a letter to all its recipients; gives those to whom it was not shown."""
    terminals = session.service.terminals
    names = _addresses(each.account for each in envelope.recipients)
    saw = set[str]() if terminals is None else await terminals.show(names, shown, owners=kind is Kind.SOML)
    missing = tuple([each for each in envelope.recipients if each.account.address not in saw])
    event(
        _logger,
        logging.INFO,
        "smtp.shown",
        letter=shown.id,
        verb=kind.value,
        sender=shown.sender or "<>",
        recipients=len(names),
        shown=len(names) - len(missing),
    )
    return missing


def _addresses(accounts: Iterable[Account]) -> list[str]:
    return [account.address for account in accounts]
