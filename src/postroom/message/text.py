"""A letter's text as people read it: what SEARCH looks at, and what the indexer keeps (RFC 9051 6.4.4).

Transfer encodings, charsets and encoded words are undone, folds too; HTML is read as `message.html` says, other
text stands as it is, white space included. Any octets give an answer, in time linear in their number; what lies
beyond a limit of `net.limits` ("letters") is not looked at. `folded` is what to compare, of the text and of what is
sought in it.

    header_text(b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\\r\\n")  ->  "Subject: Grüße\\n"
"""

from __future__ import annotations

from collections.abc import Generator

from postroom.message import parameters as mime
from postroom.message.casemap import casemap
from postroom.message.charsets import decoded
from postroom.message.headers import read_fields, unfolded
from postroom.message.html import html_steps
from postroom.message.octets import Octets
from postroom.message.parts import Encoding, Kind, Part, read_parts
from postroom.message.transfer import undone
from postroom.message.words import decode_words
from postroom.net.limits import HEADER_OCTETS, LETTER_HEADERS_OCTETS, SEARCH_TEXT_CHARACTERS

_WSP = b" \t\r"
_LEAF_FIELDS = frozenset((b"content-type", b"content-disposition"))
_HTML = b"text/html"
_AS_IT_STANDS = (b"text/", b"multipart/", b"message/")
"""A multipart or a letter is a leaf where it could not be taken apart: then its text is looked at as it stands."""
_OCTETS_PER_CHARACTER = 4
"""At most so many octets of a part are looked at for each character that may still come of it."""


def header_text(header: bytes) -> str:
    """A whole header: names and decoded values, one field a line (ended by LF)."""
    lines = unfolded(header[:HEADER_OCTETS])
    if b"=?" not in header:
        return b"\n".join(lines).decode("utf-8", "replace")
    return "\n".join(map(decode_words, lines))


Wanted = tuple[int, int]
"""First octet of the blob, counted from 0, and the one behind the last."""
Steps = Generator[Wanted | None, bytes, str]
"""Asks for octets of the blob, and is sent them; None is a pause, in which others may have their turn."""


def body_text(letter: Octets, parts: bytes) -> str:
    """What can be read below the letter's own header: the text of each text part, the headers of letters within the
    letter, and the name of each part's file; all set apart by LF.

    `letter` is the blob, `parts` its packed map. At most `SEARCH_TEXT_CHARACTERS`.
    """
    steps = body_steps(parts)
    try:
        wanted = next(steps)
        while True:
            wanted = steps.send(letter[wanted[0] : wanted[1]] if wanted else b"")
    except StopIteration as done:
        return str(done.value)


def body_steps(parts: bytes) -> Steps:
    """The same for a letter that is not all in memory: only the octets that matter are asked for, one part's at a
    time, and between two pauses little is done but for what one part's own decoding takes."""
    return _Reading().run(read_parts(parts))


def folded(text: str) -> str:
    """What is compared instead of a text (i;unicode-casemap, RFC 5051). A tab counts as a space, as many programs
    fold fields with one; otherwise white space counts as it stands."""
    return casemap(text).replace("\t", " ")


class _Reading:
    """One letter's parts being read, and what may still be spent on them."""

    __slots__ = ("header_octets", "room", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.room = SEARCH_TEXT_CHARACTERS
        self.header_octets = LETTER_HEADERS_OCTETS

    def run(self, parts: tuple[Part, ...]) -> Steps:
        for part in parts:
            if self.room <= 0:
                break
            if part.kind is Kind.LEAF:
                yield from self.leaf(part)
            elif part.kind is Kind.MESSAGE and part.path:
                yield from self.named(part)
                self.add(header_text((yield self.header(part.body, part.text))))
        return "\n".join(self.texts)

    def add(self, text: str) -> None:
        if text:
            self.texts.append(text[: self.room])
            self.room -= len(text) + 1

    def header(self, start: int, end: int) -> Wanted:
        """A header within the letter, as much of it as may be looked at."""
        size = min(end - start, HEADER_OCTETS, self.header_octets)
        self.header_octets -= size
        return start, start + size

    def named(self, part: Part) -> Generator[Wanted | None, bytes, mime.ContentType]:
        """Read the name of a part's file, if it has one; gives back what the part is."""
        fields = read_fields((yield self.header(part.header, part.body)), _LEAF_FIELDS)
        value = fields.get(b"content-type")
        type = mime.PLAIN if value is None else mime.content_type(value) or mime.PLAIN
        self.add(file_name(fields.get(b"content-disposition", b""), type.parameters))
        return type

    def leaf(self, part: Part) -> Generator[Wanted | None, bytes, None]:
        """Read a part's name, and its characters where it is a text."""
        type = yield from self.named(part)
        if self.room > 0 and type.kind.startswith(_AS_IT_STANDS):
            octets = yield part.body, min(part.end, part.body + self.room * _OCTETS_PER_CHARACTER)
            encoding = part.encoding if type.kind.startswith(b"text/") else Encoding.IDENTITY
            text = decoded(undone(octets, encoding), mime.parameter(type.parameters, b"charset"))
            self.add((yield from html_steps(text)) if type.kind == _HTML else text)


def file_name(disposition: bytes, parameters: mime.Parameters) -> str:
    """The name that a part's Content-Disposition gives it (RFC 2183 2.3), else its Content-Type; empty for none.
    RFC 2231's way of writing is undone, and the encoded words that many senders write instead."""
    found = mime.disposition(disposition)
    given = found and mime.joined_parameter(found[1], b"filename")
    name = given or mime.joined_parameter(parameters, b"name")
    if name is None:
        return ""
    value, charset = name
    return decoded(value, charset) if charset else decode_words(value)
