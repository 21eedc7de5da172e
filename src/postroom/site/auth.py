"""The auth role: alone opens secrets.db, and answers all workers' questions about logins."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from postroom.accounts.local import LocalAuthority
from postroom.accounts.remote import handlers
from postroom.accounts.tokens import Verifier, Verifying
from postroom.config import Config, ConfigError
from postroom.net import ipc
from postroom.site.fence import give
from postroom.site.places import Places

__all__ = ["check_verifier", "open_authority", "work"]


@contextlib.asynccontextmanager
async def work(config: Config) -> AsyncIterator[None]:
    """Answer at the authority's socket until the end of the context."""
    authority = open_authority(config)
    try:
        server = await ipc.serve(Places(config.root).authority, handlers(authority))
        try:
            give(config, Places(config.root).authority)
            yield
        finally:
            await server.close()
    finally:
        await authority.close()


def open_authority(config: Config) -> LocalAuthority:
    """secrets.db opened here, with all that the configuration says about logins. Inside a running loop. Raises
    SecretsFault, ConfigError."""
    verifying = check_verifier(config)
    return LocalAuthority(
        config.root,
        login_failures=config.limits.login_failures,
        exempt_networks=config.limits.exempt_networks,
        scram_iterations=0 if config.login.scram == "off" else config.login.scram_iterations,
        verifier=None if verifying is None else Verifier(verifying),
    )


def check_verifier(config: Config) -> Verifying | None:
    """Who verifies OAuth tokens; None where nobody does. Raises ConfigError."""
    oauth = config.oauth
    if not oauth.introspection_url:
        return None
    secret = ""
    if oauth.client_secret_file:
        path = config.place(oauth.client_secret_file)
        try:
            secret = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as e:
            reason = getattr(e, "strerror", None) or "no text"
            raise ConfigError("oauth.client_secret_file", f"{path} can't be read: {reason}") from None
    try:
        return Verifying(oauth.introspection_url, oauth.client_id, secret, oauth.account_claim)
    except ValueError as e:
        raise ConfigError("oauth.introspection_url", str(e)) from None
