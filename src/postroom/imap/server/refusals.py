"""How a command ends other than by its tagged OK: NO, BAD or BYE, each with its response code (RFC 5530).

Three kinds of fault, by whose they are: `grammar.faults.SyntaxFault` is the peer's grammar (BAD), `Refusal` is a
request that can't be (NO), anything else is our own fault and `session` answers NO [SERVERBUG]. Texts are ours
alone: nothing that a peer or a letter brought is ever repeated in one (docs/security.md, "response injection")."""

from __future__ import annotations

import re
from typing import Final

from postroom.imap.grammar.tokens import literal_at_end
from postroom.net.stream import Farewell
from postroom.store.changes import Reason, Refused
from postroom.store.interface import StorageFull, StoreBusy, StoreFault


class Refusal(Exception):
    """The peer asked for what can't be; the answer is NO. `code` is a response code without its brackets."""

    def __init__(self, text: bytes, code: bytes = b"") -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class Goodbye(Exception):
    """The session ends at once with `* BYE`."""

    def __init__(self, text: bytes, code: bytes = b"") -> None:
        super().__init__(text)
        self.text = text
        self.code = code


_NO_SUCH_MAILBOX: Final = (b"No such mailbox", b"NONEXISTENT")
_REFUSED: Final = {
    Reason.NO_SUCH_MAILBOX: _NO_SUCH_MAILBOX,
    Reason.MAILBOX_EXISTS: (b"There is a mailbox of that name", b"ALREADYEXISTS"),
    Reason.HAS_CHILDREN: (b"Mailbox has inferior mailboxes", b"HASCHILDREN"),
    Reason.NOT_FOR_INBOX: (b"That can't be done to INBOX", b"CANNOT"),
    Reason.BAD_NAME: (b"No mailbox can have that name", b"CANNOT"),
    Reason.TOO_MANY: (b"Too many", b"LIMIT"),
    Reason.OVER_QUOTA: (b"No room is left in the quota", b"OVERQUOTA"),
    Reason.NO_SUCH_ACCOUNT: (b"The account is gone", b"NONEXISTENT"),
}


def because(refused: Refused) -> Refusal:
    """The store's refusal as IMAP says it."""
    text, code = _REFUSED.get(refused.reason, (b"That can't be done", b"CANNOT"))
    return Refusal(text, code)


def no_such_mailbox() -> Refusal:
    """A mailbox that isn't there, where it isn't a letter's target."""
    return Refusal(*_NO_SUCH_MAILBOX)


def mailbox_gone() -> Goodbye:
    """The selected mailbox was deleted by somebody else (RFC 2180 3.3): its numbers mean nothing any more, and a
    client that comes back sees what is there."""
    return Goodbye(b"The mailbox was deleted", b"UNAVAILABLE")


def farewell(why: Farewell) -> Goodbye:
    """The end of a session that was asked to end."""
    if why is Farewell.ACCOUNT:
        return Goodbye(b"The account was changed, log in again", b"UNAVAILABLE")
    if why is Farewell.ENDED:
        return Goodbye(b"The session was ended by hand", b"UNAVAILABLE")
    return Goodbye(b"Postroom is shutting down, come again soon", b"UNAVAILABLE")


_UNASKED: Final = re.compile(rb"(?:\{|\A)[0-9]*\+\}\r?\n\Z")


def announces_unasked(tail: bytes) -> bool:
    """Whether a line of which just the end is known may announce a literal whose octets come unasked."""
    return _UNASKED.search(tail) is not None


def refuse_literal(line: bytes) -> None:
    """To be asked of a line that isn't the beginning of a command. Raises `Goodbye` where it announces a literal
    whose octets come unasked: they must never be taken for commands."""
    literal = literal_at_end(line)
    if literal is not None and literal.nonsync:
        raise Goodbye(b"A literal can't stand there")


def of_fault(fault: StoreFault) -> Refusal:
    """A change that the store could not make durable: nothing of it counts."""
    if isinstance(fault, StorageFull):
        return Refusal(b"No room is left, nothing was changed", b"OVERQUOTA")
    if isinstance(fault, StoreBusy):
        return Refusal(b"The store is in use, nothing was changed; try again later", b"INUSE")
    return Refusal(b"Storage failed, nothing was changed; try again later", b"UNAVAILABLE")


def no_such_target() -> Refusal:
    """APPEND, COPY or MOVE into a mailbox that isn't there (RFC 3501 6.3.11, 6.4.7)."""
    return Refusal(b"No such mailbox; CREATE it first", b"TRYCREATE")
