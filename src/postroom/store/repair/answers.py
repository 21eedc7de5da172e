"""A letter's octets and its record's facts, read for a repair."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from postroom.message.octets import Octets
from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.records import FRAME_OCTETS, BadFrame, DeliveryFacts, checksum, read_facts, read_frame
from postroom.store.segments import segment_name
from postroom.store.values import Place

__all__ = ["octets_at", "record_facts"]


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
