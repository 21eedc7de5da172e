"""`postroom trace`: conversations of the running server, drawn as a textbook's figure."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncGenerator

import click

from postroom.cli.main import Failure, config_option, read_config
from postroom.net.conversation import Record
from postroom.net.figure import two_columns
from postroom.net.ipc import Json, Peer, Unreachable
from postroom.site.places import Places
from postroom.site.served import SERVED

_LEAST_WIDTH = 60


@click.command()
@click.option("--follow", is_flag=True, help="Go on with what is said from now on, until Ctrl-C.")
@click.option("--protocol", type=click.Choice(list(SERVED)), help="Conversations of this listener only.")
@click.option("--session", help="One conversation, by its id: it stands at the head of each, and in the log.")
@click.option("--last", default=10, show_default=True, help="So many conversations, the newest last.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, for scripts.")
@config_option
def trace(
    follow: bool, protocol: str | None, session: str | None, last: int, as_json: bool, config_path: str
) -> None:
    """Show conversations: client left, server right, the time between.

    Passwords are masked and letters shown as a count of octets before anything is kept.

    \b
    postroom trace --protocol smtp --last 1       the newest delivery
    postroom trace --follow                       everything as it happens
    """
    peers = [Peer(path) for path in Places(read_config(config_path).root).controls()]
    if not peers:
        raise Failure("no server runs here (--config names another site)")
    asked: dict[str, Json] = {"protocol": protocol, "session": session}
    show = _as_json if as_json else _as_figure
    try:
        if follow:
            asyncio.run(_follow(peers, asked, as_json))
            return
        records = asyncio.run(_conversations(peers, asked))
    except Unreachable:
        raise Failure("the server does not answer: see its log") from None
    if session and not records:
        raise Failure(f"{session}: no such conversation is kept")
    for record in records[-last:] if last > 0 else []:
        show(record)


async def _conversations(peers: list[Peer], asked: dict[str, Json]) -> list[Record]:
    found: list[Record] = []
    for peer in peers:
        async for row in peer.stream("conversations", **asked):
            found.append(Record.from_json(row))
    return sorted(found, key=lambda record: record.began)


async def _follow(peers: list[Peer], asked: dict[str, Json], as_json: bool) -> None:
    shown = ""

    async def one(peer: Peer) -> None:
        nonlocal shown
        rows: AsyncGenerator[dict[str, Json], None] = peer.stream("follow", **asked)
        async with contextlib.aclosing(rows):
            async for row in rows:
                record = Record.from_json(row)
                if as_json:
                    _as_json(record)
                    continue
                heading, _, figure = two_columns(record, _width()).partition("\n")
                click.echo(figure.rstrip("\n") if record.id == shown else f"\n{heading}\n{figure}".rstrip("\n"))
                shown = record.id

    await asyncio.gather(*(one(peer) for peer in peers))


def _width() -> int:
    return max(shutil.get_terminal_size().columns, _LEAST_WIDTH)


def _as_figure(record: Record) -> None:
    click.echo(two_columns(record, _width()))


def _as_json(record: Record) -> None:
    click.echo(json.dumps(record.to_json(), ensure_ascii=False))
