"""APPEND (RFC 3501 6.3.11): a letter streams from the connection to the store, in chunks, with bounded memory.

What is wrong with the command is found before the letter is asked for. Where the client doesn't wait to be asked
(LITERAL+, RFC 7888), the letter is read and dropped up to its end, and only then answered, or the session ends:
nothing of a letter is ever taken for a command. Octets are kept as they come, bare CR and LF too.
"""

from __future__ import annotations

import time
from typing import Final

from postroom.imap.grammar.commands import Append
from postroom.imap.grammar.dates import Moment
from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.tokens import LiteralHead, literal_at_end
from postroom.imap.server.letters import kept_out
from postroom.imap.server.refusals import Goodbye, Refusal, no_such_target
from postroom.imap.server.session import Session
from postroom.message.structure import parse
from postroom.net.limits import IMAP_DISCARD_OCTETS
from postroom.store.changes import Reason, Refused, Target
from postroom.store.interface import Blob, Delivery, StoreFault
from postroom.store.values import Mailbox

CHUNK: Final = 65536
"""Octets that are asked for at once."""
_REST_OCTETS: Final = 1024
"""Of the line behind the letter, which should be empty."""
_NUL: Final = "a letter has no NUL"


async def append(session: Session, command: Append) -> bytes:
    """File a letter; the command has been read up to the head of its literal, with which the line ended."""
    try:
        mailbox = await _target(session, command)
    except (Refusal, SyntaxFault, StoreFault):
        await pass_over(session, command.literal)
        raise
    blob = session.service.store.blob()
    try:
        if not command.literal.nonsync:
            session.write(b"+ Ready for the letter\r\n")
            session.midway = True
        fault = await _receive(session, blob, command.literal.size)
        await _end(session)
        if fault is not None:
            raise fault
        return await _file(session, command, mailbox, blob)
    finally:
        blob.discard()


async def _target(session: Session, command: Append) -> Mailbox:
    """Where the letter is to go. Raises what is wrong with the command."""
    literal = command.literal
    if literal.literal8:
        raise SyntaxFault("APPEND takes no binary literal")
    if literal.size > session.service.max_message_size:
        raise Refusal(b"The letter is too big", b"TOOBIG")
    if not literal.size:
        raise Refusal(b"An empty letter can't be kept", b"CANNOT")
    store, account = session.service.store, session.the_account().id
    mailbox = await store.mailbox(account, command.mailbox)
    if mailbox is None:
        raise no_such_target()
    quota = await store.quota(account)
    if quota is not None and not quota.has_room(literal.size):
        raise kept_out(session, Refused(Reason.OVER_QUOTA))
    return mailbox


async def _receive(session: Session, blob: Blob, size: int) -> SyntaxFault | StoreFault | None:
    """Read the letter into the blob, all of it, whatever happens; why it can't be kept."""
    fault: SyntaxFault | StoreFault | None = None
    while size:
        session.rearm()
        chunk = await session.stream.some(min(size, CHUNK))
        size -= len(chunk)
        if fault is not None:
            continue
        if b"\x00" in chunk:
            fault = SyntaxFault(_NUL)
        else:
            try:
                blob.write(chunk)
            except StoreFault as trouble:
                fault = trouble
        if fault is not None:
            blob.discard()
    return fault


async def _end(session: Session) -> None:
    """Read the end of the command. A further letter (RFC 3502) is not offered: it is refused like any syntax, and
    its octets never run."""
    session.midway = False
    line = await session.stream.line(_REST_OCTETS)
    if line not in (b"\r\n", b"\n"):
        literal = literal_at_end(line)
        if literal is not None:
            await pass_over(session, literal)
        raise SyntaxFault("APPEND takes one letter")


async def _file(session: Session, command: Append, mailbox: Mailbox, blob: Blob) -> bytes:
    moment = command.moment or Moment(int(time.time()), 0)
    target = Target(mailbox.id, flags=command.flags.flags, keywords=command.flags.keywords)
    facts = parse(blob.contents())
    delivery = Delivery(blob, facts, (target,), moment.seconds, moment.zone, session.by, f"into {mailbox.name}")
    (filed,) = await session.service.store.deliver(delivery)
    if isinstance(filed, Refused):
        raise kept_out(session, filed)
    return b"[APPENDUID %d %d] Letter kept" % (filed.uid_validity, filed.uids[0])


async def pass_over(session: Session, literal: LiteralHead) -> None:
    """After a command was refused at a literal: if its octets come unasked, read and drop them, and the rest of the
    command, in which further literals may stand. Raises `Goodbye` where that is too much."""
    left = max(IMAP_DISCARD_OCTETS, session.service.max_message_size)
    pending: LiteralHead | None = literal
    while pending is not None and pending.nonsync:
        size = pending.size
        left -= size
        if left < 0:
            raise Goodbye(b"The literal is too big", b"TOOBIG")
        while size:
            session.rearm()
            size -= len(await session.stream.some(min(size, CHUNK)))
        session.midway = False
        line = await session.stream.line(session.command_octets)
        left -= len(line)
        pending = literal_at_end(line)
