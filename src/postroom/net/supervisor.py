"""The supervisor: starts the other roles, watches them, replaces one that dies and those that a reload outdates.

It keeps the listening sockets of all workers, so that a killed worker's successor inherits them with their backlog;
and a new worker takes them over while the old one still accepts, so that a reload loses no connection. Roles are
other programs: they are executed with the descriptors passed, never forked with a loop, threads or a database open.

It knows neither mail nor configuration: `site` tells it what to run.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from os import close, pipe
from typing import Final

from postroom.net import limits, log
from postroom.net.binding import Bound as Bound
from postroom.net.binding import PortTaken as PortTaken
from postroom.net.binding import bind as bind
from postroom.net.running import FIRST_TRIES, RENEW, RENEWED, RETIRE, Running
from postroom.net.running import Role as Role

logger = logging.getLogger("postroom.supervisor")

STOP_SECONDS: Final = 9.0
"""After SIGTERM; then SIGKILL."""

Story = Generator[None, None, str]
"""A change that goes on whenever something has happened; gives what went wrong, or nothing."""


class StartFailed(Exception):
    """A role could not be started at all; the log has its reason."""


@dataclass(slots=True)
class _Change:
    """A change under way: whom its outcome is told, and when it goes on even if nothing happens."""

    story: Story
    then: Callable[[str], None]
    until: float = float("inf")


@dataclass(slots=True)
class Supervisor:
    """Keeps `roles` running until SIGTERM or SIGINT. `on_ready` is called once, when each has said so; `on_hangup`
    at each SIGHUP (without it, SIGHUP ends all: the terminal is gone)."""

    roles: Sequence[Role]
    on_ready: Callable[[], None]
    stop_seconds: float = STOP_SECONDS
    on_hangup: Callable[[], None] | None = None
    _running: list[Running] = field(default_factory=list)
    _coming: Running | None = None
    """Takes the place of one of them when it is ready."""
    _retired: list[Running] = field(default_factory=list)
    """Replaced, and not at their end yet; the oldest first."""
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _life: tuple[int, int] = (-1, -1)
    _stop: bool = False
    _hung_up: bool = False
    _said_ready: bool = False
    _change: _Change | None = None

    def run(self) -> bool:
        """Blocks until told to stop; true where every role ended by itself within `stop_seconds`.

        Raises StartFailed where a role can't be brought up at the first start.
        """
        with self._signals() as wakeup, contextlib.closing(self._selector):
            self.watch(wakeup, partial(_empty, wakeup))
            self._life = pipe()
            self._running = [Running(role) for role in self.roles]
            try:
                while not self._stop:
                    self._look_after(time.monotonic())
                    self._go_on()
                    self._wait()
            finally:
                clean = self._end()
            return clean

    def watch(self, sock: socket.socket, readable: Callable[[], None]) -> None:
        """Call `readable` whenever there is something to read; until `unwatch`."""
        self._selector.register(sock, selectors.EVENT_READ, readable)

    def unwatch(self, sock: socket.socket) -> None:
        """Look at it no longer."""
        self._selector.unregister(sock)

    # --- changes

    @property
    def busy(self) -> bool:
        """Whether a change is under way, or everything is still at its start."""
        return self._change is not None or not self._said_ready

    def present(self) -> list[str]:
        """The names of the roles, in the order in which they were given; a successor stands where its predecessor
        stood."""
        return [one.role.name for one in self._running]

    def living(self) -> set[str]:
        """The same, and of those that still come or go."""
        return {one.role.name for one in self._all()}

    def replace(self, roles: Mapping[str, Role], then: Callable[[str], None]) -> None:
        """Put roles in the place of those of these names, one after the other; `then` hears what went wrong.

        A new one that does not start leaves the old one where it is, and those behind it. One change at a time.
        """
        assert self._change is None, "one change at a time"
        self._change = _Change(self._replacement(roles), then)

    def renew(self, then: Callable[[str], None]) -> None:
        """Have all who listen load their certificates anew; `then` hears what went wrong. One change at a time."""
        assert self._change is None, "one change at a time"
        until = time.monotonic() + limits.RENEW_SECONDS
        self._change = _Change(self._renewal(until), then, until)

    def _go_on(self) -> None:
        if self._hung_up and self._said_ready and self.on_hangup is not None:
            self._hung_up = False
            self.on_hangup()
        while (change := self._change) is not None:
            try:
                next(change.story)
                return
            except StopIteration as end:
                self._change = None
                change.then(end.value)

    def _replacement(self, roles: Mapping[str, Role]) -> Story:
        for old in [one for one in self._running if one.role.name in roles]:
            role = roles[old.role.name]
            if not role.at_once:
                old.role = role
                continue
            fault = yield from (self._succession(old, role) if role.sockets else self._fresh_start(old, role))
            if fault:
                return fault
        return ""

    def _succession(self, old: Running, role: Role) -> Story:
        """A successor takes the sockets over, and then the old one lets them go."""
        new = self._coming = Running(role)
        while not new.ready:
            if new.hopeless():
                self._coming = None
                return f"{role.name} did not start"
            yield
        self._coming = None
        self._running[self._running.index(old)] = new
        if old.process is not None:
            old.send(RETIRE)
            self._retired.append(old)
        most = limits.RETIRED_WORKERS * sum(1 for one in self._running if one.role.sockets)
        for one in self._retired[:-most]:
            one.end(time.monotonic() + self.stop_seconds)
        return ""

    def _fresh_start(self, old: Running, role: Role) -> Story:
        """What others lean on is ended first, since two can't be: they wait for it."""
        before, process = old.role, old.process
        old.role = role
        old.end(time.monotonic() + self.stop_seconds)
        while old.process is process or not old.ready:
            if old.hopeless():
                old.role, old.deaths = before, 0
                return f"{role.name} did not start"
            yield
        return ""

    def _renewal(self, until: float) -> Story:
        listening = [one for one in self._running if one.role.sockets]
        while not all(one.ready for one in listening) and time.monotonic() < until:
            yield
        for one in (*listening, *self._retired):
            one.word = ""
            one.send(RENEW)
        asked = [(one, one.process) for one in listening]
        # One that dies meanwhile is followed by one that reads them by itself.
        while silent := [one.role.name for one, process in asked if not one.word and one.process is process]:
            if time.monotonic() >= until:
                return f"{silent[0]} gave no answer"
            yield
        return next((one.word for one in listening if one.word not in ("", RENEWED)), "")

    # --- signals wake the selector through a socket, so that none is lost between two looks

    @contextlib.contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        wanted = {
            signal.SIGTERM: self._asked,
            signal.SIGINT: self._asked,
            signal.SIGHUP: self._asked if self.on_hangup is None else self._hangup,
            signal.SIGCHLD: self._noticed,
        }
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

    def _hangup(self, *_: object) -> None:
        self._hung_up = True

    def _noticed(self, *_: object) -> None:
        """SIGCHLD: the wake-up alone is wanted."""

    def _wait(self) -> None:
        times = [one.next_look() for one in self._all()]
        if self._change is not None:
            times.append(self._change.until)
        seconds = min(times, default=float("inf")) - time.monotonic()
        for key, _ in self._selector.select(min(max(0.0, seconds), 3600.0)):
            key.data()

    # --- processes

    def _all(self) -> list[Running]:
        return [*self._running, *([self._coming] if self._coming is not None else []), *self._retired]

    def _look_after(self, now: float) -> None:
        for one in self._all():
            if one.dead():
                self._bury(one, now)
            elif reason := one.overdue(now):
                pid = one.process.pid if one.process is not None else None
                log.event(logger, logging.ERROR, reason, role=one.role.name, pid=pid)
                one.kill()
            if one.process is None and now >= one.next_start and self._wanted(one):
                self._start(one, now)

    def _wanted(self, one: Running) -> bool:
        """Whether it is to be started once more: not one that was retired, nor a hopeless successor."""
        if one is self._coming:
            return not one.hopeless()
        return one in self._running and (self._said_ready or one.deaths < FIRST_TRIES)

    def _start(self, one: Running, now: float) -> None:
        if one.start(self._life[0], now):
            self._selector.register(one.pipe, selectors.EVENT_READ, partial(self._hear, one))

    def _hear(self, one: Running) -> None:
        if not one.hear():
            self._deaf(one)
        if not self._said_ready and all(other.ready for other in self._running):
            self._said_ready = True
            self.on_ready()

    def _deaf(self, one: Running) -> None:
        if one.pipe >= 0:
            self._selector.unregister(one.pipe)
            one.deaf()

    def _bury(self, one: Running, now: float) -> None:
        assert one.process is not None
        retired, asked = one in self._retired, bool(one.kill_at)
        name = "role-retired" if retired else "role-ended" if asked else "role-died"
        clean = one.process.returncode == 0 or (asked and not one.killed)
        level = logging.INFO if (retired or asked) and clean else logging.ERROR
        log.event(logger, level, name, role=one.role.name, pid=one.process.pid, status=one.process.returncode)
        self._deaf(one)
        one.bury(now)
        if retired:
            self._retired.remove(one)
        elif not self._said_ready and one.deaths >= FIRST_TRIES:
            raise StartFailed(one.role.name)

    def _end(self) -> bool:
        """SIGTERM to all; those that serve others come last, since the others' draining needs them."""
        until = time.monotonic() + self.stop_seconds
        stages = [[one for one in self._all() if one.role.serves_others is stage] for stage in (False, True)]
        ends = [self._end_all(stage, until) for stage in stages]
        close(self._life[0])
        close(self._life[1])
        return all(ends)

    def _end_all(self, running: list[Running], until: float) -> bool:
        clean = True
        living = [(one, one.process) for one in running if one.process is not None]
        for one, _ in living:
            one.send(signal.SIGTERM)
        for one, process in living:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.event(logger, logging.ERROR, "role-killed", role=one.role.name, pid=process.pid)
                process.kill()
                process.wait()
                clean = False
            self._deaf(one)
        return clean


def _empty(wakeup: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        wakeup.recv(4096)
