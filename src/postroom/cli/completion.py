"""`postroom completion`: the script that click makes for a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from postroom.cli.main import postroom


@click.command(epilog="For bash: echo 'eval \"$(postroom completion bash)\"' >> ~/.bashrc")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete postroom's commands and options."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(postroom, {}, "postroom", "_POSTROOM_COMPLETE").source())
