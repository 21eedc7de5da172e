"""What every role does around its work: log, loop, signals, the word "ready", and the end with its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

import uvloop

from postroom.net import log
from postroom.net.running import READY

_logger = logging.getLogger("postroom.role")

_PR_SET_NO_NEW_PRIVS: Final = 38
_COLLECT_AFTER: Final = 20_000
"""New containers between two looks of the collector at the young ones; Python's own number is 700."""
_WORD_OCTETS: Final = 1000
_ORPHANED: Final = 70
"""Exit status of a role whose supervisor is gone."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Descriptors that the supervisor gave: where to say "ready", and the pipe that closes with the supervisor."""

    ready: int
    life: int

    def say(self, words: str) -> None:
        """Tell the supervisor, in a line of at most PIPE_BUF octets."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self.ready, words.replace("\n", " ").encode("utf-8", "replace")[:_WORD_OCTETS] + b"\n")


def run_role(ends: Ends, level: str, work: Callable[[], AbstractAsyncContextManager[None]]) -> None:
    """Enter `work`, say that the role is ready, and leave it again on SIGTERM.

    The process ends at once where the supervisor is killed. SIGINT and SIGHUP are ignored: at a terminal they come
    to the whole group, and the supervisor says what follows.
    """
    log.setup(sys.stderr, level)
    _confine()
    sys.unraisablehook = _tell_unraisable
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(ends, work))


def _tell_unraisable(fault: sys.UnraisableHookArgs) -> None:
    """One line in place of a traceback: C code calls Python with what strangers sent (ssl with a server's name)."""
    what = f"{fault.exc_type.__name__}: {fault.exc_value}"
    log.event(_logger, logging.ERROR, "unraisable", fault=what, where=fault.err_msg)


def _confine() -> None:
    """As many descriptors as the system allows, no core files with letters in them, no new privileges."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.umask(0o077)


async def _run(ends: Ends, work: Callable[[], AbstractAsyncContextManager[None]]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(ends.life, os._exit, _ORPHANED)
    async with work():
        _spare_the_collector()
        ends.say(READY)
        await stop.wait()


def _spare_the_collector() -> None:
    """What the start has made stays for good, so the collector of cycles needs not look at it again; and it looks
    seldom, since a session's values go by their counts."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 50)
