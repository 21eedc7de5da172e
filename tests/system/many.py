"""What many visitors cost a server: descriptors and memory of its processes, as the kernel counts them."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.house import PATIENCE, House
from tests.system.raw import Raw

MIB = 1024 * 1024


def roomy() -> None:
    """Let this process have as many descriptors as it may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def worker(house: House) -> int:
    """The process that holds the conversations."""
    return house.pids()["worker-0"]


def pss(pid: int) -> int:
    """Octets of memory that are a process's own, and its share of what it has with others."""
    found = re.search(r"^Pss: +([0-9]+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def wait_for_descriptors(pid: int, most: int) -> None:
    """Until the sessions of those who left are over."""
    until = time.monotonic() + PATIENCE
    while descriptors(pid) > most:
        assert time.monotonic() < until, f"{descriptors(pid)} descriptors are open, {most} at most were expected"
        time.sleep(0.02)


@contextlib.contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """Look at a process's memory all the while; the list has the looks."""
    looks = [pss(pid)]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            looks.append(pss(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()


def connect(house: House, protocol: str) -> socket.socket:
    """A connection on which nothing has been said or read."""
    return socket.create_connection(("127.0.0.1", house.port(protocol)), timeout=PATIENCE)


def reset(sock: socket.socket) -> None:
    """Leave without a word: RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def served(house: House, seconds: float) -> None:
    """A newcomer is served at every door, each of its waits at most so long."""
    for protocol in ("smtp", "pop3", "imap", "imaps", "submissions"):
        with Raw(house, protocol, tls=False, greeted=False) as raw:
            raw.sock.settimeout(seconds)
            if protocol in ("imaps", "submissions"):
                raw.shake()
            assert raw.line().startswith((b"220 ", b"+OK ", b"* OK "))
            raw.say({"pop3": b"CAPA\r\n", "imap": b"a NOOP\r\n", "imaps": b"a NOOP\r\n"}.get(protocol, b"NOOP\r\n"))
            assert raw.line().startswith((b"250 ", b"+OK ", b"a OK "))
