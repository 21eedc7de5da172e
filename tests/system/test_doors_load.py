"""Load (docs/security.md): limits over all workers, killed workers, slow, half-open and broken peers."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ALICE, PASSWORDS, PATIENCE, House
from tests.scale import scaled
from tests.system.raw import Raw, trusting

_OTHER = "127.0.0.9"
"""A newcomer's address, which has no connections yet."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"), workers=2)
    text = house.config_path.read_text()
    text = text.replace("connections_per_address = 1000", "connections_per_address = 40\nconnections = 60")
    text = text.replace('["127.0.0.0/8"]', '["127.0.0.7/32"]') + "connections_per_listener = { pop3 = 6 }\n"
    house.config_path.write_text(text)
    with house:
        yield house


def _dialled(house: House, protocol: str, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", house.port(protocol)), PATIENCE, (source, 0))


def _first_word(house: House, protocol: str, source: str, held: contextlib.ExitStack) -> bytes:
    sock = held.enter_context(_dialled(house, protocol, source))
    with contextlib.suppress(ConnectionError):
        return sock.recv(5)
    return b""


def _when_all_have_gone(house: House) -> None:
    """Until a whole address' worth of connections would fit again."""
    until = time.monotonic() + PATIENCE
    while house.run("sessions", "list").stdout:
        assert time.monotonic() < until


def test_an_address_a_listener_and_all_have_so_many_over_both_workers(house: House) -> None:
    with contextlib.ExitStack() as held:
        assert [_first_word(house, "pop3", "127.0.0.1", held)[:3] for _ in range(6)] == [b"+OK"] * 6
        assert [_first_word(house, "pop3", _OTHER, held) for _ in range(6)] == [b"-ERR "] * 6
        assert [_first_word(house, "imap", "127.0.0.1", held) for _ in range(34)] == [b"* OK "] * 34
        assert [_first_word(house, "imap", "127.0.0.1", held) for _ in range(8)] == [b"* BYE"] * 8
        assert [_first_word(house, "smtp", "127.0.0.1", held) for _ in range(8)] == [b"421 4"] * 8
        # Others are served, an exempt one beyond the limit of an address, up to the limit of all.
        assert [_first_word(house, "smtp", _OTHER, held) for _ in range(10)] == [b"220 m"] * 10
        assert [_first_word(house, "imap", "127.0.0.7", held) for _ in range(10)] == [b"* OK "] * 10
        for source in ("127.0.0.7", "127.0.0.8"):
            assert [_first_word(house, "imap", source, held) for _ in range(4)] == [b"* BYE"] * 4
    _when_all_have_gone(house)


def test_what_a_killed_worker_had_is_free_again(house: House) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(40):
            assert _first_word(house, "imap", "127.0.0.1", held) == b"* OK "
        assert _first_word(house, "imap", "127.0.0.1", held) == b"* BYE"
        for name in ("worker-0", "worker-1"):
            pid = house.pids()[name]
            os.kill(pid, signal.SIGKILL)
            house.wait_for_successor(name, pid)
        for _ in range(40):
            assert _first_word(house, "imap", "127.0.0.1", held) == b"* OK "
        assert _first_word(house, "imap", "127.0.0.1", held) == b"* BYE"
    _when_all_have_gone(house)


def test_of_workers_that_are_killed_nobody_else_notices(house: House) -> None:
    dice = random.Random(5)
    for _ in range(scaled(2, 100)):
        with contextlib.ExitStack() as held:
            sessions = [held.enter_context(Raw(house, "imap")) for _ in range(20)]
            for raw in sessions:
                login = b"LOGIN %b %b" % (ALICE.encode(), PASSWORDS[ALICE].encode())
                assert raw.answer(login)[0].startswith(b"OK")
            ids = {row["id"] for row in _listed(house)}
            name = dice.choice(("worker-0", "worker-1"))
            pid = house.pids()[name]
            os.kill(pid, signal.SIGKILL)
            # Newcomers are let in by the other one, before there is a successor.
            for _ in range(10):
                with Raw(house, "imap", sock=_dialled(house, "imap", _OTHER)) as raw:
                    assert raw.answer(b"NOOP")[0].startswith(b"OK")
            number = name.removeprefix("worker-")
            others = sum(not str(one).startswith(number) for one in ids)
            assert sum(map(_goes_on, sessions)) == others
            house.wait_for_successor(name, pid)
    _when_all_have_gone(house)


def _goes_on(raw: Raw) -> bool:
    try:
        return raw.answer(b"NOOP")[0].startswith(b"OK")
    except (AssertionError, ConnectionError):
        return False


def _listed(house: House) -> list[dict[str, object]]:
    return [json.loads(line) for line in house.run("sessions", "list", "--json").stdout.splitlines()]


def test_slow_and_half_open_peers_have_their_limit_and_newcomers_are_served(house: House) -> None:
    with contextlib.ExitStack() as held:
        protocols = ("smtp", "submission", "imap", "imaps", "pop3s", "submissions")
        slow = [held.enter_context(_dialled(house, protocol)) for protocol in protocols for _ in range(10)]
        for octet in (b"E", b"H", b"L"):
            for sock in slow:
                with contextlib.suppress(OSError):
                    sock.sendall(octet)
            for protocol in ("smtp", "imap"):
                with Raw(house, protocol, sock=_dialled(house, protocol, _OTHER)) as raw:
                    assert raw.greeting.startswith((b"220 ", b"* OK "))
        listed = house.run("sessions", "list", "--json", "--peer", "127.0.0.1").stdout.splitlines()
        assert len(listed) <= 40
    _when_all_have_gone(house)


def test_a_storm_of_resets_costs_the_others_nothing(house: House) -> None:
    stop = threading.Event()

    def storm() -> None:
        dice = random.Random(7)
        while not stop.is_set():
            protocol = dice.choice(("smtp", "imap", "pop3", "imaps"))
            with contextlib.suppress(OSError), _dialled(house, protocol) as sock:
                sock.sendall(dice.choice((b"", b"EHLO x\r\n", b"a LOGIN b c\r\n" * 50, b"\x16\x03\x01\x00")))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    storming = [threading.Thread(target=storm) for _ in range(3)]
    for thread in storming:
        thread.start()
    try:
        for _ in range(scaled(20, 2000)):
            with Raw(house, "imaps", tls=False, greeted=False, sock=_dialled(house, "imaps", _OTHER)) as raw:
                raw.shake(trusting())
                assert raw.line().startswith(b"* OK")
    finally:
        stop.set()
        for thread in storming:
            thread.join()
    _when_all_have_gone(house)
    assert "Traceback" not in house.log() and "ERROR" not in _of_others(house.log())


def _of_others(log: str) -> str:
    """Without the words about workers that we killed."""
    return "\n".join(line for line in log.splitlines() if " role-died " not in line)


def test_with_few_descriptors_and_two_workers_newcomers_are_served_after_the_flood(tmp_path: Path) -> None:
    house = House(tmp_path, workers=2)
    house.start("sh", "-c", 'ulimit -n 80; exec "$@"', "sh")
    try:
        with contextlib.ExitStack() as held:
            said = [_first_word(house, "smtp", "127.0.0.1", held) for _ in range(150)]
            assert said.count(b"220 m") >= 10 and set(said) <= {b"220 m", b"421 4", b""}
        _when_all_have_gone(house)
        with Raw(house, "smtp") as raw:
            assert raw.greeting.startswith(b"220 ")
        assert "Traceback" not in house.log()
    finally:
        assert house.stop() == 0
