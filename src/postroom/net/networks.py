"""Whom an address counts as: an IPv4 address, or the /64 that one IPv6 subscriber has. Pure.

Used wherever something is counted by peer: connections (`net.listener`), failed logins (`accounts.attempts`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network_of(peer: str) -> Network | None:
    """The network that an address counts for; None for what is no address (a Unix socket, memory)."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return ipaddress.IPv6Network((address, 64), strict=False)
        address = address.ipv4_mapped
    return ipaddress.IPv4Network(address)


def within(peer: str, networks: Iterable[Network]) -> bool:
    """Whether an address itself lies in one of the networks: for what is granted, not counted."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in networks)


def meets(network: Network, others: Iterable[Network]) -> bool:
    """Whether a counted network and one of the `others` (maybe one IPv6 address) have an address in common."""
    return any(network.version == other.version and network.overlaps(other) for other in others)
