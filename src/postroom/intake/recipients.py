"""Whom an address means: an account or several, an alias's targets, somebody elsewhere, or nobody.

An address of a local domain is looked up, first hit wins, as: the alias of exactly that spelling, the alias in
lower case (not in a domain where case counts), the account (accounts are lower case); then the same without a
`+tag`; then, for postmaster and abuse, the first administrator (RFC 5321 4.5.1, RFC 2142 2: they have a mailbox
where there is any account); then the domain's catch-all. An alias's targets are addresses of the same kind; each
name is followed once, so that loops end, and no more than ALIAS_NAMES names. An alias that names itself means the
account of that name, beside its other targets.

A tag that led to an account is kept: where the account wants it, the letter comes into the mailbox of that name.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from postroom.intake.names import composed, unicode_domain
from postroom.net.limits import ALIAS_NAMES
from postroom.net.log import event
from postroom.smtp.grammar import Address, SyntaxFault, read_address
from postroom.store.interface import Store
from postroom.store.values import Account, AccountId

_logger = logging.getLogger("postroom.intake")
_ALWAYS: Final = frozenset(("postmaster", "abuse"))


@dataclass(frozen=True, slots=True)
class Local:
    """Accounts of this site (at least one), each once, none of them disabled; `away`: the alias's targets
    elsewhere; `tags`: by account, the tag of the address that led to it, where there was one."""

    accounts: tuple[Account, ...]
    away: tuple[Address, ...] = ()
    tags: Mapping[AccountId, str] = field(default_factory=dict, compare=False)


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


@dataclass(frozen=True, slots=True)
class _Found:
    """One step's outcome: an account, or an alias's targets, or both where the alias names itself, or neither."""

    account: Account | None = None
    targets: Sequence[Address] = ()
    tag: str = ""


class Recipients:
    """Looks addresses up in a store. `domains` are the site's own, the first one (which there is) the main one;
    `catch_all` names by domain whom mail for names goes to that nobody has; in the domains `case_sensitive` an
    alias is its exact spelling alone."""

    def __init__(
        self,
        store: Store,
        domains: Sequence[str],
        *,
        catch_all: Mapping[str, str] = MappingProxyType({}),
        case_sensitive: Collection[str] = (),
    ) -> None:
        self._store = store
        self._domains = tuple(domain.lower() for domain in domains)
        self._catch_all = {domain.lower(): _targets([target]) for domain, target in catch_all.items()}
        self._case_sensitive = frozenset(domain.lower() for domain in case_sensitive)

    def is_local(self, address: Address) -> bool:
        """Whether the domain is one of ours; `<postmaster>` always is."""
        return not address.domain or address.domain.lower() in self._domains

    async def resolve(self, address: Address) -> Resolution:
        """Follow an address to its ends. Raises `StoreFault`."""
        if not self.is_local(address):
            return Elsewhere((address,))
        accounts: dict[AccountId, Account] = {}
        away: dict[Address, None] = {}
        tags: dict[AccountId, str] = {}
        disabled = False
        seen = {address}
        waiting = deque((address,))
        while waiting:
            name = waiting.popleft()
            if not self.is_local(name):
                away[name] = None
                continue
            found = await self._look_up(name)
            if found.account is not None:
                if found.account.disabled:
                    disabled = True
                elif found.account.id not in accounts:
                    accounts[found.account.id] = found.account
                    if found.tag:
                        tags[found.account.id] = found.tag
            for target in found.targets:
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
            if len(seen) > ALIAS_NAMES:
                event(_logger, logging.ERROR, "intake.alias-too-wide", address=address, limit=ALIAS_NAMES)
                return TooWide()
        if accounts:
            return Local(tuple(accounts.values()), tuple(away), tags)
        if away:
            return Elsewhere(tuple(away), by_alias=True)
        return Disabled() if disabled else Unknown()

    async def _look_up(self, address: Address) -> _Found:
        domain = (address.domain or self._domains[0]).lower()
        stem, plus, tag = address.local.partition("+")
        found = await self._named(Address(address.local, domain), "")
        if found is None and plus and stem:
            found = await self._named(Address(stem, domain), tag)
        if found is not None:
            return found
        if (stem or address.local).lower() in _ALWAYS:
            return _Found(await self._postmaster())
        return _Found(targets=self._catch_all.get(domain, ()))

    async def _named(self, name: Address, tag: str) -> _Found | None:
        """What has this name; None where nothing does."""
        for exact in _spellings(name):
            lower = composed(exact)
            alias = await self._store.alias(exact)
            if alias is None and lower != exact and name.domain not in self._case_sensitive:
                alias = await self._store.alias(lower)
            if alias is not None:
                targets = _targets(alias.targets)
                itself = any(composed(str(target)) == lower for target in targets)
                return _Found(await self._store.account(lower) if itself else None, targets)
            account = await self._store.account(lower)
            if account is not None:
                return _Found(account, tag=tag)
        return None

    async def _postmaster(self) -> Account | None:
        """Who reads postmaster's mail where nobody has that name: the first administrator or, without one, the
        first account."""
        able = [account for account in await self._store.accounts() if not account.disabled]
        return next((account for account in able if account.admin), able[0] if able else None)


def _spellings(name: Address) -> Iterator[str]:
    """As accounts and aliases may be written: with A-labels, and with U-labels where that is another spelling."""
    yield str(name)
    wide = unicode_domain(name.domain)
    if wide != name.domain:
        yield f"{str(name).rpartition('@')[0]}@{wide}"


def _targets(names: Sequence[str]) -> list[Address]:
    """An alias's targets as addresses; what is none is told and passed over."""
    targets = []
    for name in names:
        try:
            targets.append(read_address(name))
        except SyntaxFault:
            event(_logger, logging.ERROR, "intake.bad-alias-target", target=name)
    return targets
