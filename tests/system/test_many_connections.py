"""Thousands of connections at once, connections that are cut, handshakes that stay halves: others are served, and
what the crowd took is given back."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import House
from tests.scale import scaled
from tests.system import many
from tests.system.raw import Raw, alive

CONNECTIONS = scaled(500, 5000)
STORM = scaled(600, 30_000)
HALVES = scaled(200, 3000)
SOON = scaled(10, 1)
"""Seconds; the promise is one, and `make test` shares its machine."""
_CROWD = ("smtp", "pop3", "imap", "submission", "smtp", "pop3", "imap", "submission", "smtp", "imaps")
_CROWD_OCTETS = 64 * 1024
"""Of memory for each connection of a crowd, about (SMTP ones may hold more)."""
_SPARE = scaled(24, 64) * many.MIB
"""Of memory that a worker may keep after a crowd: what its allocator does not give back. After 5000: 48 MiB."""
_MORE = 6 * many.MIB
"""The same after each further crowd: 1 MiB at most in sixty thousand connections."""
_KEPT = 6
"""Descriptors that it may have opened meanwhile for itself, such as segments."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    many.roomy()
    with House(tmp_path_factory.mktemp("house")) as house:
        alive(house)
        yield house


@pytest.fixture(autouse=True)
def _it_is_as_before(house: House) -> Iterator[None]:
    """What a crowd took is given back, nobody was restarted, and somebody who was there before is still served."""
    pid = many.worker(house)
    with Raw(house, "smtp") as other:
        assert other.ask(b"EHLO client.test").startswith(b"250")
        open_before, memory_before = many.descriptors(pid), many.pss(pid)
        yield
        assert other.ask(b"NOOP").startswith(b"250 ")
        many.wait_for_descriptors(pid, open_before + _KEPT)
        assert many.pss(pid) < memory_before + _SPARE
    alive(house)
    assert many.worker(house) == pid


def test_thousands_stay_and_others_are_served_soon(house: House) -> None:
    pid = many.worker(house)
    before = many.pss(pid)
    with contextlib.ExitStack() as held:
        crowd = [held.enter_context(Raw(house, _CROWD[number % len(_CROWD)])) for number in range(CONNECTIONS)]
        assert many.descriptors(pid) >= CONNECTIONS
        many.served(house, SOON)
        print(f"{CONNECTIONS} connections: {(many.pss(pid) - before) / CONNECTIONS / 1024:.1f} KiB each")
        assert many.pss(pid) - before < _CROWD_OCTETS * CONNECTIONS
        for raw in crowd[:: len(crowd) // 50 + 1]:
            raw.say(b"CAPA\r\n" if raw.greeting.startswith(b"+OK") else b"x NOOP\r\n")
            assert raw.line().startswith((b"+OK", b"x OK", b"500 "))


def test_a_second_crowd_and_a_third_take_nothing_more(house: House) -> None:
    pid = many.worker(house)
    open_before, memory = many.descriptors(pid), []
    for _ in range(4):
        with contextlib.ExitStack() as held:
            for number in range(CONNECTIONS):
                held.enter_context(Raw(house, _CROWD[number % len(_CROWD)]))
        many.wait_for_descriptors(pid, open_before + _KEPT)
        memory.append(many.pss(pid))
    assert memory[3] - memory[1] < _MORE, memory


@pytest.mark.parametrize("protocol", ["smtp", "pop3", "imap", "imaps"])
@pytest.mark.parametrize("said", [b"", b"EHLO a", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half", "hello"])
def test_connections_that_are_reset_leave_nothing(house: House, protocol: str, said: bytes) -> None:
    for number in range(STORM // 12):
        sock = many.connect(house, protocol)
        if said:
            sock.sendall(said)
        if number % 10 == 0 and protocol != "imaps":
            assert sock.recv(4)
        many.reset(sock)
    many.served(house, SOON)


def test_letters_that_are_reset_midway_leave_nothing(house: House) -> None:
    for _ in range(STORM // 12):
        raw = Raw(house, "smtp")
        raw.ask(b"EHLO a", b"MAIL FROM:<a@b.test>", b"RCPT TO:<alice@example.test>")
        assert raw.ask(b"DATA").startswith(b"354")
        raw.say(b"Subject: half\r\n\r\n" + b"x" * 60 * 1000)
        many.reset(raw.sock)
    many.served(house, SOON)


def test_a_flood_of_connections_that_say_nothing_passes(house: House) -> None:
    for _ in range(max(1, STORM // 600)):
        flood = [many.connect(house, ("smtp", "pop3", "imap", "imaps")[number % 4]) for number in range(300)]
        many.served(house, SOON)
        for sock in flood:
            sock.close()


def test_handshakes_that_stay_halves_keep_nobody_out(house: House) -> None:
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)
    with contextlib.ExitStack() as held:
        for number in range(HALVES):
            sock: socket.socket = many.connect(house, ("imaps", "pop3s", "submissions")[number % 3])
            held.callback(sock.close)
            sock.sendall(hello)
        many.served(house, SOON)


def test_the_log_of_a_storm_is_no_storm(house: House, tmp_path: Path) -> None:
    before = len(house.log())
    for _ in range(100):
        many.reset(many.connect(house, "smtp"))
    many.served(house, SOON)
    assert len(house.log()) - before < 100 * 200
