"""`postroom account app-password`: further passwords of an account, one for each program or machine."""

from __future__ import annotations

import json
import time

import click

from postroom.accounts.apppasswords import check_name, check_protocols
from postroom.accounts.authority import PROTOCOLS, AppPassword
from postroom.cli.main import Failure, config_option, read_config
from postroom.cli.office import address, at_the_office, the_account
from postroom.site.office import Office

__all__ = ["app_password"]


@click.group("app-password")
def app_password() -> None:
    """Passwords for one program each, made here and taken back one by one.

    They log in like the account's own password, and stay when that changes.
    """


def _name(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        return check_name(value)
    except ValueError as e:
        raise click.BadParameter(str(e)) from None


def _protocols(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    try:
        return check_protocols([word.strip() for word in value.split(",")])
    except ValueError as e:
        raise click.BadParameter(str(e)) from None


@app_password.command()
@click.argument("whose", metavar="ADDRESS", callback=address)
@click.argument("name", callback=_name)
@click.option(
    "--protocol",
    "protocols",
    metavar="LIST",
    callback=_protocols,
    help=f"Only for these, with commas between: {', '.join(PROTOCOLS)}.",
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@config_option
def add(whose: str, name: str, protocols: tuple[str, ...], as_json: bool, config_path: str) -> None:
    """Make a password called NAME, and print it. It is shown this once.

    \b
    postroom account app-password add alice@example.test phone --protocol imap,smtp
    """

    async def work(office: Office) -> str:
        await the_account(office, whose)
        try:
            return await office.authority.add_app_password(whose, name, protocols)
        except ValueError as e:
            raise Failure(f"{whose}: {e}") from None

    made = at_the_office(read_config(config_path), work)
    if as_json:
        row = {"address": whose, "name": name, "protocols": list(protocols), "password": made}
        click.echo(json.dumps(row))
    else:
        click.echo(made)


@app_password.command("list")
@click.argument("whose", metavar="ADDRESS", callback=address)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@config_option
def list_(whose: str, as_json: bool, config_path: str) -> None:
    """List an account's app passwords, not what they are."""

    async def work(office: Office) -> list[AppPassword]:
        await the_account(office, whose)
        return await office.authority.app_passwords(whose)

    found = at_the_office(read_config(config_path), work)
    if as_json:
        rows = [{"name": a.name, "protocols": list(a.protocols), "created": a.created} for a in found]
        click.echo(json.dumps(rows, indent=1))
        return
    for a in found:
        day = time.strftime("%Y-%m-%d", time.gmtime(a.created))
        click.echo("  ".join([a.name, ",".join(a.protocols) or "all", f"since {day}"]))


@app_password.command()
@click.argument("whose", metavar="ADDRESS", callback=address)
@click.argument("name")
@config_option
def revoke(whose: str, name: str, config_path: str) -> None:
    """Take an app password back; the account's sessions end."""

    async def work(office: Office) -> None:
        await the_account(office, whose)
        if not await office.authority.revoke_app_password(whose, name):
            raise Failure(f"{whose}: there is no app password of that name: {name}")
        await office.tell_account_changed(whose)

    at_the_office(read_config(config_path), work)
