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
from postroom.imap.server.alerts import Alerts
from postroom.imap.server.session import ImapService
from postroom.imap.server.views import Views
from postroom.intake.accept import Intake
from postroom.net.context import ServerContext
from postroom.net.stream import Stream
from postroom.net.tls import LoginPolicy, server_context
from postroom.pop3.session import Pop3Service
from postroom.site.pairs import client_ca, further_pairs, pair
from postroom.site.places import Places
from postroom.site.served import SERVED
from postroom.smtp.notices import Terminals
from postroom.smtp.session import Role, SmtpService, Verify
from postroom.store.interface import Store

Handler = Callable[[Stream], Awaitable[None]]


def context(config: Config, protocol: str) -> ServerContext:
    """The certificates of the site, for one protocol. Raises OSError."""
    return server_context(pair(config), further_pairs(config), [SERVED[protocol].alpn], client_ca(config))


@dataclass(frozen=True, slots=True)
class Services:
    """Makes each protocol's conversation out of what a worker has."""

    config: Config
    store: Store
    directory: Directory
    intake: Intake
    views: Views = field(default_factory=Views)
    """What IMAP keeps of mailboxes, for all its listeners."""
    alerts: Alerts = field(default_factory=Alerts)
    """Who has a session of IMAP here."""
    terminals: Terminals | None = None
    """Whose live sessions SMTP's SEND, SOML and SAML are for."""

    def _terminals(self, role: Role) -> Terminals | None:
        """Live sessions, for those whose letters may come to them (RFC 821 3.4: users control that)."""
        allowed = self.config.smtp.terminals
        return self.terminals if allowed == "everybody" or (allowed == "accounts" and role.wants_login) else None

    def handler(self, protocol: str, tls: ssl.SSLContext) -> Handler:
        """What converses on the connections of one listener."""
        login = LoginPolicy(self.config.tls.require_for_login, self.config.tls.loopback_plain)
        if protocol in ("smtp", "submission", "submissions", "lmtp"):
            smtp = SmtpService(
                self.config.hostname,
                Role(protocol),
                self.intake,
                self.directory,
                tls,
                login,
                self.config.smtp.max_message_size,
                terminals=self._terminals(Role(protocol)),
                domains=self.config.domains,
                verify=Verify(self.config.smtp.verify),
                greeting_pause=self.config.smtp.greeting_pause / 1000,
                xclient_networks=self.config.smtp.xclient_networks,
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
            alerts=self.alerts,
        )
        return functools.partial(postroom.imap.server.server.serve, service=imap)
