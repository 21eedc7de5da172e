"""A letter's header as a filter sees and changes it: fields in order, what isn't touched kept as it is. Pure.

Values travel without their line end and with folds as LF; in the letter lines end in CRLF. What a filter writes is
made fit for a header: it can't end it, nor begin a field of another name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from postroom.net.limits import HEADER_FIELDS

_FIELD: Final = re.compile(rb"[^\n]*\n(?:[ \t][^\n]*(?:\n|\Z))*|[^\n]+\Z")
_NAME: Final = re.compile(rb"([!-9;-~]+)[ \t]*:")
_LOOSE_END: Final = re.compile(rb"\n+(?![ \t\n])")
_CLOSINGS: Final = (b"\r\n", b"\n")


@dataclass(frozen=True, slots=True)
class Field:
    """`raw`: the field as it stands in the letter, with its line ends; `name` is empty for a line that is none."""

    name: bytes
    raw: bytes

    def value(self, *, leading_space: bool) -> bytes:
        """What stands behind the colon; the space there only where it is wanted."""
        value = self.raw.partition(b":")[2].replace(b"\r\n", b"\n").removesuffix(b"\n")
        return value if leading_space else value.lstrip(b" \t")


def make_field(name: bytes, value: bytes, *, leading_space: bool) -> Field:
    """A field of a filter's making."""
    text = value.replace(b"\r\n", b"\n").replace(b"\r", b"").rstrip(b"\n")
    text = _LOOSE_END.sub(b"\n\t", text).replace(b"\n", b"\r\n")
    return Field(name, b"%b:%b%b\r\n" % (name, b"" if leading_space else b" ", text))


class Header:
    """The fields of a letter that begins with `header`. What is beyond HEADER_FIELDS, or beyond `header`, is
    neither seen nor changed, and stays behind the fields that are."""

    def __init__(self, header: bytes, size: int) -> None:
        """`size`: octets of the letter's whole header, which may be more than are looked at."""
        whole = len(header) == size
        closing = next((end for end in _CLOSINGS if header == end or header.endswith(b"\n" + end)), b"")
        self.fields: list[Field] = []
        at = 0
        limit = len(header) - len(closing)
        for found in _FIELD.finditer(header, 0, limit):
            if len(self.fields) == HEADER_FIELDS or (not whole and found.end() == limit):
                break
            name = _NAME.match(found[0])
            self.fields.append(Field(name[1] if name else b"", found[0]))
            at = found.end()
        else:
            at = len(header)
        self.rest = at
        """Offset in the letter of what is behind the fields."""
        self._closing = (closing or b"\r\n") if at == size else b""

    def __iter__(self) -> Iterator[Field]:
        """The fields that a filter is told of."""
        return (field for field in self.fields if field.name)

    def octets(self) -> bytes:
        """What stands before `rest` in the letter now."""
        fields = [field.raw for field in self.fields]
        if fields and not fields[-1].endswith(b"\n"):
            fields[-1] += b"\r\n"
        return b"".join([*fields, self._closing])

    def add(self, field: Field) -> None:
        """Behind all others."""
        if self.fields and not self.fields[-1].raw.endswith(b"\n"):
            self.fields[-1] = Field(self.fields[-1].name, self.fields[-1].raw + b"\r\n")
        self.fields.append(field)

    def insert(self, index: int, field: Field) -> None:
        """Before the field of that number, where our own Received, which no filter sees, has number 0: nothing
        comes above it, and 1 is the place right below, as Sendmail and Postfix count."""
        if index > len(self.fields):
            self.add(field)
        else:
            self.fields.insert(max(index - 1, 0), field)

    def change(self, index: int, field: Field | None, name: bytes) -> None:
        """Put a field in the place of the `index`-th of that name, counted from 1 among those that are there now,
        or take that away; where there is no such field it is added, as libmilter has it."""
        wanted = name.lower()
        places = [place for place, each in enumerate(self.fields) if each.name.lower() == wanted]
        if not 1 <= index <= len(places):
            if field is not None:
                self.add(field)
        elif field is None:
            del self.fields[places[index - 1]]
        else:
            self.fields[places[index - 1]] = field
