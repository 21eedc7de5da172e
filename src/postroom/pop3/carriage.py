"""What of a letter lines can't carry, and what is sent instead (RFC 6856 2.1 allows no binary; docs/security.md,
promise 7).

A part that says of itself `Content-Transfer-Encoding: binary`, and has octets that don't survive as lines (NUL, a
CR or an LF that stands alone, a line of more than 998 octets, or no line end at the end of the letter), is sent as
base64: the word in its field and its body are replaced, and nothing else. A part that says so without need, as many
mailers do, stays as it is. So does one that doesn't say so: its line ends become CRLF (`grammar.LineEnds`),
whatever they were, for it claims to be lines. Multiparts and letters within the letter that are called binary keep
the word: base64 is not for them (RFC 2045 6.4), and it stays true.

Pure: `reading` gets the octets, and puts together what is to be replaced.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import Final

from postroom.message.parts import Encoding, Kind, Part, read_parts

LINE_OCTETS: Final = 998
"""RFC 5322 2.1.1, its CRLF not counted."""
GROUP: Final = 57
"""Octets that make one line of base64 (RFC 2045 6.8)."""
_LINE: Final = 76
_FIELD: Final = re.compile(rb"(?im)^content-transfer-encoding[ \t]*:((?:[^\n]++|\n[ \t])*+)")
_TOKEN: Final = re.compile(
    rb"(?:[ \t\r\n]++|\([^()]*+\))*+(binary)(?![^\x00-\x20\x7f-\xff()<>@,;:\\\"/\[\]?=])", re.IGNORECASE
)
"""As `message.parameters.token` reads it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Octets [start, end) of the blob that are replaced: by `instead`, or where that is None by their base64."""

    start: int
    end: int
    instead: bytes | None = None


def candidates(parts: bytes) -> list[Part]:
    """The parts of a letter's packed map that may be called binary, in the order of the letter."""
    return [
        part
        for part in read_parts(parts)
        if part.kind is Kind.LEAF and part.encoding is Encoding.IDENTITY and part.end > part.body
    ]


def binary_word(header: bytes) -> tuple[int, int] | None:
    """Where in a part's header the word stands that calls it binary; None where it isn't called so."""
    field = _FIELD.search(header)
    word = field and _TOKEN.match(header, field.start(1), field.end(1))
    return word.span(1) if word else None


class Scan:
    """Looks at a part's octets, chunk by chunk, for what lines can't carry; and counts what they were as lines."""

    __slots__ = ("_crlfs", "_crs", "_last", "_lfs", "_line", "_longest", "_nul", "octets")

    octets: int
    """How many there were."""

    def __init__(self) -> None:
        self.octets = 0
        self._crs = self._lfs = self._crlfs = self._line = self._longest = 0
        self._nul = False
        self._last = b""

    def feed(self, chunk: bytes) -> None:
        """The next octets, not empty."""
        self.octets += len(chunk)
        self._crs += chunk.count(b"\r")
        self._lfs += chunk.count(b"\n")
        self._crlfs += chunk.count(b"\r\n") + (self._last == b"\r" and chunk.startswith(b"\n"))
        self._nul = self._nul or b"\0" in chunk
        lines = list(map(len, chunk.split(b"\n")))
        lines[0] += self._line
        self._line = lines.pop()
        if lines:
            # All of these have been ended, most by CRLF.
            self._longest = max(self._longest, max(lines) - 1)
        self._last = chunk[-1:]

    @property
    def ended(self) -> bool:
        """Whether the last octet ends a line."""
        return self._last in (b"\r", b"\n")

    @property
    def as_lines(self) -> int:
        """Octets with every line end as CRLF; an end that the last line lacks isn't counted."""
        return self.octets + self._crs + self._lfs - 2 * self._crlfs

    def needs_base64(self, *, at_end: bool) -> bool:
        """Whether lines can't carry it. `at_end`: nothing of the letter follows."""
        alone = self._crs != self._crlfs or self._lfs != self._crlfs
        long = max(self._longest, self._line) > LINE_OCTETS
        return self._nul or alone or long or (at_end and not self.ended)


def base64_size(octets: int, *, at_end: bool) -> int:
    """Octets of what `base64_lines` makes of so many."""
    encoded = (octets + 2) // 3 * 4
    return encoded + 2 * ((encoded - 1) // _LINE) + 2 * at_end


def base64_lines(octets: bytes) -> bytes:
    """Lines of base64 with CRLF between them and none behind the last."""
    encoded = binascii.b2a_base64(octets, newline=False)
    return b"\r\n".join([encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)])
