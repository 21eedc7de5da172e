"""What a terminal shows of a letter (RFC 821 3.4), and who shows it. Pure.

A `Notice` is small whatever the letter: a few fields, the beginning of its text. Its words are a stranger's,
decoded and nothing more: whoever shows them makes them harmless for the place where they are shown.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Final, Protocol

from postroom.message import parameters as mime
from postroom.message.charsets import decoded
from postroom.message.headers import read_fields
from postroom.message.html import html_text
from postroom.message.octets import Octets
from postroom.message.parts import Encoding, Kind, Part, read_parts
from postroom.message.structure import parse
from postroom.message.transfer import undone
from postroom.message.words import decode_words
from postroom.net.limits import (
    HEADER_OCTETS,
    TERMINAL_CHARACTERS,
    TERMINAL_FIELD_CHARACTERS,
    TERMINAL_PARTS,
)

__all__ = ["Notice", "Terminals", "notice"]

_OCTETS_PER_CHARACTER: Final = 4
_FIELDS: Final = frozenset((b"from", b"to", b"date", b"subject"))
_PART_FIELDS: Final = frozenset((b"content-type",))
_PART_HEADER_OCTETS: Final = 16_384
_BEGINS_AS_HEADER: Final = re.compile(rb"[!-9;-~]{1,1000}[ \t]*:|\r?\n")
_PLAIN, _TEXT, _HTML = b"text/plain", b"text/", b"text/html"


@dataclass(frozen=True, slots=True)
class Notice:
    """A letter as it is shown. All but `id` and `sender` is the letter's own word, decoded."""

    id: str
    """The letter's id in the logs."""
    sender: str
    """The envelope's; empty for the null sender."""
    from_: str
    to: str
    date: str
    subject: str
    text: str
    """Lines that end in LF, at most TERMINAL_CHARACTERS."""
    whole: bool
    """Whether the text is all that the letter has: not cut, no further parts."""

    @property
    def first_line(self) -> str:
        """Of the text the first line that isn't empty, else the subject."""
        lines = (line.strip() for line in self.text.split("\n"))
        return next((line for line in lines if line), self.subject)[:TERMINAL_FIELD_CHARACTERS]

    def to_json(self) -> dict[str, str | bool]:
        """The notice as JSON can carry it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Notice:
        """What `to_json` gave. Raises ValueError."""
        match value:
            case {
                "id": str(id),
                "sender": str(sender),
                "from_": str(from_),
                "to": str(to),
                "date": str(date),
                "subject": str(subject),
                "text": str(text),
                "whole": bool(whole),
            }:
                return cls(id, sender, from_, to, date, subject, text, whole)
            case _:
                raise ValueError("not a notice")


class Terminals(Protocol):
    """The live sessions of accounts (by their addresses), whoever holds them. Neither question fails: where nobody
    answers, nobody is there."""

    async def present(self, accounts: Collection[str]) -> set[str]:
        """Those of the accounts that have somebody who would be shown a letter."""

    async def show(self, accounts: Collection[str], notice: Notice, *, owners: bool = False) -> set[str]:
        """Show a letter in all sessions of these accounts, and tell for which of them one has confirmed that it was
        shown. Who watches the whole site counts too, unless only the `owners` do."""


def notice(id: str, sender: str, letter: Octets) -> Notice:
    """What is shown of a letter. For any octets, in time that is bounded but for one pass over them."""
    facts = parse(letter)
    fields = read_fields(letter[: min(facts.header_size, HEADER_OCTETS)], _FIELDS)
    leaves = [part for part in read_parts(facts.parts) if part.kind is not Kind.MULTIPART and part.path]
    if not fields and (facts.header_size == len(letter) or not _BEGINS_AS_HEADER.match(letter[:1002])):
        # A line or two without any header, as they were sent to terminals in RFC 821's time.
        text, whole = _cut(letter, 0, len(letter), Encoding.IDENTITY, None)
    else:
        text, whole = _text(letter, leaves)
    return Notice(
        id,
        sender,
        _field(fields, b"from"),
        _field(fields, b"to"),
        _field(fields, b"date"),
        _field(fields, b"subject"),
        text,
        whole and len(leaves) <= 1,
    )


def _field(fields: Mapping[bytes, bytes], name: bytes) -> str:
    # Encoded words are the longest way to write a character: some sixteen octets.
    value = fields.get(name, b"")[: TERMINAL_FIELD_CHARACTERS * 16]
    return decode_words(value)[:TERMINAL_FIELD_CHARACTERS]


def _text(letter: Octets, leaves: list[Part]) -> tuple[str, bool]:
    """The first plain text, else the first text of any kind; and whether that is all of it."""
    found: tuple[Part, mime.ContentType] | None = None
    for part, type in _types(letter, leaves):
        if type.kind == _PLAIN:
            found = part, type
            break
        if found is None and type.kind.startswith(_TEXT):
            found = part, type
    if found is None:
        return "", not leaves
    part, type = found
    charset = mime.parameter(type.parameters, b"charset")
    text, whole = _cut(letter, part.body, part.end, part.encoding, charset)
    if type.kind == _HTML:
        text = html_text(text)
    return text, whole and type.kind == _PLAIN


def _cut(letter: Octets, start: int, end: int, encoding: Encoding, charset: bytes | None) -> tuple[str, bool]:
    """The beginning of a text between two offsets, and whether it is all of it."""
    until = min(end, start + TERMINAL_CHARACTERS * _OCTETS_PER_CHARACTER)
    text = decoded(undone(letter[start:until], encoding), charset)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    cut = until < end or len(text) > TERMINAL_CHARACTERS
    return text[:TERMINAL_CHARACTERS], not cut and encoding is not Encoding.UNKNOWN


def _types(letter: Octets, leaves: list[Part]) -> Iterator[tuple[Part, mime.ContentType]]:
    """The first TERMINAL_PARTS leaves with what they are."""
    for part in islice(leaves, TERMINAL_PARTS):
        header = letter[part.header : min(part.body, part.header + _PART_HEADER_OCTETS)]
        value = read_fields(header, _PART_FIELDS).get(b"content-type")
        yield part, mime.PLAIN if value is None else mime.content_type(value) or mime.PLAIN
