"""`postroom reload`: the running server reads its configuration and its certificates anew."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict

import click

from postroom.cli.columns import count
from postroom.cli.main import Failure, config_option, read_config
from postroom.net.ipc import short_name
from postroom.net.limits import RELOAD_SECONDS
from postroom.site.places import Places
from postroom.site.reload import CERTIFICATES, Outcome


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON object, for scripts.")
@config_option
def reload(as_json: bool, config_path: str) -> None:
    """Let the running server read its configuration and certificates anew, and tell what came of it.

    No connection is refused or lost. New workers take the places of the old ones, whose sessions go on (for an hour
    at most, see limits.reload_patience); where only certificates can have changed, they are loaded in place.
    Other listeners, another data directory or number of workers take a restart. SIGHUP to the server does the same.

    Exit status 1: it can't be done now; 2: the configuration can't be used. The server goes on as it was.
    """
    outcome = _ask(Places(read_config(config_path).root))
    if as_json:
        click.echo(json.dumps(asdict(outcome)))
    if outcome.refused:
        failure = click.UsageError if outcome.configuration else Failure
        raise failure(outcome.refused)
    if as_json:
        return
    if outcome.reloaded == CERTIFICATES:
        click.echo("Certificates loaded anew; the configuration is the same.")
    else:
        click.echo(f"Reloaded: {count(outcome.workers, 'new worker')}.")


def _ask(places: Places) -> Outcome:
    """Connect to the supervisor, which reloads, and hear what came of it. Raises Failure."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            with short_name(str(places.reload)) as path:
                sock.connect(path)
        except OSError:
            raise Failure("no server runs here (--config names another site)") from None
        sock.settimeout(RELOAD_SECONDS)
        try:
            return Outcome.read(sock.makefile("rb").readline(65536))
        except TimeoutError:
            raise Failure("the server has not answered yet: see its log") from None
        except (OSError, ValueError):
            raise Failure("the server ended, or too many ask it to reload") from None
