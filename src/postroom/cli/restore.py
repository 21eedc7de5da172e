"""`postroom restore`: a site out of a backup, or letters out of it into the site that is there."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Final

import click

from postroom.cli.account import at_the_office, caller, some_address
from postroom.cli.backup import failing_in_one_line, shown
from postroom.cli.columns import count, local_time, moment, plain, show, size
from postroom.cli.main import Failure, config_option, read_config
from postroom.config import Config, ConfigError
from postroom.site.lock import ServerRuns
from postroom.site.office import Office
from postroom.site.places import Places
from postroom.site.restore import Return, choose, restore_site
from postroom.store.backup.folder import BackupFolder, SnapshotFolder
from postroom.store.restore.letters import Brought, Wanted, bring_letters

_EMAIL_ID: Final = re.compile(r"[Mm][0-9a-fA-F]{32}", re.ASCII)
_NAME: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z(-[0-9]+)?", re.ASCII)


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--snapshot", "wanted", metavar="TIME", help="This one, or the newest of then. [default: the newest]")
@click.option("--list", "only_list", is_flag=True, help="Say which snapshots there are, and change nothing.")
@click.option(
    "--account", metavar="ADDRESS", help="Only this account's letters, beside others.", callback=some_address
)
@click.option("--mailbox", metavar="NAME", help="Only those of this mailbox.")
@click.option("--letter", metavar="ID", help="Only this letter (M and 32 digits).")
@click.option("--into", default="", metavar="MAILBOX", help="Into this mailbox, made where need be.")
@click.option("--again", is_flag=True, help="Also letters that are still there.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@config_option
def restore(
    directory: Path,
    wanted: str | None,
    only_list: bool,
    account: str | None,
    mailbox: str | None,
    letter: str | None,
    into: str,
    again: bool,
    as_json: bool,
    config_path: str,
) -> None:
    """Bring back what `postroom backup` has put into DIR.

    Without --account: the whole site, into an empty data directory, with the server down; the configuration comes
    back too where --config names no file. Mailboxes get new UIDVALIDITYs, and the outgoing queue is on hold: else
    letters would be sent again.

    With --account: letters, into the site that is there, the server up or down. Those that are still there are left
    alone.

    \b
    postroom restore /mnt/backup/postroom --list
    postroom restore /mnt/backup/postroom --config /etc/postroom.toml
    postroom restore /mnt/backup/postroom --account alice@example.test --mailbox Work --snapshot 2026-11-20
    """
    if account is None and (mailbox is not None or letter is not None or into or again):
        raise click.UsageError("--mailbox, --letter, --into and --again go with --account")
    named = wanted if wanted is not None and _NAME.fullmatch(wanted) else None
    until = moment(wanted, end=True) if wanted is not None and named is None else None
    with failing_in_one_line(directory):
        folder = BackupFolder(directory)
        with folder.held(writing=False):
            if only_list:
                _list(folder, as_json)
                return
            snapshot = choose(folder, named, until)
            if account is None:
                _tell_site(snapshot, _restore_site(folder, snapshot, config_path), as_json)
                return
            chosen = Wanted(account, mailbox, _email_id(letter), into, again)
            brought = _bring(read_config(config_path), folder, snapshot, chosen)
    _tell_letters(account, brought, as_json)


def _email_id(text: str | None) -> str | None:
    if text is not None and not _EMAIL_ID.fullmatch(text):
        raise click.UsageError("--letter wants a letter's id: M and 32 digits")
    return None if text is None else "M" + text[1:].lower()


def _list(folder: BackupFolder, as_json: bool) -> None:
    finished = folder.finished()
    if as_json:
        rows = [
            {
                "snapshot": each.name,
                "time": each.manifest.time,
                "accounts": each.manifest.accounts,
                "letters": each.manifest.letters,
                "octets": each.manifest.octets,
            }
            for each in finished
        ]
        click.echo(json.dumps(rows, indent=1))
        return
    for each in finished:
        manifest = each.manifest
        kept = (
            f"{count(manifest.letters, 'letter')} of {count(manifest.accounts, 'account')}, {size(manifest.octets)}"
        )
        show(f"{each.name}  {local_time(manifest.time)}  {kept}")
    if not finished:
        click.echo("there is no whole snapshot")


def _restore_site(folder: BackupFolder, snapshot: SnapshotFolder, config_path: str) -> Return:
    with shown() as progress:
        try:
            return restore_site(folder, snapshot, Path(config_path), int(time.time()), progress)
        except ConfigError as e:
            raise click.UsageError(f"{config_path}: {e}") from None
        except ServerRuns as e:
            raise Failure(str(e)) from None


def _tell_site(snapshot: SnapshotFolder, back: Return, as_json: bool) -> None:
    restored = back.restored
    if as_json:
        row: dict[str, object] = {
            "snapshot": snapshot.name,
            "data": str(back.data),
            "accounts": restored.accounts,
            "letters": restored.letters,
            "files": [str(path) for path in back.files],
            "left": restored.left,
            "wrong": restored.wrong,
        }
        click.echo(json.dumps(row, indent=1))
    else:
        for line in (*restored.left, *restored.wrong):
            click.echo(plain(line), err=True)
        for path in back.files:
            click.echo(f"{path} is back")
        click.echo(
            f"{back.data} is the site of {snapshot.name}: {count(restored.letters, 'letter')} of "
            f"{count(restored.accounts, 'account')}; mailboxes have new UIDVALIDITYs, the outgoing queue is on hold"
        )
    if restored.wrong:
        raise Failure(f"{count(len(restored.wrong), 'thing')} is damaged; all else is back")


def _bring(config: Config, folder: BackupFolder, snapshot: SnapshotFolder, wanted: Wanted) -> list[Brought]:
    async def work(office: Office) -> list[Brought]:
        scratch = Places(config.root).run
        bringing = bring_letters(office.store, folder, snapshot, wanted, caller(), scratch)
        return [each async for each in bringing]

    return at_the_office(config, work)


def _tell_letters(account: str, brought: list[Brought], as_json: bool) -> None:
    """What came of it. Raises `Failure` where not everything came back."""
    for each in brought:
        if as_json:
            row = {
                "account": account,
                "mailbox": each.mailbox,
                "letters": each.letters,
                "there": each.there,
                "damaged": each.damaged,
                "refused": each.refused,
                "reason": each.reason or None,
            }
            click.echo(json.dumps(row, ensure_ascii=False))
            continue
        where = f"{plain(account)} {plain(each.mailbox)}"
        there = f", {each.there} still there" if each.there else ""
        click.echo(f"{where}: {count(each.letters, 'letter')} brought back{there}")
        if each.damaged:
            click.echo(f"{where}: {count(each.damaged, 'letter')} damaged in the backup", err=True)
        if each.refused:
            click.echo(f"{where}: {count(each.refused, 'letter')} not brought back: {each.reason}", err=True)
    if any(each.damaged or each.refused for each in brought):
        raise Failure("not everything was brought back")
