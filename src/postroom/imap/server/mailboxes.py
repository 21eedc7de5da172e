"""Mailboxes chosen, made, renamed, looked at from outside (RFC 3501 6.3; UNSELECT RFC 3691, special uses RFC 6154).
LIST and LSUB stand in `listing`, CLOSE, which expunges, in `expunging`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from postroom.imap.grammar.commands import Create, Delete, Nothing, Rename, Select, Status, StatusItem, Subscribe
from postroom.imap.grammar.names import write_mailbox
from postroom.imap.server.narrowing import first_behind
from postroom.imap.server.refusals import Refusal, because, no_such_mailbox
from postroom.imap.server.session import Selected, Session
from postroom.store import changes, values
from postroom.store.changes import Change, CreateMailbox, DeleteMailbox, Refused, RenameMailbox
from postroom.store.values import Mailbox


async def select(session: Session, command: Select) -> bytes:
    """RFC 3501 6.3.1: open a mailbox; where that fails, none is selected."""
    await _open(session, command.mailbox, read_only=False)
    return b"[READ-WRITE] Selected"


async def examine(session: Session, command: Select) -> bytes:
    """RFC 3501 6.3.2: open a mailbox and change nothing there, \\Recent included."""
    await _open(session, command.mailbox, read_only=True)
    return b"[READ-ONLY] Selected, to look at only"


async def _open(session: Session, name: str, *, read_only: bool) -> None:
    session.deselect()
    store = session.service.store
    mailbox = await store.mailbox(session.the_account().id, name)
    if mailbox is None:
        raise no_such_mailbox()
    # From before the first look on, so that nothing that happens meanwhile is missed.
    stop_watching = store.watch(mailbox.id, session.stream.wake)
    try:
        status = await store.status(mailbox.id)
        if status is None:
            raise no_such_mailbox()
        view = await session.service.views.open(
            store, mailbox.id, status, read_only=read_only, breathe=session.breathe
        )
        selected = Selected(mailbox, view, read_only, stop_watching)
        await _find_recent(session, selected, status)
    except BaseException:
        stop_watching()
        raise
    session.selected = selected
    for line in view.opening():
        session.write(line)
    session.write(b"* OK [UIDVALIDITY %d] UIDs are valid\r\n" % status.uid_validity)
    last = view.uid_of(len(view)) if len(view) else 0
    session.write(b"* OK [UIDNEXT %d] Predicted next UID\r\n" % max(status.uid_next, last + 1))


async def _find_recent(session: Session, selected: Selected, status: values.Status) -> None:
    """Tell the view what is \\Recent: the newest letters, which SELECT claims for this session and EXAMINE does
    not."""
    view = selected.view
    if status.recent and selected.read_only and len(view):
        # What came since the status was read stands behind those that it counts.
        counted = first_behind(status.uid_next - 1, view) - 1
        view.recent(view.uid_of(max(1, counted - status.recent + 1)))
    elif not (status.recent and not selected.read_only and await session.take_recent(selected)):
        view.recent(status.uid_next)


async def unselect(session: Session, command: Nothing) -> bytes:
    """RFC 3691 2: leave the mailbox, expunge nothing."""
    session.deselect()
    return b"No mailbox is selected any more"


async def create(session: Session, command: Create) -> bytes:
    """RFC 3501 6.3.3, RFC 6154 3: a mailbox has at most one special use here."""
    if command.foreign_use or len(command.uses) > 1:
        raise Refusal(b"No mailbox can have that use", b"USEATTR")
    use = command.uses[0] if command.uses else None
    await _commit(session, CreateMailbox(session.the_account().id, command.mailbox, use))
    return b"Created"


async def delete(session: Session, command: Delete) -> bytes:
    """RFC 3501 6.3.4. Who deletes the mailbox that is selected has left it; other sessions there hear BYE."""
    account = session.the_account().id
    mailbox = await session.service.store.mailbox(account, command.mailbox)
    await _commit(session, DeleteMailbox(account, command.mailbox, by=session.by))
    if session.selected is not None and mailbox is not None and session.selected.mailbox.id == mailbox.id:
        session.deselect()
    return b"Deleted"


async def rename(session: Session, command: Rename) -> bytes:
    """RFC 3501 6.3.5; of INBOX the letters go, and itself stays."""
    change = RenameMailbox(session.the_account().id, command.mailbox, command.new, by=session.by)
    await _commit(session, change)
    return b"Renamed"


async def subscribe(session: Session, command: Subscribe) -> bytes:
    """RFC 3501 6.3.6; the mailbox need not exist."""
    await _commit(session, changes.Subscribe(session.the_account().id, command.mailbox))
    return b"Subscribed"


async def unsubscribe(session: Session, command: Subscribe) -> bytes:
    """RFC 3501 6.3.7; also for a name that wasn't subscribed to."""
    await _commit(session, changes.Subscribe(session.the_account().id, command.mailbox, on=False))
    return b"Unsubscribed"


async def _commit(session: Session, change: Change) -> None:
    answer = await session.service.store.commit(change)
    if isinstance(answer, Refused):
        raise because(answer)


_COUNTERS: Final[dict[StatusItem, Callable[[values.Status], int]]] = {
    StatusItem.MESSAGES: lambda status: status.messages,
    StatusItem.RECENT: lambda status: status.recent,
    StatusItem.UIDNEXT: lambda status: status.uid_next,
    StatusItem.UIDVALIDITY: lambda status: status.uid_validity,
    StatusItem.UNSEEN: lambda status: status.unseen,
    StatusItem.DELETED: lambda status: status.deleted,
    StatusItem.SIZE: lambda status: status.size,
}


async def status(session: Session, command: Status) -> bytes:
    """RFC 3501 6.3.10; of the selected mailbox too."""
    mailbox: Mailbox | None = await session.service.store.mailbox(session.the_account().id, command.mailbox)
    counters = await session.service.store.status(mailbox.id) if mailbox is not None else None
    if counters is None:
        raise no_such_mailbox()
    items = b" ".join(b"%b %d" % (item.value, _COUNTERS[item](counters)) for item in command.items)
    session.write(b"* STATUS %b (%b)\r\n" % (write_mailbox(command.mailbox), items))
    return b"That is how it stands"
