"""What one IMAP conversation knows: the service it belongs to, the login, the selected mailbox.

Handlers of verbs take a `Session` and the command's value, write their own untagged data and give the text that
stands behind the tagged `OK `. They leave early by `refusals.Refusal` (NO), `grammar.faults.SyntaxFault` (BAD) or
`refusals.Goodbye` (BYE). They never write untagged updates: after each command `server` writes what the view has to
tell, where the row of `table` says it may.
"""

from __future__ import annotations

import enum
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from postroom.accounts.directory import Directory
from postroom.imap.server.alerts import Alerts, Ear
from postroom.imap.server.views import Views
from postroom.imap.view import View
from postroom.net.limits import (
    IMAP_COMMAND_OCTETS,
    IMAP_COMMAND_OCTETS_BEFORE_LOGIN,
    IMAP_IDLE_SECONDS,
    LOGIN_SECONDS,
    UNAUTHENTICATED_SECONDS,
)
from postroom.net.stream import DeadlineExpired, Stream
from postroom.net.tls import LoginPolicy
from postroom.net.turns import Pace
from postroom.store.changes import Recent, TakeRecent
from postroom.store.interface import Store, StoreFault
from postroom.store.values import Account, Entry, Mailbox


class State(enum.Flag):
    """How far the client has come (RFC 3501 3)."""

    NOT_AUTHENTICATED = enum.auto()
    AUTHENTICATED = enum.auto()
    SELECTED = enum.auto()
    LOGGED_IN = AUTHENTICATED | SELECTED
    ANY = NOT_AUTHENTICATED | AUTHENTICATED | SELECTED


@dataclass(frozen=True, slots=True)
class ImapService:
    """All that the conversations of one listener share. `max_message_size` is APPEND's limit in octets."""

    hostname: str
    protocol: str
    """The listener's name: "imap" or "imaps"."""
    store: Store
    directory: Directory
    tls: ssl.SSLContext | None
    """For STARTTLS; None where it isn't offered."""
    login: LoginPolicy
    max_message_size: int
    clock: Callable[[], float] = time.monotonic
    """Seconds, never going back."""
    views: Views = field(default_factory=Views)
    """What is kept of mailboxes; a worker's listeners may have the same."""
    alerts: Alerts = field(default_factory=Alerts)
    """Who is here, for those who have something to say to an account; a worker's listeners have the same."""


@dataclass(slots=True)
class Selected:
    """The mailbox that a session looks into."""

    mailbox: Mailbox
    view: View
    read_only: bool
    stop_watching: Callable[[], None]


class Session:
    """One conversation's state; its lifetime is the connection's."""

    __slots__ = (
        "_account",
        "_began",
        "_ear",
        "_unflushed",
        "ending",
        "errors",
        "extensions",
        "failed_logins",
        "id",
        "midway",
        "pace",
        "selected",
        "service",
        "stream",
        "tag",
    )

    def __init__(self, stream: Stream, service: ImapService, extensions: tuple[bytes, ...] = ()) -> None:
        """`extensions` are the words that the table's rows put into CAPABILITY."""
        self.stream = stream
        self.service = service
        self.extensions = extensions
        self.id = stream.conversation.id if stream.conversation else "-"
        self._account: Account | None = None
        self._ear: Ear | None = None
        self.selected: Selected | None = None
        self.tag = b"*"
        """Of the command under way."""
        self.ending: bytes | None = None
        """Set by a handler: the session ends behind the command's answer, with these lines (none too) after it."""
        self.midway = False
        """Within a letter: what comes next is no command, whatever happens."""
        self.errors = self.failed_logins = 0
        self._began = service.clock()
        self.pace = Pace(stream)
        self._unflushed = 0

    # --- what is known

    @property
    def account(self) -> Account | None:
        """Who is logged in. To set it also lets others find the session (`alerts`)."""
        return self._account

    @account.setter
    def account(self, account: Account | None) -> None:
        alerts = self.service.alerts
        if self._ear is not None and self._account is not None:
            alerts.leave(self._account.address, self._ear)
        self._account = account
        self._ear = None if account is None else alerts.enter(account.address, self.stream)

    @property
    def state(self) -> State:
        """Derived, so that it can't disagree with what is known."""
        if self.selected is not None:
            return State.SELECTED
        return State.NOT_AUTHENTICATED if self._account is None else State.AUTHENTICATED

    def the_account(self) -> Account:
        """Whose mail it is. Only where the row asks for a login."""
        assert self.account is not None
        return self.account

    def the_selected(self) -> Selected:
        """The selected mailbox. Only where the row asks for one."""
        assert self.selected is not None
        return self.selected

    @property
    def by(self) -> str:
        """Who this is, for letters' stories: the login and the session."""
        return f"{self.the_account().address} {self.service.protocol}-{self.id}"

    def leave(self) -> None:
        """The conversation is over: nobody finds the session any more."""
        self.deselect()
        self.account = None

    def deselect(self) -> None:
        """Leave the selected mailbox, if there is one; nothing is expunged."""
        selected = self.selected
        if selected is not None:
            selected.stop_watching()
            self.selected = None
            self.service.views.keep(selected.mailbox.id, selected.mailbox.uid_validity, selected.view)

    @property
    def may_login(self) -> bool:
        """Whether a password may be said here and now."""
        return self.service.login.allows(self.stream)

    @property
    def command_octets(self) -> int:
        """How long a command may be, its literals in memory included."""
        return IMAP_COMMAND_OCTETS_BEFORE_LOGIN if self.account is None else IMAP_COMMAND_OCTETS

    def rearm(self) -> None:
        """Move the deadline: the client has been heard of, or has taken what was sent. Raises DeadlineExpired where
        the time without a login is over, also for one whose next command always lies ready."""
        seconds = IMAP_IDLE_SECONDS
        if self.account is None:
            left = self._began + UNAUTHENTICATED_SECONDS - self.service.clock()
            if left <= 0:
                raise DeadlineExpired
            seconds = min(LOGIN_SECONDS, left)
        self.stream.deadline(seconds)

    # --- what is said

    def write(self, line: bytes) -> None:
        """Say one or more whole untagged lines (or a beginning, before octets of a letter)."""
        self._unflushed += len(line)
        self.stream.write(line)

    def write_literal(self, before: bytes, *pieces: bytes, after: bytes = b"") -> None:
        """Say a response that holds octets of a letter: `before` ends in the literal's `{n}CRLF`, `after` in CRLF,
        and the pieces between are n octets, of which the tap records only how many.

        A large body goes out in turns: `before` and the first piece, then `write_body` and `breathe` for each
        further one, and `write` for the rest of the line.
        """
        if before:
            self.write(before)
        self.write_body(*pieces)
        if after:
            self.write(after)

    def write_body(self, *pieces: bytes) -> None:
        """Say octets of a letter; the tap records only how many."""
        self._unflushed += sum(map(len, pieces))
        self.stream.write_body(*pieces)

    async def breathe(self) -> None:
        """To be called in every loop over letters, each time round: where a slice is full, by time or by octets, it
        sends what is written, waits for a slow reader, and gives way to the other sessions.

        Raises EndOfStream, DeadlineExpired.
        """
        if self._unflushed < self.pace.octets and not self.pace.due:
            return
        await self.stream.flush()
        self._unflushed = 0
        self.rearm()
        await self.pace.give_way()

    async def say_alerts(self) -> None:
        """Say what others have to say to the user (RFC 9051 7.1); to be called between commands, and in IDLE.

        Raises EndOfStream, DeadlineExpired.
        """
        if self._ear is not None:
            await self._ear.say(self.write)

    # --- what happens in the selected mailbox

    async def catch_up(self) -> None:
        """Let the view take in what happened since it last did; writes nothing, and does nothing without a selected
        mailbox. Raises StoreFault."""
        selected = self.selected
        if selected is None:
            return
        view = selected.view
        changes = await self.service.store.changes(selected.mailbox.id, view.modseq)
        if not selected.read_only and _has_new(view, changes.entries) and await self.take_recent(selected):
            # What came between the two questions was claimed too.
            changes = await self.service.store.changes(selected.mailbox.id, view.modseq)
        view.apply(changes)

    async def take_recent(self, selected: Selected) -> bool:
        """Claim what is \\Recent for this session (RFC 3501 2.3.2); whether that was done. Where the store has
        trouble another session may see the same letters as \\Recent, which is no reason to fail a command."""
        try:
            answer = await self.service.store.commit(TakeRecent(selected.mailbox.id))
        except StoreFault:
            return False
        if not isinstance(answer, Recent):
            return False
        selected.view.recent(answer.first)
        return True


def _has_new(view: View, entries: Iterable[Entry]) -> bool:
    return any(view.number_of(entry.uid) is None for entry in entries)
