"""Whether the quota has room for a letter, as far as that is known before the letter is there (RFC 1870 6.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from postroom.intake.envelope import Recipient
from postroom.store.interface import Store
from postroom.store.usage import domain_of
from postroom.store.values import Account, AccountId, Usage


async def has_room(
    store: Store, already: Mapping[AccountId, Recipient], accounts: Sequence[Account], octets: int
) -> bool:
    """Whether a letter of so many octets (0: not known) may come to each of these accounts, beside those that it
    comes to already. What the prefix takes is not known yet: the last word has the delivery. Raises `StoreFault`.
    """
    octets = max(octets, 1)
    new = [account for account in accounts if account.id not in already]
    for account in new:
        quota = await store.quota(account.id)
        if quota is None:
            continue  # removed just now, which the delivery will tell
        if not quota.account.has_room(octets, 1):
            return False
        if _is_limited(quota.domain):
            together = _of_domain(account, new) + _of_domain(account, [each.account for each in already.values()])
            if not quota.domain.has_room(octets * together, together):
                return False
    return True


def _is_limited(usage: Usage) -> bool:
    return bool(usage.max_octets or usage.max_letters)


def _of_domain(account: Account, others: Iterable[Account]) -> int:
    """How many of them share the account's domain."""
    domain = domain_of(account.address)
    return sum(domain_of(each.address) == domain for each in others)
