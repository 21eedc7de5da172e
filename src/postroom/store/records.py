"""The frames of a segment file, as octets and as values; pure. The format octet by octet is in docs/store.md.

A segment is its header and then records; a record is a `Frame`, the payload (a letter's octets, unchanged) and its
facts (JSON: what an index would need to file the letter again). Numbers are big-endian, checksums CRC-32
(measured: 2.5 µs for 10 KB, blake2b 11), so that every flipped bit and every torn tail is found.

    >>> frame = frame_of(b"Subject: hi\\r\\n\\r\\n", b"{}", bytes(16))
    >>> read_frame(write_frame(frame)) == frame
    True
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Final

from postroom.net.limits import RECORD_FACTS_OCTETS

__all__ = [
    "FRAME_OCTETS",
    "NO_LETTER",
    "SEGMENT_HEADER_OCTETS",
    "BadFrame",
    "DeliveredTo",
    "DeliveryFacts",
    "ExpungedFrom",
    "Frame",
    "checksum",
    "email_id_text",
    "frame_of",
    "read_facts",
    "read_frame",
    "read_segment_header",
    "vouches",
    "write_facts",
    "write_filler",
    "write_frame",
    "write_segment_header",
]

VERSION: Final = 1
_SEGMENT = struct.Struct(">8sIQ")
_SEGMENT_MAGIC: Final = b"\x89PostSeg"
_FRAME = struct.Struct(">4sIQIII16s")
_FRAME_MAGIC: Final = b"\x89Ltr"
_CHECKSUM = struct.Struct(">I")
_to_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

SEGMENT_HEADER_OCTETS: Final = _SEGMENT.size + _CHECKSUM.size
FRAME_OCTETS: Final = _FRAME.size + _CHECKSUM.size

NO_LETTER: Final = bytes(16)
"""The email id of a filler: a record that is no letter. Its payload is zeros, it has no facts, and it stands only
so that the payload behind it begins at a page's boundary and can be mapped."""

checksum = zlib.crc32
"""CRC-32 of octets; a second argument continues an earlier one."""


def email_id_text(octets: bytes) -> str:
    """A letter's id as the index and clients have it: RFC 8474 4's characters, a letter first.

    >>> email_id_text(bytes(16))
    'M00000000000000000000000000000000'
    """
    return "M" + octets.hex()


class BadFrame(ValueError):
    """Octets that are no frame, or whose checksum is wrong."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands before a payload. `email_id` is 16 octets, the letter's name for ever."""

    payload_size: int
    facts_size: int
    payload_checksum: int
    facts_checksum: int
    email_id: bytes

    @property
    def record_size(self) -> int:
        """Octets of frame, payload and facts."""
        return FRAME_OCTETS + self.payload_size + self.facts_size


def frame_of(payload: bytes, facts: bytes, email_id: bytes) -> Frame:
    """The frame for a payload that is in memory."""
    return Frame(len(payload), len(facts), checksum(payload), checksum(facts), email_id)


def write_frame(frame: Frame) -> bytes:
    """A frame's octets."""
    head = _FRAME.pack(
        _FRAME_MAGIC,
        VERSION,
        frame.payload_size,
        frame.facts_size,
        frame.payload_checksum,
        frame.facts_checksum,
        frame.email_id,
    )
    return head + _CHECKSUM.pack(checksum(head))


def read_frame(octets: bytes) -> Frame:
    """The frame that `octets` begin with. Raises `BadFrame`."""
    if len(octets) < FRAME_OCTETS:
        raise BadFrame("too short")
    head = octets[: _FRAME.size]
    if _CHECKSUM.unpack_from(octets, _FRAME.size)[0] != checksum(head):
        raise BadFrame("wrong checksum")
    magic, version, payload_size, facts_size, payload_checksum, facts_checksum, email_id = _FRAME.unpack(head)
    if magic != _FRAME_MAGIC or version != VERSION or facts_size > RECORD_FACTS_OCTETS:
        raise BadFrame("not a record of this version")
    return Frame(payload_size, facts_size, payload_checksum, facts_checksum, email_id)


def vouches(frame: bytes, payload: bytes, email_id: str) -> bool:
    """Whether the octets of a frame name this letter and its payload's checksum: quicker than to read the frame,
    and as strict where the answer is yes."""
    if len(frame) != FRAME_OCTETS or frame[:4] != _FRAME_MAGIC:
        return False
    _, _, size, _, wanted, _, octets = _FRAME.unpack_from(frame)
    return bool(size == len(payload) and octets.hex() == email_id[1:] and wanted == checksum(payload))


def write_filler(position: int, boundary: int) -> bytes:
    """The filler that stands at `position`, so that the payload of the record behind it begins at `boundary`."""
    payload = bytes(boundary - position - 2 * FRAME_OCTETS)
    return write_frame(frame_of(payload, b"", NO_LETTER)) + payload


def write_segment_header(number: int) -> bytes:
    """The first octets of segment `number`."""
    head = _SEGMENT.pack(_SEGMENT_MAGIC, VERSION, number)
    return head + _CHECKSUM.pack(checksum(head))


def read_segment_header(octets: bytes) -> int:
    """The number that a segment's first octets give. Raises `BadFrame`."""
    if len(octets) < SEGMENT_HEADER_OCTETS:
        raise BadFrame("too short")
    head = octets[: _SEGMENT.size]
    magic, version, number = _SEGMENT.unpack(head)
    if _CHECKSUM.unpack_from(octets, _SEGMENT.size)[0] != checksum(head):
        raise BadFrame("wrong checksum")
    if magic != _SEGMENT_MAGIC or version != VERSION:
        raise BadFrame("not a segment of this version")
    return int(number)


@dataclass(frozen=True, slots=True)
class DeliveredTo:
    """One target of a delivery, by names that outlive the index."""

    address: str
    mailbox: str
    prefix: bytes
    flags: int
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExpungedFrom:
    """Where a letter was until it was expunged (`gone`, seconds since 1970 UTC), and may be brought back to."""

    target: DeliveredTo
    gone: int


@dataclass(frozen=True, slots=True)
class DeliveryFacts:
    """A record's footer. `internal_date` in seconds since 1970 UTC, `zone` in minutes east of it. `targets` are
    those of the delivery, or where the letter lay when compaction copied it; `expunged` is told by copies only."""

    internal_date: int
    zone: int
    targets: tuple[DeliveredTo, ...]
    expunged: tuple[ExpungedFrom, ...] = ()


def write_facts(facts: DeliveryFacts) -> bytes:
    """The footer as compact JSON in ASCII; prefixes as Latin-1, an octet a character. A letter that was expunged
    from nowhere has no fourth member."""
    footer: list[object] = [facts.internal_date, facts.zone, [_target(each) for each in facts.targets]]
    if facts.expunged:
        footer.append([[*_target(each.target), each.gone] for each in facts.expunged])
    return _to_json(footer).encode("ascii")


def _target(to: DeliveredTo) -> list[object]:
    return [to.address, to.mailbox, to.prefix.decode("latin-1"), to.flags, to.keywords]


def read_facts(octets: bytes) -> DeliveryFacts:
    """The footer's value. Raises `BadFrame`."""
    try:
        internal_date, zone, targets, *more = json.loads(octets)
        expunged = more[0] if more else ()
        return DeliveryFacts(
            int(internal_date),
            int(zone),
            tuple([_delivered_to(*each) for each in targets]),
            tuple([ExpungedFrom(_delivered_to(*each), int(gone)) for *each, gone in expunged]),
        )
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as fault:
        raise BadFrame("facts that can't be read") from fault


def _delivered_to(address: object, mailbox: object, prefix: str, flags: int, keywords: list[str]) -> DeliveredTo:
    return DeliveredTo(str(address), str(mailbox), prefix.encode("latin-1"), int(flags), tuple(keywords))
