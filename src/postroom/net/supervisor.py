"""The supervisor: binds the listeners, starts the other roles, watches them, replaces the one that dies.

It opens one SO_REUSEPORT socket for each worker and keeps them all, so that a killed worker's successor inherits
its sockets with their backlog. Roles are other programs: they are executed with the descriptors passed, never
forked with a loop, threads or a database open. A role says that it is ready by a line on its ready pipe, and ends
at once when its life pipe closes, which happens when the supervisor itself is killed.

It knows neither mail nor configuration: `site` tells it what to run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from postroom.net import log

logger = logging.getLogger("postroom.supervisor")

BACKLOG = 1024
READY_SECONDS = 30.0
"""A role that isn't ready by then is killed and started anew."""
STOP_SECONDS = 9.0
"""After SIGTERM; then SIGKILL."""
RESTART_SECONDS = 0.2
"""A role that lived shorter than RESTART_STEADY waits so long for its next start, doubling up to RESTART_MOST."""
RESTART_MOST = 5.0
RESTART_STEADY = 1.0
FIRST_TRIES = 3
"""Starts of a role before the first `on_ready`; then the whole start has failed."""


class StartFailed(Exception):
    """A role could not be started at all; the log has its reason."""


class PortTaken(OSError):
    """A listener's place can't be had."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A listening socket for one worker, and what is spoken there."""

    protocol: str
    host: str
    port: int
    sock: socket.socket


def _socket(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
    except OSError as e:
        sock.close()
        raise PortTaken(e.errno, f"{host}:{port}: {os.strerror(e.errno) if e.errno else e}") from None
    sock.setblocking(False)
    return sock


def bind(protocol: str, host: str, port: int, workers: int) -> list[Bound]:
    """One listening socket for each worker. Raises PortTaken.

    The first bind is made without SO_REUSEPORT: it fails where anybody else listens, which a shared bind by the
    same user would not.
    """
    with _socket(host, port, shared=False) as probe:
        port = probe.getsockname()[1]
    sockets = []
    for _ in range(workers):
        sock = _socket(host, port, shared=True)
        sock.listen(BACKLOG)
        sockets.append(Bound(protocol, host, port, sock))
    return sockets


@dataclass(frozen=True, slots=True)
class Role:
    """A program to keep running. `command` gives its words once the descriptors are known: (ready, life)."""

    name: str
    command: Callable[[int, int], list[str]]
    sockets: tuple[socket.socket, ...] = ()
    serves_others: bool = False
    """Ended only after the roles that lean on it."""


@dataclass(slots=True)
class _Running:
    """A role's process, or the time of its next start."""

    role: Role
    process: subprocess.Popen[bytes] | None = None
    ready_fd: int = -1
    ready: bool = False
    started: float = 0.0
    next_start: float = 0.0
    wait: float = RESTART_SECONDS
    deaths: int = 0


@dataclass(slots=True)
class Supervisor:
    """Keeps `roles` running until SIGTERM or SIGINT. `on_ready` is called once, when each has said so."""

    roles: Sequence[Role]
    on_ready: Callable[[], None]
    stop_seconds: float = STOP_SECONDS
    _running: list[_Running] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _life: tuple[int, int] = (-1, -1)
    _stop: bool = False
    _said_ready: bool = False

    def run(self) -> bool:
        """Blocks until told to stop; True where every role ended by itself within `stop_seconds`.

        Raises StartFailed where a role can't be brought up at the first start.
        """
        with self._signals() as wakeup, contextlib.closing(self._selector):
            self._selector.register(wakeup, selectors.EVENT_READ, None)
            self._life = os.pipe()
            self._running = [_Running(role) for role in self.roles]
            try:
                while not self._stop:
                    self._look_after(time.monotonic())
                    self._wait(wakeup)
            finally:
                clean = self._end()
            return clean

    # --- signals wake the selector through a socket, so that none is lost between two looks

    @contextlib.contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        wanted = {signal.SIGTERM: self._asked, signal.SIGINT: self._asked, signal.SIGCHLD: self._noticed}
        handlers = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        try:
            yield ours
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            ours.close()
            theirs.close()

    def _asked(self, *_: object) -> None:
        self._stop = True

    def _noticed(self, *_: object) -> None:
        """SIGCHLD: the wake-up alone is wanted."""

    def _wait(self, wakeup: socket.socket) -> None:
        now = time.monotonic()
        times = [r.next_start - now for r in self._running if r.process is None]
        times += [r.started + READY_SECONDS - now for r in self._running if r.process and not r.ready]
        for key, _ in self._selector.select(max(0.0, min(times, default=3600.0))):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    wakeup.recv(4096)
            else:
                self._hear(key.data)

    # --- processes

    def _look_after(self, now: float) -> None:
        for r in self._running:
            if r.process is not None and r.process.poll() is not None:
                self._buried(r, now)
            elif r.process is not None and not r.ready and now - r.started > READY_SECONDS:
                log.event(logger, logging.ERROR, "role-not-ready", role=r.role.name, pid=r.process.pid)
                r.process.kill()
            if r.process is None and now >= r.next_start:
                self._start(r, now)

    def _start(self, r: _Running, now: float) -> None:
        ready, theirs = os.pipe()
        keep = (theirs, self._life[0], *(s.fileno() for s in r.role.sockets))
        try:
            r.process = subprocess.Popen(
                r.role.command(theirs, self._life[0]), stdin=subprocess.DEVNULL, pass_fds=keep
            )
        except OSError as e:
            os.close(ready)
            log.event(logger, logging.ERROR, "role-not-started", role=r.role.name, error=e)
            r.next_start = now + RESTART_MOST
            return
        finally:
            os.close(theirs)
        r.ready_fd, r.ready, r.started = ready, False, now
        self._selector.register(ready, selectors.EVENT_READ, r)
        log.event(logger, logging.INFO, "role-started", role=r.role.name, pid=r.process.pid)

    def _hear(self, r: _Running) -> None:
        if os.read(r.ready_fd, 64):
            r.ready = True
        self._deaf(r)
        if not self._said_ready and all(other.ready for other in self._running):
            self._said_ready = True
            self.on_ready()

    def _deaf(self, r: _Running) -> None:
        if r.ready_fd >= 0:
            self._selector.unregister(r.ready_fd)
            os.close(r.ready_fd)
            r.ready_fd = -1

    def _buried(self, r: _Running, now: float) -> None:
        assert r.process is not None
        log.event(
            logger, logging.ERROR, "role-died", role=r.role.name, pid=r.process.pid, status=r.process.returncode
        )
        self._deaf(r)
        r.wait = RESTART_SECONDS if now - r.started > RESTART_STEADY else min(r.wait * 2, RESTART_MOST)
        r.next_start = now if now - r.started > RESTART_STEADY else now + r.wait
        r.process, r.ready = None, False
        r.deaths += 1
        if not self._said_ready and r.deaths >= FIRST_TRIES:
            raise StartFailed(r.role.name)

    def _end(self) -> bool:
        """SIGTERM to all; those that serve others come last, since the others' draining needs them."""
        until = time.monotonic() + self.stop_seconds
        stages = [[r for r in self._running if r.role.serves_others is stage] for stage in (False, True)]
        ends = [self._end_all(stage, until) for stage in stages]
        os.close(self._life[0])
        os.close(self._life[1])
        return all(ends)

    def _end_all(self, running: list[_Running], until: float) -> bool:
        clean = True
        living = [(r, r.process) for r in running if r.process is not None]
        for _, process in living:
            process.terminate()
        for r, process in living:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.event(logger, logging.ERROR, "role-killed", role=r.role.name, pid=process.pid)
                process.kill()
                process.wait()
                clean = False
            self._deaf(r)
        return clean
