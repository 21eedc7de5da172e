"""EXPUNGE, UID EXPUNGE and CLOSE: letters with \\Deleted go for good (RFC 3501 6.4.2, 6.4.3; RFC 4315 2.1).

The EXPUNGE responses are the session's news.
"""

from __future__ import annotations

from postroom.imap.grammar.commands import ExpungeUids, Nothing
from postroom.imap.server.letters import writable
from postroom.imap.server.refusals import because
from postroom.imap.server.session import Selected, Session
from postroom.store.changes import Expunge, Refused
from postroom.store.values import Uid


async def expunge(session: Session, command: Nothing) -> bytes:
    """EXPUNGE (RFC 3501 6.4.3)."""
    await _expunge(session, writable(session), None)
    return b"Expunged"


async def uid_expunge(session: Session, command: ExpungeUids) -> bytes:
    """UID EXPUNGE (RFC 4315 2.1): of the letters named those with \\Deleted."""
    selected = writable(session)
    uids = selected.view.uids(selected.view.chosen(command.chosen, by_uid=True))
    if uids:
        await _expunge(session, selected, tuple(uids))
    return b"Expunged"


async def close(session: Session, command: Nothing) -> bytes:
    """CLOSE (RFC 3501 6.4.2): expunge without a word, unless the mailbox is read-only, and leave it."""
    selected = session.the_selected()
    if not selected.read_only:
        await _expunge(session, selected, None)
    session.deselect()
    return b"Closed"


async def _expunge(session: Session, selected: Selected, uids: tuple[Uid, ...] | None) -> None:
    answer = await session.service.store.commit(Expunge(selected.mailbox.id, uids, by=session.by))
    if isinstance(answer, Refused):
        raise because(answer)
