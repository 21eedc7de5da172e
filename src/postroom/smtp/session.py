"""What one SMTP conversation knows: the service it belongs to, the client, the login, the mail transaction.

Handlers of verbs take a `Session` and the command's argument and give the reply's octets; they leave early by
`Refusal` (the client asked for what can't be) or `Closing` (the conversation ends). They live in `greeting`,
`login`, `transaction` and `data`; the table of them is in `table`, the loop that calls them in `server`.
"""

from __future__ import annotations

import enum
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from postroom.accounts.directory import Directory
from postroom.intake.accept import Intake
from postroom.intake.envelope import Body, Recipient, ReversePath
from postroom.intake.judging import Visit
from postroom.intake.recipients import Resolution
from postroom.net.limits import (
    LOGIN_SECONDS,
    SMTP_COMMAND_SECONDS,
    UNAUTHENTICATED_SECONDS,
)
from postroom.net.networks import Network, within
from postroom.net.stream import Stream
from postroom.net.tls import LoginPolicy
from postroom.smtp.grammar import Address
from postroom.smtp.notices import Terminals
from postroom.smtp.receiving import Chunks
from postroom.smtp.replies import Reply
from postroom.store.values import Account, AccountId


class Role(enum.Enum):
    """What a listener is for (RFC 5321; RFC 6409; RFC 8314 3.3; RFC 2033). The value is the listener's name."""

    SMTP = "smtp"
    """Other sites bring mail for ours."""
    SUBMISSION = "submission"
    """Our users send."""
    SUBMISSIONS = "submissions"
    """The same, within TLS from the first octet on."""
    LMTP = "lmtp"
    """Another mail system of the house brings mail, and hears of each recipient apart."""

    def __init__(self, name: str) -> None:
        self.wants_login = name in ("submission", "submissions")
        """Whether nothing goes without a login."""

    # Looked up at each command, and by Enum's own rule only in Python.
    __hash__ = object.__hash__


class Verify(enum.Enum):
    """Whom VRFY and EXPN tell the truth (`smtp.verify`)."""

    ACCOUNTS = "accounts"
    """Who is logged in."""
    EVERYBODY = "everybody"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class SmtpService:
    """All that the conversations of one listener share. `max_message_size` in octets."""

    hostname: str
    role: Role
    intake: Intake
    directory: Directory
    tls: ssl.SSLContext | None
    login: LoginPolicy
    max_message_size: int
    clock: Callable[[], float] = time.monotonic
    """Seconds, never going back."""
    terminals: Terminals | None = None
    """Whose live sessions SEND, SOML and SAML are for; None: nobody's."""
    domains: tuple[str, ...] = ()
    """The site's own, the main one first: where VRFY and EXPN look for a name without a domain."""
    verify: Verify = Verify.ACCOUNTS
    greeting_pause: float = 0.0
    """Seconds before the greeting, in which a stranger that talks is found out."""
    xclient_networks: tuple[Network, ...] = ()
    """Proxies that may say whom they speak for (XCLIENT, XFORWARD)."""


class Refusal(Exception):
    """The client asked for what can't be; carries the reply, and its octets where it has words of its own."""

    def __init__(self, reply: Reply, octets: bytes = b"") -> None:
        super().__init__(reply.text)
        self.reply = reply
        self.octets = octets or reply.octets


class Closing(Exception):
    """The conversation ends now, with this reply; None: without a word."""

    def __init__(self, reply: Reply | None) -> None:
        super().__init__(reply.text if reply else "")
        self.reply = reply


class State(enum.Flag):
    """How far the client has come (RFC 5321 4.1.4)."""

    NEW = enum.auto()
    """No HELO or EHLO yet."""
    READY = enum.auto()
    """No mail transaction."""
    MAIL = enum.auto()
    """A transaction has begun: the sender is known."""
    ANY = NEW | READY | MAIL


class Kind(enum.Enum):
    """Which verb began a transaction, and so where its letter goes (RFC 821 3.4)."""

    MAIL = "MAIL"
    """To mailboxes."""
    SEND = "SEND"
    """To terminals."""
    SOML = "SOML"
    """To terminals, or else to mailboxes."""
    SAML = "SAML"
    """To both."""


@dataclass(slots=True)
class Transaction:
    """A mail transaction under way (RFC 5321 3.3)."""

    sender: ReversePath
    declared: int = 0
    """Octets of the letter as MAIL announced them (RFC 1870); 0 where it didn't."""
    recipients: dict[AccountId, Recipient] = field(default_factory=dict)
    heard: dict[Address, Resolution] = field(default_factory=dict)
    """Every forward-path that RCPT named, so that one that comes again costs nothing."""
    kind: Kind = Kind.MAIL
    body: Body = Body.EIGHT_BIT
    utf8: bool = False
    """MAIL said SMTPUTF8: addresses may go beyond ASCII (RFC 6531)."""
    told: list[tuple[Account, ...]] = field(default_factory=list)
    """With LMTP: whom each RCPT that was taken meant, in order, for each is answered for (RFC 2033 4.2)."""
    chunks: Chunks | None = None
    """What BDAT has brought of the letter, from its first chunk on."""
    failed: bool = False
    """A chunk was refused: nothing goes on before RSET (RFC 3030 2)."""


class Session:
    """One conversation's state; its lifetime is the connection's."""

    __slots__ = (
        "_began",
        "account",
        "errors",
        "extended",
        "failed_logins",
        "hello",
        "id",
        "letters",
        "midway",
        "service",
        "stream",
        "transaction",
        "trusted",
        "unknown_recipients",
        "visit",
    )

    def __init__(self, stream: Stream, service: SmtpService) -> None:
        self.stream = stream
        self.service = service
        self.id = stream.conversation.id if stream.conversation else "-"
        self.hello = ""
        """What the client called itself."""
        self.extended = False
        """Whether it said EHLO."""
        self.account: Account | None = None
        self.transaction: Transaction | None = None
        self.visit: Visit | None = None
        """The client's way through the checks, from HELO on."""
        self.midway = False
        """Within a letter: what comes next is no command, whatever happens."""
        self.trusted = bool(service.xclient_networks) and within(stream.peer.host, service.xclient_networks)
        """Whether this is a proxy's connection, whomever it speaks for."""
        self.letters = self.errors = self.failed_logins = self.unknown_recipients = 0
        self._began = service.clock()

    @property
    def state(self) -> State:
        """Derived, so that it can't disagree with what is known."""
        if self.transaction is not None:
            return State.MAIL
        return State.READY if self.hello else State.NEW

    @property
    def by(self) -> str:
        """Who this is, for letters' stories: the login, if there is one, and the session."""
        session = f"{self.service.role.value}-{self.id}"
        return session if self.account is None else f"{self.account.address} {session}"

    @property
    def may_login(self) -> bool:
        """Whether a password may be said here and now."""
        return self.service.role.wants_login and self.service.login.allows(self.stream)

    def reset(self) -> None:
        """Forget the transaction, nothing else (RFC 5321 4.1.1.5)."""
        transaction, self.transaction = self.transaction, None
        if transaction is not None and transaction.chunks is not None:
            transaction.chunks.discard()
        if self.visit is not None:
            self.visit.reset()

    def note_refused(self, sender: ReversePath, recipient: str, judge: str, reply: Reply) -> None:
        """Leave a record of a letter or a recipient that was refused, for `postroom story`."""
        self.service.intake.note_refused(
            session=self.id,
            peer=self.stream.peer.host,
            login=self.account.address if self.account else "",
            sender=str(sender or "<>"),
            recipient=recipient,
            judge=judge,
            reply=reply.octets.decode("ascii", "replace").strip(),
        )

    def become(self, account: Account | None) -> None:
        """Be logged in as somebody, or as nobody any more; the tap and the listener know it too."""
        self.account = account
        if self.stream.conversation is not None:
            self.stream.conversation.account = account.address if account else ""

    def forget(self) -> None:
        """All that was learned is forgotten, after TLS began (RFC 3207 4.2) and at XCLIENT. What counts errors
        stays."""
        self.reset()
        self.become(None)
        self.hello = ""
        self.extended = False

    def patience(self) -> float:
        """Seconds to wait for the next command."""
        if not self.service.role.wants_login or self.account is not None:
            return SMTP_COMMAND_SECONDS
        left = self._began + UNAUTHENTICATED_SECONDS - self.service.clock()
        return max(0.0, min(LOGIN_SECONDS, left))
