"""What commands on accounts have in common: the office they work at, and how it says no in one line."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import click

from postroom.accounts.directory import account_name
from postroom.cli.main import Failure
from postroom.config import Config, ConfigError
from postroom.site.office import Office, OfficeClosed, open_office
from postroom.store.changes import AS_IT_IS, Reason, Refused
from postroom.store.values import Account

__all__ = [
    "Limit",
    "address",
    "at_the_office",
    "caller",
    "limit",
    "password_of",
    "refused",
    "set_password",
    "some_address",
    "the_account",
    "whole",
]

T = TypeVar("T")
Limit = int | None
"""As the store has it: None is the site's default, 0 no limit, AS_IT_IS no change."""
_LIMITS: Final[dict[str, Limit]] = {"default": None, "none": 0}


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


def some_address(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """An option that has to be an account's name where it is given."""
    return None if value is None else address(_, __, value)


def caller() -> str:
    """Who gives this command, for letters' stories."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user} cli-{os.getpid()}"


def password_of(from_stdin: bool) -> bytes:
    """A password, one line, from standard input or a prompt. Raises Failure, click.UsageError."""
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


async def set_password(office: Office, name: str, password: bytes, ready_hash: bool) -> None:
    """Give an account its own password. Raises Failure."""
    try:
        await office.authority.set_password(name, password, ready_hash=ready_hash)
    except ValueError as e:
        raise Failure(f"{name}: {e}") from None


async def the_account(office: Office, name: str) -> Account:
    """The account of this name. Raises Failure where there is none."""
    found = await office.store.account(name)
    if found is None:
        raise Failure(f"{name}: {Reason.NO_SUCH_ACCOUNT.value}")
    return found


def limit(read: Callable[[str], int]) -> Callable[[click.Context, click.Parameter, str | None], Limit]:
    """An option's value: "none", "default", or what `read` makes of it."""

    def value(_: click.Context, __: click.Parameter, text: str | None) -> Limit:
        if text is None or text in _LIMITS:
            return AS_IT_IS if text is None else _LIMITS[text]
        try:
            return read(text)
        except ValueError as e:
            raise click.BadParameter(f'{e}, or "default", or "none"') from None

    return value


def whole(text: str) -> int:
    """A number of an option. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ValueError("a whole number is wanted")
    return int(text)
