"""`postroom fsck`: look at all of the store, repair it, or make its index anew."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator

import apsw
import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from postroom.accounts.secrets import known_addresses
from postroom.cli.main import Failure, config_option, read_config
from postroom.config import Config
from postroom.site.lock import ServerLock, ServerRuns
from postroom.site.places import Places
from postroom.store.check.whole import Finding, Severity, check
from postroom.store.compaction.files import compaction_lock
from postroom.store.index import NewerSchema, OlderSchema
from postroom.store.interface import StoreFault
from postroom.store.lock import WriteLock
from postroom.store.rebuild.whole import RebuildFailed, rebuild
from postroom.store.repair.whole import repair

Show = Callable[[int, int], None]
_REBUILD = "`postroom fsck --rebuild-index` makes a new index from the segments"


@click.command()
@click.option("--repair", "repairing", is_flag=True, help="Make right what can be. The server must be down.")
@click.option(
    "--rebuild-index",
    "rebuilding",
    is_flag=True,
    help="Make the index anew from the segments, when it is lost or damaged. The server must be down.",
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@config_option
def fsck(repairing: bool, rebuilding: bool, as_json: bool, config_path: str) -> None:
    """Check every letter, row and counter of the store.

    Without an option nothing is changed, and it runs beside a live server. What is repaired or made anew is put
    aside in data/snapshots first, and everything is checked once more afterwards.

    Exit status 0 where all is well, 1 where something is wrong or left to be done.
    """
    config = read_config(config_path)
    if repairing and rebuilding:
        raise click.UsageError("--repair and --rebuild-index exclude each other")
    if not rebuilding and not (config.root / "index.db").exists():
        if any((config.root / "segments").glob("*.seg")):
            raise Failure(f"{config.root}: the index is lost; {_REBUILD}")
        raise Failure(f"{config.root}: there is no store yet; `postroom serve` makes one")
    try:
        told = _rebuild(config) if rebuilding else _repair(config) if repairing else []
        left = _check(config)
    except (NewerSchema, OlderSchema, StoreFault, ServerRuns, RebuildFailed) as e:
        raise Failure(str(e)) from None
    except (apsw.NotADBError, apsw.CorruptError) as e:
        raise Failure(f"{config.root}: {e}; {_REBUILD}") from None
    except (OSError, apsw.Error) as e:
        raise Failure(f"{config.root}: {e}") from None
    # What couldn't be repaired and is found again is told with what to do about it.
    _tell([*told, *left], as_json)
    problems = sum(one.severity is Severity.PROBLEM for one in left)
    if problems:
        changed = "left" if repairing or rebuilding else "found; nothing was changed"
        raise Failure(f"{problems} problem{'s' if problems > 1 else ''} {changed}")


def _check(config: Config) -> list[Finding]:
    with _bar("checking letters") as show:
        return list(check(config.root, show))


def _repair(config: Config) -> list[Finding]:
    """What was repaired and what can't be; nothing is touched where nothing is wrong."""
    with _alone(config):
        return _mend(config)


def _mend(config: Config) -> list[Finding]:
    if not any(one.severity is Severity.PROBLEM for one in _check(config)):
        return []
    return list(repair(config.root, int(time.time()), config.hostname))


def _rebuild(config: Config) -> list[Finding]:
    with _alone(config):
        known = known_addresses(config.root)
        with _bar("reading and filing letters") as show:
            told = rebuild(config.root, int(time.time()), config.hostname, known, show)
        # What is wrong with the segments themselves.
        return told + _mend(config)


@contextlib.contextmanager
def _alone(config: Config) -> Iterator[None]:
    """No server, no compaction and no other command changes the store meanwhile. Raises `ServerRuns`, `StoreFault`,
    OSError."""
    places = Places(config.root)
    places.make()
    with (
        ServerLock(places),
        compaction_lock(config.root) as free,
        contextlib.closing(WriteLock(config.root)) as lock,
    ):
        if not free:
            raise StoreFault("a compaction is under way; try again when it is done")
        lock.wait()
        yield


@contextlib.contextmanager
def _bar(what: str) -> Iterator[Show]:
    """A bar over octets, on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)

        def show(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        yield show


def _tell(findings: list[Finding], as_json: bool) -> None:
    if as_json:
        rows = [{"severity": one.severity.value, "what": one.what} for one in findings]
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for one in findings:
        click.echo(f"{one.severity.value}: {one.what}")
    if not any(one.severity is Severity.PROBLEM for one in findings):
        click.echo("the store is sound")
