"""The write lock: one flock that every process of a site takes for each transaction of the index.

SQLite has a lock of its own, but its waiters sleep and try again at growing intervals (measured: p99 60 to 130 ms
where this one has 15), and they do so inside the call, so that the loop would stand still.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from postroom.net.limits import WRITE_LOCK_SECONDS
from postroom.store.interface import StoreFault

__all__ = ["RETRY_SECONDS", "WriteLock", "is_locked"]

RETRY_SECONDS = 0.001
"""Between two tries. A commit takes about as long, and uvloop's timers have whole milliseconds: with less, workers
that wait spin (measured with two: 360 and 870 commits a second that way, 640 to 920 each this way)."""


class WriteLock:
    """One process's hand on the lock. Not reentrant; what holds it never waits for the network."""

    def __init__(self, root: Path) -> None:
        """Open the lock of a data directory. Raises OSError."""
        self._descriptor = os.open(root / "index.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> bool:
        """Take it if it is free."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self) -> None:
        """Take it, blocking the thread for at most WRITE_LOCK_SECONDS. Raises `StoreFault`."""
        until = time.monotonic() + WRITE_LOCK_SECONDS
        while not self.take():
            if time.monotonic() > until:
                raise StoreFault("another process holds the index's write lock")
            time.sleep(RETRY_SECONDS)

    def release(self) -> None:
        """Give it back."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give it back for good."""
        os.close(self._descriptor)


def is_locked(path: Path) -> bool:
    """Whether some process holds an exclusive flock on this file; False where there is none. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
