"""`postroom role`: how the supervisor starts the others. Not for people, and so not in the list of commands."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import click

from postroom.cli.main import config_option
from postroom.config import parse
from postroom.net.counts import Counts, Table
from postroom.site import auth, keeper, runner, worker
from postroom.site.crew import read_settings
from postroom.site.fence import confine
from postroom.site.role import Ends, run_role


@click.command()
@click.argument("kind", type=click.Choice(["authority", "keeper", "worker", "runner"]))
@click.option("--name", required=True)
@click.option("--listen", multiple=True, metavar="PROTOCOL=DESCRIPTOR")
@click.option("--spare", multiple=True, metavar="PROTOCOL=DESCRIPTOR", help="The same, of another worker.")
@click.option("--ready", type=int, required=True, help="Descriptor to say ready at.")
@click.option("--life", type=int, required=True, help="Descriptor that closes with the supervisor.")
@click.option("--log-level", default="INFO")
@click.option("--settings", type=int, required=True, help="Descriptor of the configuration that was accepted.")
@click.option("--counts", default="", metavar="DESCRIPTOR:COLUMN", help="Where a worker counts its connections.")
@click.option("--keeper", "kept", is_flag=True, help="Have changes made by the keeper.")
@config_option
def role(
    kind: str,
    name: str,
    listen: tuple[str, ...],
    spare: tuple[str, ...],
    ready: int,
    life: int,
    log_level: str,
    settings: int,
    counts: str,
    kept: bool,
    config_path: str,
) -> None:
    """Run one role of a server, as its supervisor asks."""
    accepted = parse(read_settings(settings), Path(config_path))
    ends = Ends(ready, life)

    def work() -> AbstractAsyncContextManager[None]:
        if kind == "authority":
            return auth.work(accepted)
        config = confine(accepted)
        if kind == "keeper":
            return keeper.work(config)
        if kind == "runner":
            return runner.work(config)
        own, others = ([_given(one) for one in words] for words in (listen, spare))
        table, _, column = counts.partition(":")
        shared = Counts(Table(int(table)), int(column))
        os.close(int(table))
        return worker.work(config, name, own, others, keeper=kept, counts=shared, tell=ends.say)

    run_role(ends, log_level, work)


def _given(words: str) -> worker.Given:
    protocol, _, descriptor = words.partition("=")
    return protocol, int(descriptor)
