"""`postroom upgrade`: the store's form by hand, forwards and back; the server is down."""

from __future__ import annotations

import logging

import apsw
import click

from postroom.accounts.secrets import SecretsFault
from postroom.cli.main import Failure, config_option, read_config
from postroom.config import Config, ConfigError
from postroom.site.lock import ServerRuns
from postroom.site.upgrade import go_back, pending, upgrade_site
from postroom.store.index import NewerSchema, OlderSchema
from postroom.store.interface import StoreFault


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Only say what there is to do.")
@click.option("--undo", is_flag=True, help="Go back to what was before the last upgrade, with what came since.")
@config_option
def upgrade(only_check: bool, undo: bool, config_path: str) -> None:
    """Bring the store to this version's form, as `serve` does by itself.

    What was there before is kept under data/snapshots. With --undo index, secrets and configuration are again as
    the version before wants them; letters, flags and passwords that came since stay. Then start that version.
    """
    if only_check and undo:
        raise click.UsageError("--check and --undo exclude each other")
    config = read_config(config_path)
    try:
        _go_back(config) if undo else _upgrade(config, only_check)
    except ConfigError as e:
        raise click.UsageError(f"{config_path}: {e}") from None
    except (ServerRuns, NewerSchema, OlderSchema, StoreFault, SecretsFault) as e:
        raise Failure(str(e)) from None
    except (OSError, apsw.Error) as e:
        raise Failure(f"{config.root}: {e}") from None


def _upgrade(config: Config, only_check: bool) -> None:
    have, want = pending(config)
    if have > want:
        raise NewerSchema(f"the index has schema {have}, this Postroom knows up to {want}: use a newer Postroom")
    if only_check:
        click.echo(f"schema {have}: nothing to do" if have == want else f"schema {have} will be {want}")
        return
    # What is logged is said here.
    logging.getLogger("postroom.site").addHandler(logging.NullHandler())
    done = upgrade_site(config)
    if done is None:
        click.echo(f"schema {have}: nothing to do")
        return
    click.echo(f"schema {done.before} is {done.after} now; what was before is in {done.snapshot}")
    click.echo("`postroom upgrade --undo` goes back")


def _go_back(config: Config) -> None:
    done = go_back(config)
    click.echo(f"schema {done.before} is {done.after} again, with all that came since")
    click.echo(f"the newer index is in {done.aside}")
    if done.config is not None:
        click.echo(f"{done.config} is as it was then; what it was until now is {done.newer_config}")
    click.echo("start the older Postroom now: this one would upgrade again")
