"""A name server to test with, on a loopback port: answers from a table, or as it is told to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass
class Nameserver:
    """`a` and `txt` by name without the last dot; a name that has neither isn't there."""

    a: dict[str, list[str]] = field(default_factory=dict)
    txt: dict[str, list[str]] = field(default_factory=dict)
    ttl: int = 60
    failing: set[str] = field(default_factory=set)
    """Names, or ends of names, that get SERVFAIL."""
    silent: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    def answer(self, octets: bytes) -> bytes | None:
        query = dns.message.from_wire(octets)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if any(name.endswith(each) for each in self.silent):
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if any(name.endswith(each) for each in self.failing):
            response.set_rcode(dns.rcode.SERVFAIL)
            return bytes(response.to_wire())
        rows = {"A": self.a, "TXT": self.txt}.get(kind, {}).get(name)
        if rows:
            quoted = rows if kind == "A" else ['"' + each + '"' for each in rows]
            response.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", kind, *quoted))
        elif name not in self.a and name not in self.txt:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return bytes(response.to_wire())


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, server: Nameserver) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        response = self._server.answer(data)
        if response is not None and self._transport is not None:
            self._transport.sendto(response, address)


@contextlib.asynccontextmanager
async def serving(server: Nameserver) -> AsyncIterator[Nameserver]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Protocol(server), local_addr=("127.0.0.1", 0)
    )
    server.port = transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()
