"""Address lists (RFC 5322 3.4 and 4.4), read leniently into what IMAP's ENVELOPE shows of them.

Ordinary addresses are taken by one pattern each. At the first that isn't ordinary the rest of the list goes through
a tokenizer, so that comments, groups, routes and garbage cost one look at each octet and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from postroom.net.limits import ADDRESS_TOKENS, ADDRESSES


class Address(NamedTuple):
    """An address structure of RFC 9051 7.5.2. Host None: the start (`mailbox` is the name) or end of a group."""

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


_Token = tuple[bytes, bytes]
_END_OF_GROUP = Address(None, None, None, None)

_ordinary = re.compile(
    rb"[ \t]*+"
    rb"(?:([^\x00-\x1f\x7f-\xff()<>\[\]:;@\\,\"]*+)<([\w!#$%&'*+/=?^`{|}~.-]++)@([\w.-]++)>"
    rb"|([\w!#$%&'*+/=?^`{|}~.-]++)@([\w.-]++))"
    rb"[ \t]*+(?:,|\Z)"
).match

_token = re.compile(
    rb"(?P<space>[ \t\r\n\x00]++)"
    rb'|"(?P<quoted>(?:[^"\\]++|\\.)*+)(?:"|\\?\Z)'
    rb"|\[(?P<literal>[^\]\[,;<>]*+)\]?"
    rb"|(?P<special>[<>@,;:()\]\\])"
    rb"|(?P<atom>[^ \t\r\n\x00\"()\[\]<>@,;:\\]++)",
    re.DOTALL,
).match
_commented = re.compile(rb"((?:[^()\\]++|\\.)*+)([()\\]?)", re.DOTALL).match
_escaped = re.compile(rb"\\(.)", re.DOTALL)


def read_addresses(value: bytes, limit: int = ADDRESSES) -> list[Address]:
    """The addresses of an unfolded field, at most `limit` of them; what can't be read is left out.

    An address without a domain has the host b"" (None would make it a group), so nothing is invented.
    """
    found: list[Address] = []
    at, end = 0, len(value)
    while at < end and len(found) < limit:
        match = _ordinary(value, at)
        if match is None:
            _read_rest(value, at, limit, found)
            break
        name, mailbox, host, bare, bare_host = match.groups()
        if mailbox is None:
            found.append(Address(None, None, bare, bare_host))
        else:
            found.append(Address(b" ".join(name.split()) or None, None, mailbox, host))
        at = match.end()
    return found


def _comment(value: bytes, at: int) -> tuple[bytes, int, int]:
    """The text of the comment whose parenthesis opened before `at`, where it ends, and what it cost in tokens."""
    depth, cost, texts = 1, 0, []
    while depth and cost < ADDRESS_TOKENS:
        match = _commented(value, at)
        if match is None or match.end() == at:
            break
        text, mark = match.groups()
        texts.append(text)
        at = match.end()
        cost += 1
        if mark == b"(":
            depth += 1
            texts.append(mark)
        elif mark == b")":
            depth -= 1
            if depth:
                texts.append(mark)
        else:
            break
    return _unescaped(b"".join(texts)).strip(), at, cost


def _scan(value: bytes, at: int) -> Iterator[_Token]:
    """Kinds and texts: specials are their own kind, b"(" is a whole comment, b" " white space, b"w" a word."""
    end, left = len(value), ADDRESS_TOKENS
    while at < end and left > 0:
        match = _token(value, at)
        if match is None:
            # Only an opening quote or bracket that the patterns above didn't want comes here.
            at += 1
            left -= 1
            continue
        kind, text = match.lastgroup, match[match.lastindex or 0]
        at = match.end()
        left -= 1
        if kind == "atom":
            yield b"w", text
        elif kind == "space":
            yield b" ", b" "
        elif kind == "quoted":
            yield b"w", _unescaped(text)
        elif kind == "literal":
            yield b"w", b"[" + text + b"]"
        elif text == b"(":
            text, at, cost = _comment(value, at)
            left -= cost
            yield b"(", text
        else:
            yield text, text


def _unescaped(text: bytes) -> bytes:
    return _escaped.sub(rb"\1", text) if b"\\" in text else text


def _read_rest(value: bytes, at: int, limit: int, found: list[Address]) -> None:
    """Append the addresses of value[at:], token by token; between commas `_address` says what stands there."""
    run: list[_Token] = []
    in_group = in_angle = in_route = False
    for token in _scan(value, at):
        kind = token[0]
        if kind == b";" or (kind == b"," and not in_route):
            found.extend(_address(run))
            run, in_angle, in_route = [], False, False
            if kind == b";" and in_group:
                in_group = False
                found.append(_END_OF_GROUP)
            if len(found) >= limit:
                break
        elif kind == b":" and not in_angle:
            if not in_group:
                in_group = True
                found.append(Address(None, None, _phrase(run), None))
            run = []
        else:
            if kind == b"<":
                in_angle, in_route = True, False
            elif kind == b">":
                in_angle = in_route = False
            elif kind == b"@" and in_angle and run[-1][0] == b"<":
                in_route = True
            elif kind == b":":
                in_route = False
            run.append(token)
    found.extend(_address(run))
    if in_group:
        found.append(_END_OF_GROUP)


def _address(run: list[_Token]) -> tuple[Address, ...]:
    """The one address that stands between two commas, or none where nothing does."""
    comment = next((text for kind, text in reversed(run) if kind == b"("), None) or None
    run = [token for token in run if token[0] != b"("]
    kinds = [kind for kind, _ in run]
    if b"<" not in kinds:
        mailbox, host = _addr_spec(run)
        return (Address(comment, None, mailbox, host),) if mailbox or host else ()
    opened = kinds.index(b"<")
    closed = kinds.index(b">", opened) if b">" in kinds[opened:] else len(run)
    inside, route = run[opened + 1 : closed], None
    if inside[:1] == [(b"@", b"@")] and (b":", b":") in inside:
        colon = inside.index((b":", b":"))
        inside, route = inside[colon + 1 :], _joined(inside[:colon])
    return (Address(_phrase(run[:opened]) or comment, route, *_addr_spec(inside)),)


def _addr_spec(run: list[_Token]) -> tuple[bytes, bytes]:
    """Local part and domain, around the last "@" (a domain can't hold one)."""
    marks = [index for index, (kind, _) in enumerate(run) if kind == b"@"]
    if not marks:
        return _joined(run), b""
    return _joined(run[: marks[-1]]), _joined(run[marks[-1] + 1 :])


def _joined(run: list[_Token]) -> bytes:
    """The tokens without the white space between them (RFC 5322 4.4 allows some around dots)."""
    return b"".join([text for kind, text in run if kind != b" "])


def _phrase(run: list[_Token]) -> bytes:
    """A display or group name: quotes and comments gone, white space single."""
    words: list[bytes] = []
    for kind, text in run:
        # Of the white space on both sides of a comment one remains.
        if kind != b"(" and (kind != b" " or words[-1:] != [b" "]):
            words.append(text)
    return b"".join(words).strip()
