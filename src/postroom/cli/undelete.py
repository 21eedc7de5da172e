"""`postroom undelete`: expunged letters and deleted mailboxes, listed and brought back; the server may be up."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import click

from postroom.cli.account import at_the_office, caller, some_address
from postroom.cli.columns import count, local_time, plain, show, since, size, until, utc_time
from postroom.cli.main import Failure, config_option, read_config
from postroom.config import Config
from postroom.site.office import Office
from postroom.site.restoring import Outcome, Restoring
from postroom.site.undeleting import Found, Wish, find

_EMAIL_ID: Final = re.compile(r"[Mm][0-9a-fA-F]{32}", re.ASCII)
_FILTERS: Final = (
    click.option("--account", "account", metavar="ADDRESS", help="This account's only.", callback=some_address),
    click.option("--mailbox", metavar="NAME", help="What was in this mailbox."),
    click.option("--from", "sender", default="", metavar="TEXT", help="Letters with this in their From."),
    click.option("--subject", default="", metavar="TEXT", help="Letters with this in their Subject."),
    click.option("--since", metavar="TIME", help="What went then or later.", callback=since),
    click.option("--until", metavar="TIME", help="What went then or before.", callback=until),
    click.option("--deleted-mailboxes", "mailboxes_only", is_flag=True, help="Whole mailboxes, no single letters."),
)
_JSON = click.option("--json", "as_json", is_flag=True, help="A JSON object a line, for scripts.")


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    """The options by which `list` and `restore` choose."""
    return functools.reduce(lambda made, option: option(made), reversed(_FILTERS), command)


@click.group()
def undelete() -> None:
    """List and bring back expunged letters and deleted mailboxes.

    They stay for the time that `undelete` says in the configuration (14 days), and don't count against the quota.
    A TIME is 2026-11-20, 2026-11-20T08:30 or 3d (ago).
    """


@undelete.command("list")
@_filters
@_JSON
@config_option
def list_(as_json: bool, config_path: str, **filters: Any) -> None:
    """List what can be brought back, and what it takes to name it.

    Letters that were in a mailbox when it was deleted are listed one by one where --from or --subject asks for
    them.

    \b
    postroom undelete list --account alice@example.test --since 3d
    postroom undelete list --from bob --subject invoice
    postroom undelete list --deleted-mailboxes
    """
    config = read_config(config_path)
    wish = _wish(config, **filters)
    listing = _Listing(as_json)

    async def work(office: Office) -> None:
        async for some in find(office.store, wish):
            for each in some:
                listing.show(each)

    at_the_office(config, work)
    if not listing.shown and not as_json:
        click.echo("nothing of that can be brought back")


@undelete.command()
@_filters
@click.option("--letter", "letters", multiple=True, metavar="ID", help="The letter of this id; may be given again.")
@click.option("--mailbox-deleted", metavar="NAME", help="The deleted mailbox of this name, with its letters.")
@click.option("--into", default="", metavar="MAILBOX", help="Bring it back into this mailbox, made where need be.")
@click.option("--all", "everything", is_flag=True, help="All that `list` shows.")
@_JSON
@config_option
def restore(
    letters: tuple[str, ...],
    mailbox_deleted: str | None,
    into: str,
    everything: bool,
    as_json: bool,
    config_path: str,
    **filters: Any,
) -> None:
    """Bring back what `list` shows for the same choice.

    Letters come into the mailbox that they were in, which is made anew where it is gone, without \\Deleted. Exit
    status 1 where something could not be brought back.

    \b
    postroom undelete restore --letter M0193a5c2f0e1…
    postroom undelete restore --account alice@example.test --mailbox-deleted Work
    postroom undelete restore --account alice@example.test --since 1h --into Restored
    """
    if mailbox_deleted is not None:
        if filters["mailbox"] is not None:
            raise click.UsageError("--mailbox and --mailbox-deleted exclude each other")
        filters |= {"mailbox": mailbox_deleted, "mailboxes_only": True}
    if not (everything or letters or any(filters.values())):
        raise click.UsageError("say what is to be brought back; --all means everything that can be")
    config = read_config(config_path)
    wish = _wish(config, email_ids=tuple(map(_email_id, letters)), **filters)

    async def work(office: Office) -> list[Outcome]:
        restoring = Restoring(office.store, caller(), into)
        return [outcome async for some in find(office.store, wish) async for outcome in restoring.restore(some)]

    _tell(_summed(at_the_office(config, work)), as_json)


def _email_id(text: str) -> str:
    if not _EMAIL_ID.fullmatch(text):
        raise click.UsageError("--letter wants an id as `list` shows it: M and 32 digits")
    return "M" + text[1:].lower()


def _wish(config: Config, **filters: Any) -> Wish:
    wish = Wish(address=filters.pop("account"), **filters)
    if wish.mailboxes_only and wish.of_words:
        raise click.UsageError("letters or mailboxes: --from, --subject and --letter mean letters")
    if not config.undelete:
        click.echo("undelete is 0 in the configuration: what goes is kept for a moment only", err=True)
    return wish


class _Listing:
    """Shows what was found, line by line, with a heading for each mailbox."""

    def __init__(self, as_json: bool) -> None:
        self.shown = 0
        self._as_json = as_json
        self._heading = ""

    def show(self, found: Found) -> None:
        """One letter or mailbox."""
        self.shown += 1
        if self._as_json:
            click.echo(json.dumps(_row(found), ensure_ascii=False))
        elif found.buried is None:
            self._head("deleted mailboxes")
            gone, grave = found.grave.gone, found.grave
            assert gone is not None, "it is there"
            kept = f"{count(grave.letters, 'letter')}, {size(grave.octets)}"
            removed = "" if grave.account is not None else " (account removed)"
            show(f"  {local_time(gone)}  {plain(grave.address)}{removed}  {plain(grave.name)}  {kept}")
        else:
            gone_too = "" if found.grave.gone is None else " (deleted)"
            self._head(f"{plain(found.grave.address)}: {plain(found.grave.name)}{gone_too}")
            buried = found.buried
            show(f"  {local_time(buried.gone)}  {plain(found.sender)}  {plain(found.subject)}")
            show(f"    {buried.letter.email_id}  {size(buried.size)}")

    def _head(self, heading: str) -> None:
        if heading != self._heading:
            show(heading)
            self._heading = heading


def _row(found: Found) -> dict[str, object]:
    grave, buried = found.grave, found.buried
    row: dict[str, object] = {
        "kind": "mailbox" if buried is None else "letter",
        "account": grave.address,
        "account_removed": grave.account is None,
        "mailbox": grave.name,
        "mailbox_deleted": grave.gone is not None,
    }
    if buried is None:
        assert grave.gone is not None, "it is there"
        return row | {"gone": utc_time(grave.gone), "letters": grave.letters, "octets": grave.octets}
    return row | {
        "gone": utc_time(buried.gone),
        "letter": buried.letter.email_id,
        "uid": buried.letter.uid,
        "octets": buried.size,
        "from": found.sender,
        "subject": found.subject,
    }


def _summed(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Those of one kind in one mailbox as one."""
    sums: dict[Outcome, int] = {}
    for each in outcomes:
        key = Outcome(each.address, each.mailbox, 0, each.reason, each.whole)
        sums[key] = sums.get(key, 0) + each.letters
    return [Outcome(key.address, key.mailbox, letters, key.reason, key.whole) for key, letters in sums.items()]


def _tell(outcomes: list[Outcome], as_json: bool) -> None:
    """What came of it. Raises `Failure` where something could not be brought back, or nothing was there."""
    failed = 0
    for each in outcomes:
        failed += 1 if each.reason else 0
        where = f"{plain(each.address)} {plain(each.mailbox)}"
        if as_json:
            row = {"account": each.address, "mailbox": each.mailbox, "letters": each.letters, "whole": each.whole}
            click.echo(json.dumps(row | {"failed": each.reason or None}, ensure_ascii=False))
        elif each.reason:
            click.echo(f"{where}: {count(each.letters, 'letter')} not brought back: {each.reason}", err=True)
        else:
            mailbox = "the mailbox and " if each.whole else ""
            click.echo(f"{where}: {mailbox}{count(each.letters, 'letter')} brought back")
    if not outcomes:
        raise Failure("nothing of that can be brought back")
    if failed:
        raise Failure("not everything was brought back")
