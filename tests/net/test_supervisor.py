"""The supervisor with small programs for roles: started, replaced, ended; sockets inherited; nobody left behind."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys

import pytest

from postroom.net.supervisor import PortTaken, bind

PARENT = """
import logging, sys
from postroom.net import supervisor
from postroom.net.supervisor import Role, Supervisor, bind
logging.basicConfig(stream=sys.stderr, level=logging.INFO)
child = sys.argv[1]
bound = bind("smtp", "127.0.0.1", 0, 1)
sock = bound[0].sock
def command(ready, life):
    return [sys.executable, "-c", child, str(ready), str(life), str(sock.fileno())]
role = Role("worker", command, (sock,))
def ready():
    print("ready", bound[0].port, flush=True)
try:
    print("clean", Supervisor([role], ready, float(sys.argv[2])).run(), flush=True)
except supervisor.StartFailed as e:
    print("failed", e, flush=True)
"""
CHILD = """
import os, select, socket, sys, signal
ready, life, listener = map(int, sys.argv[1:])
sock = socket.socket(fileno=listener)
os.write(ready, b"ready\\n")
while True:
    came, _, _ = select.select([sock, life], [], [])
    if life in came:
        sys.exit(3)
    conn, _ = sock.accept()
    conn.sendall(str(os.getpid()).encode())
    conn.close()
"""


class Run:
    """A supervisor in a process of its own."""

    def __init__(self, child: str, stop_seconds: float = 9.0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT, child, str(stop_seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def end(self) -> str:
        """SIGTERM; what it printed last."""
        self.process.terminate()
        out, _ = self.process.communicate(timeout=30)
        return out.strip()


def ask(port: int) -> int:
    """The pid of the role that answers on a port."""
    with socket.create_connection(("127.0.0.1", port), 20) as s:
        s.settimeout(20)
        return int(s.recv(100))


def test_starts_says_ready_and_ends_clean() -> None:
    run = Run(CHILD)
    word, port = run.line()
    assert word == "ready"
    assert ask(int(port)) > 0
    assert run.end() == "clean True"


def test_a_killed_role_is_replaced_and_its_backlog_served() -> None:
    run = Run(CHILD)
    port = int(run.line()[1])
    first = ask(port)
    os.kill(first, signal.SIGKILL)
    # The connection waits in the backlog of the socket that the supervisor keeps.
    second = ask(port)
    assert second != first
    assert run.end() == "clean True"


def test_roles_end_with_a_killed_supervisor() -> None:
    run = Run(CHILD)
    pid = ask(int(run.line()[1]))
    gone = os.pidfd_open(pid)
    run.process.kill()
    run.process.communicate()
    assert select.select([gone], [], [], 20)[0], "the role outlived its supervisor"
    os.close(gone)


def test_a_role_that_never_starts_fails_the_start() -> None:
    run = Run("raise SystemExit(7)")
    assert run.line() == ["failed", "worker"]
    run.process.communicate(timeout=20)


def test_a_role_that_ignores_sigterm_is_killed() -> None:
    stubborn = CHILD.replace(
        'os.write(ready, b"ready', 'signal.signal(15, signal.SIG_IGN); os.write(ready, b"ready'
    )
    run = Run(stubborn, 0.2)
    assert run.line()[0] == "ready"
    assert run.end() == "clean False"


def test_a_taken_port_is_refused_by_name() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}"):
            bind("smtp", "127.0.0.1", port, 2)


def test_each_worker_has_its_socket_on_one_port() -> None:
    bound = bind("imap", "127.0.0.1", 0, 3)
    assert len({b.port for b in bound}) == 1
    assert len({b.sock.fileno() for b in bound}) == 3
    for b in bound:
        b.sock.close()
