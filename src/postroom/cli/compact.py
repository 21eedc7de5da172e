"""`postroom compact`: give the disk back now what expunged letters took, with the server up or down."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict, replace

import apsw
import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from postroom.cli.main import Failure, config_option, read_config
from postroom.config import Config
from postroom.net.limits import UNLINK_GRACE_SECONDS
from postroom.site.fence import become
from postroom.site.lock import server_runs
from postroom.site.places import Places
from postroom.site.runner import compaction_rules, kept
from postroom.store.changes import Swept
from postroom.store.compaction.compactor import CompactionRuns, Compactor, Outcome
from postroom.store.compaction.compactor import Progress as Told
from postroom.store.compaction.sweeping import Sweeper
from postroom.store.index import NewerSchema, OlderSchema
from postroom.store.interface import StoreFault
from postroom.store.sqlite import open_store


@click.command()
@click.option("--all", "everything", is_flag=True, help="Every segment with anything dead in it.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@config_option
def compact(everything: bool, as_json: bool, config_path: str) -> None:
    """Give the disk back what letters took that are past their time to be brought back.

    Forgets them first, and then copies what is left of the segments that hold much that nobody needs. Works beside
    a server, at full speed; the server does the same by itself, at the rate of [compaction].
    """
    config = read_config(config_path)
    if not (config.root / "index.db").exists():
        raise Failure(f"{config.root}: there is no store yet; `postroom serve` makes one")
    console = Console(stderr=True)
    columns = (TextColumn("copying letters"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("", total=None)

            def show(done: int, total: int) -> None:
                progress.update(bar, completed=done, total=total)

            swept, done = asyncio.run(_compact(config, everything, show))
    except (NewerSchema, OlderSchema, CompactionRuns) as e:
        raise Failure(str(e)) from None
    except (OSError, apsw.Error, StoreFault) as e:
        raise Failure(f"{config.root}: {e}") from None
    _tell(swept, done, as_json)
    if done.damaged:
        raise Failure(f"{_count(done.damaged, 'damaged segment')} left alone; `postroom fsck` tells more")


async def _compact(config: Config, everything: bool, show: Told) -> tuple[Swept, Outcome]:
    # Without a server nobody can have read a place and not yet its letter.
    beside = server_runs(Places(config.root))
    grace = UNLINK_GRACE_SECONDS if beside else 0
    if beside:
        become(config)  # or its roles could not read the segments
    rules = replace(compaction_rules(config), rate=0, everything=everything, grace=grace)
    store = await open_store(config.root, name=f"cli-{os.getpid()}")
    try:
        with (
            Sweeper(config.root, store, config.undelete, kept(config)) as sweeper,
            Compactor(config.root, store, rules) as compactor,
        ):
            return await sweeper.run(thorough=True), await compactor.run(show)
    finally:
        await store.close()


def _tell(swept: Swept, done: Outcome, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"forgotten": asdict(swept), "compacted": asdict(done)}, indent=1))
        return
    click.echo(
        f"{_count(swept.letters, 'letter')} forgotten, {_count(done.segments, 'segment')} compacted: "
        f"{decimal(done.won)} won, {_count(done.unlinked, 'file')} removed"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
