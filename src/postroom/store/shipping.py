"""A batch's letters put on stable storage: their records made, written and synced, before any row is.

All small letters of a batch go to the process's open segment with one sync; a large one is in a segment of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import apsw

from postroom.message.structure import Facts
from postroom.net.limits import RECORD_FACTS_OCTETS
from postroom.store import reads
from postroom.store.apply.letters import FileLetter
from postroom.store.blobs import LargeBody
from postroom.store.changes import Filed, Reason, Refused, Target
from postroom.store.faults import sqlite_fault
from postroom.store.interface import StoreFault
from postroom.store.records import (
    FRAME_OCTETS,
    DeliveredTo,
    DeliveryFacts,
    email_id_text,
    frame_of,
    write_facts,
    write_frame,
)
from postroom.store.segments import Buffer, Segment, Segments
from postroom.store.usage import Usages, without_room
from postroom.store.values import AccountId, MailboxId, Place, Quotas

__all__ = ["Footer", "Outcome", "Parcel", "Shipped", "complete", "footers", "ship"]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A letter that is to be filed; a large one's octets are on stable storage, but for its frame."""

    body: bytes | LargeBody
    facts: Facts
    targets: tuple[Target, ...]
    internal_date: int
    zone: int
    by: str = ""
    note: str = ""

    @property
    def octets(self) -> int:
        """What it adds to its batch."""
        return len(self.body) if isinstance(self.body, bytes) else 0

    @property
    def size(self) -> int:
        """Octets of the letter."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.size

    def drop(self) -> None:
        """It will not be filed: nothing is to be left of it."""
        if isinstance(self.body, LargeBody):
            self.body.segment.give_up()


@dataclass(frozen=True, slots=True)
class Shipped:
    """A parcel whose record is on stable storage, and what is to be asked of the index."""

    op: FileLetter
    segment: Segment


Outcome = Shipped | tuple[Filed | Refused, ...] | StoreFault
"""Of one parcel; without `Shipped` the index needs not be asked."""


def ship(
    connection: apsw.Connection, segments: Segments, parcels: Sequence[Parcel], quotas: Quotas
) -> list[Outcome]:
    """What came of each parcel, in order. What fails is an outcome: nothing is raised but by bugs."""
    facts = footers(connection, parcels, quotas)
    small = [
        (parcel, parcel.body, each)
        for parcel, each in zip(parcels, facts, strict=True)
        if isinstance(each, bytes) and isinstance(parcel.body, bytes)
    ]
    try:
        written = iter(_write_small(segments, small) if small else ())
        fault = None
    except StoreFault as error:
        written, fault = iter(()), error
    outcomes: list[Outcome] = []
    for parcel, each in zip(parcels, facts, strict=True):
        if not isinstance(each, bytes):
            parcel.drop()
            outcomes.append(each)
        elif isinstance(parcel.body, LargeBody):
            outcomes.append(complete(parcel, parcel.body, each))
        else:
            outcomes.append(fault or next(written))
    return outcomes


Footer = bytes | tuple[Refused, ...] | StoreFault
"""A record's; or the parcel's answer, where no mailbox is there, or no room."""


def footers(connection: apsw.Connection, parcels: Sequence[Parcel], quotas: Quotas) -> list[Footer]:
    """What ends the record of each parcel, in order."""
    mailboxes = {target.mailbox for parcel in parcels for target in parcel.targets}
    try:
        names = reads.target_names(connection, mailboxes)
        uses = Usages(connection, quotas)
        return [_full(parcel, names, uses) or _facts(parcel, names) for parcel in parcels]
    except apsw.Error as error:
        return [sqlite_fault(connection, error)] * len(parcels)


_Names = Mapping[MailboxId, tuple[AccountId, str, str]]


def _full(parcel: Parcel, names: _Names, uses: Usages) -> tuple[Refused, ...] | None:
    """The answer to a parcel that some target has no room for, also because of those before it: it costs no place
    in a segment. The last word has the index (`apply.letters`), which knows what else changes in the same batch."""
    there = [target for target in parcel.targets if target.mailbox in names]
    wanted = [(uses.of(names[target.mailbox][0]), parcel.size + len(target.prefix)) for target in there]
    full = without_room(wanted)
    if not any(full):
        for use, octets in wanted:
            use.add(octets, 1)
        return None
    answers = iter([Refused(Reason.OVER_QUOTA if each else Reason.TOGETHER) for each in full])
    gone = Refused(Reason.NO_SUCH_MAILBOX)
    return tuple([next(answers) if target.mailbox in names else gone for target in parcel.targets])


def _facts(parcel: Parcel, names: _Names) -> Footer:
    delivered = [
        DeliveredTo(*names[target.mailbox][1:], target.prefix, int(target.flags), target.keywords)
        for target in parcel.targets
        if target.mailbox in names
    ]
    if not delivered:
        return (Refused(Reason.NO_SUCH_MAILBOX),) * len(parcel.targets)
    facts = write_facts(DeliveryFacts(parcel.internal_date, parcel.zone, tuple(delivered)))
    if len(facts) > RECORD_FACTS_OCTETS:
        return StoreFault("a letter for too many mailboxes")
    return facts


def _write_small(segments: Segments, small: Sequence[tuple[Parcel, bytes, bytes]]) -> list[Shipped]:
    """All into the open segment, with one sync. Raises `StoreFault`."""
    segment = segments.open()
    position = segment.size
    pieces: list[Buffer] = []
    shipped = []
    for parcel, body, facts in small:
        email_id = _new_email_id()
        pieces += (write_frame(frame_of(body, facts, email_id)), body, facts)
        place = Place(segment.number, position + FRAME_OCTETS, len(body))
        position = place.offset + len(body) + len(facts)
        shipped.append(Shipped(_op(parcel, email_id, place, position), segment))
    segment.append_batch(pieces)
    segment.sync()
    return shipped


def complete(parcel: Parcel, body: LargeBody, facts: bytes) -> Shipped | StoreFault:
    """A large letter's record, finished and synced; where that fails its segment is given up."""
    email_id = _new_email_id()
    try:
        offset = body.finish(facts, email_id)
    except StoreFault as fault:
        return fault
    place = Place(body.segment.number, offset, body.size)
    return Shipped(_op(parcel, email_id, place, body.segment.size), body.segment)


def _op(parcel: Parcel, email_id: bytes, place: Place, end: int) -> FileLetter:
    return FileLetter(
        email_id_text(email_id),
        place,
        end,
        parcel.facts,
        parcel.targets,
        parcel.internal_date,
        parcel.zone,
        parcel.by,
        parcel.note,
    )


def _new_email_id() -> bytes:
    """Unique for ever by its ten random octets; the time before them (as in RFC 9562 5.7) lets the index of ids
    grow at its end, where a page is in memory and takes many."""
    return (time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10)
