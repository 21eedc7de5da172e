"""One walk over a letter's parts: IMAP's BODYSTRUCTURE (RFC 9051 7.5.2), and the map of parts.

Every multipart is cut by its own boundary before its parts are looked at, so an outer boundary always ends what
is inside (RFC 2046 5.1.2). The walk keeps its own stack; what it may spend on one letter is a `_Budget`, and where
that ends, or `MIME_DEPTH` does, a part is one leaf application/octet-stream.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from postroom.message import envelope as envelopes
from postroom.message import parameters as mime
from postroom.message.headers import header_end, read_fields
from postroom.message.octets import Octets, count_lines, find
from postroom.message.parameters import ContentType, Parameters
from postroom.message.parts import Encoding, Kind, Record, write_parts
from postroom.message.strings import NIL, nstring, string
from postroom.net.limits import (
    BOUNDARY_LINES,
    HEADER_OCTETS,
    LETTER_HEADERS_OCTETS,
    LETTER_SCAN_OCTETS,
    LETTER_SCANS,
    MIME_DEPTH,
    MIME_PARAMETERS,
    MIME_PARTS,
)

MIME_FIELDS = frozenset(
    (
        b"content-type",
        b"content-transfer-encoding",
        b"content-id",
        b"content-description",
        b"content-md5",
        b"content-disposition",
        b"content-language",
        b"content-location",
    )
)
LETTER_FIELDS = MIME_FIELDS | envelopes.FIELDS | {b"references"}
_GLOBAL = b"message/global"
"""RFC 6532 3.7. Its subtype is written in lower case, so that who answers RFC 3501's clients finds it at once."""
_LETTERS = frozenset((b"message/rfc822", _GLOBAL))
_ENCODINGS = {
    b"7bit": Encoding.IDENTITY,
    b"8bit": Encoding.IDENTITY,
    b"binary": Encoding.IDENTITY,
    b"base64": Encoding.BASE64,
    b"quoted-printable": Encoding.QUOTED_PRINTABLE,
}
_LINE_REST_OCTETS = 1000
"""RFC 5322 2.1.1: how much of a boundary line is looked at; RFC 2046 5.1.1 lets white space follow the mark."""
_boundary_rest = re.compile(rb"(--)?[ \t]*+(?:\r?\n|\r?\Z)").match


class Structure(NamedTuple):
    """What the walk finds; `fields` are those of the letter's own header, by lower-case name."""

    header_size: int
    fields: dict[bytes, bytes]
    bodystructure: bytes
    parts: bytes


class _Entity(NamedTuple):
    """A header and what follows it, within the letter."""

    header: int
    body: int
    end: int
    fields: dict[bytes, bytes]
    depth: int
    """How many multiparts and letters lie around it."""
    level: int
    """Length of its section number, or of its letter's where it has none itself."""
    numbered: bool
    """Whether it is a part of a multipart; the content of a letter shares its number, or is its part 1."""
    default: ContentType


class _Range(NamedTuple):
    """A part of a multipart that hasn't been looked at."""

    start: int
    end: int
    depth: int
    level: int
    default: ContentType


class _Budget:
    """What may still be spent on one letter."""

    __slots__ = ("boundary_lines", "header_octets", "parts", "scans")

    def __init__(self, size: int) -> None:
        self.parts = MIME_PARTS - 1
        self.boundary_lines = BOUNDARY_LINES
        self.header_octets = LETTER_HEADERS_OCTETS
        self.scans = LETTER_SCANS * size + LETTER_SCAN_OCTETS


class _Walk:
    """One walk's letter, budget and what it has written so far."""

    __slots__ = ("budget", "data", "out", "records", "work")

    def __init__(self, data: Octets) -> None:
        self.data = data
        self.budget = _Budget(len(data))
        self.out: list[bytes] = []
        self.records: list[Record] = []
        self.work: list[bytes | _Range | _Entity] = []
        """What is still to be written, the next one last: bytes as they are, the rest by its description."""

    def read(self, start: int, end: int, wanted: frozenset[bytes]) -> tuple[int, dict[bytes, bytes]]:
        """Where the body behind the header at `start` begins, and the header's wanted fields."""
        body = header_end(self.data, start, end)
        looked_at = min(body - start, HEADER_OCTETS, self.budget.header_octets)
        self.budget.header_octets -= looked_at
        self.budget.scans -= body - start
        return body, read_fields(self.data[start : start + looked_at], wanted)

    def run(self) -> Structure:
        end = len(self.data)
        body, fields = self.read(0, end, LETTER_FIELDS)
        self.records.append(Record(0, Kind.MESSAGE, Encoding.IDENTITY, 0, 0, body, end))
        self.work.append(_Entity(0, body, end, fields, 0, 0, False, mime.PLAIN))
        while self.work:
            item = self.work.pop()
            if isinstance(item, bytes):
                self.out.append(item)
            elif isinstance(item, _Entity):
                self.describe(item)
            else:
                start, end, depth, level, default = item
                inside, found = self.read(start, end, MIME_FIELDS)
                self.describe(_Entity(start, inside, end, found, depth, level, True, default))
        return Structure(body, fields, b"".join(self.out), write_parts(self.records))

    def describe(self, entity: _Entity) -> None:
        """Write one entity, or its beginning, leaving the rest as work."""
        value = entity.fields.get(b"content-type")
        type = entity.default if value is None else mime.content_type(value) or mime.PLAIN
        if type.kind.startswith(b"multipart/"):
            instead = self.multipart(entity, type)
        elif type.kind in _LETTERS:
            instead = self.letter(entity, type)
        else:
            instead = type
        if instead is not None:
            self.leaf(entity, instead)

    def multipart(self, entity: _Entity, type: ContentType) -> ContentType | None:
        """Begin a multipart. Gives back what it is instead, where it can't be one."""
        if entity.depth >= MIME_DEPTH or self.exhausted():
            return mime.OCTETS
        mark = mime.boundary(type.parameters)
        ranges = self.cut(entity.body, entity.end, mark) if mark else []
        if not ranges:
            # RFC 9051 9 wants one part at least. Nothing is hidden: the reader sees the text as it stands.
            return mime.PLAIN
        self.budget.parts -= len(ranges)
        level = entity.level + 1
        if entity.numbered:
            self.record(entity, Kind.MULTIPART, entity.level, entity.body)
        self.out.append(b"(")
        self.work.append(b" %b%b)" % (string(type.subtype), self.multipart_extension(entity, type)))
        default = mime.MESSAGE if type.kind == b"multipart/digest" else mime.PLAIN
        depth = entity.depth + 1
        self.work.extend([_Range(start, end, depth, level, default) for start, end in reversed(ranges)])
        return None

    def letter(self, entity: _Entity, type: ContentType) -> ContentType | None:
        """Begin a letter within the letter. Gives back what it is instead, where a limit is reached."""
        if entity.depth >= MIME_DEPTH or self.exhausted():
            return mime.OCTETS
        self.budget.parts -= 1
        if type.kind == _GLOBAL:
            type = type._replace(subtype=b"global")
        text, fields = self.read(entity.body, entity.end, LETTER_FIELDS)
        level = entity.level if entity.numbered else entity.level + 1
        self.record(entity, Kind.MESSAGE, level, text)
        outline = envelopes.envelope(fields, envelopes.Correspondents(fields))
        self.out.append(b"(%b %b " % (self.basic(entity, type), outline))
        self.work.append(b" %d%b)" % (self.lines(entity), self.extension(entity)))
        inside = _Entity(entity.body, text, entity.end, fields, entity.depth + 1, level, False, mime.PLAIN)
        self.work.append(inside)
        return None

    def leaf(self, entity: _Entity, type: ContentType) -> None:
        """Write a part that has none within it."""
        self.record(entity, Kind.LEAF, entity.level if entity.numbered else entity.level + 1, entity.body)
        lines = b" %d" % self.lines(entity) if type.kind.startswith(b"text/") else b""
        self.out.append(b"(%b%b%b)" % (self.basic(entity, type), lines, self.extension(entity)))

    def exhausted(self) -> bool:
        budget = self.budget
        return budget.parts <= 0 or budget.scans <= 0 or budget.header_octets <= 0

    def record(self, entity: _Entity, kind: Kind, level: int, text: int) -> None:
        encoding = Encoding.IDENTITY
        value = entity.fields.get(b"content-transfer-encoding")
        if value:
            encoding = _ENCODINGS.get((mime.token(value) or b"").lower(), Encoding.UNKNOWN)
        self.records.append(Record(level, kind, encoding, entity.header, entity.body, text, entity.end))

    def lines(self, entity: _Entity) -> int:
        self.budget.scans -= entity.end - entity.body
        return count_lines(self.data, entity.body, entity.end)

    def cut(self, start: int, end: int, mark: bytes) -> list[tuple[int, int]]:
        """The parts between a multipart's boundary lines, at most as many as the letter may still have.

        The line break before a boundary is the boundary's (RFC 2046 5.1.1). A missing last boundary ends where the
        multipart does; where the budget is reached, what remains belongs to the last part.
        """
        data, budget = self.data, self.budget
        needle = b"\n--" + mark
        ranges: list[tuple[int, int]] = []
        begun = -1
        # The body begins behind a line break, which counts as the first boundary's.
        at = find(data, needle, start - 1, end) if start < end else -1
        budget.scans -= end - start
        while at >= 0:
            after = at + len(needle)
            rest = _boundary_rest(data[after : min(after + _LINE_REST_OCTETS, end)])
            if rest is None or (after + rest.end() < end and not rest[0].endswith(b"\n")):
                budget.boundary_lines -= 1
                at = find(data, needle, after, end) if budget.boundary_lines > 0 else -1
                continue
            if begun >= 0:
                before = at - 1 if data[at - 1 : at] == b"\r" else at
                ranges.append((begun, max(begun, before)))
            if rest[1]:
                return ranges
            begun = after + rest.end()
            if len(ranges) + 1 >= budget.parts:
                break
            at = find(data, needle, begun - 1, end)
        if begun >= 0:
            ranges.append((begun, end))
        return ranges

    def basic(self, entity: _Entity, type: ContentType) -> bytes:
        """The fields that every part but a multipart has."""
        get = entity.fields.get
        parameters = type.parameters
        if type.kind.startswith(b"text/") and mime.parameter(parameters, b"charset") is None:
            parameters = (*parameters, *mime.PLAIN.parameters)
        return b"%b %b %b %b %b %b %d" % (
            string(type.type),
            string(type.subtype),
            _parameters(parameters),
            nstring(get(b"content-id")),
            nstring(get(b"content-description")),
            string(mime.token(get(b"content-transfer-encoding", b"")) or b"7bit"),
            entity.end - entity.body,
        )

    def extension(self, entity: _Entity) -> bytes:
        """body-ext-1part with the space before it."""
        fields = entity.fields
        return b" %b%b" % (nstring(fields.get(b"content-md5")), _common_extension(fields))

    def multipart_extension(self, entity: _Entity, type: ContentType) -> bytes:
        """body-ext-mpart with the space before it."""
        return b" %b%b" % (_parameters(type.parameters), _common_extension(entity.fields))


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return NIL
    return b"(%b)" % b" ".join([string(name) + b" " + string(value) for name, value in parameters])


def _common_extension(fields: dict[bytes, bytes]) -> bytes:
    """Disposition, language and location, each with a space before it."""
    return b" %b %b %b" % (
        _disposition(fields.get(b"content-disposition")),
        _languages(fields.get(b"content-language")),
        nstring(fields.get(b"content-location")),
    )


def _disposition(value: bytes | None) -> bytes:
    found = mime.disposition(value) if value else None
    return b"(%b %b)" % (string(found[0]), _parameters(found[1])) if found else NIL


def _languages(value: bytes | None) -> bytes:
    """The tags as a list (RFC 3282 2)."""
    if not value:
        return NIL
    tags = [tag for each in value.split(b",", MIME_PARAMETERS)[:MIME_PARAMETERS] if (tag := mime.token(each))]
    return b"(%b)" % b" ".join([string(tag) for tag in tags]) if tags else NIL


def walk(data: Octets) -> Structure:
    """The letter's BODYSTRUCTURE with extension data, its map of parts and its own header's fields."""
    return _Walk(data).run()
