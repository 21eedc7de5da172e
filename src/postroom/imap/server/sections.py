"""What octets of a letter a section means (RFC 3501 6.4.5), reckoned from the map that was made at delivery.

Pure: the letter's octets are somebody else's. Offsets count what a client sees, the recipient's prefix and then the
blob: the prefix belongs to the letter's own header and is in no part.

    >>> sections = Sections(letter)                       # prefix of 20 octets, header of 50, blob of 300
    >>> sections.locate(Section(text=Text.TEXT))
    Span(start=70, end=320)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from postroom.imap.grammar.fetch import Section, Text
from postroom.message.parts import Kind, Part, read_parts
from postroom.net.limits import HEADER_OCTETS
from postroom.store.values import Letter

__all__ = ["Sections", "Span", "choose_fields", "field_names", "size_of"]


class Span(NamedTuple):
    """The octets from `start` on and before `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """How many they are."""
        return self.end - self.start

    def part(self, partial: tuple[int, int] | None) -> Span:
        """Those of a partial fetch: none where it begins behind the end, fewer where it reaches beyond."""
        if partial is None:
            return self
        first, count = partial
        start = min(self.start + first, self.end)
        return Span(start, min(start + count, self.end))


def size_of(letter: Letter) -> int:
    """RFC822.SIZE: prefix and blob."""
    return len(letter.prefix) + letter.blob_size


class Sections:
    """One letter's sections. The map is unpacked when the first part is asked for, and once."""

    __slots__ = ("_letter", "_parts", "_prefix")

    def __init__(self, letter: Letter) -> None:
        self._letter = letter
        self._prefix = len(letter.prefix)
        self._parts: dict[tuple[int, ...], Part] | None = None

    def locate(self, section: Section) -> Span | None:
        """The octets of a section; for FIELDS and FIELDS_NOT those of the header that they are taken from, of which
        no more than HEADER_OCTETS are looked at. None where the letter has no such section: its answer is NIL."""
        text = section.text
        if section.path:
            span = self._of_part(section.path, text)
        elif text is Text.ALL:
            return Span(0, self._prefix + self._letter.blob_size)
        elif text is Text.TEXT:
            return Span(self._prefix + self._letter.header_size, self._prefix + self._letter.blob_size)
        else:
            span = Span(0, self._prefix + self._letter.header_size)
        if span is not None and span.end - span.start > HEADER_OCTETS and text in _CHOSEN:
            return Span(span.start, span.start + HEADER_OCTETS)
        return span

    def _of_part(self, path: tuple[int, ...], text: Text) -> Span | None:
        if self._parts is None:
            self._parts = {part.path: part for part in read_parts(self._letter.parts)}
        part = self._parts.get(path)
        if part is None:
            return None
        prefix = self._prefix
        if text is Text.ALL:
            return Span(prefix + part.body, prefix + part.end)
        if text is Text.MIME:
            return Span(prefix + part.header, prefix + part.body)
        if part.kind is not Kind.MESSAGE:
            return None
        if text is Text.TEXT:
            return Span(prefix + part.text, prefix + part.end)
        return Span(prefix + part.body, prefix + part.text)


_CHOSEN: Final = (Text.FIELDS, Text.FIELDS_NOT)


def field_names(names: Sequence[bytes]) -> frozenset[bytes]:
    """A client's names as `choose_fields` holds them against a header's; an empty one names nothing."""
    return frozenset([name.lower() for name in names if name])


def choose_fields(header: bytes, names: frozenset[bytes], *, matching: bool) -> bytes:
    """The fields of a header that have one of the names, or those that haven't: whole, in their order, with the
    empty line behind them where the header has one (RFC 3501 6.4.5).

    White space before the colon is no part of a name (RFC 5322 4.5). A line that is no field has no name.
    """
    closing = _closing(header)
    fields = _fields(header, 0, len(header) - len(closing))
    return b"".join([field for field in fields if (_name(field) in names) is matching]) + closing


_fields: Final = re.compile(rb"[^\n]++\n?(?:[ \t][^\n]*+\n?)*+|\n(?:[ \t][^\n]*+\n?)*+").findall
"""Fields with their folds and line ends; a line that is no field counts as one."""


def _name(field: bytes) -> bytes:
    """Lower-case; empty for a line that is no field."""
    name, colon, _ = field.partition(b":")
    return name.rstrip(b" \t").lower() if colon else b""


def _closing(header: bytes) -> bytes:
    """The empty line that ends a header; nothing where there is none."""
    if header.endswith(b"\n\r\n") or header == b"\r\n":
        return b"\r\n"
    if header.endswith(b"\n\n") or header == b"\n":
        return b"\n"
    return b""
