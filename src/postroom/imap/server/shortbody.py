"""FETCH's forms of the body structure that was made at delivery, which is RFC 9051's whole one: as RFC 3501 has it,
and without extension data, as BODY has it (RFC 3501 7.4.2).

Pure. The input is our own, well-formed and as deep as limits.MIME_DEPTH lets it be; nothing here recurses even so.

    >>> without_extensions(b'("TEXT" "PLAIN" NIL NIL NIL "7BIT" 5 1 NIL NIL NIL NIL)')
    b'("TEXT" "PLAIN" NIL NIL NIL "7BIT" 5 1)'
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import takewhile

_TOKEN = re.compile(rb' *(?:([()])|("(?:[^"\\]|\\.)*")|\{([0-9]{1,20})\}\r\n|([^ ()"{]+))', re.DOTALL)

_BASIC_FIELDS = 7
"""Type, subtype, parameters, id, description, encoding, octets."""
_TEXT_FIELDS = 8
"""And the lines."""
_MESSAGE_FIELDS = 10
"""And envelope, body structure, lines."""
_GLOBAL = b'"global"'
"""message/global's subtype as `message.bodystructure` writes it, whatever its sender did."""


@dataclass(slots=True)
class _Node:
    """One token or parenthesised list: the octets `start` to `end` of the text."""

    start: int
    end: int = 0
    is_list: bool = False
    fields: list[_Node] = field(default_factory=list)


def without_extensions(bodystructure: bytes) -> bytes:
    """The non-extensible form of a body structure, that FETCH BODY answers.

    Raises ValueError where the bytes aren't a body structure, which the store never holds.
    """
    return _in_one_go(bodystructure) or _by_its_nodes(bodystructure)


def in_first_revision(bodystructure: bytes) -> bytes:
    """The structure by the grammar of RFC 3501 9, which has an envelope and a structure for message/rfc822 only:
    to its clients message/global (RFC 6532 3.7) is a part like any other. A strict one could not read on."""
    if _GLOBAL not in bodystructure:
        return bodystructure
    cuts: list[tuple[int, int]] = []
    work = [_read(bodystructure)]
    while work:
        fields = work.pop().fields
        if fields and fields[0].is_list:
            work.extend(takewhile(lambda each: each.is_list, fields))
        elif len(fields) >= _MESSAGE_FIELDS and fields[_BASIC_FIELDS].is_list:
            if bodystructure[fields[1].start : fields[1].end] == _GLOBAL:
                cuts.append((fields[_BASIC_FIELDS - 1].end, fields[_MESSAGE_FIELDS - 1].end))
            else:
                work.append(fields[_BASIC_FIELDS + 1])
    return _without(bodystructure, cuts)


# --- letters of multiparts and leaves without literals, as nearly all are: a match for each part

_STRING = rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|NIL)'
_STRINGS = rb"\(%b(?: %b)*+\)" % (_STRING, _STRING)
_DISPOSITION = rb"(?:NIL|\(%b (?:NIL|%b)\))" % (_STRING, _STRINGS)
_COMMON_END = rb"(?: %b(?: (?:%b|%b)(?: %b)?+)?+)?+\)" % (_DISPOSITION, _STRINGS, _STRING, _STRING)
_LEAF = re.compile(
    rb"(\(%b %b (?:NIL|%b) %b %b %b [0-9]++(?: [0-9]++)?+)(?: %b%b|\))"
    % (_STRING, _STRING, _STRINGS, _STRING, _STRING, _STRING, _STRING, _COMMON_END),
    re.DOTALL,
)
_MULTIPART_END = re.compile(rb"( %b)(?: (?:NIL|%b)%b|\))" % (_STRING, _STRINGS, _COMMON_END), re.DOTALL)


def _in_one_go(text: bytes) -> bytes | None:
    """None where there is more to it."""
    kept: list[bytes] = []
    at = depth = 0
    while True:
        while text.startswith(b"((", at):
            kept.append(b"(")
            at += 1
            depth += 1
        found = _LEAF.match(text, at)
        while found is not None:
            kept += (found[1], b")")
            at = found.end()
            if not depth or text.startswith(b"(", at):
                break
            found = _MULTIPART_END.match(text, at)
            depth -= 1
        if found is None:
            return None
        if not depth:
            return b"".join(kept) if at == len(text) else None


# --- any other


def _by_its_nodes(bodystructure: bytes) -> bytes:
    cuts: list[tuple[int, int]] = []
    work = [_read(bodystructure)]
    while work:
        body = work.pop()
        fields = body.fields
        if fields and fields[0].is_list:
            parts = next((at for at, each in enumerate(fields) if not each.is_list), len(fields))
            work.extend(fields[:parts])
            kept = parts + 1
        elif len(fields) >= _MESSAGE_FIELDS and fields[_BASIC_FIELDS].is_list:
            work.append(fields[_BASIC_FIELDS + 1])
            kept = _MESSAGE_FIELDS
        elif fields and bodystructure[fields[0].start : fields[0].end].upper() == b'"TEXT"':
            kept = _TEXT_FIELDS
        else:
            kept = _BASIC_FIELDS
        if len(fields) > kept:
            cuts.append((fields[kept - 1].end, body.end - 1))
    return _without(bodystructure, cuts)


def _without(text: bytes, cuts: list[tuple[int, int]]) -> bytes:
    pieces, at = [], 0
    for start, end in sorted(cuts):
        pieces.append(text[at:start])
        at = end
    pieces.append(text[at:])
    return b"".join(pieces)


def _read(text: bytes) -> _Node:
    top = _Node(0, len(text), True)
    open_lists = [top]
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError("no body structure")
        at = token.end()
        if token[1] == b")":
            open_lists.pop().end = at
            if not open_lists:
                raise ValueError("no body structure")
            continue
        node = _Node(token.end() - len(token[0].lstrip(b" ")), at)
        if token[3] is not None:
            at = node.end = at + int(token[3])
        open_lists[-1].fields.append(node)
        if token[1] == b"(":
            node.is_list = True
            open_lists.append(node)
    if len(open_lists) != 1 or len(top.fields) != 1 or not top.fields[0].is_list:
        raise ValueError("no body structure")
    return top.fields[0]
