"""DATA: the letter streams from the connection to the store (RFC 5321 4.1.1.4), in chunks, with bounded memory.

Whatever goes wrong while it streams, the rest is read and dropped up to its end, and only then answered: nothing of
a letter is ever taken for a command.
"""

from __future__ import annotations

from typing import Final

from postroom.intake.envelope import Accepted, Envelope, Origin
from postroom.intake.submission import HeaderRepair
from postroom.net.limits import (
    SMTP_DATA_LINE_OCTETS,
    SMTP_DATA_MIN_RATE,
    SMTP_DATA_RATE_SECONDS,
    SMTP_DATA_SECONDS,
)
from postroom.smtp.grammar import SyntaxFault, read_number
from postroom.smtp.replies import (
    R250_ACCEPTED,
    R354_DATA,
    R421_TOO_SLOW,
    R501_SYNTAX,
    R502_NOT_HERE,
    R550_BARE_LINE_END,
    R552_TOO_BIG,
    R554_LONG_LINE,
    R554_NO_RECIPIENTS,
    Reply,
)
from postroom.smtp.session import Closing, Refusal, Session
from postroom.smtp.stuffing import DataReader
from postroom.store.interface import Blob, StoreFault

CHUNK: Final = 65536
"""Octets that are asked for at once."""


async def data(session: Session, argument: bytes) -> bytes:
    """Take the letter and hand it to intake; the transaction is over, however it went (RFC 5321 4.1.1.4)."""
    transaction = session.transaction
    assert transaction is not None, "the verb table has DATA within a transaction only"
    if not transaction.recipients:
        raise Refusal(R554_NO_RECIPIENTS)
    intake = session.service.intake
    blob = intake.begin()
    try:
        failure = await _receive(session, blob)
        if isinstance(failure, StoreFault):
            raise failure
        if failure is not None:
            raise Refusal(failure)
        envelope = Envelope(transaction.sender, tuple(transaction.recipients.values()))
        answer = await intake.accept(envelope, _origin(session), blob)
    finally:
        blob.discard()
        session.reset()
    if isinstance(answer, Accepted):
        return R250_ACCEPTED.saying(f"Letter accepted as {answer.id}")
    raise Refusal(answer.reply)


async def _receive(session: Session, blob: Blob) -> Reply | StoreFault | None:
    """Read the letter into the blob; why it can't be taken, or None."""
    stream, service = session.stream, session.service
    reader = DataReader(SMTP_DATA_LINE_OCTETS)
    repair = HeaderRepair(service.hostname, service.intake.now()) if service.role.wants_login else None
    failure: Reply | StoreFault | None = None
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
        if failure is None:
            failure = _objection(reader, service.max_message_size) or _keep(blob, repair, piece, reader.finished)
            if failure is not None:
                blob.discard()
    stream.unread(reader.rest)
    session.midway = False
    return failure


def too_slow(octets: int, seconds: float) -> bool:
    """Whether DATA trickles: below the least rate, after a time of grace."""
    return seconds > SMTP_DATA_RATE_SECONDS and octets < seconds * SMTP_DATA_MIN_RATE


def _objection(reader: DataReader, limit: int) -> Reply | None:
    if reader.bare:
        return R550_BARE_LINE_END
    if reader.size > limit:
        return R552_TOO_BIG
    if reader.overlong:
        return R554_LONG_LINE
    return None


def _keep(blob: Blob, repair: HeaderRepair | None, piece: bytes, last: bool) -> StoreFault | None:
    """Write on; the store's fault is told when the letter has ended."""
    try:
        if repair is None:
            blob.write(piece)
        else:
            blob.write(repair.feed(piece))
            if last:
                blob.write(repair.finish())
    except StoreFault as fault:
        return fault
    return None


def _origin(session: Session) -> Origin:
    """What the Received field will tell; the protocol's words are RFC 3848's."""
    session.letters += 1
    protocol = "SMTP"
    if session.extended:
        protocol = f"ESMTP{'S' if session.stream.tls else ''}{'A' if session.account else ''}"
    return Origin(
        session.hello,
        session.stream.peer.host,
        protocol,
        f"{session.id}.{session.letters}",
        session.account.address if session.account else "",
        session.by,
    )


async def bdat(session: Session, argument: bytes) -> bytes:
    """RFC 3030 2: not done here, but the octets of a chunk that comes all the same are dropped, never run.

    They have the time of one command, so that nobody can make us read for ever.
    """
    size, _, last = argument.partition(b" ")
    if last.upper() not in (b"", b"LAST"):
        raise Closing(R501_SYNTAX)
    try:
        left = read_number(size)
    except SyntaxFault as fault:
        # Nobody knows where the chunk ends.
        raise Closing(R501_SYNTAX) from fault
    session.midway = True
    while left:
        left -= len(await session.stream.some(min(left, CHUNK)))
    session.midway = False
    session.reset()
    raise Refusal(R502_NOT_HERE)
