"""A role's process, as its supervisor sees it: how it is started, what it says, how it ends.

A role says on its pipe that it is ready, and later whatever it is asked by a signal, a line each. It ends at once
when another pipe, whose far end only the supervisor holds, closes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from postroom.net import log

logger = logging.getLogger("postroom.supervisor")

READY_SECONDS: Final = 30.0
"""A role that isn't ready by then is killed and started anew."""
RESTART_SECONDS: Final = 0.2
"""A role that lived shorter than RESTART_STEADY waits so long for its next start, doubling up to RESTART_MOST."""
RESTART_MOST: Final = 5.0
RESTART_STEADY: Final = 1.0
FIRST_TRIES: Final = 3
"""Starts of a role before it has ever been ready; then the whole start, or the reload, has failed."""
READY: Final = "ready"
"""A role's first word."""
RENEWED: Final = "renewed"
"""Its answer to RENEW where that was done; any other word is why it wasn't."""
RENEW: Final = signal.SIGHUP
"""Load certificates anew."""
RETIRE: Final = signal.SIGUSR1
"""Accept no more, since a successor does; end when the sessions have ended."""


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Role:
    """A program to keep running. `command` gives its words once the descriptors are known: (ready, life)."""

    name: str
    command: Callable[[int, int], list[str]]
    sockets: tuple[socket.socket, ...] = ()
    """Where it listens. A role with sockets is replaced by a successor that takes them over (RETIRE), and knows
    RENEW; one without is ended and started anew."""
    serves_others: bool = False
    """Ended only after the roles that lean on it."""
    at_once: bool = True
    """In a replacement: its predecessor is ended; false: this is what is started when that one dies."""
    descriptors: tuple[int, ...] = ()
    """Further ones that it is given."""
    buried: Callable[[], None] = _nothing
    """Called whenever its process has ended, however that came."""


@dataclass(slots=True, eq=False)
class Running:
    """A role's process, or the time of its next start. Times are of the monotonic clock."""

    role: Role
    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    ready: bool = False
    word: str = ""
    """The last one that it said, READY apart."""
    started: float = 0.0
    next_start: float = 0.0
    kill_at: float = 0.0
    """It was asked to end, and is killed then; 0: it wasn't."""
    killed: bool = False
    deaths: int = 0
    """One after the other, before it was ready."""
    status: int = 0
    """Of its last process, as subprocess gives it: negative for a signal."""
    _wait: float = field(default=RESTART_SECONDS)

    def start(self, life: int, now: float) -> bool:
        """Start the process. False where that can't be done; the next try has its time."""
        self.pipe, theirs = os.pipe()
        keep = (theirs, life, *self.role.descriptors, *(sock.fileno() for sock in self.role.sockets))
        try:
            self.process = subprocess.Popen(
                self.role.command(theirs, life), stdin=subprocess.DEVNULL, pass_fds=keep
            )
        except OSError as fault:
            self.deaf()
            log.event(logger, logging.ERROR, "role-not-started", role=self.role.name, error=fault)
            self.next_start = now + RESTART_MOST
            self.deaths += 1
            return False
        finally:
            os.close(theirs)
        self.ready, self.word, self.started = False, "", now
        self.kill_at, self.killed = 0.0, False
        log.event(logger, logging.INFO, "role-started", role=self.role.name, pid=self.process.pid)
        return True

    def hear(self) -> bool:
        """Read what it says, when there is something; False at the end of the pipe."""
        said = os.read(self.pipe, 4096).decode("utf-8", "replace")
        for line in said.splitlines():
            if line == READY:
                self.ready, self.deaths = True, 0
            else:
                self.word = line
        return bool(said)

    def deaf(self) -> None:
        """Close our end of its pipe."""
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing where it has just ended."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def end(self, kill_at: float) -> None:
        """Ask it to end, once; it is to be killed when that time has come."""
        if not self.kill_at:
            self.kill_at = kill_at
            self.send(signal.SIGTERM)

    def dead(self) -> bool:
        """Whether the process has ended, and not been buried."""
        return self.process is not None and self.process.poll() is not None

    def hopeless(self) -> bool:
        """Whether it has shown that it can't be brought up as it is: it ended by itself, or was killed so often."""
        return self.deaths >= FIRST_TRIES or (self.deaths > 0 and self.status > 0)

    def overdue(self, now: float) -> str:
        """Why it is to be killed; empty: it isn't."""
        if self.process is None or self.killed:
            return ""
        if self.kill_at and now >= self.kill_at:
            return "role-killed"
        return "role-not-ready" if not self.ready and now - self.started > READY_SECONDS else ""

    def kill(self) -> None:
        """End it without its help."""
        self.killed = True
        self.send(signal.SIGKILL)

    def next_look(self) -> float:
        """When to look at it again, if it says nothing before."""
        if self.process is None:
            return self.next_start
        if self.killed:
            return float("inf")
        if self.kill_at:
            return self.kill_at
        return float("inf") if self.ready else self.started + READY_SECONDS

    def bury(self, now: float) -> None:
        """Note that its process has ended, and when the next is started: at once, but not in a circle."""
        steady = now - self.started > RESTART_STEADY or bool(self.kill_at)
        self._wait = RESTART_SECONDS if steady else min(self._wait * 2, RESTART_MOST)
        self.next_start = now if steady else now + self._wait
        if not self.ready:
            self.deaths += 1
        if self.process is not None:
            self.status = self.process.returncode
        self.process, self.ready, self.kill_at = None, False, 0.0
        self.deaf()
        self.role.buried()
