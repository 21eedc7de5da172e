"""Whom an address counts as."""

from __future__ import annotations

import ipaddress

import pytest

from postroom.net.networks import meets, network_of


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_address_counts_for_its_subscribers_network(peer: str, network: str) -> None:
    assert str(network_of(peer)) == network


@pytest.mark.parametrize("peer", ["", "localhost", "192.0.2", "1.2.3.4.5"])
def test_what_is_no_address_has_no_network(peer: str) -> None:
    assert network_of(peer) is None


def test_one_address_of_a_64_meets_it() -> None:
    network = network_of("2001:db8::1")
    assert network is not None
    assert meets(network, [ipaddress.ip_network("2001:db8::77/128")])
    assert not meets(network, [ipaddress.ip_network("2001:db9::/32"), ipaddress.ip_network("0.0.0.0/0")])
