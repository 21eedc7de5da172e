"""`postroom backup`: a snapshot of the whole site in a directory, the server up or down."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw
import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from postroom.cli.columns import count, plain, size
from postroom.cli.main import Failure, config_option, read_config
from postroom.net.limits import BACKUPS_KEPT
from postroom.site import backup as site
from postroom.store.backup.folder import BackupFailed
from postroom.store.backup.manifest import BadManifest
from postroom.store.backup.whole import Done
from postroom.store.index import NewerSchema, OlderSchema
from postroom.store.interface import StoreFault

__all__ = ["backup", "failing_in_one_line", "shown"]

NICE: Final = 10


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--keep",
    default=BACKUPS_KEPT,
    show_default=True,
    type=click.IntRange(min=1),
    help="So many snapshots; older ones go.",
)
@click.option("--verify-all", is_flag=True, help="Read everything in DIR, not only what is new.")
@click.option("--fast", is_flag=True, help="Never rest, though a running server's clients may have to wait.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@config_option
def backup(directory: Path, keep: int, verify_all: bool, fast: bool, as_json: bool, config_path: str) -> None:
    """Copy index, letters, secrets, configuration, keys and accounts' files to DIR, beside a running server.

    The next time into the same DIR only what is new is copied. All of it is read back and verified before it
    counts; a run that is cut short leaves the earlier snapshots as they were. Beside a running server it rests more
    than it works. DIR is as secret as the site itself.

    \b
    postroom backup /mnt/backup/postroom
    postroom restore /mnt/backup/postroom --list
    """
    config = read_config(config_path)
    if not (config.root / "index.db").exists():
        raise Failure(f"{config.root}: there is no store yet; `postroom serve` makes one")
    # The server is to have the processor first.
    os.nice(NICE)
    with failing_in_one_line(directory), shown() as show:
        done = site.run(config, directory, keep, verify_all, fast, show)
    _tell(done, as_json)
    if done.verified:
        what = f"{count(len(done.verified), 'thing')} in {directory} not as written"
        raise Failure(f"{what}: take what is named away, and back up again")
    if done.damaged or done.missed:
        raise Failure("the backup is whole, but not everything in the store is: `postroom fsck` tells more")


@contextmanager
def failing_in_one_line(directory: Path) -> Iterator[None]:
    """What keeps a backup from being made or read becomes one line."""
    try:
        yield
    except (BackupFailed, BadManifest, NewerSchema, OlderSchema, StoreFault) as e:
        raise Failure(str(e)) from None
    except OSError as e:
        raise Failure(f"{e.filename or directory}: {e.strerror or e}") from None
    except apsw.Error as e:
        raise Failure(f"{directory}: {e}") from None


@contextmanager
def shown() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for what is being done, on a terminal only."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            progress.update(bar, description=what, completed=done, total=total)

        yield show


def _tell(done: Done, as_json: bool) -> None:
    manifest = done.snapshot.manifest
    if as_json:
        row: dict[str, object] = {
            "snapshot": done.snapshot.name,
            "accounts": manifest.accounts,
            "letters": manifest.letters,
            "octets": manifest.octets,
            "copied": done.copied,
            "removed_snapshots": done.removed,
            "damaged": done.damaged,
            "missed": done.missed,
            "verify_all": done.verified,
        }
        click.echo(json.dumps(row, indent=1))
        return
    for line in (*done.damaged, *done.missed, *(done.verified or ())):
        click.echo(plain(line), err=True)
    kept = f"{count(manifest.letters, 'letter')} of {count(manifest.accounts, 'account')}"
    removed = f", {count(done.removed, 'older snapshot')} removed" if done.removed else ""
    click.echo(f"snapshot {done.snapshot.name}: {kept}, {size(done.copied)} copied and verified{removed}")
    if done.verified == ():
        click.echo("everything in the backup is as it was written")
