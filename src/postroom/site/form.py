"""Which form the writer has: inline, or the keeper (docs/store.md, "The two forms of the writer")."""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from postroom.config import Config
from postroom.net.log import event

__all__ = ["KEEPER_SYNC_SECONDS", "sync_seconds", "wants_keeper"]

_logger = logging.getLogger("postroom.site")

KEEPER_SYNC_SECONDS: Final = 0.002
"""Where one sync takes longer, workers' loops must not stand still for it: with 3 ms a sync, other sessions have a
p99 of 3 ms with a keeper and 19 without; on a quicker disk the way to a keeper costs more than it saves."""
_SYNCS: Final = 15
_OCTETS: Final = 4096


def wants_keeper(config: Config) -> bool:
    """Whether `writer` asks for a keeper; "auto" looks what a sync costs on the data directory's disk. One line of
    the log says what it is."""
    if config.writer != "auto":
        event(_logger, logging.INFO, "writer", form=config.writer)
        return config.writer == "keeper"
    try:
        seconds = sync_seconds(config.root)
    except OSError as error:
        # A full disk, most likely, on which letters can still be read.
        event(_logger, logging.WARNING, "writer", form="inline", reason=error)
        return False
    form = "keeper" if seconds > KEEPER_SYNC_SECONDS else "inline"
    event(_logger, logging.INFO, "writer", form=form, sync_ms=f"{seconds * 1000:.2f}")
    return form == "keeper"


def sync_seconds(folder: Path) -> float:
    """What it costs there to put some octets behind others on stable storage. Raises OSError."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        took = []
        for _ in range(_SYNCS):
            began = time.monotonic()
            file.write(bytes(_OCTETS))
            os.fdatasync(file.fileno())
            took.append(time.monotonic() - began)
    return statistics.median(took)
