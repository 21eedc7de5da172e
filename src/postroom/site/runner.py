"""The runner: what happens behind delivery. In this version that is the upkeep of the index's write-ahead log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

import apsw

from postroom.config import Config
from postroom.net.log import event
from postroom.store.index import open_index, require_current

_logger = logging.getLogger("postroom.runner")

CHECKPOINT_SECONDS: Final = 60.0
"""SQLite's own checkpoints keep up under load; this one lets the log shrink again when it is quiet."""


@contextlib.asynccontextmanager
async def work(config: Config) -> AsyncIterator[None]:
    """Look after the index until the end of the context."""
    index = open_index(config.root / "index.db")
    require_current(index)
    upkeep = asyncio.create_task(_upkeep(index))
    try:
        yield
    finally:
        upkeep.cancel()
        await asyncio.gather(upkeep, return_exceptions=True)
        index.close()


async def _upkeep(index: apsw.Connection) -> None:
    while True:
        await asyncio.sleep(CHECKPOINT_SECONDS)
        try:
            log, moved = index.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            event(_logger, logging.DEBUG, "checkpoint", pages=log, moved=moved)
        except apsw.Error as fault:
            event(_logger, logging.WARNING, "checkpoint-failed", reason=fault)
