"""Behind a proxy: whom it announces is the peer everywhere, and nobody else is believed. IPv6 beside IPv4."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Iterator
from email.parser import BytesHeaderParser

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.mailbag import fetched
from tests.system.raw import IMPLICIT, PATIENCE, Raw

_FAR, _NEAR = "192.0.2.7", "127.0.0.1"
_LOGIN = b"LOGIN %b %b" % (ALICE.encode(), PASSWORDS[ALICE].encode())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The proxy lives at 127.0.0.2, strangers at 127.0.0.1 and ::1; POP3 is served to IPv6 too."""
    house = House(tmp_path_factory.mktemp("house"))
    text = house.config_path.read_text()
    text = text.replace('pop3 = ["127.0.0.1:0"]', 'pop3 = ["127.0.0.1:0", "[::1]:0"]')
    text = text.replace("connections_per_address = 1000", "connections_per_address = 3")
    text = text.replace("exempt_networks = [", 'proxy_networks = ["127.0.0.2/32"]\nexempt_networks = [')
    house.config_path.write_text(text)
    with house:
        yield house


def _v1(peer: str) -> bytes:
    return f"PROXY TCP4 {peer} 198.51.100.1 4711 25\r\n".encode()


def _v2(peer: str) -> bytes:
    ends = socket.inet_aton(peer) + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 4711, 25)
    extra = b"\x04\x00\x04pads"
    return b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, len(ends + extra)) + ends + extra


def _dialled(house: House, protocol: str, said: bytes, size: int = 1000) -> socket.socket:
    """A connection by the proxy that has said something."""
    sock = socket.create_connection(("127.0.0.1", house.port(protocol)), PATIENCE, ("127.0.0.2", 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(ConnectionError):  # closed before all was said
        for at in range(0, len(said), size):
            sock.sendall(said[at : at + size])
    return sock


def _behind(house: House, protocol: str, header: bytes, size: int = 1000) -> Raw:
    return Raw(house, protocol, sock=_dialled(house, protocol, header, size))


def _said(sock: socket.socket) -> bytes:
    """All that comes until the end."""
    said = b""
    with sock, contextlib.suppress(ConnectionError):
        while octets := sock.recv(65536):
            said += octets
    return said


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("header", [_v1(_FAR), _v2(_FAR)], ids=["v1", "v2"])
def test_a_letter_and_the_list_of_sessions_tell_who_brought_it(house: House, header: bytes, size: int) -> None:
    with _behind(house, "smtp", header, size) as raw:
        raw.ask(b"EHLO client.test", b"MAIL FROM:<x@elsewhere.test>", b"RCPT TO:<bob@example.test>", b"DATA")
        raw.say(b"Subject: by proxy\r\n\r\nbody\r\n.\r\n")
        assert raw.reply().startswith(b"250 ")
        (row,) = [json.loads(line) for line in house.run("sessions", "list", "--json").stdout.splitlines()]
        assert row["peer"] == _FAR
    letter = fetched(house, BOB)[-1]
    assert f"[{_FAR}]" in str(BytesHeaderParser().parsebytes(letter)["Received"])


def test_the_announced_address_decides_where_a_password_may_be_said(house: House) -> None:
    with _behind(house, "imap", _v1(_FAR)) as far, _behind(house, "imap", _v1(_NEAR)) as near:
        assert far.answer(_LOGIN)[0].startswith(b"NO [PRIVACYREQUIRED]")
        assert near.answer(_LOGIN)[0].startswith(b"OK")


@pytest.mark.parametrize("protocol", IMPLICIT)
def test_tls_begins_behind_the_header(house: House, protocol: str) -> None:
    with _behind(house, protocol, _v2(_FAR), 1) as raw:
        assert raw.greeting.startswith((b"220 ", b"+OK ", b"* OK "))
    assert f"protocol={protocol} peer={_FAR}" not in house.log()  # no handshake failed


def test_a_wrong_password_is_laid_to_whom_the_proxy_announced(house: House) -> None:
    with _behind(house, "imaps", _v1("192.0.2.66")) as raw:
        assert raw.answer(b"LOGIN alice@example.test wrong")[0].startswith(b"NO")
    assert any("192.0.2.66" in line for line in house.log().splitlines() if "login-failed" in line)


@pytest.mark.parametrize("protocol", ["smtp", "imap", "pop3s"])
@pytest.mark.parametrize(
    "said", [b"EHLO client.test\r\n", b"\x16\x03\x01\x02\x00\x01", b"PROXY nonsense\r\n", b"\xff" * 5000]
)
def test_the_proxy_itself_gets_nowhere_without_a_header(house: House, protocol: str, said: bytes) -> None:
    assert _said(_dialled(house, protocol, said)) == b""


def test_a_strangers_header_is_garbage(house: House) -> None:
    place = ("127.0.0.1", house.port("smtp"))
    with socket.create_connection(place, PATIENCE) as sock:
        sock.sendall(_v1(_FAR) + b"QUIT\r\n")
        # It spoke before the greeting, or what it said is no command.
        assert _said(sock).startswith((b"554 ", b"220 "))
    with socket.create_connection(("::1", house.port("pop3")), PATIENCE) as sock:
        sock.sendall(_v2(_FAR) + b"\r\nQUIT\r\n")
        assert _said(sock).startswith(b"+OK ")
    assert f"peer={_FAR} login" not in house.log()


def test_announced_addresses_have_so_many_connections_each(house: House) -> None:
    with contextlib.ExitStack() as held:
        for peer in ("192.0.2.9", "192.0.2.10"):
            for _ in range(3):
                assert held.enter_context(_behind(house, "smtp", _v1(peer))).greeting.startswith(b"220 ")
        assert _said(_dialled(house, "smtp", _v1("192.0.2.9"))).startswith(b"421 ")
        assert _said(_dialled(house, "imap", _v1("192.0.2.9"))).startswith(b"* BYE ")
        assert held.enter_context(_behind(house, "imap", _v1("192.0.2.11"))).greeting.startswith(b"* OK ")
