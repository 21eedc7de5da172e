"""`postroom account`: works with the server up (through its authority) or down (opening the secrets itself)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from postroom.cli.apppassword import app_password
from postroom.cli.arranging import set_, show
from postroom.cli.columns import count, size
from postroom.cli.main import Failure, config_option, read_config
from postroom.cli.office import (
    Limit,
    address,
    limit,
    password_of,
    set_password,
    the_account,
    whole,
)
from postroom.cli.office import at_the_office as at_the_office
from postroom.cli.office import caller as caller
from postroom.cli.office import refused as refused
from postroom.cli.office import some_address as some_address
from postroom.config import read_size
from postroom.site.office import Office
from postroom.store.changes import (
    AS_IT_IS,
    AddAccount,
    LimitAccount,
    LimitDomain,
    Reason,
    RemoveAccount,
    SwitchAccount,
)
from postroom.store.usage import domain_of
from postroom.store.values import Account, Quota, Usage


@click.group()
def account() -> None:
    """Add, list and change those who have mail and files here.

    An account's name is its address, and its login: alice@example.test.
    """


account.add_command(show)
account.add_command(set_)
account.add_command(app_password)


@account.command()
@click.argument("name", metavar="ADDRESS", callback=address)
@click.option("--password-stdin", is_flag=True, help="Read the password, one line, from standard input.")
@click.option("--hash", "ready_hash", is_flag=True, help="What is read is a ready hash: {ARGON2ID}, {BLF-CRYPT}, …")
@click.option(
    "--files", type=click.Path(file_okay=False, path_type=Path), help="An existing directory as file root."
)
@click.option("--admin", is_flag=True, help="May see others' sessions and gets postmaster's letters.")
@click.option("--fxp", is_flag=True, help="May let servers transfer files to each other.")
@config_option
def add(
    name: str, password_stdin: bool, ready_hash: bool, files: Path | None, admin: bool, fxp: bool, config_path: str
) -> None:
    """Add an account with its first mailboxes.

    \b
    postroom account add alice@example.test                  asks for a password
    echo secret | postroom account add bob@example.test --password-stdin
    """
    config = read_config(config_path)
    domain = name.rpartition("@")[2]
    if domain not in config.domains:
        raise Failure(f"{name}: {domain} is none of this site's domains ({', '.join(config.domains)})")
    if files is not None and not files.is_dir():
        raise Failure(f"{files} is no directory")
    password = password_of(password_stdin)

    async def work(office: Office) -> None:
        if await office.store.account(name) is not None:
            raise Failure(f"{name}: {Reason.ACCOUNT_EXISTS.value}")
        await set_password(office, name, password, ready_hash)
        root = None if files is None else str(files.resolve())
        refused(await office.store.commit(AddAccount(name, admin=admin, fxp=fxp, files=root)), name)

    at_the_office(config, work)


@account.command("list")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@config_option
def list_(as_json: bool, config_path: str) -> None:
    """List the accounts."""

    async def work(office: Office) -> list[tuple[Account, Quota | None]]:
        found = await office.store.accounts()
        return [(a, await office.store.quota(a.id) if as_json else None) for a in found]

    found = at_the_office(read_config(config_path), work)
    if as_json:
        click.echo(json.dumps([_row(a, quota) for a, quota in found], indent=1))
        return
    for a, _ in found:
        marks = [word for word, on in (("disabled", a.disabled), ("admin", a.admin), ("fxp", a.fxp)) if on]
        click.echo("  ".join([a.address, *marks]))


def _row(a: Account, quota: Quota | None) -> dict[str, object]:
    row = {"address": a.address, "disabled": a.disabled, "admin": a.admin, "fxp": a.fxp, "files": a.files}
    return row if quota is None else row | {"octets": quota.account.octets, "letters": quota.account.letters}


@account.command()
@click.argument("name", metavar="ADDRESS", callback=address)
@click.option("--password-stdin", is_flag=True, help="Read the password, one line, from standard input.")
@click.option("--hash", "ready_hash", is_flag=True, help="What is read is a ready hash.")
@config_option
def passwd(name: str, password_stdin: bool, ready_hash: bool, config_path: str) -> None:
    """Give an account another password; its sessions end."""
    config = read_config(config_path)
    password = password_of(password_stdin)

    async def work(office: Office) -> None:
        await the_account(office, name)
        await set_password(office, name, password, ready_hash)
        await office.tell_account_changed(name)

    at_the_office(config, work)


def _switch(name: str, disabled: bool, config_path: str) -> None:
    async def work(office: Office) -> None:
        refused(await office.store.commit(SwitchAccount(name, disabled)), name)
        await office.tell_account_changed(name)

    at_the_office(read_config(config_path), work)


@account.command()
@click.argument("name", metavar="ADDRESS", callback=address)
@config_option
def disable(name: str, config_path: str) -> None:
    """Let nobody log in as this account, and end its sessions; its mail stays."""
    _switch(name, True, config_path)


@account.command()
@click.argument("name", metavar="ADDRESS", callback=address)
@config_option
def enable(name: str, config_path: str) -> None:
    """Let a disabled account log in again."""
    _switch(name, False, config_path)


@account.command()
@click.argument("name", metavar="ADDRESS", callback=address)
@config_option
def remove(name: str, config_path: str) -> None:
    """Take an account and its mail away."""

    async def work(office: Office) -> None:
        refused(await office.store.commit(RemoveAccount(name, by=caller())), name)
        await office.authority.remove(name)
        await office.tell_account_changed(name)

    at_the_office(read_config(config_path), work)


@account.command()
@click.argument("name", metavar="[ADDRESS]", required=False, callback=some_address)
@click.option("--domain", metavar="NAME", help="All accounts of this domain together, instead of one account.")
@click.option("--mail", metavar="SIZE", help='Such as 2GiB, "none", or "default".', callback=limit(read_size))
@click.option("--letters", metavar="N", help='A number, "none", or "default".', callback=limit(whole))
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@config_option
def quota(
    name: str | None, domain: str | None, mail: Limit, letters: Limit, as_json: bool, config_path: str
) -> None:
    """Show what an account or a domain keeps, and set what it may.

    Defaults stand in [quota] of the configuration. What is set here holds at once; letters that are there stay.

    \b
    postroom account quota alice@example.test
    postroom account quota alice@example.test --mail 2GiB --letters none
    postroom account quota --domain example.test --mail 100GiB
    """
    if (name is None) == (domain is None):
        raise click.UsageError("an ADDRESS is wanted, or --domain")
    config = read_config(config_path)
    domain = None if domain is None else domain.lower()
    if domain is not None and domain not in config.domains:
        raise Failure(f"{domain} is none of this site's domains ({', '.join(config.domains)})")
    whose = name or domain or ""

    async def work(office: Office) -> Usage | None:
        if (mail, letters) != (AS_IT_IS, AS_IT_IS):
            change = LimitDomain(whose, mail, letters) if name is None else LimitAccount(whose, mail, letters)
            refused(await office.store.commit(change), whose)
        return await _usage(office, name, whose)

    usage = at_the_office(config, work)
    if usage is None:
        if name is not None:
            raise Failure(f"{whose}: {Reason.NO_SUCH_ACCOUNT.value}")
        click.echo(f"{whose}: no account yet", err=True)
    elif as_json:
        click.echo(json.dumps({"name": whose} | asdict(usage)))
    else:
        click.echo(f"{whose}: {_of(size(usage.octets), usage.max_octets and size(usage.max_octets))}")
        click.echo(f"{whose}: {_of(count(usage.letters, 'letter'), usage.max_letters)}")


async def _usage(office: Office, name: str | None, whose: str) -> Usage | None:
    """An account's usage, or a domain's, which any of its accounts tells."""
    for each in await office.store.accounts():
        if each.address == name or (name is None and domain_of(each.address) == whose):
            found = await office.store.quota(each.id)
            if found is not None:
                return found.domain if name is None else found.account
    return None


def _of(kept: str, limit: str | int) -> str:
    return f"{kept} of {limit}" if limit else f"{kept}, no limit"
