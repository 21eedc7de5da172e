"""A reader of IMAP's data of its own: what it takes is well-formed, whatever made it (RFC 9051 4 and 9).

It shares nothing with the code that writes ENVELOPE and BODYSTRUCTURE, so that a mistake there can't hide here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Value = Any
"""None for NIL, int, bytes, or a list of these."""

_DIGITS = frozenset(b"0123456789")


class Malformed(AssertionError):
    """Octets that are no IMAP data."""


def read(octets: bytes) -> Value:
    """The one value that the octets are. Raises `Malformed`."""
    value, at = _value(octets, 0)
    if at != len(octets):
        raise Malformed(f"something behind the value, at {at}")
    return value


def _value(octets: bytes, at: int) -> tuple[Value, int]:
    stack: list[list[Value]] = []
    while True:
        first = octets[at : at + 1]
        if first == b"(":
            stack.append([])
            at += 1
            continue
        if first == b")" and stack:
            value: Value = stack.pop()
            if not value:
                raise Malformed("an empty list")
            at += 1
        else:
            value, at = _atom(octets, at)
        if not stack:
            return value, at
        stack[-1].append(value)
        # Between two lists the space may be missing (addresses, parts); elsewhere there is exactly one.
        if octets[at : at + 1] == b" ":
            at += 1
            if octets[at : at + 1] in (b" ", b")", b""):
                raise Malformed(f"a space too many at {at}")
        elif octets[at : at + 1] != b")" and not (isinstance(value, list) and octets[at : at + 1] == b"("):
            raise Malformed(f"a space is missing at {at}")


def _atom(octets: bytes, at: int) -> tuple[Value, int]:
    first = octets[at : at + 1]
    if octets[at : at + 3] == b"NIL":
        return None, at + 3
    if first == b'"':
        return _quoted(octets, at + 1)
    if first == b"{":
        end = octets.index(b"}\r\n", at)
        digits = octets[at + 1 : end]
        if not digits or not _DIGITS.issuperset(digits):
            raise Malformed(f"a bad literal at {at}")
        start = end + 3
        literal = octets[start : start + int(digits)]
        if len(literal) != int(digits) or b"\0" in literal:
            raise Malformed(f"a bad literal at {at}")
        return literal, start + int(digits)
    end = at
    while octets[end : end + 1].isdigit():
        end += 1
    if end == at:
        raise Malformed(f"no value at {at}")
    return int(octets[at:end]), end


def _quoted(octets: bytes, at: int) -> tuple[bytes, int]:
    text = bytearray()
    while True:
        octet = octets[at : at + 1]
        if octet == b'"':
            return bytes(text), at + 1
        if octet == b"\\":
            at += 1
            octet = octets[at : at + 1]
            if octet not in (b'"', b"\\"):
                raise Malformed(f"a bad escape at {at}")
        if not octet or octet in b"\r\n\0" or octet >= b"\x80":
            raise Malformed(f"an octet that can't be quoted at {at}")
        text += octet
        at += 1


def check(true: bool, what: str) -> None:
    """Raises `Malformed` where something isn't so."""
    if not true:
        raise Malformed(what)


def _is_string(value: Value) -> bool:
    return isinstance(value, bytes)


def _is_nstring(value: Value) -> bool:
    return value is None or isinstance(value, bytes)


def envelope(octets: bytes) -> list[Value]:
    """An ENVELOPE's ten fields."""
    fields = read(octets)
    _check_envelope(fields)
    assert isinstance(fields, list)
    return fields


def _check_envelope(fields: Value) -> None:
    check(isinstance(fields, list) and len(fields) == 10, "an envelope has ten fields")
    for position in (0, 1, 8, 9):
        check(_is_nstring(fields[position]), "date, subject, in-reply-to and message-id are nstrings")
    for addresses in fields[2:8]:
        check(addresses is None or isinstance(addresses, list), "addresses are a list")
        for address in addresses or ():
            check(isinstance(address, list) and len(address) == 4, "an address has four fields")
            check(all(map(_is_nstring, address)), "an address's fields are nstrings")


@dataclass(slots=True)
class Described:
    """One part, as a BODYSTRUCTURE describes it."""

    path: tuple[int, ...]
    kind: str
    """type/subtype, lower case; multipart/subtype."""
    size: int | None = None
    lines: int | None = None
    encoding: bytes = b""
    parameters: dict[bytes, bytes] = field(default_factory=dict)
    envelope: list[Value] | None = None
    extension: list[Value] = field(default_factory=list)


def bodystructure(octets: bytes, extended: bool = True) -> list[Described]:
    """All parts that a BODYSTRUCTURE (or BODY) describes, as they stand in it. Raises `Malformed`."""
    found: list[Described] = []
    work: list[tuple[Value, tuple[int, ...], bool]] = [(read(octets), (), False)]
    while work:
        body, path, numbered = work.pop()
        check(isinstance(body, list), "a body is a list")
        if isinstance(body[0], list):
            count = _leading(body)
            check(_is_string(body[count]), "a multipart has a subtype")
            described = Described(path, "multipart/" + body[count].decode("latin-1").lower())
            described.extension = body[count + 1 :]
            _check_extension(described.extension, extended, multipart=True)
            found.append(described)
            inside = [(each, (*path, number), True) for number, each in enumerate(body[:count], 1)]
            work.extend(reversed(inside))
            continue
        own = path if numbered else (*path, 1)
        found.append(_one_part(body, own, extended))
        if found[-1].envelope is not None:
            work.append((body[8], own, False))
    return found


def _leading(body: list[Value]) -> int:
    """How many lists a multipart begins with."""
    return next(index for index, each in enumerate(body) if not isinstance(each, list))


def _one_part(body: list[Value], path: tuple[int, ...], extended: bool) -> Described:
    check(len(body) >= 7, "a part has seven fields")
    check(_is_string(body[0]) and _is_string(body[1]), "type and subtype are strings")
    kind = (body[0] + b"/" + body[1]).decode("latin-1").lower()
    parameters = _parameters(body[2])
    check(_is_nstring(body[3]) and _is_nstring(body[4]), "id and description are nstrings")
    check(_is_string(body[5]), "the encoding is a string")
    check(isinstance(body[6], int), "the size is a number")
    described = Described(path, kind, body[6], encoding=body[5], parameters=parameters)
    rest = body[7:]
    if kind in ("message/rfc822", "message/global"):
        check(len(rest) >= 3 and isinstance(rest[2], int), "a letter has an envelope, a body and lines")
        _check_envelope(rest[0])
        described.envelope, described.lines = rest[0], rest[2]
        rest = rest[3:]
    elif kind.startswith("text/"):
        check(bool(rest) and isinstance(rest[0], int), "a text has lines")
        described.lines = rest[0]
        rest = rest[1:]
    described.extension = rest
    _check_extension(rest, extended, multipart=False)
    return described


def _parameters(value: Value) -> dict[bytes, bytes]:
    if value is None:
        return {}
    check(isinstance(value, list) and len(value) % 2 == 0, "parameters are pairs")
    check(all(map(_is_string, value)), "parameters are strings")
    return dict(zip(value[::2], value[1::2], strict=True))


def _check_extension(rest: list[Value], extended: bool, multipart: bool) -> None:
    check(len(rest) == (4 if extended else 0), "extension data whole or not at all")
    if not extended:
        return
    first, disposition, language, location = rest
    if multipart:
        _parameters(first)
    else:
        check(_is_nstring(first), "MD5 is an nstring")
    if disposition is not None:
        check(isinstance(disposition, list) and len(disposition) == 2, "a disposition has two fields")
        check(_is_string(disposition[0]), "a disposition's type is a string")
        _parameters(disposition[1])
    if isinstance(language, list):
        check(all(map(_is_string, language)), "languages are strings")
    else:
        check(_is_nstring(language), "a language is an nstring")
    check(_is_nstring(location), "a location is an nstring")
