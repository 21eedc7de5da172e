"""The map of a letter's parts: small packed bytes that turn a FETCH section into two offsets (RFC 9051 6.4.5.1).

With `part` the one of read_parts(map) that has the path, of the blob's octets
    BODY[path]         is [part.body, part.end)
    BODY[path.MIME]    is [part.header, part.body)
    BODY[path.HEADER]  is [part.body, part.text)      of a MESSAGE only
    BODY[path.TEXT]    is [part.text, part.end)       of a MESSAGE only
and the letter itself is the MESSAGE of path ().
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple


class Kind(enum.IntEnum):
    """What may follow a part's number in a section."""

    LEAF = 0
    MULTIPART = 1
    MESSAGE = 2
    """message/rfc822 or message/global: a letter within the letter."""


class Encoding(enum.IntEnum):
    """Content-Transfer-Encoding (RFC 2045 6), for BINARY."""

    IDENTITY = 0
    """7bit, 8bit, binary."""
    BASE64 = 1
    QUOTED_PRINTABLE = 2
    UNKNOWN = 3


class Part(NamedTuple):
    """One numbered part. Offsets are 0-based within the blob; `end` is behind the last octet."""

    path: tuple[int, ...]
    kind: Kind
    encoding: Encoding
    header: int
    body: int
    text: int
    """Where the text of a MESSAGE's letter begins; as `body` for other kinds."""
    end: int


class Record(NamedTuple):
    """A part as it is packed: in the order of the letter, with the length of its path."""

    level: int
    kind: Kind
    encoding: Encoding
    header: int
    body: int
    text: int
    end: int


_NARROW, _WIDE = b"\x01", b"\x02"
_LAYOUTS = {_NARROW: Struct("<BBBIIII"), _WIDE: Struct("<BBBQQQQ")}


def write_parts(records: Sequence[Record]) -> bytes:
    """The packed map. The first record is the letter itself, whose end is the greatest offset."""
    width = _NARROW if records[0].end < 1 << 32 else _WIDE
    pack = _LAYOUTS[width].pack
    return width + b"".join([pack(*record) for record in records])


def read_parts(packed: bytes) -> tuple[Part, ...]:
    """The map's parts, the letter itself first, then as they stand in it."""
    parts: list[Part] = []
    path: tuple[int, ...] = ()
    for level, kind, encoding, header, body, text, end in _LAYOUTS[packed[:1]].iter_unpack(packed[1:]):
        if level:
            path = (*path, 1) if level > len(path) else (*path[: level - 1], path[level - 1] + 1)
        parts.append(Part(path, Kind(kind), Encoding(encoding), header, body, text, end))
    return tuple(parts)
