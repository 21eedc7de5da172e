"""`postroom story`: what happened to one letter."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Final

import click

from postroom.cli.account import at_the_office, some_address
from postroom.cli.columns import local_time, plain, show, utc_time
from postroom.cli.main import Failure, config_option, read_config
from postroom.intake.notes import id_word
from postroom.message.hashes import first_id
from postroom.net.limits import REFUSALS_KEPT, STORIES_PER_LOOK
from postroom.site.office import Office
from postroom.store.graves import Known, Lying, Sought, SoughtByHeader, SoughtById, SoughtByWord
from postroom.store.interface import Store
from postroom.store.values import Happening, MessageId

_EMAIL_ID: Final = re.compile(r"[Mm][0-9a-fA-F]{32}", re.ASCII)
_LOG_ID: Final = re.compile(r"[0-9A-Za-z.-]{1,64}", re.ASCII)


@click.command()
@click.argument("letter", metavar="LETTER-ID", required=False)
@click.option("--message-id", metavar="ID", help="The letters with this Message-ID, with or without <>.")
@click.option("--account", metavar="ADDRESS", help="Of those that this account has or had.", callback=some_address)
@click.option(
    "--refused", is_flag=True, help="What was refused instead; LETTER-ID is any word that its record has."
)
@click.option("-n", "count", default=20, show_default=True, type=click.IntRange(1, REFUSALS_KEPT), help="So many.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a letter, for scripts.")
@config_option
def story(
    letter: str | None,
    message_id: str | None,
    account: str | None,
    refused: bool,
    count: int,
    as_json: bool,
    config_path: str,
) -> None:
    """Tell what happened to a letter: its arrival, flags, copies, moves, its end, and whose session did it.

    LETTER-ID is the letter's EMAILID (M and 32 digits, as `undelete list` and IMAP show it) or the id that SMTP's
    250 gave to its sender, which also stands in the log. Expunged letters are told of while they are kept.

    \b
    postroom story a7k2x9.1
    postroom story --message-id '<4711@example.test>' --account alice@example.test
    postroom story --refused stranger@elsewhere.test
    """
    if refused:
        if message_id is not None:
            raise click.UsageError("a refused letter left no Message-ID: give a word of its record")
        _tell_refused(config_path, letter or account or "", count, as_json)
        return
    if (letter is None) == (message_id is None):
        raise click.UsageError("a LETTER-ID is wanted, or --message-id")
    sought = _sought_id(letter) if letter is not None else _sought_header(message_id or "")

    async def work(office: Office) -> int:
        told = 0
        async for known in _all(office.store, sought):
            if account is None or any(each.address == account for each in known.entries):
                told += 1
                _tell(known, await office.store.story(known.message), as_json)
        return told

    if not at_the_office(read_config(config_path), work):
        raise Failure("no such letter is kept")


def _tell_refused(config_path: str, word: str, count: int, as_json: bool) -> None:
    """The newest first."""

    async def work(office: Office) -> int:
        found = await office.store.refused(word, count)
        for each in found:
            if as_json:
                row = {**asdict(each), "time": utc_time(each.time)}
                click.echo(json.dumps(row, ensure_ascii=False))
            else:
                login = f" ({each.login})" if each.login else ""
                who = plain(f"{each.peer}{login} {each.sender} -> {each.recipient or '(all)'}")
                show(f"{local_time(each.time)}  {plain(each.session)}  {who}  {each.judge}: {plain(each.reply)}")
        return len(found)

    if not at_the_office(read_config(config_path), work) and not as_json:
        raise Failure("nothing of that was refused, as far as is remembered")


def _sought_id(letter: str) -> Sought:
    if letter.startswith("<"):
        return _sought_header(letter)
    if _EMAIL_ID.fullmatch(letter):
        return SoughtById("M" + letter[1:].lower())
    if not _LOG_ID.fullmatch(letter):
        raise click.UsageError("that is no letter's id")
    return SoughtByWord(f" {id_word(letter)} ")


def _sought_header(message_id: str) -> Sought:
    found = first_id(f"<{message_id.strip().removeprefix('<').removesuffix('>')}>".encode())
    if found is None:
        raise click.UsageError("that is no Message-ID")
    return SoughtByHeader(found)


async def _all(store: Store, sought: Sought) -> AsyncIterator[Known]:
    after: MessageId | None = MessageId(0)
    while after is not None:
        some, after = await store.known(sought, after, STORIES_PER_LOOK)
        for known in some:
            yield known


def _tell(known: Known, happened: list[Happening], as_json: bool) -> None:
    if as_json:
        row = {
            "letter": known.email_id,
            "entries": [_as_row(each) for each in known.entries],
            "story": [
                {"at": utc_time(each.at), "what": each.what, "by": each.by, "detail": each.detail}
                for each in happened
            ],
        }
        click.echo(json.dumps(row, ensure_ascii=False))
        return
    show(known.email_id)
    for entry in known.entries:
        end = "" if entry.gone is None else f" until {local_time(entry.gone)} ({entry.left})"
        show(f"  in {plain(entry.address)}: {plain(entry.name)}, UID {entry.uid}{end}")
    for each in happened:
        show(f"  {local_time(each.at)}  {each.what}  {each.by}  {plain(each.detail)}")
    if not happened:
        show("  nothing is known of it: it came before stories were kept")


def _as_row(entry: Lying) -> dict[str, object]:
    return {
        "account": entry.address,
        "mailbox": entry.name,
        "uid": entry.uid,
        "gone": None if entry.gone is None else utc_time(entry.gone),
        "left": entry.left or None,
    }
