"""Every promise of the store is held against every engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from postroom.store.interface import Store
from tests.store.damage import a_busy_day
from tests.store.site import Site
from tests.store.suspending import SuspendingStore


def _as_it_is(store: Store) -> Store:
    return store


ENGINES: dict[str, Callable[[Store], Store]] = {
    "sqlite": _as_it_is,
    "suspending": SuspendingStore,
}


@pytest.fixture(params=list(ENGINES.values()), ids=list(ENGINES))
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """An empty data directory, once for each engine."""
    return Site(tmp_path / "data", request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store in which things have happened."""
    site = Site(tmp_path / "data")
    site.run(a_busy_day)
    return site.root
