"""`postroom check-config` and `postroom fsck`: look, say what is wrong, change nothing."""

from __future__ import annotations

import json

import apsw
import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from postroom.cli.main import Failure, config_option, read_config
from postroom.config import ConfigError
from postroom.site.prepare import check_engines, check_pairs
from postroom.site.services import SERVED
from postroom.store.check import Finding, Severity, check
from postroom.store.index import NewerSchema, OlderSchema


@click.command("check-config")
@config_option
def check_config(config_path: str) -> None:
    """Read the configuration and say what is wrong with it.

    Exit status 2 and one line that names the key where something is; else 0 and what will be served.
    """
    config = read_config(config_path)
    try:
        check_engines(config)
        check_pairs(config)
    except ConfigError as e:
        raise click.UsageError(f"{config_path}: {e}") from None
    for protocol in SERVED:
        for at in getattr(config.listen, protocol):
            click.echo(f"{protocol} at {at}")
    for key in config.unused:
        click.echo(f"{key}: this version does not act on it", err=True)
    click.echo(f"{config_path} is right")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@config_option
def fsck(as_json: bool, config_path: str) -> None:
    """Check every letter, row and counter of the store; changes nothing.

    Runs beside a live server. Exit status 0 where all is well, 1 where something is wrong.
    """
    config = read_config(config_path)
    if not (config.root / "index.db").exists():
        raise Failure(f"{config.root}: there is no store yet; `postroom serve` makes one")
    console = Console(stderr=True)
    columns = (TextColumn("checking letters"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("", total=None)

            def show(done: int, total: int) -> None:
                progress.update(bar, completed=done, total=total)

            findings = list(check(config.root, show))
    except (NewerSchema, OlderSchema) as e:
        raise Failure(str(e)) from None
    except (OSError, apsw.Error) as e:
        raise Failure(f"{config.root}: {e}") from None
    _tell(findings, as_json)
    problems = sum(one.severity is Severity.PROBLEM for one in findings)
    if problems:
        raise Failure(f"{problems} problem{'s' if problems > 1 else ''} found; nothing was changed")


def _tell(findings: list[Finding], as_json: bool) -> None:
    if as_json:
        rows = [{"severity": one.severity.name.lower(), "what": one.what} for one in findings]
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for one in findings:
        click.echo(f"{one.severity.name.lower()}: {one.what}")
    if not any(one.severity is Severity.PROBLEM for one in findings):
        click.echo("the store is sound")
