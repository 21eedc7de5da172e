"""Which protocol is spoken by which server, with which settings."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

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
from postroom.site.served import SERVED
from postroom.smtp.session import Role, SmtpService
from postroom.store.interface import Store

Handler = Callable[[Stream], Awaitable[None]]


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
