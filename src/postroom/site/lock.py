"""run/postroom.pid: which process is the server of a data directory, and that there is only one.

The file stays; what counts is the lock on it, which the system takes away with the process that held it.
"""

from __future__ import annotations

import fcntl
import os
from types import TracebackType

from postroom.site.places import Places
from postroom.store.lock import is_locked


class ServerRuns(Exception):
    """Another server has this data directory."""


class ServerLock:
    """Held by the supervisor while it runs."""

    def __init__(self, places: Places) -> None:
        """Take the lock and write the process id. Raises `ServerRuns`, OSError."""
        descriptor = os.open(places.pid, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise ServerRuns(f"a server already runs on {places.data} (process {pid or 'unknown'})") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        self._descriptor = descriptor

    def __enter__(self) -> ServerLock:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def server_runs(places: Places) -> bool:
    """Whether a server has this data directory now."""
    return is_locked(places.pid)
