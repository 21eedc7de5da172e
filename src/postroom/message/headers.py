"""Header blocks: where one ends, and the fields in it (RFC 5322 2.2).

Lines end in CRLF or in LF alone, as APPEND may have brought them. A line that is no field is passed over.
"""

from __future__ import annotations

from postroom.message.octets import Octets, find
from postroom.net.limits import HEADER_FIELDS

_WSP = b" \t\r"
_DESTINATIONS = frozenset((b"to", b"cc", b"bcc"))


def header_end(data: Octets, start: int, end: int) -> int:
    """Offset behind the empty line that closes the header which begins at `start`; `end` where there is none."""
    first = data[start : min(start + 2, end)]
    if first == b"\r\n":
        return start + 2
    if first[:1] == b"\n":
        return start + 1
    crlf = find(data, b"\n\r\n", start, end)
    lf = find(data, b"\n\n", start, end if crlf < 0 else crlf + 1)
    if lf >= 0:
        return lf + 2
    return end if crlf < 0 else crlf + 3


def unfolded(header: bytes) -> list[bytes]:
    """The header's lines with their folds undone (RFC 5322 2.2.3), at most `HEADER_FIELDS`."""
    if b"\r" in header:
        header = header.replace(b"\r\n", b"\n")
    lines = header.replace(b"\n ", b" ").replace(b"\n\t", b"\t").split(b"\n", HEADER_FIELDS)
    if len(lines) > HEADER_FIELDS:
        lines.pop()
    return lines


def read_fields(header: bytes, wanted: frozenset[bytes]) -> dict[bytes, bytes]:
    """The wanted fields by lower-case name, values unfolded and stripped; of repeated ones the first.

    Repeated destination fields are put together, as RFC 5322 4.5.3 asks.
    """
    found: dict[bytes, bytes] = {}
    more: dict[bytes, list[bytes]] = {}
    for line in unfolded(header):
        name, colon, value = line.partition(b":")
        name = name.lower()
        if name not in wanted:
            # RFC 5322 4.5: white space before the colon is obsolete, but is to be read
            name = name.rstrip(_WSP)
            if name not in wanted:
                continue
        if not colon:
            continue
        if name not in found:
            found[name] = value.strip(_WSP)
        elif name in _DESTINATIONS:
            more.setdefault(name, []).append(value.strip(_WSP))
    for name, values in more.items():
        # Together at the end: ten thousand fields put together one by one would be copied as often.
        found[name] = b", ".join((found[name], *values))
    return found
