"""Message-IDs (RFC 5322 3.6.4) as signed 64-bit numbers, which an index compares more cheaply than text."""

from __future__ import annotations

import re
from hashlib import blake2b

from postroom.net.limits import REFERENCES

_ids = re.compile(rb"<([^<>]*+)>").findall
_quoting = re.compile(rb'\\(.)|"|[ \t]++', re.DOTALL)


def id_hash(message_id: bytes) -> int:
    """The hash of one id, given without its angle brackets.

    Quotes that change nothing are taken away first (RFC 5256 3, "MUST normalize any msg-id"); case counts.
    """
    if b'"' in message_id or b"\\" in message_id or b" " in message_id or b"\t" in message_id:
        message_id = _quoting.sub(lambda match: match[1] or b"", message_id)
    return int.from_bytes(blake2b(message_id, digest_size=8).digest(), "big", signed=True)


def first_id(value: bytes) -> int | None:
    """The hash of the first id in an unfolded field; None where there is none."""
    found = _ids(value)
    return id_hash(found[0]) if found and found[0] else None


def references(references: bytes | None, in_reply_to: bytes | None) -> tuple[int, ...]:
    """The ids that a letter answers to, oldest first: of References, else the first of In-Reply-To (RFC 5256 3)."""
    found = [each for each in _ids(references) if each] if references else []
    if found:
        return tuple([id_hash(each) for each in found[-REFERENCES:]])
    first = first_id(in_reply_to) if in_reply_to else None
    return () if first is None else (first,)
