"""`postroom alias`: further names for accounts."""

from __future__ import annotations

import json

import click

from postroom.cli.account import at_the_office, refused
from postroom.cli.main import Failure, config_option, read_config
from postroom.site.office import Office
from postroom.smtp import grammar
from postroom.store.changes import AddAlias, RemoveAlias
from postroom.store.values import Alias


def _name(_: click.Context, __: click.Parameter, value: str) -> str:
    """Any legal local part; the domain in lower case."""
    try:
        found = grammar.read_address(value)
    except grammar.SyntaxFault as e:
        raise click.BadParameter(f"{value!r} is no address ({e})") from None
    return f"{grammar.Address(found.local, found.domain.lower())}"


@click.group()
def alias() -> None:
    """Further names for accounts: letters to NAME go to each TARGET."""


@alias.command()
@click.argument("name", callback=_name)
@click.argument("targets", metavar="TARGET…", nargs=-1, required=True)
@config_option
def add(name: str, targets: tuple[str, ...], config_path: str) -> None:
    """Let NAME stand for TARGET… as well.

    \b
    postroom alias add info@example.test alice@example.test bob@example.test
    """
    config = read_config(config_path)
    read = tuple(_name(click.get_current_context(), click.Argument(["target"]), t) for t in targets)
    domain = name.rpartition("@")[2]
    if domain not in config.domains:
        raise Failure(f"{name}: {domain} is none of this site's domains ({', '.join(config.domains)})")

    async def work(office: Office) -> None:
        refused(await office.store.commit(AddAlias(name, read)), name)

    at_the_office(config, work)


@alias.command("list")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@config_option
def list_(as_json: bool, config_path: str) -> None:
    """List the aliases and what they stand for."""
    found: list[Alias] = at_the_office(read_config(config_path), lambda office: office.store.aliases())
    if as_json:
        click.echo(json.dumps([{"name": a.name, "targets": list(a.targets)} for a in found], indent=1))
        return
    for a in found:
        click.echo(f"{a.name}: {' '.join(a.targets)}")


@alias.command()
@click.argument("name", callback=_name)
@config_option
def remove(name: str, config_path: str) -> None:
    """Take an alias away."""

    async def work(office: Office) -> None:
        refused(await office.store.commit(RemoveAlias(name)), name)

    at_the_office(read_config(config_path), work)
