"""The PROXY protocol: both versions read, in any pieces, bounded, and nothing else believed."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import struct

import pytest

from postroom.net import limits
from postroom.net.connect import connect
from postroom.net.conversation import Tap
from postroom.net.listener import Door, Listener
from postroom.net.proxy import Header, NoHeader, read_header, receive
from postroom.net.secure import SecureTransport
from postroom.net.stream import Stream
from postroom.net.tls import KeyPair, server_context
from postroom.net.transport import Address, Handshake
from tests.net.wire import LOOPS, heard, listening, port, raw, run, trusting, until
from tests.scale import scaled

both_loops = pytest.mark.parametrize("loop", LOOPS)

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n"
V1_6 = b"PROXY TCP6 2001:db8::7 2001:DB8:0:0:0:0:0:1 56324 143\r\n"


def v2(command: int, kind: int, body: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, kind, len(body) if length is None else length) + body


IPV4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 56324, 25)
IPV6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + struct.pack("!HH", 56324, 143)
)
ENDS_4 = (Address("192.0.2.7", 56324), Address("198.51.100.1", 25))
ENDS_6 = (Address("2001:db8::7", 56324), Address("2001:db8::1", 143))
TLV = b"\x05\x00\x04abcd" + b"\x04\x00\x00"
GOOD = {
    "v1-ipv4": (V1, ENDS_4),
    "v1-ipv6": (V1_6, ENDS_6),
    "v1-unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1-unknown-long": (b"PROXY UNKNOWN ffff:f...f:ffff ffff::1 65535 \xff\r\n", None),
    "v1-mapped": (
        b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 56324 25\r\n",
        ENDS_4,
    ),
    "v1-ports": (
        b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
        (Address("0.0.0.0", 0), Address("255.255.255.255", 65535)),
    ),
    "v2-ipv4": (v2(0x21, 0x11, IPV4), ENDS_4),
    "v2-ipv6": (v2(0x21, 0x21, IPV6), ENDS_6),
    "v2-tlvs": (v2(0x21, 0x11, IPV4 + TLV), ENDS_4),
    "v2-local": (v2(0x20, 0x00, b""), None),
    "v2-local-with-family": (v2(0x20, 0x11, IPV4), None),
    "v2-local-of-any-family": (v2(0x20, 0xFF, b"junk"), None),
    "v2-unspec": (v2(0x21, 0x00, b"abc"), None),
    "v2-udp": (v2(0x21, 0x12, IPV4), None),
    "v2-unix": (v2(0x21, 0x31, bytes(216)), None),
}
BAD = {
    "nothing-of-it": b"EHLO client.test\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01",
    "v1-lower": b"proxy TCP4 192.0.2.7 198.51.100.1 56324 25\r\n",
    "v1-bare-lf": b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\n",
    "v1-bare-cr": b"PROXY UNKNOWN a\rb\r\n",
    "v1-no-family": b"PROXY \r\n",
    "v1-udp": b"PROXY UDP4 192.0.2.7 198.51.100.1 56324 25\r\n",
    "v1-two-spaces": b"PROXY  TCP4 192.0.2.7 198.51.100.1 56324 25\r\n",
    "v1-trailing-space": b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25 \r\n",
    "v1-too-few": b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
    "v1-other-family": b"PROXY TCP4 2001:db8::7 2001:db8::1 56324 25\r\n",
    "v1-other-family-6": b"PROXY TCP6 192.0.2.7 198.51.100.1 56324 25\r\n",
    "v1-leading-zero": b"PROXY TCP4 192.0.2.07 198.51.100.1 56324 25\r\n",
    "v1-octet-too-large": b"PROXY TCP4 192.0.2.256 198.51.100.1 56324 25\r\n",
    "v1-scope": b"PROXY TCP6 fe80::1%eth0 2001:db8::1 56324 25\r\n",
    "v1-port-zero-led": b"PROXY TCP4 192.0.2.7 198.51.100.1 056 25\r\n",
    "v1-port-too-large": b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n",
    "v1-port-signed": b"PROXY TCP4 192.0.2.7 198.51.100.1 +5 25\r\n",
    "v1-port-huge": b"PROXY TCP4 192.0.2.7 198.51.100.1 " + b"9" * 60 + b" 25\r\n",
    "v1-port-of-another-script": b"PROXY TCP4 192.0.2.7 198.51.100.1 \xd9\xa1 25\r\n",
    "v1-nul": b"PROXY TCP4 192.0.2.7\x00 198.51.100.1 56324 25\r\n",
    "v2-version-1": SIGNATURE + b"\x11\x11\x00\x0c" + IPV4,
    "v2-command-2": v2(0x22, 0x11, IPV4),
    "v2-family-4": v2(0x21, 0x41, IPV4),
    "v2-transport-3": v2(0x21, 0x13, IPV4),
    "v2-short-ipv4": v2(0x21, 0x11, IPV4[:-1]),
    "v2-short-ipv6": v2(0x21, 0x21, IPV4),
    "v2-empty": v2(0x21, 0x11, b""),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_header_is_read_to_its_last_octet_and_no_further(name: str) -> None:
    octets, ends = GOOD[name]
    assert read_header(octets) == Header(len(octets), ends)
    assert read_header(octets + b"EHLO client.test\r\n") == Header(len(octets), ends)
    for cut in range(1, len(octets)):
        assert read_header(octets[:cut]) is None, cut


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_is_refused(name: str) -> None:
    with pytest.raises(NoHeader):
        read_header(BAD[name])


@pytest.mark.parametrize(
    "octets", [limits.PROXY_LINE_OCTETS, limits.PROXY_LINE_OCTETS + 1, 100 * limits.PROXY_LINE_OCTETS]
)
def test_a_line_has_107_octets_at_most(octets: int) -> None:
    line = b"PROXY UNKNOWN ".ljust(octets - 2, b"x") + b"\r\n"
    if octets == limits.PROXY_LINE_OCTETS:
        assert read_header(line) == Header(octets, None)
        return
    with pytest.raises(NoHeader):
        read_header(line)
    with pytest.raises(NoHeader):
        read_header(line[: limits.PROXY_LINE_OCTETS])


@pytest.mark.parametrize("more", [0, 1, 65_535 - limits.PROXY_HEADER_OCTETS])
def test_a_binary_header_is_bounded_with_its_extra_fields(more: int) -> None:
    octets = limits.PROXY_HEADER_OCTETS - 16 + more
    header = v2(0x21, 0x11, IPV4 + bytes(octets - len(IPV4)))
    if not more:
        assert read_header(header) == Header(limits.PROXY_HEADER_OCTETS, ENDS_4)
        return
    with pytest.raises(NoHeader):
        read_header(header[:16])  # by what it announces, before it is waited for


def test_mutated_headers_raise_nothing_else() -> None:
    dice = random.Random(5)
    seeds = [octets for octets, _ in GOOD.values()] + list(BAD.values())
    for _ in range(scaled(20_000, 1_000_000)):
        octets = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 4)):
            octets[dice.randrange(len(octets))] = dice.randrange(256)
        try:
            header = read_header(bytes(octets))
        except NoHeader:
            continue
        assert header is None or header.length <= len(octets)


# --- at the door

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]


async def who(stream: Stream) -> None:
    """Says whom it takes the peer for, and repeats a line."""
    stream.write(f"{stream.peer.host} {stream.peer.port} {stream.local.host} {stream.local.port}\r\n".encode())
    stream.write(await stream.line(100))


async def pieces(sock: socket.socket, data: bytes, size: int) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(data), size):
        sock.send(data[at : at + size])
        await asyncio.sleep(0)


class Doorway:
    """A door behind a proxy on loopback."""

    def __init__(self, *, per_address: int = 0, proxies: bool = True, tls: KeyPair | None = None) -> None:
        self.tap = Tap("t")
        self.sock = listening()
        self.door = Door(self.tap, per_address=per_address, proxies=LOOPBACK if proxies else ())
        context = server_context(tls) if tls is not None else None
        self.door.open(Listener("test", self.sock, who, context, busy=b"421 busy\r\n"))

    async def __aenter__(self) -> Doorway:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.door.drain(0.0)
        self.sock.close()

    async def visit(self) -> socket.socket:
        return await raw(port(self.sock))


@both_loops
@pytest.mark.parametrize("name", [name for name, (_, ends) in GOOD.items() if ends is not None])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_announced_address_is_the_peer_and_what_follows_is_the_conversation(
    loop: str, name: str, size: int
) -> None:
    octets, ends = GOOD[name]
    assert ends is not None

    async def story() -> None:
        async with Doorway() as doorway:
            client = await doorway.visit()
            await pieces(client, octets + b"NOOP\r\n", size)
            told = f"{ends[0].host} {ends[0].port} {ends[1].host} {ends[1].port}\r\n".encode()
            assert await heard(client) == told + b"NOOP\r\n"
            client.close()
            await until(lambda: not len(doorway.door))
            assert doorway.tap.recent[0].peer == ends[0].host

    run(loop, story())


@both_loops
@pytest.mark.parametrize("name", [name for name, (_, ends) in GOOD.items() if ends is None])
def test_without_an_address_the_real_ends_count(loop: str, name: str) -> None:
    async def story() -> None:
        async with Doorway() as doorway:
            client = await doorway.visit()
            host, number = client.getsockname()
            client.send(GOOD[name][0] + b"NOOP\r\n")
            told = f"{host} {number} 127.0.0.1 {port(doorway.sock)}\r\nNOOP\r\n".encode()
            assert await heard(client) == told
            client.close()

    run(loop, story())


@both_loops
@pytest.mark.parametrize("name", BAD)
def test_from_a_proxy_a_connection_without_a_header_is_refused(loop: str, name: str) -> None:
    async def story() -> None:
        async with Doorway() as doorway:
            client = await doorway.visit()
            client.send(BAD[name])
            assert await heard(client) == b""
            client.close()
            await until(lambda: not len(doorway.door))
            assert not doorway.tap.recent

    run(loop, story())


@both_loops
@pytest.mark.parametrize("begun", [b"", V1[:20], v2(0x21, 0x11, IPV4)[:20]])
def test_a_header_that_does_not_come_in_time_is_not_waited_for(
    loop: str, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with Doorway() as doorway:
            client = await doorway.visit()
            client.send(begun)
            assert await heard(client) == b""
            client.close()

    monkeypatch.setattr(limits, "PROXY_SECONDS", 0.05)
    run(loop, story())


def test_one_that_goes_away_in_its_header_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with Doorway() as doorway:
            for begun in (b"", V1[:20]):
                client = await doorway.visit()
                client.send(begun)
                await until(lambda: len(doorway.door) == 1)
                client.close()
                await until(lambda: not len(doorway.door))

    run("uvloop", story())
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_from_others_a_header_is_what_they_said() -> None:
    async def story() -> None:
        async with Doorway(proxies=False) as doorway:
            client = await doorway.visit()
            client.send(V1)
            assert (await heard(client)).endswith(V1)
            client.close()

    run("uvloop", story())


def test_announced_addresses_are_counted_and_the_proxy_is_not() -> None:
    async def story() -> None:
        async with Doorway(per_address=1) as doorway:
            kept = []
            for number in range(5):
                client = await doorway.visit()
                client.send(b"PROXY TCP4 192.0.2.%d 198.51.100.1 1 25\r\n" % number)
                assert (await asyncio.get_running_loop().sock_recv(client, 100)).startswith(b"192.0.2.")
                kept.append(client)
            again = await doorway.visit()
            again.send(b"PROXY TCP4 192.0.2.3 198.51.100.1 2 25\r\n")
            assert await heard(again) == b"421 busy\r\n"
            again.close()
            kept[3].close()
            await until(lambda: len(doorway.door) == 4)
            again = await doorway.visit()
            again.send(b"PROXY TCP4 192.0.2.3 198.51.100.1 2 25\r\n")
            assert (await asyncio.get_running_loop().sock_recv(again, 100)).startswith(b"192.0.2.3 ")
            for client in (*kept, again):
                client.close()

    run("uvloop", story())


@both_loops
def test_tls_begins_behind_the_header_even_in_its_segment(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with Doorway(tls=key_pair) as doorway:
            sock = await doorway.visit()
            # The header waits in the socket until the ClientHello is written behind it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            sock.send(V1)
            client = Stream()
            secure = SecureTransport(client, Handshake(trusting(), False, "x", 10.0))
            await asyncio.get_running_loop().create_connection(lambda: secure, sock=sock)
            inner = secure.get_extra_info("socket")
            assert hasattr(inner, "setsockopt")
            inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            await secure.shaken()
            client.connection_made(secure)
            client.write(b"NOOP\r\n")
            assert await client.line(100) == b"192.0.2.7 56324 198.51.100.1 25\r\n"
            assert await client.line(100) == b"NOOP\r\n"
            await client.close()

    run(loop, story())


def test_a_proxy_is_known_by_its_address_and_not_by_its_neighbours() -> None:
    async def story() -> None:
        sock = listening("::1")
        door = Door(Tap("t"), per_address=0, proxies=[ipaddress.ip_network("::2/128")])
        door.open(Listener("test", sock, who))
        client = await connect("::1", port(sock))
        client.write(b"NOOP\r\n")
        assert (await client.line(100)).startswith(b"::1 ")
        await client.close()
        await door.drain(0.0)
        sock.close()

    run("uvloop", story())


def test_a_drain_does_not_wait_for_headers() -> None:
    async def story() -> None:
        async with Doorway() as doorway:
            client = await doorway.visit()
            await until(lambda: len(doorway.door) == 1)
            await doorway.door.drain(10.0)
            assert await heard(client) == b""
            client.close()

    run("uvloop", story())


def test_no_octet_behind_the_header_is_taken() -> None:
    async def story() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.send(V1 + b"EHLO me\r\n")
            assert (await receive(ours)).ends == ENDS_4
            assert ours.recv(100) == b"EHLO me\r\n"

    run("asyncio", story())
