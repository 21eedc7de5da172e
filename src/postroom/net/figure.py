"""A conversation drawn as textbooks do: the client left, the server right, the time between. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from postroom.net.conversation import Kind, Record, Row, Who
from postroom.net.log import printable

_MIDDLE: Final = 16
_LEAST_COLUMN: Final = 12


def two_columns(record: Record, width: int) -> str:
    """The figure, lines ended by LF, at most `width` characters wide (40 at least); whatever the peers sent, only
    printable characters come out."""
    column = max((width - _MIDDLE) // 2, _LEAST_COLUMN)
    lines = [_heading(record)]
    for row in record.rows:
        if row.who is Who.NOBODY:
            lines.append(f"({_text(row)[0]})".center(2 * column + _MIDDLE).rstrip())
            continue
        client = row.who is Who.CLIENT
        arrow = f" ── {row.at:8.3f} ─▶ " if client else f" ◀─ {row.at:8.3f} ── "
        for number, line in enumerate(_wrapped(row, column)):
            middle = arrow if number == 0 else " " * _MIDDLE
            lines.append((f"{line:<{column}}{middle}" if client else f"{'':{column}}{middle}{line}").rstrip())
    return "\n".join(lines) + "\n"


def _heading(record: Record) -> str:
    words = [record.id, record.protocol, f"from {record.peer}" if record.peer else "", record.account]
    return "  ".join(printable(word.encode("utf-8", "surrogateescape")) for word in words if word)


def _wrapped(row: Row, column: int) -> Iterator[str]:
    for text in _text(row):
        yield from textwrap.wrap(text, column, subsequent_indent="  ") or [""]


def _text(row: Row) -> list[str]:
    """A row's lines as shown, controls neutralised."""
    match row.kind:
        case Kind.SECRET:
            return [f"[secret: {row.octets} octets]"]
        case Kind.BODY:
            return [f"[{row.octets:,} octets]"]
        case _:
            pass
    lines = [printable(line.removesuffix(b"\r")) for line in row.data.removesuffix(b"\n").split(b"\n")]
    if row.octets > len(row.data):
        lines.append(f"[{row.octets - len(row.data):,} octets more]")
    return lines
