"""Many changes as one transaction, and what came of each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import apsw

from postroom.net.log import event
from postroom.store.apply import accounts, compaction, flags, keeping, leaving, letters, mailboxes
from postroom.store.apply.keeping import BeginKeeping, ForgetReplies, Key
from postroom.store.apply.letters import FileLetter
from postroom.store.changes import (
    AddAccount,
    AddAlias,
    Answer,
    ArrangeAccount,
    BringBack,
    BringBackMailbox,
    Change,
    Copy,
    CreateMailbox,
    DeleteMailbox,
    DropLetters,
    Expunge,
    Filed,
    ForgetSegments,
    LimitAccount,
    LimitDomain,
    MoveLetters,
    NoteRefused,
    Refused,
    RemoveAccount,
    RemoveAlias,
    RenameMailbox,
    RetireSegments,
    SetFlags,
    Subscribe,
    Sweep,
    SwitchAccount,
    TakeRecent,
    TellAccount,
)
from postroom.store.faults import is_of_the_ground, sqlite_fault
from postroom.store.index import BUSY_MILLISECONDS
from postroom.store.interface import StorageFull, StoreFault
from postroom.store.ledger import Ledger
from postroom.store.values import NO_QUOTAS, MailboxId, Quotas
from postroom.store.writer.wire import Piece, write_reply

__all__ = ["APPLY", "Applied", "Kept", "Op", "Reply", "apply", "begin", "transact"]

_log = logging.getLogger("postroom.store")


@dataclass(frozen=True, slots=True)
class Kept:
    """An op whose reply is kept with what it did, until who asked has heard it (`apply.keeping`)."""

    op: FileLetter | Change
    key: Key


Op = FileLetter | Change | Kept | BeginKeeping | ForgetReplies
"""What can be asked of the index."""
Reply = Answer | tuple[Filed | Refused, ...]
"""`FileLetter` is answered by a tuple, a change as `values` has it."""


@dataclass(slots=True)
class Applied:
    """What came of a batch: a reply or a fault for each op, in order, and who must hear of it."""

    replies: list[Reply | Piece | StoreFault] = field(default_factory=list)
    """A kept op's is given as it goes to who asked."""
    mailboxes: set[MailboxId] = field(default_factory=set)
    accounts: bool = False


def begin(connection: apsw.Connection) -> bool:
    """Begin the transaction that `transact` is to fill; False where an outsider (a sqlite3 shell, a backup) has one
    under way. Never waits. Any other trouble is met again, and told, by `transact`."""
    connection.set_busy_timeout(0)
    try:
        connection.execute("BEGIN IMMEDIATE").fetchall()
    except apsw.BusyError:
        return False
    except apsw.Error:
        return True
    finally:
        connection.set_busy_timeout(BUSY_MILLISECONDS)
    return True


def transact(connection: apsw.Connection, ops: Sequence[Op], now: int, quotas: Quotas = NO_QUOTAS) -> Applied:
    """Make all of `ops` durable in one transaction. The caller holds the write lock, and may have begun.

    `now` is in seconds since 1970 UTC. Where the index or its disk fails, nothing is done and every op has the
    fault. An op that breaks for a reason of its own must not take the others with it: then they are done one by
    one (a savepoint around each would cost every batch, and this only one that never should be).
    """
    try:
        return apply(connection, ops, now, quotas)
    except Exception as error:
        if isinstance(error, apsw.Error) and is_of_the_ground(error):
            fault = sqlite_fault(connection, error)
            # A full disk is nothing that a traceback would explain, and the log may lie on it.
            trace = None if isinstance(fault, StorageFull) else error
            event(_log, logging.ERROR, "store.index", trace=trace, changes=len(ops), reason=fault)
            return Applied([fault] * len(ops))
        if len(ops) == 1:
            event(_log, logging.ERROR, "store.change", trace=error, change=_name(ops[0]))
            return Applied([StoreFault("a change that can't be made")])
    applied = Applied()
    for op in ops:
        one = transact(connection, [op], now, quotas)
        applied.replies += one.replies
        applied.mailboxes |= one.mailboxes
        applied.accounts |= one.accounts
    return applied


def _name(op: Op) -> str:
    return type(op.op if isinstance(op, Kept) else op).__name__


def apply(connection: apsw.Connection, ops: Sequence[Op], now: int, quotas: Quotas = NO_QUOTAS) -> Applied:
    """The same, all or nothing. Raises whatever stops one of them, after nothing was done."""
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE").fetchall()
    try:
        ledger = Ledger(connection, now, quotas)
        replies = [APPLY[type(op)](ledger, op) for op in ops]
        ledger.flush()
        kept = [(op.key, reply) for op, reply in zip(ops, replies, strict=True) if type(op) is Kept]
        if kept:
            keeping.keep(connection, kept)
        connection.execute("COMMIT").fetchall()
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK").fetchall()
        raise
    return Applied(replies, ledger.touched, ledger.accounts)


def _kept(ledger: Ledger, kept: Kept) -> Piece:
    return write_reply(APPLY[type(kept.op)](ledger, kept.op))


APPLY: Final[Mapping[type[Any], Callable[[Ledger, Any], Any]]] = {
    FileLetter: letters.file_letter,
    SetFlags: flags.set_flags,
    TakeRecent: flags.take_recent,
    Copy: letters.copy,
    Expunge: leaving.expunge,
    BringBack: letters.bring_back,
    BringBackMailbox: mailboxes.bring_back,
    CreateMailbox: mailboxes.create,
    DeleteMailbox: mailboxes.delete,
    RenameMailbox: mailboxes.rename,
    Subscribe: mailboxes.subscribe,
    AddAccount: accounts.add,
    SwitchAccount: accounts.switch,
    RemoveAccount: accounts.remove,
    LimitAccount: accounts.limit,
    LimitDomain: accounts.limit_domain,
    ArrangeAccount: accounts.arrange,
    NoteRefused: accounts.note_refused,
    TellAccount: accounts.tell,
    AddAlias: accounts.add_alias,
    RemoveAlias: accounts.remove_alias,
    Sweep: compaction.sweep,
    DropLetters: compaction.drop_letters,
    MoveLetters: compaction.move_letters,
    RetireSegments: compaction.retire,
    ForgetSegments: compaction.forget,
    Kept: _kept,
    BeginKeeping: keeping.begin_keeping,
    ForgetReplies: keeping.forget_replies,
}
"""What makes each op's rows, and gives its reply."""
