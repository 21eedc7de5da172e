"""Which protocol is spoken by which server, with which settings: the table that a worker opens its doors by."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import postroom.imap.server.server
import postroom.pop3.server
import postroom.smtp.server
from postroom.accounts.directory import Directory
from postroom.config import Config
from postroom.imap.server.session import ImapService
from postroom.imap.server.views import Views
from postroom.intake.accept import Intake
from postroom.net.stream import Stream
from postroom.net.tls import LoginPolicy, server_context
from postroom.pop3.session import Pop3Service
from postroom.site.pairs import further_pairs, pair
from postroom.site.places import Places
from postroom.smtp.session import Role, SmtpService
from postroom.store.interface import Store

Handler = Callable[[Stream], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Served:
    """One protocol of [listen]. `busy` is what a connection hears that is one too many."""

    implicit_tls: bool
    alpn: str
    busy: bytes
    login_first: bool = True
    """Nothing is done here for strangers."""


_SMTP_BUSY: Final = b"421 4.7.0 Too many connections, try again later\r\n"
_POP3_BUSY: Final = b"-ERR [SYS/TEMP] Too many connections, try again later\r\n"
_IMAP_BUSY: Final = b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n"

SERVED: Final[Mapping[str, Served]] = {
    "smtp": Served(False, "smtp", _SMTP_BUSY, login_first=False),
    "submission": Served(False, "smtp", _SMTP_BUSY),
    "submissions": Served(True, "smtp", _SMTP_BUSY),
    "pop3": Served(False, "pop3", _POP3_BUSY),
    "pop3s": Served(True, "pop3", _POP3_BUSY),
    "imap": Served(False, "imap", _IMAP_BUSY),
    "imaps": Served(True, "imap", _IMAP_BUSY),
}
"""By [listen]'s names, in the order of the settings card. Other names of `config.Listen` are accepted, and
told of at the start, but this version does not serve it."""


def context(config: Config, protocol: str) -> ssl.SSLContext:
    """The certificates of the site, for one protocol. Raises OSError."""
    return server_context(pair(config), further_pairs(config), [SERVED[protocol].alpn])


@dataclass(frozen=True, slots=True)
class Services:
    """Makes each protocol's conversation out of what a worker has."""

    config: Config
    store: Store
    directory: Directory
    intake: Intake
    views: Views = field(default_factory=Views)
    """What IMAP keeps of mailboxes, for all its listeners."""

    def handler(self, protocol: str, tls: ssl.SSLContext) -> Handler:
        """What converses on the connections of one listener."""
        login = LoginPolicy(self.config.tls.require_for_login, self.config.tls.loopback_plain)
        if protocol in ("smtp", "submission", "submissions"):
            smtp = SmtpService(
                self.config.hostname,
                Role(protocol),
                self.intake,
                self.directory,
                tls,
                login,
                self.config.smtp.max_message_size,
            )
            return functools.partial(postroom.smtp.server.serve, service=smtp)
        if protocol in ("pop3", "pop3s"):
            drops = Places(self.config.root).maildrops
            pop3 = Pop3Service(self.config.hostname, protocol, self.store, self.directory, tls, login, drops)
            return functools.partial(postroom.pop3.server.serve, service=pop3)
        imap = ImapService(
            self.config.hostname,
            protocol,
            self.store,
            self.directory,
            tls,
            login,
            self.config.smtp.max_message_size,
            views=self.views,
        )
        return functools.partial(postroom.imap.server.server.serve, service=imap)
