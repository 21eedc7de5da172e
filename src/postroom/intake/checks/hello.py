"""Does HELO make sense? (RFC 5321 4.1.1.1, 4.1.3, 4.1.4)

`literal`: an address, in brackets or bare, is the client's own, and a name is not one of ours; who comes from this
machine may use any address of it, and our names. `strict`: moreover a name is a full domain name, and an address
stands in brackets. Whether a name leads to the client's address is not asked: RFC 5321 4.1.4 lets nobody refuse
mail for that.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Final

from postroom.intake.envelope import PASSED, Caller, Passed, Rejected
from postroom.intake.judging import CallerCheck
from postroom.smtp.replies import R501_HELLO, R550_HELLO

_IPV6_TAG: Final = "ipv6:"
_DIGITS: Final = frozenset("0123456789")
_DISCARD_PORT: Final = 9

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def hello_check(names: Iterable[str], *, strict: bool) -> CallerCheck:
    """`names`: those that only we may call ourselves by: our host's, our domains'."""
    ours = frozenset(name.lower() for name in names)

    async def check_hello(caller: Caller) -> Passed | Rejected:
        """Refuse a name or an address that can't be the client's."""
        said = caller.hello.rstrip(".").lower()
        bracketed = said.startswith("[")
        if bracketed or ":" in said or said[-1:] in _DIGITS:
            address = _address(said.strip("[]").removeprefix(_IPV6_TAG))
            if address is not None:
                return _as_address(caller.peer, address, bare=strict and not bracketed)
        if bracketed:
            # A literal of a kind that we don't know (RFC 5321 4.1.3: General-address-literal).
            return Rejected(R501_HELLO)
        if said in ours and not _is_local(_address(caller.peer)):
            return Rejected(R550_HELLO)
        return Rejected(R501_HELLO) if strict and "." not in said else PASSED

    return check_hello


def _as_address(client: str, said: Ip, *, bare: bool) -> Passed | Rejected:
    """`bare`: it should stand in brackets, and doesn't."""
    if bare:
        return Rejected(R501_HELLO)
    peer = _address(client)
    return PASSED if said == peer or (_is_local(peer) and _is_here(said)) else Rejected(R550_HELLO)


def _is_local(peer: Ip | None) -> bool:
    """Whether it comes from this machine: what has no address doesn't come by a network."""
    return peer is None or peer.is_loopback


def _address(text: str) -> Ip | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_here(address: Ip) -> bool:
    """Whether the address is one of this machine: what is sent to it would leave from itself. Nothing is sent."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), _DISCARD_PORT))
            return _address(probe.getsockname()[0]) == address
    except OSError:
        return False
