"""ESMTP parameters (RFC 5321 4.1.1.11), the numbers and the xtext (RFC 3461 4) in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from postroom.smtp.grammar.faults import SyntaxFault

_PARAMETER = re.compile(rb" +([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?(?= |\Z)")
_TRAILING = re.compile(rb" *\Z")
_NUMBER = re.compile(rb"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One ESMTP parameter; the keyword in upper case, `value` None where there is none."""

    keyword: str
    value: bytes | None = None


def read_parameters(buffer: bytes, position: int) -> tuple[Parameter, ...]:
    """All parameters up to the buffer's end. Raises SyntaxFault for a keyword that comes twice."""
    if position == len(buffer):
        return ()
    found: dict[str, Parameter] = {}
    while not _TRAILING.match(buffer, position):
        match = _PARAMETER.match(buffer, position)
        if match is None:
            raise SyntaxFault("bad parameter syntax")
        keyword = match[1].decode("ascii").upper()
        if keyword in found:
            raise SyntaxFault("parameter given twice")
        found[keyword] = Parameter(keyword, match[2])
        position = match.end()
    return tuple(found.values())


def write_parameters(parameters: Iterable[Parameter]) -> bytes:
    """Parameters with a space before each. Raises ValueError for one that would not read back."""
    pieces = [
        b" " + each.keyword.encode("ascii", "replace") + (b"" if each.value is None else b"=" + each.value)
        for each in parameters
    ]
    for piece in pieces:
        if not _PARAMETER.fullmatch(piece):
            raise ValueError("not a parameter that SMTP can carry")
    return b"".join(pieces)


def read_number(octets: bytes) -> int:
    """1 to 20 digits, and nothing that `int` takes beside them (RFC 1870 3)."""
    if not _NUMBER.fullmatch(octets):
        raise SyntaxFault("bad number")
    return int(octets)


_XTEXT = re.compile(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR = re.compile(rb"\+([0-9A-F]{2})")
_NOT_XCHAR = re.compile(rb"[^!-*,-<>-~]")


def read_xtext(octets: bytes) -> bytes:
    """What an xtext stands for."""
    if not _XTEXT.fullmatch(octets):
        raise SyntaxFault("bad xtext")
    return _HEXCHAR.sub(lambda found: bytes((int(found[1], 16),)), octets)


def write_xtext(octets: bytes) -> bytes:
    """Any octets as xtext."""
    return _NOT_XCHAR.sub(lambda found: b"+%02X" % ord(found[0]), octets)
