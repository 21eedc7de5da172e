"""Roles that are replaced while they serve: nobody refused or lost, a bad successor sent away, old ones ended."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from types import TracebackType

from tests.scale import scaled

PARENT = """
import functools, logging, sys
from postroom.net import limits
from postroom.net.supervisor import Role, Supervisor, bind
logging.basicConfig(stream=sys.stderr, level=logging.INFO)
child, old_life = sys.argv[1], float(sys.argv[2])
limits.RENEW_SECONDS = 0.3
places = bind("smtp", "127.0.0.1", 0, 2)
def command(name, how, own, ready, life):
    return [sys.executable, "-c", child, str(ready), str(life), str(own), name, how, str(old_life)]
def listening(number, name, how):
    own = places[number].sock
    return Role(name, functools.partial(command, name, how, own.fileno()), (own,))
def quiet(how):
    words = functools.partial(command, "authority", how, -1)
    return Role("authority", words, serves_others=True, at_once=how != "later")
generation = 0
def asked():
    global generation
    kind, _, how = sys.stdin.readline().strip().partition(" ")
    told = lambda fault: print("outcome", fault or "done", ",".join(supervisor.present()), flush=True)
    if kind == "renew":
        supervisor.renew(told)
        return
    generation += 2
    names = [name for name in supervisor.present() if name != "authority"]
    roles = {name: listening(n, f"worker-{generation + n}", how) for n, name in enumerate(names)}
    supervisor.replace(({"authority": quiet(how)} if kind == "all" else {}) | roles, told)
def ready():
    print("ready", places[0].port, flush=True)
roles = [quiet("good"), listening(0, "worker-0", "good"), listening(1, "worker-1", "good")]
supervisor = Supervisor(roles, ready, 5.0, asked if sys.argv[3] == "reloads" else None)
print("clean", supervisor.run(), flush=True)
"""
CHILD = """
import os, select, signal, socket, sys
ready, life, listener = map(int, sys.argv[1:4])
name, how, old_life = sys.argv[4], sys.argv[5], float(sys.argv[6])
if how == "bad":
    sys.exit(7)
ours, theirs = socket.socketpair()
for one in (ours, theirs):
    one.setblocking(False)
signal.set_wakeup_fd(theirs.fileno())
for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda *_: None)
sock = socket.socket(fileno=listener) if listener >= 0 else None
os.write(ready, b"ready\\n")
waiting, until = [life, ours] + ([sock] if sock else []), None
while True:
    came, _, _ = select.select(waiting, [], [], until)
    if not came:
        sys.exit(0)
    if life in came:
        sys.exit(3)
    for number in ours.recv(100) if ours in came else b"":
        if number == signal.SIGTERM:
            sys.exit(0)
        if number == signal.SIGHUP and how != "deaf":
            os.write(ready, b"renewed\\n" if how != "stubborn" else b"no room\\n")
        if number == signal.SIGUSR1:
            waiting.remove(sock)
            until = old_life
    if sock in came:
        try:
            conn, _ = sock.accept()
        except BlockingIOError:
            continue
        conn.sendall(f"{name} {os.getpid()}".encode())
        conn.close()
"""


class Run:
    """A supervisor in a process of its own, with an authority and two who listen."""

    def __init__(self, *, old_life: float = 0.0, reloads: bool = True) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT, CHILD, str(old_life), "reloads" if reloads else "ends"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": "src"},
        )
        self.log = ""

    def __enter__(self) -> Run:
        self.port = int(self.line().split()[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        self.process.send_signal(signal.SIGHUP)

    def outcome(self, words: str) -> str:
        self.ask(words)
        return self.line()

    def visit(self) -> tuple[str, int]:
        """Who answers: its name and its pid."""
        with socket.create_connection(("127.0.0.1", self.port), 20) as sock:
            sock.settimeout(20)
            name, pid = sock.recv(100).decode().split()
            return name, int(pid)

    def all_who_answer(self, wanted: set[str]) -> dict[str, int]:
        """The pids of all who listen, once they are the ones that are wanted."""
        found: dict[str, int] = {}
        while set(found) != wanted:
            name, pid = self.visit()
            if name in wanted:
                found[name] = pid
        return found

    def end(self) -> str:
        """SIGTERM; what it printed last. Its log is in `log`."""
        self.process.terminate()
        out, self.log = self.process.communicate(timeout=30)
        return out.strip()


def test_successors_take_over_and_nobody_is_refused_or_lost() -> None:
    with Run() as run:
        stop, answers, faults = threading.Event(), Counter[str](), []

        def knock() -> None:
            while not stop.is_set():
                try:
                    answers[run.visit()[0]] += 1
                except (OSError, ValueError) as fault:
                    faults.append(fault)

        knocking = [threading.Thread(target=knock) for _ in range(4)]
        for thread in knocking:
            thread.start()
        for generation in range(1, scaled(2, 20) + 1):
            names = f"worker-{2 * generation},worker-{2 * generation + 1}"
            assert run.outcome("workers") == f"outcome done authority,{names}"
        run.all_who_answer(set(names.split(",")))
        stop.set()
        for thread in knocking:
            thread.join()
        assert not faults
        assert answers.total() > 20
        assert run.end() == "clean True"
    assert run.log.count("role-retired") >= 2 and "role-died" not in run.log


def test_all_roles_are_replaced_in_order() -> None:
    with Run() as run:
        before = run.all_who_answer({"worker-0", "worker-1"})
        assert run.outcome("all") == "outcome done authority,worker-2,worker-3"
        after = run.all_who_answer({"worker-2", "worker-3"})
        assert not set(before.values()) & set(after.values())
        assert run.end() == "clean True"
    assert run.log.count("role-started role=authority") == 2
    assert "role-ended role=authority" in run.log and "role-died" not in run.log


def test_one_that_is_left_alone_has_its_new_words_when_it_dies() -> None:
    with Run() as run:
        assert run.outcome("all later") == "outcome done authority,worker-2,worker-3"
        run.all_who_answer({"worker-2", "worker-3"})
        assert run.end() == "clean True"
    assert run.log.count("role-started role=authority") == 1


def test_a_successor_that_does_not_start_leaves_the_old_one() -> None:
    with Run() as run:
        before = run.all_who_answer({"worker-0", "worker-1"})
        assert run.outcome("workers bad") == "outcome worker-2 did not start authority,worker-0,worker-1"
        assert run.all_who_answer({"worker-0", "worker-1"}) == before
        # And it goes on: the next one takes over, and a killed one is replaced.
        assert run.outcome("workers").startswith("outcome done ")
        pids = run.all_who_answer({"worker-4", "worker-5"})
        os.kill(pids["worker-4"], signal.SIGKILL)
        while run.all_who_answer({"worker-4", "worker-5"})["worker-4"] == pids["worker-4"]:
            pass
        assert run.end() == "clean True"


def test_one_that_others_lean_on_and_does_not_start_gives_way_to_its_predecessor() -> None:
    with Run() as run:
        assert run.outcome("all bad") == "outcome authority did not start authority,worker-0,worker-1"
        assert run.outcome("all").startswith("outcome done ")
        assert run.end() == "clean True"


def test_the_old_ones_go_on_until_their_sessions_end_and_no_longer_than_the_server() -> None:
    with Run(old_life=60.0) as run:
        before = run.all_who_answer({"worker-0", "worker-1"})
        assert run.outcome("workers").startswith("outcome done ")
        gone = [os.pidfd_open(pid) for pid in before.values()]
        run.all_who_answer({"worker-2", "worker-3"})
        assert not select.select(gone, [], [], 0)[0]
        assert run.end() == "clean True"
        assert select.select(gone, [], [], 20)[0]
        for one in gone:
            os.close(one)


def test_of_too_many_old_ones_the_oldest_are_ended() -> None:
    with Run(old_life=600.0) as run:
        before = run.all_who_answer({"worker-0", "worker-1"})
        gone = [os.pidfd_open(pid) for pid in before.values()]
        for _ in range(4):
            assert run.outcome("workers").startswith("outcome done ")
        for one in gone:
            assert select.select([one], [], [], 20)[0]
            os.close(one)
        assert run.end() == "clean True"
    assert "role-killed" not in run.log


def test_an_old_one_that_is_killed_is_not_started_anew() -> None:
    with Run(old_life=600.0) as run:
        before = run.all_who_answer({"worker-0", "worker-1"})
        assert run.outcome("workers").startswith("outcome done ")
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        assert run.outcome("renew").startswith("outcome done ")
        run.all_who_answer({"worker-2", "worker-3"})
        assert run.end() == "clean True"
    assert run.log.count("role-started role=worker-0") == 1


def test_certificates_are_renewed_by_those_who_listen() -> None:
    with Run() as run:
        before = run.all_who_answer({"worker-0", "worker-1"})
        assert run.outcome("renew") == "outcome done authority,worker-0,worker-1"
        assert run.all_who_answer({"worker-0", "worker-1"}) == before
        assert run.outcome("workers stubborn").startswith("outcome done ")
        assert run.outcome("renew").startswith("outcome no room ")
        assert run.end() == "clean True"


def test_one_that_says_nothing_of_its_certificates_is_not_waited_for() -> None:
    """RENEW_SECONDS."""
    with Run() as run:
        assert run.outcome("workers deaf").startswith("outcome done ")
        assert run.outcome("renew").startswith("outcome worker-2 gave no answer ")
        run.all_who_answer({"worker-2", "worker-3"})
        assert run.end() == "clean True"


def test_without_reloads_a_hangup_ends_all() -> None:
    with Run(reloads=False) as run:
        run.process.send_signal(signal.SIGHUP)
        assert run.line() == "clean True"
        run.process.wait(20)
