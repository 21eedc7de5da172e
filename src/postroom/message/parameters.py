"""Content-Type, Content-Disposition and their parameters (RFC 2045 5.1, RFC 2183, RFC 2231), read leniently."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from postroom.net.limits import MIME_BOUNDARY_OCTETS, MIME_PARAMETERS

Parameters = tuple[tuple[bytes, bytes], ...]
"""Names as they were written (RFC 2231's marks too) and values without their quotes, in order."""


class ContentType(NamedTuple):
    """A media type as it was written; `kind` is "type/subtype" in lower case."""

    type: bytes
    subtype: bytes
    parameters: Parameters
    kind: bytes


PLAIN = ContentType(b"text", b"plain", ((b"charset", b"us-ascii"),), b"text/plain")
"""RFC 2045 5.2: what a part is that doesn't say, or says it so that nobody can read it."""
MESSAGE = ContentType(b"message", b"rfc822", (), b"message/rfc822")
"""RFC 2046 5.1.5: what a part of multipart/digest is that doesn't say."""
OCTETS = ContentType(b"application", b"octet-stream", (), b"application/octet-stream")
"""What a part is that lies beyond a limit."""

_TOKEN = rb"([^\x00-\x20\x7f-\xff()<>@,;:\\\"/\[\]?=]++)"
_SPACE = rb"(?:[ \t\r\n]++|\([^()]*+\))*+"
_type = re.compile(_SPACE + _TOKEN + _SPACE + rb"/" + _SPACE + _TOKEN).match
_token = re.compile(_SPACE + _TOKEN).match
_parameter = re.compile(
    _SPACE + rb"([^\x00-\x20\x7f-\xff;=\"()]++)" + _SPACE + rb"=(?:[ \t\r\n]++|\([^()]*+\)(?=[ \t\r\n]))*+"
    # An unquoted value may hold spaces in real letters' file names; a parenthesis behind one opens a comment, one
    # before the value only with white space behind it: (1).pdf is a name.
    rb'(?:"((?:[^"\\]++|\\.)*+)|([^; \t\r\n"][^; \t\r\n]*+(?:[ \t]++[^; \t\r\n(][^; \t\r\n]*+)*+)?)',
    re.DOTALL,
).match
_escaped = re.compile(rb"\\(.)", re.DOTALL)
_CACHED_OCTETS = 256


def content_type(value: bytes) -> ContentType | None:
    """A Content-Type field's unfolded value; None where it has no type and subtype."""
    return _cached_content_type(value) if len(value) <= _CACHED_OCTETS else _content_type(value)


def _content_type(value: bytes) -> ContentType | None:
    match = _type(value)
    if match is None:
        return None
    type, subtype = match.groups()
    return ContentType(type, subtype, read_parameters(value, match.end()), (type + b"/" + subtype).lower())


_cached_content_type = lru_cache(512)(_content_type)


def disposition(value: bytes) -> tuple[bytes, Parameters] | None:
    """A Content-Disposition field's type and parameters (RFC 2183 2); None where it has no type."""
    match = _token(value)
    return match and (match[1], read_parameters(value, match.end()))


def token(value: bytes) -> bytes | None:
    """The one word of a field such as Content-Transfer-Encoding, comments passed over; None where there is none."""
    match = _token(value)
    return match and match[1]


def read_parameters(value: bytes, at: int = 0) -> Parameters:
    """The parameters that follow each ";" from `at` on, at most `MIME_PARAMETERS`; garbage is passed over."""
    found: list[tuple[bytes, bytes]] = []
    at = value.find(b";", at) + 1
    while at and len(found) < MIME_PARAMETERS:
        match = _parameter(value, at)
        if match is not None:
            name, quoted, bare = match.groups()
            at = match.end()
            if quoted is None:
                found.append((name, bare or b""))
            else:
                found.append((name, _escaped.sub(rb"\1", quoted) if b"\\" in quoted else quoted))
        at = value.find(b";", at) + 1
    return tuple(found)


def parameter(parameters: Parameters, name: bytes) -> bytes | None:
    """The first value of this (lower-case) name, as it was written; None where there is none."""
    for each, value in parameters:
        if each.lower() == name:
            return value
    return None


def joined_parameter(parameters: Parameters, name: bytes) -> tuple[bytes, bytes] | None:
    """A parameter's value and charset with RFC 2231's continuations and percent signs undone.

    The charset is b"" where none is named. Pieces count from 0 upwards; a gap ends the value. Where the parameter
    also stands plainly, that is the fallback for old readers.
    """
    pieces: dict[bytes, bytes] = {}
    for each, value in parameters:
        each = each.lower()
        if each.startswith(name + b"*"):
            pieces.setdefault(each[len(name) :], value)
    if b"*" in pieces:
        pieces = {b"*0*": pieces[b"*"]}
    charset, value, number = b"", b"", 0
    while True:
        encoded, kept = pieces.get(b"*%d*" % number), pieces.get(b"*%d" % number)
        if encoded is not None:
            if number == 0 and encoded.count(b"'") >= 2:
                charset, _, encoded = encoded.split(b"'", 2)
            value += unquote_to_bytes(encoded)
        elif kept is not None:
            value += kept
        else:
            break
        number += 1
    if number:
        return value, charset
    plain = parameter(parameters, name)
    return None if plain is None else (plain, b"")


def boundary(parameters: Parameters) -> bytes | None:
    """What parts a multipart (RFC 2046 5.1.1); None where it is missing, empty or over-long."""
    found = joined_parameter(parameters, b"boundary")
    mark = found[0].rstrip() if found else b""
    return mark if 0 < len(mark) <= MIME_BOUNDARY_OCTETS else None
