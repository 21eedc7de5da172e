"""The keeper: does the commits of all workers where a sync is slow (`store.writer.keeper`)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from postroom.config import Config
from postroom.site.quotas import quotas
from postroom.store.writer.keeper import keep


@contextlib.asynccontextmanager
async def work(config: Config) -> AsyncIterator[None]:
    """Be the keeper until the end of the context."""
    async with keep(config.root, quotas(config)):
        yield
