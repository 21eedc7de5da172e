"""The auth role: alone opens secrets.db, and answers all workers' questions about logins."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from postroom.accounts.local import LocalAuthority
from postroom.accounts.remote import handlers
from postroom.accounts.tokens import Verifier
from postroom.config import Config
from postroom.net import ipc
from postroom.site.fence import give
from postroom.site.places import Places
from postroom.site.verifier import check_verifier

__all__ = ["open_authority", "work"]


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
