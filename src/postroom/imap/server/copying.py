"""COPY and MOVE (RFC 3501 6.4.7, RFC 6851), with what became of each letter (RFC 4315 3).

One change of the store for a whole command: it is done wholly or not at all.
"""

from __future__ import annotations

from postroom.imap.grammar.commands import Copy as Command
from postroom.imap.grammar.sets import write_numbers
from postroom.imap.server.letters import kept_out, some_are_gone, writable
from postroom.imap.server.refusals import no_such_target
from postroom.imap.server.session import Selected, Session
from postroom.store.changes import Copy, Filed, Refused


async def copy(session: Session, command: Command) -> bytes:
    """COPY (RFC 3501 6.4.7)."""
    code = await _copy(session, session.the_selected(), command, by_uid=False, move=False)
    return code + b"Copied"


async def uid_copy(session: Session, command: Command) -> bytes:
    """UID COPY (RFC 3501 6.4.8)."""
    code = await _copy(session, session.the_selected(), command, by_uid=True, move=False)
    return code + b"Copied"


async def move(session: Session, command: Command) -> bytes:
    """MOVE (RFC 6851 3.1)."""
    return await _move(session, command, by_uid=False)


async def uid_move(session: Session, command: Command) -> bytes:
    """UID MOVE (RFC 6851 3.2)."""
    return await _move(session, command, by_uid=True)


async def _move(session: Session, command: Command, *, by_uid: bool) -> bytes:
    """RFC 6851 4.3: servers "are also advised to send the COPYUID response code in an untagged OK before sending
    EXPUNGE", which comes as the session's news."""
    code = await _copy(session, writable(session), command, by_uid=by_uid, move=True)
    if code:
        session.write(b"* OK %bMoved\r\n" % code)
    return b"Done"


async def _copy(session: Session, selected: Selected, command: Command, *, by_uid: bool, move: bool) -> bytes:
    """Do it; the response code with a space behind it, or nothing where nothing was copied (RFC 4315 3).

    Letters named by number that are gone stop it: a COPY must not be done by halves (RFC 2180 4.4.1). Of UIDs those
    that are there are meant.
    """
    store, view = session.service.store, selected.view
    named = view.uids(view.chosen(command.chosen, by_uid=by_uid))
    target = await store.mailbox(session.the_account().id, command.mailbox)
    if target is None:
        raise no_such_target()
    await session.catch_up()
    uids = tuple([uid for uid in named if not view.is_gone(uid)])
    if len(uids) < len(named) and not by_uid:
        raise some_are_gone()
    if not uids:
        return b""
    answer = await store.commit(Copy(selected.mailbox.id, uids, target.id, move, by=session.by))
    if isinstance(answer, Refused):
        raise kept_out(session, answer)
    assert isinstance(answer, Filed)
    if not answer.uids:
        return b""
    return b"[COPYUID %d %b %b] " % (
        answer.uid_validity,
        write_numbers(answer.sources),
        write_numbers(answer.uids),
    )
