"""`postroom serve`: a site in the foreground, logging to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import apsw
import click

from postroom.cli.main import Failure, config_option, read_config
from postroom.config import Config, ConfigError
from postroom.net import log
from postroom.net.supervisor import Bound, PortTaken, StartFailed
from postroom.site import serve as site
from postroom.site.lock import ServerRuns
from postroom.store.index import NewerSchema
from postroom.store.interface import StoreFault

LEVELS = ("debug", "info", "warning", "error")


def run_site(
    config: Config, level: str, on_ready: Callable[[Sequence[Bound]], None], *, hangup_reloads: bool = False
) -> None:
    """Run a site until it is told to stop; whatever keeps it from running becomes one line. Where SIGHUP doesn't
    reload, it ends the site: the terminal was closed."""
    log.setup(sys.stderr, level.upper())
    try:
        clean = site.serve(config, level.upper(), on_ready, hangup_reloads=hangup_reloads)
    except ConfigError as e:
        raise click.UsageError(f"{config.path}: {e}") from None
    except PortTaken as e:
        hint = "" if e.errno != 13 else "; ports under 1024 need root or CAP_NET_BIND_SERVICE"
        raise Failure(f"can't listen on {e.strerror}{hint}") from None
    except StartFailed as e:
        raise Failure(f"the {e} did not start: the lines above tell why") from None
    except (ServerRuns, NewerSchema, StoreFault) as e:
        raise Failure(str(e)) from None
    except (OSError, apsw.Error) as e:
        raise Failure(f"{config.root}: {e}") from None
    if not clean:
        raise Failure("a role had to be killed, since it did not end in time")


def tell_ready(listeners: Sequence[Bound]) -> None:
    """A line per listener, and the word that tools wait for (docs/design.md, "Contracts")."""
    for bound in listeners:
        host = f"[{bound.host}]" if ":" in bound.host else bound.host
        print(f"ready {bound.protocol} {host}:{bound.port}")
    print("ready", flush=True)


@click.command()
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True)
@config_option
def serve(log_level: str, config_path: str) -> None:
    """Run the servers of postroom.toml in the foreground.

    Says `ready PROTOCOL HOST:PORT` for each listener and then `ready`. SIGTERM or Ctrl-C ends it: sessions finish
    the command they are at. SIGHUP does what `postroom reload` does.
    """
    run_site(read_config(config_path), log_level, tell_ready, hangup_reloads=True)
