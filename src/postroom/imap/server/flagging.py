"""STORE and UID STORE (RFC 3501 6.4.6), and the way to change flags that FETCH takes too."""

from __future__ import annotations

from collections.abc import Sequence

from postroom.imap.grammar.commands import Store
from postroom.imap.server.letters import some_are_gone, writable
from postroom.imap.server.refusals import Refusal, because
from postroom.imap.server.session import Session
from postroom.net.limits import IMAP_LETTERS_PER_CHANGE
from postroom.store.changes import FlagsSet, How, Refused, SetFlags
from postroom.store.interface import StoreFault
from postroom.store.values import Flag, Uid


async def store(session: Session, command: Store) -> bytes:
    """STORE (RFC 3501 6.4.6). The answers to a STORE that isn't silent are the session's news. Letters that others
    expunged stay as they are, the rest is changed, and the answer is NO (RFC 2180 4.2)."""
    return await _store(session, command, by_uid=False)


async def uid_store(session: Session, command: Store) -> bytes:
    """UID STORE (RFC 3501 6.4.8): letters that aren't there are passed over."""
    return await _store(session, command, by_uid=True)


async def _store(session: Session, command: Store, *, by_uid: bool) -> bytes:
    view = writable(session).view
    named = view.uids(view.chosen(command.chosen, by_uid=by_uid))
    uids = [uid for uid in named if not view.is_gone(uid)]
    flags, keywords = command.flags.flags, command.flags.keywords
    for at in range(0, len(uids), IMAP_LETTERS_PER_CHANGE):
        try:
            done = await change_flags(
                session, uids[at : at + IMAP_LETTERS_PER_CHANGE], command.how, flags, keywords
            )
        except (StoreFault, Refusal) as fault:
            if at:
                raise Refusal(b"Not all letters could be changed", b"UNAVAILABLE") from fault
            raise
        view.stored(done, command.how, flags, keywords, silent=command.silent)
        await session.breathe()
    if not by_uid:
        await session.catch_up()
        if any(map(view.is_gone, named)):
            raise some_are_gone()
    return b"Stored"


async def change_flags(
    session: Session, uids: Sequence[Uid], how: How, flags: Flag, keywords: Sequence[str]
) -> Sequence[Uid]:
    """One commit on letters of the selected mailbox; which of them are now as asked.

    Raises Refusal (a letter would have too many keywords, the mailbox is gone), StoreFault.
    """
    mailbox = session.the_selected().mailbox.id
    change = SetFlags(mailbox, tuple(uids), how, flags, tuple(keywords), by=session.by)
    answer = await session.service.store.commit(change)
    if isinstance(answer, Refused):
        raise because(answer)
    assert isinstance(answer, FlagsSet)
    if not answer.modified:
        return uids
    modified = frozenset(answer.modified)
    return [uid for uid in uids if uid not in modified]
