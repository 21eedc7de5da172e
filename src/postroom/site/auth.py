"""The auth role: alone opens secrets.db, and answers all workers' questions about logins."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from postroom.accounts.local import LocalAuthority
from postroom.accounts.remote import handlers
from postroom.config import Config
from postroom.net import ipc
from postroom.site.places import Places


@contextlib.asynccontextmanager
async def work(config: Config) -> AsyncIterator[None]:
    """Answer at the authority's socket until the end of the context."""
    authority = LocalAuthority(
        config.root,
        login_failures=config.limits.login_failures,
        exempt_networks=config.limits.exempt_networks,
    )
    try:
        server = await ipc.serve(Places(config.root).authority, handlers(authority))
        try:
            yield
        finally:
            await server.close()
    finally:
        await authority.close()
