"""An upgrade by hand, and the way back from one; the server is down meanwhile."""

from __future__ import annotations

import time

from postroom.accounts.secrets import schema_version
from postroom.config import Config
from postroom.site.lock import ServerLock
from postroom.site.places import Places
from postroom.site.prepare import prepare
from postroom.store.upgrade.undo import Undone, undo
from postroom.store.upgrade.whole import Upgraded, UpgradeRefused, schemas

__all__ = ["go_back", "pending", "upgrade_site"]


def pending(config: Config) -> tuple[int, int]:
    """The index's schema, and this program's. Raises `UpgradeRefused` where there is no index, apsw.Error."""
    have, want = schemas(config.root)
    if not have:
        raise UpgradeRefused(f"{config.root}: there is no store yet; `postroom serve` makes one")
    return have, want


def upgrade_site(config: Config) -> Upgraded | None:
    """Bring a site to this program's schema; None where it was there already. Raises `ServerRuns`, and as `prepare`
    does."""
    pending(config)
    with ServerLock(_places(config)):
        return prepare(config)


def go_back(config: Config) -> Undone:
    """Bring a site back to the schema before its last upgrade, with what came since. Raises `ServerRuns`,
    `UpgradeRefused`, `StoreFault`, SecretsFault, OSError, apsw.Error."""
    pending(config)
    with ServerLock(_places(config)):
        return undo(config.root, config.path, time.time(), schema_version)


def _places(config: Config) -> Places:
    places = Places(config.root)
    places.run.mkdir(mode=0o700, exist_ok=True)
    return places
