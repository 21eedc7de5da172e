"""Is the client's address on a DNS blocklist? (RFC 5782)

All lists are asked at once, when the first recipient is named. An answer within 127.0.0.0/8 means that the address
is listed, but 127.255.255.0/24, by which lists say that they don't answer this resolver; anything else, a timeout
and a server's failure mean nothing. postmaster and abuse hear from everybody. What was learned is remembered for a
while.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
import dns.reversename

from postroom.intake.checks.spared import is_spared
from postroom.intake.envelope import PASSED, Caller, Passed, Rejected
from postroom.intake.judging import CallerCheck
from postroom.net.limits import BLOCKLIST_ANSWERS_KEPT, BLOCKLIST_REASON_CHARACTERS, BLOCKLIST_SECONDS
from postroom.net.log import event
from postroom.smtp.replies import R554_BLOCKLISTED

_logger = logging.getLogger("postroom.intake")

_LISTED: Final = ipaddress.IPv4Network("127.0.0.0/8")
_REFUSED: Final = ipaddress.IPv4Network("127.255.255.0/24")
_TRY_SECONDS: Final = 2.0
"""For one server's answer; then the next one is asked."""
_LISTED_SECONDS_MOST: Final = 3600.0
_CLEAN_SECONDS: Final = 300.0
_UNKNOWN_SECONDS: Final = 30.0
"""A list that doesn't answer holds up one client in so long."""
_LOCAL_RESOLVER: Final = "127.0.0.1"
_DNS_PORT: Final = 53
_NOT_TEXT: Final = re.compile(r"[^ -~]+")

Resolver = dns.asyncresolver.Resolver


@dataclass(frozen=True, slots=True)
class Answer:
    """What a list said of an address: the reason it gives, None where it isn't listed. `seconds`: how long to
    believe it."""

    reason: str | None
    seconds: float


def make_resolver(servers: Sequence[tuple[str, int]]) -> Resolver:
    """Asks these servers (address, port); without any, those of the system."""
    if servers:
        resolver = Resolver(configure=False)
        resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in servers]
    else:
        try:
            resolver = Resolver()
        except dns.resolver.NoResolverConfiguration:
            resolver = Resolver(configure=False)
            resolver.nameservers = [dns.nameserver.Do53Nameserver(_LOCAL_RESOLVER, _DNS_PORT)]
    resolver.timeout, resolver.lifetime = _TRY_SECONDS, BLOCKLIST_SECONDS
    return resolver


def blocklist_check(
    zones: Sequence[str], resolver: Resolver, clock: Callable[[], float] = time.monotonic
) -> CallerCheck:
    """`zones`: the lists, of which the first that has the address is named."""
    kept: OrderedDict[str, tuple[float, Rejected | Passed]] = OrderedDict()

    async def check_blocklist(caller: Caller) -> Passed | Rejected:
        """Refuse a client that is listed."""
        if is_spared(caller.recipient):
            return PASSED
        try:
            address = ipaddress.ip_address(caller.peer.partition("%")[0])
        except ValueError:
            return PASSED
        until, verdict = kept.get(caller.peer, (0.0, PASSED))
        if clock() < until:
            return verdict
        verdict, seconds = await _ask_all(resolver, zones, str(address))
        kept[caller.peer] = (clock() + seconds, verdict)
        kept.move_to_end(caller.peer)
        if len(kept) > BLOCKLIST_ANSWERS_KEPT:
            kept.popitem(last=False)
        return verdict

    return check_blocklist


async def _ask_all(resolver: Resolver, zones: Sequence[str], address: str) -> tuple[Passed | Rejected, float]:
    """The verdict, and how long it is good for."""
    answers = await asyncio.gather(*[_ask(resolver, zone, address) for zone in zones])
    for zone, answer in zip(zones, answers, strict=True):
        if answer.reason is not None:
            text = f"[{address}] is listed by {zone}{': ' if answer.reason else ''}{answer.reason}"
            return Rejected(replace(R554_BLOCKLISTED, text=text)), answer.seconds
    return PASSED, min([answer.seconds for answer in answers], default=_CLEAN_SECONDS)


async def _ask(resolver: Resolver, zone: str, address: str) -> Answer:
    """Ask one list; what goes wrong is told in the log."""
    origin = dns.name.from_text(zone)
    name = dns.reversename.from_address(address, v4_origin=origin, v6_origin=origin)
    try:
        async with asyncio.timeout(BLOCKLIST_SECONDS):
            found = await resolver.resolve(name, dns.rdatatype.A, raise_on_no_answer=False)
            if found.rrset is None or not any(_means_listed(str(each)) for each in found.rrset):
                return Answer(None, _CLEAN_SECONDS)
            seconds = min(float(found.rrset.ttl), _LISTED_SECONDS_MOST)
            return Answer(await _reason(resolver, name), seconds)
    except dns.resolver.NXDOMAIN:
        return Answer(None, _CLEAN_SECONDS)
    except (dns.exception.DNSException, OSError, TimeoutError) as fault:
        event(_logger, logging.WARNING, "blocklist.unanswered", zone=zone, reason=type(fault).__name__)
        return Answer(None, _UNKNOWN_SECONDS)


def _means_listed(answer: str) -> bool:
    address = ipaddress.IPv4Address(answer)
    return address in _LISTED and address not in _REFUSED


async def _reason(resolver: Resolver, name: dns.name.Name) -> str:
    """What the list says about it to people (RFC 5782 2.1), fit for a reply; empty where it says nothing."""
    try:
        found = await resolver.resolve(name, dns.rdatatype.TXT, raise_on_no_answer=False)
    except (dns.exception.DNSException, OSError):
        return ""
    if found.rrset is None:
        return ""
    text = b" ".join([b"".join(each.strings) for each in found.rrset][:1]).decode("utf-8", "replace")
    return _NOT_TEXT.sub("?", text)[:BLOCKLIST_REASON_CHARACTERS].strip()
