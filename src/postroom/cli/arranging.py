"""`postroom account show` and `account set`: what an account has chosen, or was given."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Final

import click

from postroom.accounts.authority import AppPassword
from postroom.accounts.directory import account_name
from postroom.cli.columns import count, size
from postroom.cli.main import config_option, read_config
from postroom.cli.office import Limit, address, at_the_office, limit, refused, the_account, whole
from postroom.site.office import Office
from postroom.store.changes import AS_IT_IS, ArrangeAccount
from postroom.store.values import Account, Quota

__all__ = ["set_", "show"]

_NO_SHORT: Final = "none"


@dataclass(frozen=True, slots=True)
class _Shown:
    """All that there is to tell of an account."""

    account: Account
    quota: Quota | None
    aliases: list[str]
    app_passwords: list[AppPassword]


@click.command()
@click.argument("name", metavar="ADDRESS", callback=address)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@config_option
def show(name: str, as_json: bool, config_path: str) -> None:
    """Tell what there is to know of an account."""

    async def work(office: Office) -> _Shown:
        found = await the_account(office, name)
        aliases = [alias.name for alias in await office.store.aliases() if name in alias.targets]
        quota = await office.store.quota(found.id)
        return _Shown(found, quota, aliases, await office.authority.app_passwords(name))

    shown = at_the_office(read_config(config_path), work)
    if as_json:
        click.echo(json.dumps(_row(shown), indent=1))
        return
    for line in _lines(shown):
        click.echo(line)


def _row(shown: _Shown) -> dict[str, object]:
    a = shown.account
    row: dict[str, object] = {
        "address": a.address,
        "short": a.short,
        "disabled": a.disabled,
        "admin": a.admin,
        "fxp": a.fxp,
        "files": a.files,
        "tags": a.tags,
        "letters_per_hour": a.hourly,
        "letters_per_day": a.daily,
        "created": a.created,
        "aliases": shown.aliases,
        "app_passwords": [each.name for each in shown.app_passwords],
    }
    if shown.quota is not None:
        row |= {"octets": shown.quota.account.octets, "letters": shown.quota.account.letters}
    return row


def _lines(shown: _Shown) -> list[str]:
    a = shown.account
    marks = [word for word, on in (("disabled", a.disabled), ("admin", a.admin), ("fxp", a.fxp)) if on]
    lines = ["  ".join([a.address, *marks])]
    if a.created:
        lines.append(f"since {time.strftime('%Y-%m-%d', time.gmtime(a.created))}")
    if a.short is not None:
        lines.append(f"logs in as {a.short} too")
    lines.append(f"user+tag@ comes into {'the mailbox of that name' if a.tags else 'INBOX'}")
    lines.append(f"may send {_rate(a.hourly)} an hour, {_rate(a.daily)} a day")
    if shown.quota is not None:
        usage = shown.quota.account
        lines.append(f"has {size(usage.octets)} in {count(usage.letters, 'letter')}")
    if a.files is not None:
        lines.append(f"files in {a.files}")
    if shown.aliases:
        lines.append(f"aliases: {' '.join(shown.aliases)}")
    if shown.app_passwords:
        lines.append(f"app passwords: {', '.join(each.name for each in shown.app_passwords)}")
    return lines


def _rate(letters: int | None) -> str:
    if letters is None:
        return "what is the default"
    return count(letters, "letter") if letters else "any number"


def _short(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A name without a domain: what could stand before the @ of an account's name."""
    if value is None or value == _NO_SHORT:
        return value
    try:
        if "@" in value:
            raise ValueError("a short name has no domain")
        return account_name(f"{value}@example.test").partition("@")[0]
    except ValueError as e:
        raise click.BadParameter(str(e)) from None


@click.command("set")
@click.argument("name", metavar="ADDRESS", callback=address)
@click.option("--short", metavar="NAME", callback=_short, help='A second login without a domain, or "none".')
@click.option("--tags/--no-tags", default=None, help="Letters to user+tag@ come into the mailbox of that name.")
@click.option(
    "--letters-per-hour", "hourly", metavar="N", help='It may send; or "none", or "default".', callback=limit(whole)
)
@click.option(
    "--letters-per-day", "daily", metavar="N", help='It may send; or "none", or "default".', callback=limit(whole)
)
@config_option
def set_(name: str, short: str | None, tags: bool | None, hourly: Limit, daily: Limit, config_path: str) -> None:
    """Change what an account may, and how it is called. It holds at once.

    \b
    postroom account set alice@example.test --short alice --tags
    postroom account set bob@example.test --letters-per-hour 50 --letters-per-day default
    """
    if (short, tags, hourly, daily) == (None, None, AS_IT_IS, AS_IT_IS):
        raise click.UsageError("nothing to set: --short, --tags, --letters-per-hour or --letters-per-day is wanted")

    async def work(office: Office) -> None:
        found = await the_account(office, name)
        change = ArrangeAccount(
            name,
            found.short if short is None else None if short == _NO_SHORT else short,
            found.tags if tags is None else tags,
            found.hourly if hourly == AS_IT_IS else hourly,
            found.daily if daily == AS_IT_IS else daily,
        )
        refused(await office.store.commit(change), name if short is None else short)

    at_the_office(read_config(config_path), work)
