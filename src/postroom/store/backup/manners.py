"""Long work on a disk that others wait for: a rest after each piece, so that most of their syncs find it idle."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from postroom.net.limits import BACKUP_REST_SHARE, BACKUP_WORK_SECONDS

__all__ = ["Progress", "resting"]

Progress = Callable[[str, int, int], None]
"""Hears what is being done, and how many octets (of the index: pages) of how many."""
_LONGEST: Final = 0.25
"""Seconds of one rest: a piece that took long for other reasons is not paid for in full."""


def resting(
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Progress:
    """The same, and it rests: BACKUP_REST_SHARE times as long as was worked since it was last called, or since its
    last rest where that was shorter than BACKUP_WORK_SECONDS ago."""
    began = clock()

    def told(what: str, done: int, total: int) -> None:
        nonlocal began
        progress(what, done, total)
        worked = clock() - began
        if worked >= BACKUP_WORK_SECONDS:
            sleep(min(_LONGEST, worked * BACKUP_REST_SHARE))
            began = clock()

    return told
