"""`postroom role`: how the supervisor starts the others. Not for people, and so not in the list of commands."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import click

from postroom.cli.main import config_option, read_config
from postroom.site import auth, keeper, runner, worker
from postroom.site.role import Ends, run_role


@click.command()
@click.argument("kind", type=click.Choice(["authority", "keeper", "worker", "runner"]))
@click.option("--name", required=True)
@click.option("--listen", multiple=True, metavar="PROTOCOL=DESCRIPTOR")
@click.option("--ready", type=int, required=True, help="Descriptor to say ready at.")
@click.option("--life", type=int, required=True, help="Descriptor that closes with the supervisor.")
@click.option("--log-level", default="INFO")
@click.option("--keeper", "kept", is_flag=True, help="Have changes made by the keeper.")
@config_option
def role(
    kind: str,
    name: str,
    listen: tuple[str, ...],
    ready: int,
    life: int,
    log_level: str,
    kept: bool,
    config_path: str,
) -> None:
    """Run one role of a server, as its supervisor asks."""
    config = read_config(config_path)

    def work() -> AbstractAsyncContextManager[None]:
        if kind == "authority":
            return auth.work(config)
        if kind == "keeper":
            return keeper.work(config)
        if kind == "runner":
            return runner.work(config)
        given = [(protocol, int(descriptor)) for protocol, _, descriptor in (one.partition("=") for one in listen)]
        return worker.work(config, name, given, keeper=kept)

    run_role(Ends(ready, life), log_level, work)
