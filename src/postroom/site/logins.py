"""Who may come in, and by which mechanisms, as the configuration has it: for workers, which know no secrets."""

from __future__ import annotations

from collections.abc import Callable

from postroom.accounts.directory import Directory, Ways
from postroom.accounts.offering import ScramOffer, always, never
from postroom.accounts.remote import RemoteAuthority
from postroom.config import Config
from postroom.store.interface import Store

__all__ = ["directory"]


async def directory(config: Config, store: Store, authority: RemoteAuthority) -> Directory:
    """The directory of a site, whose accounts lie in `store` and whose secrets another process has."""
    scram = await _scram(config, authority)
    ways = Ways(authority, scram, tokens=bool(config.oauth.introspection_url))
    return Directory(store.account, authority, ways, store.account_by_short)


async def _scram(config: Config, authority: RemoteAuthority) -> Callable[[], bool]:
    if config.login.scram != "auto":
        return always if config.login.scram == "on" else never
    offer = ScramOffer(authority.scram_for_all)
    await offer.look()
    return offer
