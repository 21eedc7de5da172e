"""DATA: the letter streams from the connection to the store (RFC 5321 4.1.1.4), in chunks, with bounded memory.

Whatever goes wrong while it streams, the rest is read and dropped up to its end, and only then answered: nothing of
a letter is ever taken for a command.
"""

from __future__ import annotations

from typing import Final

from postroom.intake.envelope import Body
from postroom.net.limits import (
    SMTP_DATA_LINE_OCTETS,
    SMTP_DATA_MIN_RATE,
    SMTP_DATA_RATE_SECONDS,
    SMTP_DATA_SECONDS,
)
from postroom.smtp.filing import file, repair
from postroom.smtp.receiving import Keeper, objection
from postroom.smtp.replies import (
    R354_DATA,
    R421_TOO_SLOW,
    R503_BINARY,
    R503_CHUNKS,
    R503_FAILED,
    R503_NO_RECIPIENTS,
    R554_NO_RECIPIENTS,
    Reply,
)
from postroom.smtp.session import Closing, Refusal, Role, Session, Transaction
from postroom.smtp.stuffing import DataReader

CHUNK: Final = 65536
"""Octets that are asked for at once."""


async def data(session: Session, argument: bytes) -> bytes:
    """Take the letter and hand it to intake; the transaction is over, however it went (RFC 5321 4.1.1.4)."""
    transaction = session.transaction
    assert transaction is not None, "the verb table has DATA within a transaction only"
    reply = _out_of_place(transaction) or nobody(session, transaction)
    if reply is not None:
        raise Refusal(reply)
    blob = session.service.intake.begin()
    try:
        keeper = Keeper(blob, repair(session))
        await _receive(session, keeper)
        return await file(session, transaction, blob, keeper.failure)
    finally:
        blob.discard()
        session.reset()


def _out_of_place(transaction: Transaction) -> Reply | None:
    """RFC 3030 2 and 3: what came by BDAT goes on by BDAT, and binary letters come by nothing else."""
    if transaction.failed:
        return R503_FAILED
    if transaction.chunks is not None:
        return R503_CHUNKS
    return R503_BINARY if transaction.body is Body.BINARY else None


def nobody(session: Session, transaction: Transaction) -> Reply | None:
    """What is said where no recipient was taken (RFC 5321 3.3; RFC 2033 4.2), or None."""
    if transaction.recipients:
        return None
    return R503_NO_RECIPIENTS if session.service.role is Role.LMTP else R554_NO_RECIPIENTS


async def _receive(session: Session, keeper: Keeper) -> None:
    """Read the letter up to its end."""
    stream, service = session.stream, session.service
    reader = DataReader(SMTP_DATA_LINE_OCTETS)
    octets = 0
    began = service.clock()
    stream.write(R354_DATA.octets)
    session.midway = True
    while not reader.finished:
        stream.deadline(SMTP_DATA_SECONDS)
        chunk = await stream.some(CHUNK)
        octets += len(chunk)
        if too_slow(octets, service.clock() - began):
            raise Closing(R421_TOO_SLOW)
        piece = reader.feed(chunk)
        if keeper.failure is None:
            against = objection(reader, service.max_message_size)
            if against is not None:
                keeper.fail(against)
            else:
                keeper.write(piece)
    keeper.finish()
    stream.unread(reader.rest)
    session.midway = False


def too_slow(octets: int, seconds: float) -> bool:
    """Whether a letter trickles: below the least rate, after a time of grace."""
    return seconds > SMTP_DATA_RATE_SECONDS and octets < seconds * SMTP_DATA_MIN_RATE
