"""`postroom account`: works with the server up (through its authority) or down (opening the secrets itself)."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from postroom.accounts.directory import account_name
from postroom.cli.main import Failure, config_option, read_config
from postroom.config import Config, ConfigError
from postroom.site.office import Office, OfficeClosed, open_office
from postroom.store.values import Account, AddAccount, Reason, Refused, RemoveAccount, SwitchAccount

T = TypeVar("T")


def at_the_office(config: Config, work: Callable[[Office], Awaitable[T]]) -> T:
    """Run something that needs accounts and secrets, whether the server is up or down; a fault becomes one line."""

    async def run() -> T:
        async with open_office(config) as office:
            return await work(office)

    try:
        return asyncio.run(run())
    except ConfigError as e:
        raise click.UsageError(f"{config.path}: {e}") from None
    except OfficeClosed as e:
        raise Failure(str(e)) from None


def refused(answer: object, name: str) -> None:
    """A change that the store refused becomes one line and exit 1."""
    if isinstance(answer, Refused):
        raise Failure(f"{name}: {answer.reason.value}")


def address(_: click.Context, __: click.Parameter, value: str) -> str:
    """An argument that has to be an account's name."""
    try:
        return account_name(value)
    except ValueError as e:
        raise click.BadParameter(str(e)) from None


def _password(from_stdin: bool) -> bytes:
    if from_stdin:
        line = sys.stdin.buffer.readline(4096)
        password = line.rstrip(b"\r\n")
    elif sys.stdin.isatty():
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)).encode()
    else:
        raise click.UsageError("a password is wanted: --password-stdin reads it from standard input")
    if not password:
        raise Failure("the password is empty")
    return password


async def _set_password(office: Office, name: str, password: bytes, ready_hash: bool) -> None:
    try:
        await office.authority.set_password(name, password, ready_hash=ready_hash)
    except ValueError as e:
        raise Failure(f"{name}: {e}") from None


@click.group()
def account() -> None:
    """Add, list and change those who have mail and files here.

    An account's name is its address, and its login: alice@example.test.
    """


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
    password = _password(password_stdin)

    async def work(office: Office) -> None:
        if await office.store.account(name) is not None:
            raise Failure(f"{name}: {Reason.ACCOUNT_EXISTS.value}")
        await _set_password(office, name, password, ready_hash)
        root = None if files is None else str(files.resolve())
        refused(await office.store.commit(AddAccount(name, admin=admin, fxp=fxp, files=root)), name)

    at_the_office(config, work)


@account.command("list")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@config_option
def list_(as_json: bool, config_path: str) -> None:
    """List the accounts."""
    found: list[Account] = at_the_office(read_config(config_path), lambda office: office.store.accounts())
    if as_json:
        rows = [
            {"address": a.address, "disabled": a.disabled, "admin": a.admin, "fxp": a.fxp, "files": a.files}
            for a in found
        ]
        click.echo(json.dumps(rows, indent=1))
        return
    for a in found:
        marks = [word for word, on in (("disabled", a.disabled), ("admin", a.admin), ("fxp", a.fxp)) if on]
        click.echo("  ".join([a.address, *marks]))


@account.command()
@click.argument("name", metavar="ADDRESS", callback=address)
@click.option("--password-stdin", is_flag=True, help="Read the password, one line, from standard input.")
@click.option("--hash", "ready_hash", is_flag=True, help="What is read is a ready hash.")
@config_option
def passwd(name: str, password_stdin: bool, ready_hash: bool, config_path: str) -> None:
    """Give an account another password; its sessions end."""
    config = read_config(config_path)
    password = _password(password_stdin)

    async def work(office: Office) -> None:
        if await office.store.account(name) is None:
            raise Failure(f"{name}: {Reason.NO_SUCH_ACCOUNT.value}")
        await _set_password(office, name, password, ready_hash)
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
        refused(await office.store.commit(RemoveAccount(name)), name)
        await office.authority.remove(name)
        await office.tell_account_changed(name)

    at_the_office(read_config(config_path), work)
