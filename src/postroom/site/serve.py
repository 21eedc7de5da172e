"""The supervisor of a site: everything is made ready, each port is taken, and the roles are kept running."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from postroom.config import Config, HostPort, parse, read
from postroom.net.supervisor import Bound, Supervisor, bind
from postroom.site import fence
from postroom.site.crew import Crew, Settings
from postroom.site.form import wants_keeper
from postroom.site.lock import ServerLock
from postroom.site.places import Places
from postroom.site.prepare import prepare
from postroom.site.reload import Reloader, warn
from postroom.site.served import SERVED


def serve(
    config: Config, level: str, on_ready: Callable[[Sequence[Bound]], None], *, hangup_reloads: bool = False
) -> bool:
    """Run a site until SIGTERM or SIGINT; True where all ended in time. `on_ready` gets a socket of each listener.

    SIGHUP is `postroom reload` (`site.reload`) with `hangup_reloads`, and the end without. Raises ConfigError,
    `ServerRuns`, `PortTaken` and other OSErrors, `StartFailed`, and the store's errors.
    """
    text = read(config.path)
    config = parse(text, config.path)
    places = Places(config.root)
    places.make()
    with ServerLock(places):
        prepare(config)
        fence.settle(config)
        fence.hand_over(config)
        _clean(places)
        warn(config)
        fence.warn(config)
        workers = config.workers or len(os.sched_getaffinity(0))
        listeners: list[list[Bound]] = []
        try:
            for protocol, at in _served(config):
                listeners.append(bind(protocol, at.host, at.port, workers))
            crew = Crew(level, listeners, workers, wants_keeper(config))
            settings = Settings.of(config, text)
            reloader = Reloader(crew, settings)
            told = partial(on_ready, [each[0] for each in listeners])
            supervisor = Supervisor(
                crew.first(settings), told, on_hangup=reloader.begin if hangup_reloads else None
            )
            reloader.attach(supervisor)
            try:
                return supervisor.run()
            finally:
                reloader.close()
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
