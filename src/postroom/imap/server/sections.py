"""What octets of a letter a section means (RFC 3501 6.4.5), reckoned from the map that was made at delivery.

Pure: the letter's octets are somebody else's. Offsets count what a client sees, the recipient's prefix and then the
blob: the prefix belongs to the letter's own header and is in no part.

    >>> sections = Sections(letter)                       # prefix of 20 octets, header of 50, blob of 300
    >>> sections.locate(Section(text=Text.TEXT))
    Span(start=70, end=320)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from postroom.imap.grammar.fetch import Section, Text
from postroom.message.parts import Kind, Part, read_parts
from postroom.net.limits import HEADER_OCTETS
from postroom.store.values import Letter

__all__ = ["CHOOSER_NAMES", "Sections", "Span", "choose_fields", "chooser", "field_names", "size_of"]


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


Extent = tuple[int, int]
"""First octet and count, as the store reads them: lighter than a `Span` where there are ten thousand."""


Items = Sequence[tuple[Section, tuple[int, int] | None]]
"""Sections, and what is asked for of each."""


def extents(items: Items) -> Callable[[Letter], Sequence[Extent | None]]:
    """What is to be read of a letter for each item, made ready for many letters."""
    if len(items) == 1 and items[0][1] is None and not items[0][0].path:
        return _PLAIN[items[0][0].text]

    def of(letter: Letter) -> Sequence[Extent | None]:
        sections = Sections(letter)
        return [_extent(sections.locate(section), partial) for section, partial in items]

    return of


def _extent(span: Span | None, partial: tuple[int, int] | None) -> Extent | None:
    if span is None:
        return None
    start, end = span.part(partial)
    return start, end - start


# What is asked for of whole mailboxes. Without `Sections`, of which it must be a part.
_PLAIN: Final[dict[Text, Callable[[Letter], Sequence[Extent]]]] = {
    Text.ALL: lambda letter: ((0, len(letter.prefix) + letter.blob_size),),
    Text.TEXT: lambda letter: ((len(letter.prefix) + letter.header_size, letter.blob_size - letter.header_size),),
    Text.HEADER: lambda letter: ((0, len(letter.prefix) + letter.header_size),),
    Text.FIELDS: lambda letter: ((0, min(len(letter.prefix) + letter.header_size, HEADER_OCTETS)),),
    Text.FIELDS_NOT: lambda letter: ((0, min(len(letter.prefix) + letter.header_size, HEADER_OCTETS)),),
}


def field_names(names: Sequence[bytes]) -> frozenset[bytes]:
    """A client's names as `choose_fields` holds them against a header's; what can be no field's name names
    nothing (RFC 5322 2.2: printable, no colon)."""
    return frozenset([name.lower() for name in names if _is_name(name)])


_is_name: Final = re.compile(rb"[!-9;-~\x80-\xff]++").fullmatch
"""8-bit letters too, as choosing by them does no harm."""


def choose_fields(header: bytes, names: frozenset[bytes], *, matching: bool) -> bytes:
    """The fields of a header that have one of the names, or those that haven't: whole, in their order, with the
    empty line behind them where the header has one (RFC 3501 6.4.5).

    White space before the colon is no part of a name (RFC 5322 4.5). A line that is no field has no name.
    """
    closing = _closing(header)
    fields = _fields(header, 0, len(header) - len(closing))
    return b"".join([field for field in fields if (_name(field) in names) is matching]) + closing


def chooser(names: frozenset[bytes]) -> Callable[[bytes], bytes]:
    """`choose_fields` of the named ones, made ready for many headers: half the time where names are few and short,
    a fraction of a millisecond beforehand."""
    if not names:
        return _closing
    if len(names) > CHOOSER_NAMES or sum(map(len, names)) > _CHOOSER_OCTETS:
        return partial(choose_fields, names=names, matching=True)
    initials = b"".join(map(re.escape, sorted({name[:1] for name in names})))
    words = b"|".join(map(re.escape, sorted(names)))
    # A line is left at its first octet if no name begins with it. The line end before a field is outside of what is
    # taken, so that the next field finds one.
    find = re.compile(
        rb"\n(?=[%b])((?:%b)[ \t]*+:[^\n]*+(?:\n[ \t][^\n]*+)*+)" % (initials, words), re.IGNORECASE
    ).findall

    def choose(header: bytes) -> bytes:
        closing = _closing(header)
        if not closing:
            return choose_fields(header, names, matching=True)
        found = find(b"\n" + header)
        found.append(closing)
        return b"\n".join(found)

    return choose


CHOOSER_NAMES: Final = 32
"""Each line of a header is held against each name that begins with the same letter."""
_CHOOSER_OCTETS: Final = 500
"""Of all names: what takes its time to make ready."""


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
