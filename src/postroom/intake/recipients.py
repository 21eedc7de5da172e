"""Whom an address means: an account or several, an alias's targets, somebody elsewhere, or nobody.

An address of a local domain is looked up, first hit wins, as: the alias of exactly that spelling, the alias in
lower case, the account (accounts are lower case); then the same without a `+tag`; then, for postmaster, the first
administrator (RFC 5321 4.5.1: postmaster always has a mailbox where there is any account). An alias's targets are
addresses of the same kind; each name is followed once, so that loops end, and no more than ALIAS_NAMES names. An
alias that names itself means the account of that name, beside its other targets.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from postroom.net.limits import ALIAS_NAMES
from postroom.net.log import event
from postroom.smtp.grammar import Address, SyntaxFault, read_address
from postroom.store.interface import Store
from postroom.store.values import Account, AccountId

_logger = logging.getLogger("postroom.intake")


@dataclass(frozen=True, slots=True)
class Local:
    """Accounts of this site (at least one), each once, none of them disabled; `away`: the alias's targets
    elsewhere."""

    accounts: tuple[Account, ...]
    away: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another site's address, or an alias whose targets all are; mail for it would have to be relayed."""

    addresses: tuple[Address, ...]
    by_alias: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """A local domain, but nobody of that name."""


@dataclass(frozen=True, slots=True)
class Disabled:
    """Accounts that all are switched off."""


@dataclass(frozen=True, slots=True)
class TooWide:
    """An alias that leads to more than ALIAS_NAMES names: our own configuration's fault."""


Resolution = Local | Elsewhere | Unknown | Disabled | TooWide


class Recipients:
    """Looks addresses up in a store. `domains` are the site's own, the first one (which there is) the main one."""

    def __init__(self, store: Store, domains: Sequence[str]) -> None:
        self._store = store
        self._domains = tuple(domain.lower() for domain in domains)

    def is_local(self, address: Address) -> bool:
        """Whether the domain is one of ours; `<postmaster>` always is."""
        return not address.domain or address.domain.lower() in self._domains

    async def resolve(self, address: Address) -> Resolution:
        """Follow an address to its ends. Raises `StoreFault`."""
        if not self.is_local(address):
            return Elsewhere((address,))
        accounts: dict[AccountId, Account] = {}
        away: dict[Address, None] = {}
        disabled = False
        seen = {address}
        waiting = deque((address,))
        while waiting:
            name = waiting.popleft()
            if not self.is_local(name):
                away[name] = None
                continue
            account, targets = await self._look_up(name)
            if account is not None:
                if account.disabled:
                    disabled = True
                else:
                    accounts[account.id] = account
            for target in targets:
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
            if len(seen) > ALIAS_NAMES:
                event(_logger, logging.ERROR, "intake.alias-too-wide", address=address, limit=ALIAS_NAMES)
                return TooWide()
        if accounts:
            return Local(tuple(accounts.values()), tuple(away))
        if away:
            return Elsewhere(tuple(away), by_alias=True)
        return Disabled() if disabled else Unknown()

    async def _look_up(self, address: Address) -> tuple[Account | None, Sequence[Address]]:
        """One step: an account, or an alias's targets, or both where the alias names itself, or neither."""
        domain = (address.domain or self._domains[0]).lower()
        names = [Address(address.local, domain)]
        stem = address.local.partition("+")[0]
        if stem and stem != address.local:
            names.append(Address(stem, domain))
        for name in names:
            exact = str(name)
            lower = exact.lower()
            alias = await self._store.alias(exact)
            if alias is None and lower != exact:
                alias = await self._store.alias(lower)
            if alias is not None:
                targets = _targets(alias.targets)
                itself = any(str(target).lower() == lower for target in targets)
                return await self._store.account(lower) if itself else None, targets
            account = await self._store.account(lower)
            if account is not None:
                return account, ()
        if names[-1].local.lower() == "postmaster":
            return await self._postmaster(), ()
        return None, ()

    async def _postmaster(self) -> Account | None:
        """Who reads postmaster's mail where nobody has that name: the first administrator or, without one, the
        first account."""
        able = [account for account in await self._store.accounts() if not account.disabled]
        return next((account for account in able if account.admin), able[0] if able else None)


def _targets(names: Sequence[str]) -> list[Address]:
    """An alias's targets as addresses; what is none is told and passed over."""
    targets = []
    for name in names:
        try:
            targets.append(read_address(name))
        except SyntaxFault:
            event(_logger, logging.ERROR, "intake.bad-alias-target", target=name)
    return targets
