"""What accounts and domains keep, as one transaction has it: counted with every letter that comes or goes, so that
a limit is exact whatever way a letter takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import apsw

from postroom.store.index import fetch_one
from postroom.store.values import AccountId, Quota, Quotas, Usage

__all__ = ["DOMAIN", "Count", "Usages", "Use", "domain_of", "read_quota", "without_room"]


def domain_of(address: str) -> str:
    """The domain of an account's name.

    >>> domain_of("alice@example.test")
    'example.test'
    """
    return address.partition("@")[2]


DOMAIN: Final = "CASE instr({0}, '@') WHEN 0 THEN '' ELSE substr({0}, instr({0}, '@') + 1) END"
"""The same as SQL, of the column {0}."""

_READ = f"""SELECT a.octets, a.letters, a.max_octets, a.max_letters, d.name, d.octets, d.letters, d.max_octets,
 d.max_letters FROM accounts a LEFT JOIN domains d ON d.name = {DOMAIN.format("a.address")}
 WHERE a.id = ?"""


@dataclass(slots=True)
class Count:
    """One account's or domain's usage, as the transaction has it now, and how much of it its row says."""

    octets: int
    letters: int
    max_octets: int
    max_letters: int
    written_octets: int
    written_letters: int

    def add(self, octets: int, letters: int) -> None:
        """Count letters that come, or go with negative numbers."""
        self.octets += octets
        self.letters += letters

    def has_room(self, octets: int, letters: int) -> bool:
        """Whether so much more may come."""
        return not (self.max_octets or self.max_letters) or self.usage().has_room(octets, letters)

    def limit_as(self, other: Count) -> None:
        """Take over another's limits."""
        self.max_octets, self.max_letters = other.max_octets, other.max_letters

    def usage(self) -> Usage:
        """As a value."""
        return Usage(self.octets, self.letters, self.max_octets, self.max_letters)

    def take_growth(self) -> tuple[int, int]:
        """What is to be added to the row."""
        growth = self.octets - self.written_octets, self.letters - self.written_letters
        self.written_octets, self.written_letters = self.octets, self.letters
        return growth


def _count(row: Sequence[int | None], default_octets: int, default_letters: int) -> Count:
    octets, letters, max_octets, max_letters = row
    return Count(
        octets or 0,
        letters or 0,
        default_octets if max_octets is None else max_octets,
        default_letters if max_letters is None else max_letters,
        octets or 0,
        letters or 0,
    )


def _counts(row: Any, quotas: Quotas) -> tuple[Count, Count]:
    return (
        _count(row[:4], quotas.account_octets, quotas.account_letters),
        _count(row[5:], quotas.domain_octets, quotas.domain_letters),
    )


def read_quota(connection: apsw.Connection, account: AccountId, quotas: Quotas) -> Quota | None:
    """An account's usage and limits, and its domain's; None where it is gone."""
    row = fetch_one(connection, _READ, (account,))
    if row is None:
        return None
    own, domain = _counts(row, quotas)
    return Quota(own.usage(), domain.usage())


@dataclass(frozen=True, slots=True)
class Use:
    """What one account keeps, and all accounts of its domain."""

    own: Count
    domain: Count

    def add(self, octets: int, letters: int) -> None:
        """Count letters that come, or go with negative numbers."""
        self.own.add(octets, letters)
        self.domain.add(octets, letters)

    def has_room(self, octets: int, letters: int = 1) -> bool:
        """Whether so much more may come."""
        return self.own.has_room(octets, letters) and self.domain.has_room(octets, letters)


def without_room(wanted: Sequence[tuple[Use, int]]) -> list[bool]:
    """Whose letters have no room, of several that come together: each is said with its octets, and those of one
    account, and of one domain, share what is left there."""
    if len(wanted) == 1:
        ((use, octets),) = wanted
        return [not use.has_room(octets)]
    sums: dict[int, tuple[int, int]] = {}
    for use, octets in wanted:
        for count in (use.own, use.domain):
            before = sums.get(id(count), (0, 0))
            sums[id(count)] = before[0] + octets, before[1] + 1
    return [not all(count.has_room(*sums[id(count)]) for count in (use.own, use.domain)) for use, _ in wanted]


class Usages:
    """All that one transaction touches. `quotas` are the site's defaults."""

    def __init__(self, connection: apsw.Connection, quotas: Quotas) -> None:
        self._connection = connection
        self._quotas = quotas
        self._uses: dict[int, Use] = {}
        self._domains: dict[str, Count] = {}

    def of(self, account: int) -> Use:
        """An account's; one that is not there has no limits."""
        use = self._uses.get(account)
        if use is None:
            row = fetch_one(self._connection, _READ, (account,)) or (0, 0, 0, 0, "", 0, 0, 0, 0)
            own, domain = _counts(row, self._quotas)
            use = self._uses[account] = Use(own, self._domains.setdefault(row[4] or "", domain))
        return use

    def limited(self) -> None:
        """Limits were changed in this transaction: what comes after must keep to them."""
        for account, use in self._uses.items():
            row = fetch_one(self._connection, _READ, (account,))
            if row is not None:
                own, domain = _counts(row, self._quotas)
                use.own.limit_as(own)
                use.domain.limit_as(domain)

    def write(self) -> None:
        """Write what was counted since the last time."""
        _grow(self._connection, "accounts", "id", [(*u.own.take_growth(), each) for each, u in self._uses.items()])
        _grow(self._connection, "domains", "name", [(*c.take_growth(), each) for each, c in self._domains.items()])


def _grow(connection: apsw.Connection, table: str, key: str, rows: list[tuple[int, int, int | str]]) -> None:
    changed = [row for row in rows if row[0] or row[1]]
    if changed:
        sql = f"UPDATE {table} SET octets = octets + ?, letters = letters + ? WHERE {key} = ?"
        connection.executemany(sql, changed).fetchall()
