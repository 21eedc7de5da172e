"""What the command line needs to change accounts: the index, and the secrets by way of whoever has them.

Changes go to the index directly (its write lock is shared by all processes). The secrets belong to the auth role
while a server runs; without one, they are opened here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import apsw

from postroom.accounts.remote import RemoteAuthority, Whole
from postroom.accounts.secrets import SecretsFault
from postroom.config import Config
from postroom.net.ipc import Failed
from postroom.site.auth import open_authority
from postroom.site.fence import become
from postroom.site.lock import server_runs
from postroom.site.places import Places
from postroom.site.prepare import prepare
from postroom.site.quotas import quotas
from postroom.store.changes import TellAccount
from postroom.store.index import NewerSchema, OlderSchema
from postroom.store.interface import Store, StoreFault
from postroom.store.sqlite import open_store


class OfficeClosed(Exception):
    """Accounts can't be changed now; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Office:
    """Accounts and secrets, to read and to change."""

    store: Store
    authority: Whole

    async def tell_account_changed(self, address: str) -> None:
        """End the sessions of an account whose secrets were changed. Raises `StoreFault`."""
        await self.store.commit(TellAccount(address))


@contextlib.asynccontextmanager
async def open_office(config: Config) -> AsyncIterator[Office]:
    """The office of a site, whether its server is up or down. Raises ConfigError, and `OfficeClosed`, also for what
    fails within."""
    try:
        prepare(config)
        if server_runs(Places(config.root)):
            # What root makes, the server's roles could not read; without one, its next start gives it over.
            become(config)
        store = await open_store(config.root, name=f"cli-{os.getpid()}", quotas=quotas(config))
    except (OSError, apsw.Error, StoreFault, NewerSchema, OlderSchema) as e:
        raise OfficeClosed(f"{config.root}: {e}") from None
    try:
        authority = _authority(config)
        try:
            yield Office(store, authority)
        finally:
            await authority.close()
    except (StoreFault, SecretsFault) as e:
        raise OfficeClosed(str(e)) from None
    except (Failed, TimeoutError):
        raise OfficeClosed("the server's auth role does not answer: see the server's log") from None
    finally:
        await store.close()


def _authority(config: Config) -> Whole:
    """Whoever has the secrets. A server that is just starting is waited for by the remote one."""
    places = Places(config.root)
    return RemoteAuthority(places.authority) if server_runs(places) else open_authority(config)
