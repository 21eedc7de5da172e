"""BDAT: the letter comes in chunks of known size (RFC 3030 2), which stream to the store.

The octets of a chunk are read whatever is said about it, and never run (CVE-2017-16943 and its kin).
"""

from __future__ import annotations

from postroom.intake.envelope import Body
from postroom.net.limits import SMTP_DATA_SECONDS
from postroom.smtp.data import CHUNK, nobody, too_slow
from postroom.smtp.filing import file, note_failure, repair
from postroom.smtp.grammar import SyntaxFault, read_bdat
from postroom.smtp.receiving import Chunks
from postroom.smtp.replies import R250_CHUNK, R421_TOO_SLOW, R501_SYNTAX, R503_FAILED
from postroom.smtp.session import Closing, Refusal, Session, Transaction
from postroom.store.interface import StoreFault


async def bdat(session: Session, argument: bytes) -> bytes:
    """Take a chunk; with the last one hand the letter to intake. After one that was refused the others are, up to
    the last one or RSET."""
    transaction = session.transaction
    assert transaction is not None, "the verb table has BDAT within a transaction only"
    size, last = _read(argument)
    reply = R503_FAILED if transaction.failed else nobody(session, transaction)
    if reply is not None:
        await _receive(session, size, None)
        _fail(session, transaction, last=last)
        raise Refusal(reply)
    chunks = transaction.chunks
    if chunks is None:
        chunks = transaction.chunks = _begin(session, transaction)
    chunks.begin(size)
    await _receive(session, size, chunks)
    if last:
        return await _end(session, transaction, chunks)
    if chunks.failure is None:
        return R250_CHUNK.saying(f"{size} octets received")
    _fail(session, transaction, last=False)
    note_failure(session, transaction, chunks.failure)
    raise chunks.failure if isinstance(chunks.failure, StoreFault) else Refusal(chunks.failure)


async def drop(session: Session, argument: bytes) -> None:
    """Read and drop the octets of a chunk that isn't taken at all.

    They have the time of one command, so that a stranger can't make us read for ever.
    """
    left, _ = _read(argument)
    session.midway = True
    while left:
        left -= len(await session.stream.some(min(left, CHUNK)))
    session.midway = False


def _read(argument: bytes) -> tuple[int, bool]:
    try:
        return read_bdat(argument)
    except SyntaxFault as fault:
        # Nobody knows where the chunk ends.
        raise Closing(R501_SYNTAX) from fault


def _begin(session: Session, transaction: Transaction) -> Chunks:
    service = session.service
    return Chunks(
        service.intake.begin(),
        repair(session),
        service.max_message_size,
        binary=transaction.body is Body.BINARY,
    )


async def _receive(session: Session, left: int, chunks: Chunks | None) -> None:
    """Read a chunk of so many octets; without `chunks` they are dropped."""
    stream, clock = session.stream, session.service.clock
    octets, began = 0, clock()
    session.midway = True
    while left:
        stream.deadline(SMTP_DATA_SECONDS)
        piece = await stream.some(min(left, CHUNK))
        octets += len(piece)
        left -= len(piece)
        if too_slow(octets, clock() - began):
            raise Closing(R421_TOO_SLOW)
        if chunks is not None:
            chunks.feed(piece)
    session.midway = False


def _fail(session: Session, transaction: Transaction, *, last: bool) -> None:
    """A chunk was refused: nothing of this letter is taken any more, until it is over."""
    if last:
        session.reset()
    else:
        transaction.failed = True


async def _end(session: Session, transaction: Transaction, chunks: Chunks) -> bytes:
    """The last chunk has come: the transaction is over, however it goes."""
    try:
        chunks.finish()
        return await file(session, transaction, chunks.blob, chunks.failure)
    finally:
        session.reset()
