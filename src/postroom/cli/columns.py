"""How times, sizes and strangers' words are read and shown on the command line."""

from __future__ import annotations

import re
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import click
from rich.cells import cell_len, set_cell_size

from postroom.config import read_duration

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_UNITS: Final = ("octets", "KiB", "MiB", "GiB", "TiB")


def moment(text: str, *, end: bool = False) -> int:
    """A time in seconds since 1970 UTC: "3d" ago, a date (its first second; with `end` the first behind it), or ISO
    8601, which is local time where it doesn't say. Raises `click.BadParameter`."""
    try:
        if text[-1:] in ("s", "m", "h", "d", "w"):
            return int(time.time()) - read_duration(text)
        read = datetime.fromisoformat(text)
        if end and _DATE.fullmatch(text):
            read += timedelta(days=1)
        return int(read.timestamp())
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(f'{text!r} is no time: "2026-11-20", "2026-11-20T08:30" or "3d" (ago)') from None


def since(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """For an option that names the first moment."""
    return None if value is None else moment(value)


def until(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """For an option that names the last moment, or day."""
    return None if value is None else moment(value, end=True)


def local_time(seconds: int) -> str:
    """For people: to the second, in this machine's zone.

    >>> local_time(0)[4:5]
    '-'
    """
    return datetime.fromtimestamp(seconds).isoformat(" ")


def utc_time(seconds: int) -> str:
    """For scripts.

    >>> utc_time(1_700_000_000)
    '2023-11-14T22:13:20+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def size(octets: int) -> str:
    """A size for people.

    >>> size(999), size(1536), size(50 * 2**20)
    ('999 octets', '1.5 KiB', '50.0 MiB')
    """
    amount, unit = float(octets), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{octets} octets" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def count(number: int, what: str) -> str:
    """A number of things.

    >>> count(1, "letter"), count(0, "letter")
    ('1 letter', '0 letters')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def plain(text: str) -> str:
    """A stranger's words on one line: what isn't printable (controls, marks that turn a line round) is replaced.

    >>> plain("a\\x1b[2J\\nb")
    'a?[2J?b'
    """
    return text if text.isprintable() else "".join([each if each.isprintable() else "?" for each in text])


def show(line: str) -> None:
    """Write a line, cut to the terminal's width where there is a terminal."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        if cell_len(line) > width:
            line = set_cell_size(line, width - 1).rstrip() + "…"
    click.echo(line)
