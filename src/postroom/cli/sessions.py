"""`postroom sessions`: who is connected to the running server, in all its workers, and ending that."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeVar

import click

from postroom.cli.columns import count, plain, show
from postroom.cli.main import Failure, config_option, read_config
from postroom.net.ipc import Peer, Refused, Unreachable, Values
from postroom.site.places import Places
from postroom.site.served import SERVED

T = TypeVar("T")
_COMMAND_CHARACTERS: Final = 60
_SECONDS: Final = 10.0
_HEADING: Final = ("id", "protocol", "peer", "account", "for", "TLS", "last command")


@click.group()
def sessions() -> None:
    """List who is connected now, and end sessions."""


@sessions.command("list")
@click.option("--protocol", type=click.Choice(list(SERVED)), help="Sessions of this listener only.")
@click.option("--account", help="Sessions of this login only.")
@click.option("--peer", help="Sessions from this address or network only.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, for scripts.")
@config_option
def list_(protocol: str | None, account: str | None, peer: str | None, as_json: bool, config_path: str) -> None:
    """List the sessions of all workers, the oldest first, with what each said last (passwords masked)."""
    asked: Values = {"protocol": protocol, "account": _login(account), "peer": peer}
    found = _ask_all(config_path, lambda one: _rows(one, asked))
    rows = sorted(
        (row for each in found for row in each), key=lambda row: (float(str(row["since"])), str(row["id"]))
    )
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    if rows:
        _show([_HEADING, *map(_columns, rows)])


@sessions.command("kill")
@click.argument("session", required=False, metavar="ID")
@click.option("--account", help="All sessions of this login.")
@click.option("--peer", help="All sessions from this address or network.")
@config_option
def kill(session: str | None, account: str | None, peer: str | None, config_path: str) -> None:
    """End a session by its id, or all of an account or a peer. Each finishes its command and hears why.

    One that has not ended after five seconds is cut off. What its client was told is done stays done.
    """
    if sum(one is not None for one in (session, account, peer)) != 1:
        raise click.UsageError("an ID, --account or --peer is wanted, one of them")
    asked: Values = {"session": session, "account": _login(account), "peer": peer}
    ended = sum(_ask_all(config_path, lambda one: _end(one, asked)))
    if not ended:
        raise Failure("there is no such session")
    click.echo(f"{count(ended, 'session')} ended.")


def _login(account: str | None) -> str | None:
    return None if account is None else account.lower()


def _ask_all(config_path: str, question: Callable[[Peer], Awaitable[T]]) -> list[T]:
    """Ask each worker, also those at their end; one that ends just now has nobody to tell of. Raises Failure."""
    peers = [Peer(path) for path in Places(read_config(config_path).root).controls()]
    if not peers:
        raise Failure("no server runs here (--config names another site)")

    async def ask() -> list[T | BaseException]:
        async with asyncio.timeout(_SECONDS):
            return await asyncio.gather(*map(question, peers), return_exceptions=True)

    try:
        answers = asyncio.run(ask())
    except TimeoutError:
        raise Failure("a worker does not answer: see the log") from None
    for one in answers:
        if isinstance(one, Refused):
            raise Failure(str(one))
        if isinstance(one, BaseException) and not isinstance(one, Unreachable):
            raise Failure(f"a worker failed: see the log ({one})")
    told = [one for one in answers if not isinstance(one, BaseException)]
    if not told:
        raise Failure("the server does not answer: see its log")
    return told


async def _rows(peer: Peer, asked: Values) -> list[Values]:
    return [row async for row in peer.stream("sessions", **asked)]


async def _end(peer: Peer, asked: Values) -> int:
    try:
        answer = await peer.call("end", **asked)
    finally:
        await peer.close()
    return int(str(answer["sessions"]))


def _columns(row: Values) -> tuple[str, ...]:
    duration = timedelta(seconds=int(time.time() - float(str(row["since"]))))
    words = (row["id"], row["protocol"], row["peer"], row["account"] or "-", duration, row["tls"] or "-")
    return (*map(str, words), plain(str(row["command"]))[:_COMMAND_CHARACTERS])


def _show(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        show("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
