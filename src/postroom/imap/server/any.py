"""Commands that are legal in any state, and those that change nothing (RFC 3501 6.1, 6.4.1; ID RFC 2971; ENABLE
RFC 5161; NAMESPACE RFC 2342)."""

from __future__ import annotations

from typing import Final

from postroom.imap.grammar.commands import Enable, Id, Nothing
from postroom.imap.server.session import Session
from postroom.store.values import SEPARATOR

_ALWAYS: Final = (b"IMAP4rev1", b"LITERAL+")
_NAMESPACE: Final = b'* NAMESPACE (("" "%b")) NIL NIL\r\n' % SEPARATOR.encode()
"""One's own mailboxes stand at the root; there are no others' and no shared ones."""


def capabilities(session: Session) -> bytes:
    """CAPABILITY and its words, as they are true now: what concerns the login is gone after it, a mechanism is
    named only where a password may be said (RFC 3501 6.2.3, 11.1), STARTTLS only where it can be done."""
    words = [*_ALWAYS, *session.extensions]
    if session.account is None:
        if session.service.tls is not None and session.stream.tls is None:
            words.append(b"STARTTLS")
        if session.may_login:
            offered = session.service.directory.offered(session.stream)
            words += [b"AUTH=" + mechanism.encode() for mechanism in offered]
        else:
            words.append(b"LOGINDISABLED")
    return b"CAPABILITY " + b" ".join(words)


async def capability(session: Session, command: Nothing) -> bytes:
    """RFC 3501 6.1.1."""
    session.write(b"* %b\r\n" % capabilities(session))
    return b"That is what there is"


async def noop(session: Session, command: Nothing) -> bytes:
    """RFC 3501 6.1.2: the news stand before the answer, as after each command."""
    return b"Nothing done"


async def check(session: Session, command: Nothing) -> bytes:
    """RFC 3501 6.4.1: every answered change is on stable storage already."""
    return b"All is on stable storage"


async def logout(session: Session, command: Nothing) -> bytes:
    """RFC 3501 6.1.3: BYE, then the tagged OK, then the end. Nothing is expunged."""
    session.deselect()
    session.write(b"* BYE Until next time\r\n")
    session.ending = b""
    return b"Logged out"


async def id_(session: Session, command: Id) -> bytes:
    """RFC 2971 3.1: who we are; no version, which would only serve a search for holes. What the client says of
    itself stands in the tap."""
    session.write(b'* ID ("name" "Postroom")\r\n')
    return b"Pleased to meet you"


async def enable(session: Session, command: Enable) -> bytes:
    """RFC 5161 3.1: what was switched on by this command. No extension here needs it yet, and one that isn't known
    is passed over."""
    session.write(b"* ENABLED\r\n")
    return b"Nothing more is switched on"


async def namespace(session: Session, command: Nothing) -> bytes:
    """RFC 2342 5."""
    session.write(_NAMESPACE)
    return b"Those are the namespaces"
