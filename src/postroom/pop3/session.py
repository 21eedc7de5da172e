"""What one POP3 conversation knows: the service it belongs to, the login, the maildrop it has locked.

Handlers of commands take a `Session` and the command's argument and give the response's octets; they leave early
by `Refusal` (the client asked for what can't be) or `Closing` (the conversation ends). They live in `greeting`,
`login` and `messages`; the table of them and the loop that calls them in `server`.
"""

from __future__ import annotations

import enum
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from postroom.accounts.directory import Directory
from postroom.net.limits import LOGIN_SECONDS, POP3_IDLE_SECONDS, UNAUTHENTICATED_SECONDS
from postroom.net.stream import Stream
from postroom.net.tls import LoginPolicy
from postroom.pop3.maildrop import Maildrop
from postroom.pop3.replies import Reply
from postroom.pop3.sizes import Sizes
from postroom.store.interface import Store


@dataclass(frozen=True, slots=True)
class Pop3Service:
    """All that the conversations of one listener share. `protocol` is the listener's name, "pop3" or "pop3s";
    `maildrops` the directory of the lock files that all workers of the site use."""

    hostname: str
    protocol: str
    store: Store
    directory: Directory
    tls: ssl.SSLContext | None
    login: LoginPolicy
    maildrops: Path
    clock: Callable[[], float] = time.monotonic
    """Seconds, never going back."""
    sizes: Sizes = field(default_factory=Sizes)
    """What is known of letters that must be read to know how much is sent."""


class Refusal(Exception):
    """The client asked for what can't be; carries the reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class Closing(Exception):
    """The conversation ends now, with these last words; None: without a word."""

    def __init__(self, words: bytes | None) -> None:
        super().__init__()
        self.words = words


class State(enum.Flag):
    """How far the session has come (RFC 1939 3). UPDATE is what QUIT does in TRANSACTION: no command meets it."""

    AUTHORIZATION = enum.auto()
    TRANSACTION = enum.auto()
    ANY = AUTHORIZATION | TRANSACTION


class Session:
    """One conversation's state; its lifetime is the connection's."""

    __slots__ = (
        "_began",
        "errors",
        "failed_logins",
        "id",
        "maildrop",
        "midway",
        "name",
        "service",
        "stream",
        "utf8",
    )

    def __init__(self, stream: Stream, service: Pop3Service) -> None:
        self.stream = stream
        self.service = service
        self.id = stream.conversation.id if stream.conversation else "-"
        self.name: bytes | None = None
        """What USER said, until PASS."""
        self.maildrop: Maildrop | None = None
        """Open and locked in TRANSACTION."""
        self.utf8 = False
        """In UTF-8 mode (RFC 6856 2.1)."""
        self.midway = False
        """Within a letter: no status line can be said until it has ended."""
        self.errors = self.failed_logins = 0
        self._began = service.clock()

    @property
    def state(self) -> State:
        """Derived, so that it can't disagree with what is known."""
        return State.AUTHORIZATION if self.maildrop is None else State.TRANSACTION

    @property
    def may_login(self) -> bool:
        """Whether a password may be said here and now."""
        return self.service.login.allows(self.stream)

    def the_maildrop(self) -> Maildrop:
        """The maildrop, for commands that come in TRANSACTION only."""
        assert self.maildrop is not None, "the table has this command in TRANSACTION only"
        return self.maildrop

    def release(self) -> None:
        """Give the maildrop's lock back, where there is one; a second call does nothing."""
        if self.maildrop is not None:
            self.maildrop.release()

    def patience(self) -> float:
        """Seconds to wait for the next command."""
        if self.maildrop is not None:
            return POP3_IDLE_SECONDS
        left = self._began + UNAUTHENTICATED_SECONDS - self.service.clock()
        return max(0.0, min(LOGIN_SECONDS, left))
