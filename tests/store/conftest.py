"""Every promise of the store is held against every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from postroom.store.interface import Store
from postroom.store.sqlite import open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.writer.keeper import keep
from tests.store.damage import a_busy_day
from tests.store.site import Site
from tests.store.suspending import SuspendingStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeptSite(Site):
    """A data directory with a keeper, whose store asks it for every change."""

    def run(self, story: Callable[[Store], Awaitable[T]]) -> T:
        """As `Site.run`."""
        migrate(self.root)

        async def tell() -> T:
            async with keep(self.root, self.quotas):
                store = self.wrap(await open_store(self.root, quotas=self.quotas, keeper=True))
                try:
                    return await story(store)
                finally:
                    await store.close()

        result = asyncio.run(tell())
        assert self.findings() == []
        return result


ENGINES: dict[str, Callable[[Path], Site]] = {
    "sqlite": Site,
    "suspending": lambda root: Site(root, SuspendingStore),
    "keeper": KeptSite,
}


@pytest.fixture(params=list(ENGINES.values()), ids=list(ENGINES))
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """An empty data directory, once for each engine."""
    made: Site = request.param(tmp_path / "data")
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store in which things have happened."""
    site = Site(tmp_path / "data")
    site.run(a_busy_day)
    return site.root
