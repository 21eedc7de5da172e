"""What has to be there before any role starts: directories, a certificate, the index at this version's schema."""

from __future__ import annotations

import contextlib
import logging
import os

import apsw

from postroom.accounts.secrets import FILE, SecretsFault, is_behind
from postroom.config import Config, ConfigError
from postroom.net.log import event
from postroom.net.tls import make_self_signed
from postroom.site.lock import server_runs
from postroom.site.pairs import check_pairs, pair
from postroom.site.places import Places
from postroom.site.verifier import check_verifier
from postroom.store.index import OlderSchema
from postroom.store.interface import StoreFault
from postroom.store.restore.mark import RESTORING
from postroom.store.upgrade.migrating import migrate
from postroom.store.upgrade.whole import Upgraded, schemas

_logger = logging.getLogger("postroom.site")


def check_engines(config: Config) -> None:
    """See that this version has the engines that are asked for. Raises ConfigError."""
    if config.store != "sqlite":
        raise ConfigError("store", 'this version keeps its index in "sqlite" only')
    if config.blobs != "local":
        raise ConfigError("blobs", 'this version keeps letters "local" only')


def prepare(config: Config) -> Upgraded | None:
    """Make what is missing, and bring index and secrets to this version's schema, of which a snapshot is taken
    before; gives what was done to an index that was there, and logs it. Raises ConfigError, OSError, and the
    store's `NewerSchema`, `OlderSchema` (where the server that runs wants it so) and `StoreFault`."""
    check_engines(config)
    check_pairs(config)
    check_verifier(config)
    check_restored(config)
    places = Places(config.root)
    places.make()
    make_pair(config)
    upgraded = _bring_up(config, places)
    if upgraded is not None:
        event(
            _logger,
            logging.WARNING,
            "upgraded",
            schema=f"{upgraded.before}->{upgraded.after}",
            snapshot=upgraded.snapshot,
            back="postroom upgrade --undo",
        )
    return upgraded


def make_pair(config: Config) -> None:
    """Make the self-signed pair, where no certificate is configured and there is none yet. Raises OSError."""
    own = pair(config)
    if not config.tls.certificate and not (own.certificate.exists() and own.key.exists()):
        make_self_signed(own, config.hostname)


def check_restored(config: Config) -> None:
    """See that no restore was cut short here. Raises `StoreFault`."""
    if (config.root / RESTORING).exists():
        raise StoreFault("a restore into this data directory was cut short: run `postroom restore` once more")


def _bring_up(config: Config, places: Places) -> Upgraded | None:
    try:
        secrets_too = is_behind(places.data / FILE)
    except SecretsFault as fault:
        raise StoreFault(str(fault)) from None
    if _another_serves(places):
        try:
            have, want = schemas(places.data)
        except apsw.Error as error:
            raise StoreFault(f"the index: {error}") from error
        if have < want or secrets_too:
            # Its roles have the index open, and know nothing of another schema.
            raise OlderSchema(
                f"the server that runs is an older Postroom's (schema {have}, this one needs {want}): stop it first"
            )
    return migrate(places.data, config=config.path, snapshot=secrets_too)


def _another_serves(places: Places) -> bool:
    """Whether a server has this data directory, and isn't this process."""
    if not server_runs(places):
        return False
    with contextlib.suppress(OSError, ValueError):
        return int(places.pid.read_text()) != os.getpid()
    return True
