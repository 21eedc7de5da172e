"""The supervisor of a site: everything is made ready, each port is taken, and the roles are kept running."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import partial

from postroom.config import Config, HostPort
from postroom.net.log import event
from postroom.net.supervisor import Bound, Role, Supervisor, bind
from postroom.site.form import wants_keeper
from postroom.site.lock import ServerLock
from postroom.site.places import Places
from postroom.site.prepare import prepare
from postroom.site.served import SERVED

_logger = logging.getLogger("postroom.site")


def serve(config: Config, level: str, on_ready: Callable[[Sequence[Bound]], None]) -> bool:
    """Run a site until SIGTERM or SIGINT; True where all ended in time. `on_ready` gets a socket of each listener.

    Raises ConfigError, `ServerRuns`, `PortTaken` and other OSErrors, `StartFailed`, and the store's errors.
    """
    places = Places(config.root)
    places.make()
    with ServerLock(places):
        prepare(config)
        _clean(places)
        _warn(config)
        workers = config.workers or len(os.sched_getaffinity(0))
        listeners: list[list[Bound]] = []
        try:
            for protocol, at in _served(config):
                listeners.append(bind(protocol, at.host, at.port, workers))
            told = partial(on_ready, [each[0] for each in listeners])
            roles = _roles(config, level, listeners, workers, keeper=wants_keeper(config))
            return Supervisor(roles, told).run()
        finally:
            for each in listeners:
                for bound in each:
                    bound.sock.close()


def _served(config: Config) -> Iterator[tuple[str, HostPort]]:
    for protocol in SERVED:
        for at in getattr(config.listen, protocol):
            yield protocol, at


def _clean(places: Places) -> None:
    """Sockets that killed roles have left behind: the command line would knock at them."""
    for path in (places.authority, places.keeper, *places.controls()):
        path.unlink(missing_ok=True)


def _warn(config: Config) -> None:
    """What is configured, and not done by this version: a line each."""
    for setting in fields(config.listen):
        if getattr(config.listen, setting.name) and setting.name not in SERVED:
            event(_logger, logging.WARNING, "listener-not-served", listener=setting.name)
    for key in config.unused:
        event(_logger, logging.WARNING, "setting-not-used", setting=key)


def _roles(
    config: Config, level: str, listeners: Sequence[Sequence[Bound]], workers: int, *, keeper: bool
) -> list[Role]:
    def command(kind: str, name: str, given: Sequence[Bound], ready: int, life: int) -> list[str]:
        listen = [f"--listen={bound.protocol}={bound.sock.fileno()}" for bound in given]
        return [
            *(sys.executable, "-m", "postroom", "role", kind, f"--name={name}", f"--config={config.path}"),
            *(f"--log-level={level}", f"--ready={ready}", f"--life={life}", *listen),
            *(["--keeper"] if keeper else []),
        ]

    roles = [Role("authority", partial(command, "authority", "authority", ()), serves_others=True)]
    if keeper:
        roles.append(Role("keeper", partial(command, "keeper", "keeper", ()), serves_others=True))
    for number in range(workers):
        name, given = f"worker-{number}", [each[number] for each in listeners]
        roles.append(Role(name, partial(command, "worker", name, given), tuple(bound.sock for bound in given)))
    return [*roles, Role("runner", partial(command, "runner", "runner", ()))]
