"""A worker's side of a reload: it loads certificates anew, or lets its successor accept, and its sessions end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import Callable, Sequence

from postroom.net.context import ServerContext
from postroom.net.listener import Door
from postroom.net.log import event
from postroom.net.running import RENEW, RENEWED, RETIRE

__all__ = ["obey"]

_logger = logging.getLogger("postroom.worker")


def obey(
    door: Door, contexts: Sequence[ServerContext], patience: float, tell: Callable[[str], None]
) -> Callable[[], None]:
    """Do what the supervisor asks by signals; gives what ends that. `contexts` are all that the door's listeners
    shake hands with; sessions go on for `patience` seconds after the door was shut. In a process's main thread."""
    loop = asyncio.get_running_loop()
    retiring: list[asyncio.Task[None]] = []

    async def retire() -> None:
        event(_logger, logging.INFO, "worker-retires", sessions=len(door))
        await door.retire(patience)
        # The role's own end, with its draining.
        os.kill(os.getpid(), signal.SIGTERM)

    def begin_to_retire() -> None:
        if not retiring:
            retiring.append(loop.create_task(retire()))

    def end() -> None:
        loop.remove_signal_handler(RENEW)
        loop.remove_signal_handler(RETIRE)
        for task in retiring:
            task.cancel()

    loop.add_signal_handler(RENEW, lambda: tell(_renew(contexts)))
    loop.add_signal_handler(RETIRE, begin_to_retire)
    return end


def _renew(contexts: Sequence[ServerContext]) -> str:
    """RENEWED, or why the old certificates stay: all of them change, or none."""
    try:
        fresh = [context.load() for context in contexts]
    except OSError as fault:
        reason = fault.reason if isinstance(fault, ssl.SSLError) else fault
        event(_logger, logging.ERROR, "certificates-kept", reason=reason)
        return f"the certificates can't be loaded ({reason})"
    for context, certificates in zip(contexts, fresh, strict=True):
        context.use(certificates)
    event(_logger, logging.INFO, "certificates-renewed")
    return RENEWED
