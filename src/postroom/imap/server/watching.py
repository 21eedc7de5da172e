"""IDLE (RFC 2177): news of the selected mailbox as they happen, until the client says DONE.

Nothing is polled: the store wakes the stream, whoever made the change.
"""

from __future__ import annotations

from typing import Final

from postroom.imap.grammar.commands import Nothing
from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.server.refusals import farewell, mailbox_gone, refuse_literal
from postroom.imap.server.session import Session

_LINE_OCTETS: Final = 1024


async def idle(session: Session, command: Nothing) -> bytes:
    """RFC 2177 3. The deadline runs from the command on: a client says DONE and IDLE anew before it
    (IMAP_IDLE_SECONDS)."""
    session.write(b"+ Idling\r\n")
    line: bytes | None = None
    while line is None:
        if session.stream.farewell is not None:
            raise farewell(session.stream.farewell)
        await _tell(session)
        line = await session.stream.line(_LINE_OCTETS, wakeable=True)
    refuse_literal(line)
    if line.strip().upper() != b"DONE":
        raise SyntaxFault("IDLE is ended by DONE")
    return b"No longer idling"


async def _tell(session: Session) -> None:
    """Say at once what is new."""
    await session.say_alerts()
    await session.catch_up()
    if session.selected is None:
        return
    if session.selected.view.lost:
        raise mailbox_gone()
    for line in session.selected.view.news(expunges=True):
        session.write(line)
        await session.breathe()
