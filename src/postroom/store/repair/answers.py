"""A letter's rows, made anew from its octets: what every repair has in common with the first filing."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from postroom.message.octets import Octets
from postroom.message.structure import PARSER, Facts
from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.ledger import Row
from postroom.store.records import FRAME_OCTETS, BadFrame, DeliveryFacts, checksum, read_facts, read_frame
from postroom.store.segments import segment_name
from postroom.store.values import Place

__all__ = ["LEARNED", "answers_row", "learned", "letter_row", "octets_at", "record_facts", "references_of"]

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


@contextmanager
def octets_at(folder: Path, place: Place) -> Iterator[Octets]:
    """A letter's octets, mapped where it is large. Raises OSError."""
    descriptor = os.open(folder / segment_name(place.segment), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if place.size <= BLOB_IN_MEMORY or place.offset % mmap.ALLOCATIONGRANULARITY:
            yield os.pread(descriptor, place.size, place.offset)
            return
        mapped = mmap.mmap(descriptor, place.size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=place.offset)
        with mapped:
            yield mapped
    finally:
        os.close(descriptor)


def record_facts(folder: Path, place: Place) -> DeliveryFacts | None:
    """What a letter's record says of its delivery; None where it can't be read. Raises OSError."""
    descriptor = os.open(folder / segment_name(place.segment), os.O_RDONLY | os.O_CLOEXEC)
    try:
        frame = read_frame(os.pread(descriptor, FRAME_OCTETS, place.offset - FRAME_OCTETS))
        octets = os.pread(descriptor, frame.facts_size, place.offset + place.size)
        return read_facts(octets) if checksum(octets) == frame.facts_checksum else None
    except BadFrame:
        return None
    finally:
        os.close(descriptor)
