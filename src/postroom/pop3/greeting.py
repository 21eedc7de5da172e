"""The greeting, CAPA (RFC 2449 5) and QUIT (RFC 1939 4, 6)."""

from __future__ import annotations

import logging
from typing import Final

from postroom.net.log import event
from postroom.pop3.grammar import END, write_ok
from postroom.pop3.maildrop import NoMaildrop
from postroom.pop3.replies import NO_MAILDROP, NOT_DELETED, OK_BYE, OK_CAPABILITIES
from postroom.pop3.session import Closing, Session, State
from postroom.store.interface import StoreFault

logger = logging.getLogger(__name__)

_ALWAYS: Final = (
    *("TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"),
    # Nothing goes from an INBOX by its age, and a client may come as often as it likes (RFC 2449 6.5 and 6.7).
    *("EXPIRE NEVER", "LOGIN-DELAY 0", "UTF8 USER", "LANG"),
)


def greeting(session: Session) -> bytes:
    """The first words (RFC 1939 4). No timestamp in angle brackets, for that would offer APOP."""
    return write_ok(f"{session.service.hostname} POP3 Postroom")


def capabilities(session: Session) -> list[str]:
    """What CAPA tells now (RFC 2449 6): never a login that would not be taken, and STLS where it may come.

    USER and SASL stay after the login: RFC 2449 6.2 and 6.3 want them told in both states alike. IMPLEMENTATION
    has no version in it: what it tells a stranger, the greeting has told.
    """
    told = [*_ALWAYS]
    if session.may_login:
        told += ["USER", f"SASL {' '.join(session.service.directory.offered(session.stream))}"]
    if session.service.tls is not None and session.stream.tls is None and session.state is State.AUTHORIZATION:
        told.append("STLS")
    return [*told, "IMPLEMENTATION Postroom"]


async def capa(session: Session, argument: bytes) -> bytes:
    """RFC 2449 5: what is offered."""
    lines = "".join(f"{each}\r\n" for each in capabilities(session))
    return OK_CAPABILITIES + lines.encode("ascii") + END


async def quit_(session: Session, argument: bytes) -> bytes:
    """RFC 1939 4 and 6: part; in TRANSACTION, first delete what is marked. The positive answer means that it is on
    stable storage, the negative one that nothing was deleted.

    The lock is given back before the answer, so that a client that has read it can come back at once.
    """
    maildrop = session.maildrop
    if maildrop is None:
        raise Closing(OK_BYE)
    try:
        gone = await maildrop.update()
    except StoreFault as fault:
        event(logger, logging.ERROR, "pop3.store-fault", session=session.id, reason=fault)
        words = NOT_DELETED.octets
    except NoMaildrop:
        words = NO_MAILDROP.octets
    else:
        words = write_ok(f"Goodbye, {gone} messages deleted") if gone else OK_BYE
    finally:
        maildrop.release()
    raise Closing(words)
