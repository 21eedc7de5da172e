"""Listening sockets: IPv4 and IPv6 apart and together, one for each worker, and places that can't be had."""

from __future__ import annotations

import socket

import pytest

from postroom.net.binding import PortTaken, bind


def test_all_addresses_of_ipv6_leave_those_of_ipv4_to_others() -> None:
    (six,) = bind("smtp", "::", 0, 1)
    (four,) = bind("smtp", "0.0.0.0", six.port, 1)
    try:
        for host, bound in (("127.0.0.1", four), ("::1", six)):
            with socket.create_connection((host, six.port), 10):
                bound.sock.setblocking(True)
                bound.sock.settimeout(10)
                sock, peer = bound.sock.accept()
                sock.close()
                assert peer[0] == host
    finally:
        six.sock.close()
        four.sock.close()


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", r"\[::1\]")])
def test_a_place_that_is_taken_is_named(host: str, shown: str) -> None:
    (bound,) = bind("smtp", host, 0, 1)
    try:
        with pytest.raises(PortTaken, match=rf"{shown}:{bound.port}: Address already in use"):
            bind("smtp", host, bound.port, 2)
    finally:
        bound.sock.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_refused_in_one_line(host: str) -> None:
    with pytest.raises(PortTaken) as fault:
        bind("smtp", host, 0, 1)
    assert host in str(fault.value) and "\n" not in str(fault.value)
