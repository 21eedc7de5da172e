"""Too many connections, too few descriptors, garbage at every port: the others are served, and nothing breaks."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ALICE, PATIENCE, House
from tests.mailbag import fetched, imap

_PLAIN = ("smtp", "submission", "pop3", "imap")
_TLS = ("submissions", "pop3s", "imaps")


def _connect(port: int, seconds: float = 10.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=seconds)


def test_with_64_descriptors_a_flood_is_turned_away_and_service_goes_on(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")
    try:
        with contextlib.ExitStack() as held:
            first = held.enter_context(imap_session(house))
            flood = [held.enter_context(_connect(house.port("smtp"))) for _ in range(120)]
            said = [sock.recv(4) for sock in flood]
            assert said.count(b"220 ") >= 10
            assert all(word in (b"220 ", b"421 ", b"") for word in said)
            assert b"421 " in said
            first.sendall(b"n NOOP\r\n")
            assert first.recv(100).startswith(b"n OK")
        with _when_there_is_room(house) as client:
            client.sendmail("x@elsewhere.test", [ALICE], b"Subject: after the flood\r\n\r\nstill here\r\n")
        assert b"still here" in fetched(house, ALICE)[0]
        assert "Traceback" not in house.log()
    finally:
        assert house.stop() == 0


def _when_there_is_room(house: House) -> smtplib.SMTP:
    """A newcomer: the server may see it before it sees that the flood has gone."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return smtplib.SMTP("127.0.0.1", house.port("smtp"), timeout=20)
        except smtplib.SMTPConnectError:
            assert time.monotonic() < until


@contextlib.contextmanager
def imap_session(house: House) -> Iterator[socket.socket]:
    """A connection on which something was said before."""
    with _connect(house.port("imap")) as sock:
        assert sock.recv(1000).startswith(b"* OK")
        yield sock


def test_one_address_may_have_so_many_connections(tmp_path: Path) -> None:
    house = House(tmp_path)
    text = house.config_path.read_text()
    text = text.replace("connections_per_address = 1000", "connections_per_address = 3")
    house.config_path.write_text(text.replace('exempt_networks = ["127.0.0.0/8"]', "exempt_networks = []"))
    with house, contextlib.ExitStack() as held:
        places = ("smtp", "imap", "pop3")
        for protocol in places:
            assert held.enter_context(_connect(house.port(protocol))).recv(100)
        told = {protocol: held.enter_context(_connect(house.port(protocol))).recv(100) for protocol in places}
        assert told["smtp"].startswith(b"421 ")
        assert told["imap"].startswith(b"* BYE ")
        assert told["pop3"].startswith(b"-ERR ")


@pytest.mark.parametrize("protocol", [*_PLAIN, *_TLS])
@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(range(256)) * 64,
        b"\x00" * 5000 + b"\r\n",
        b"A" * 200_000 + b"\r\n",
        b"\r\n" * 2000,
        b"\x16\x03\x01\xff\xff\x01" + b"\xff" * 70_000,
    ],
    ids=["http", "octets", "nul", "long", "empty", "hello"],
)
def test_garbage_is_answered_or_closed(garbage_house: House, protocol: str, garbage: bytes) -> None:
    with _connect(garbage_house.port(protocol)) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
        said = b""
        with contextlib.suppress(OSError):
            while octets := sock.recv(65536):
                said += octets
        assert len(said) < 500_000
    client = imap(garbage_house, ALICE)
    assert client.logout()[0] == "BYE"


@pytest.fixture(scope="module")
def garbage_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house
