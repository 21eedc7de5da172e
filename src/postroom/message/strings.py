"""Text of letters as IMAP strings (RFC 9051 4.3): nothing that stands in a letter can end one early."""

from __future__ import annotations

import re

NIL = b"NIL"
QUOTED_OCTETS = 1000
"""A longer string is a literal: clients read answers by lines, and some have small buffers for one."""

_plain = re.compile(rb"[\t\x20\x21\x23-\x5b\x5d-\x7e]*+").fullmatch
_printable = re.compile(rb"[\t\x20-\x7e]*+").fullmatch


def string(value: bytes) -> bytes:
    """Quoted for printable ASCII, a literal for anything else. NUL, which neither can carry, is left out."""
    if len(value) <= QUOTED_OCTETS:
        if _plain(value):
            return b'"' + value + b'"'
        if _printable(value):
            return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    value = value.replace(b"\0", b"")
    return b"{%d}\r\n" % len(value) + value


def nstring(value: bytes | None) -> bytes:
    """A string, or NIL for None."""
    return NIL if value is None else string(value)
