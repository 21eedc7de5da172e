"""`postroom check-config`: look, say what is wrong, change nothing."""

from __future__ import annotations

import click

from postroom.cli.main import config_option, read_config
from postroom.config import ConfigError
from postroom.site.fence import user_of
from postroom.site.pairs import check_pairs
from postroom.site.prepare import check_engines
from postroom.site.served import SERVED
from postroom.site.verifier import check_verifier


@click.command("check-config")
@config_option
def check_config(config_path: str) -> None:
    """Read the configuration and say what is wrong with it.

    Exit status 2 and one line that names the key where something is; else 0 and what will be served.
    """
    config = read_config(config_path)
    try:
        check_engines(config)
        check_pairs(config)
        check_verifier(config)
        user_of(config)
    except ConfigError as e:
        raise click.UsageError(f"{config_path}: {e}") from None
    for protocol in SERVED:
        for at in getattr(config.listen, protocol):
            click.echo(f"{protocol} at {at}")
    for key in config.unused:
        click.echo(f"{key}: this version does not act on it", err=True)
    click.echo(f"{config_path} is right")
