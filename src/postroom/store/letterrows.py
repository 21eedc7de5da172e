"""What a letter tells of itself, as the rows that the index keeps of it: the same at its first filing and after a
repair. Pure.
"""

from __future__ import annotations

import struct
from typing import Final

from postroom.message.structure import PARSER, Facts
from postroom.net.limits import THREAD_REFERENCES
from postroom.store.values import Place

__all__ = ["LEARNED", "Row", "Value", "answers_row", "learned", "letter_row", "references_of", "thread_hashes"]

Value = int | str | bytes | None
Row = tuple[Value, ...]

LEARNED: Final = (
    "crlf_size",
    "header_size",
    "parser",
    "sent",
    "sent_zone",
    "message_id",
    "refs",
    "subject",
    "is_reply",
    "sender",
    "recipient",
    "copied",
)
"""Columns of `messages` that the letter itself tells, in their order."""


def references_of(facts: Facts) -> bytes:
    """The column `refs`: hashes of what the letter refers to, 8 octets each."""
    return struct.pack(f">{len(facts.references)}q", *facts.references)


def learned(facts: Facts) -> Row:
    """The values of LEARNED."""
    return (
        facts.crlf_size,
        facts.header_size,
        PARSER,
        facts.sent,
        facts.sent_zone,
        facts.message_id,
        references_of(facts),
        facts.subject,
        int(facts.is_reply),
        facts.sender,
        facts.to,
        facts.cc,
    )


def letter_row(message: int, place: Place, email_id: str, facts: Facts) -> Row:
    """A row of `messages`."""
    return (message, *place, email_id, *learned(facts))


def answers_row(message: int, facts: Facts) -> Row:
    """A row of `answers`."""
    return (message, facts.envelope, facts.bodystructure, facts.parts)


def thread_hashes(message_id: int | None, refs: bytes) -> tuple[int, ...]:
    """The Message-IDs that thread a letter, from its row: its own and the newest of those it refers to."""
    count = min(len(refs) // 8, THREAD_REFERENCES)
    references = struct.unpack(f">{count}q", refs[len(refs) - 8 * count :])
    return references if message_id is None else (message_id, *references)
