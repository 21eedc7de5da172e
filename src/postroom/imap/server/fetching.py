"""FETCH and UID FETCH (RFC 3501 6.4.5): answers joined from what was made at delivery, no letter is parsed again.

Where an answer comes from depends on the dearest thing that is asked for: FLAGS and UID stand in the view, dates
and sizes in the mailbox's entries, all else in `Letter`; octets are read by offset (`bodies`). Letters go through
in slices: a slice's answers are columns, one for each item, joined row by row with one template.

An answer has the plain items first, as the client ordered them, and the octets behind them.

Letters that others expunged meanwhile have no answer; the rest have theirs, and the command ends in NO
[EXPUNGEISSUED] (RFC 2180 4.1.2, RFC 5530 3), or in OK where letters were chosen by UID.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple, TypeVar

from postroom.imap.grammar.commands import Fetch
from postroom.imap.grammar.dates import write_date_time
from postroom.imap.grammar.fetch import Body, FetchItem, Item
from postroom.imap.server.bodies import Bodies, Texts
from postroom.imap.server.flagging import change_flags
from postroom.imap.server.letters import slices, some_are_gone
from postroom.imap.server.refusals import Refusal
from postroom.imap.server.sections import size_of
from postroom.imap.server.session import Session
from postroom.imap.server.shortbody import in_first_revision, without_extensions
from postroom.imap.view import View
from postroom.net.limits import IMAP_LETTERS_PER_CHANGE
from postroom.net.log import event
from postroom.store.changes import How
from postroom.store.interface import StoreFault, Unreadable
from postroom.store.values import Entry, Flag, Letter, Uid

_log: Final = logging.getLogger(__name__)
Row = TypeVar("Row", Entry, Letter)

_SLICE_OF_BODY: Final = 10
"""Letters whose answers are made at once where body structures are shortened: a fraction of a millisecond."""


async def fetch(session: Session, command: Fetch) -> bytes:
    """FETCH (RFC 3501 6.4.5)."""
    return await _fetch(session, command, by_uid=False)


async def uid_fetch(session: Session, command: Fetch) -> bytes:
    """UID FETCH (RFC 3501 6.4.8): the UID is part of each answer; letters that aren't there are passed over."""
    return await _fetch(session, command, by_uid=True)


async def _fetch(session: Session, command: Fetch, *, by_uid: bool) -> bytes:
    selected = session.the_selected()
    numbers = selected.view.chosen(command.chosen, by_uid=by_uid)
    plan = Plan.of(command.items, by_uid=by_uid, read_only=selected.read_only)
    fetching = _Fetching(session, plan)
    for reach in slices(numbers, IMAP_LETTERS_PER_CHANGE):
        await fetching.mark_seen(reach)
        for ranges in slices(reach, plan.slice):
            await fetching.answer(ranges)
            await session.breathe()
    if fetching.unreadable:
        await session.catch_up()
        if damaged := [uid for uid in fetching.unreadable if not selected.view.is_gone(uid)]:
            event(
                _log,
                logging.ERROR,
                "imap.unreadable",
                session=session.id,
                mailbox=selected.mailbox.id,
                uids=damaged,
            )
            raise Refusal(b"Some of the letters can't be read", b"CORRUPTION")
    if fetching.missing and not by_uid:
        raise some_are_gone()
    return b"Fetched"


class Source(enum.IntEnum):
    """Where an item's answer stands; the later, the dearer."""

    VIEW = 0
    ENTRIES = 1
    LETTERS = 2
    ANSWERS = 3
    """Letters with what was made of them at delivery."""


_SLICES: Final = {Source.VIEW: 500, Source.ENTRIES: 250, Source.LETTERS: 100, Source.ANSWERS: 100}
"""Letters whose answers are made at once: less than half a millisecond."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Some letters: numbers and UIDs, and what was read of each: entries, or letters, or neither."""

    view: View
    numbers: Sequence[int]
    uids: Sequence[Uid]
    entries: Sequence[Entry] = ()
    letters: Sequence[Letter] = ()


class Column(NamedTuple):
    """How an item is answered: from where, in which form, and with which values for the letters of a slice."""

    source: Source
    form: bytes
    values: Callable[[Slice], Iterable[object]]


_COLUMNS: Final = {
    Item.UID: Column(Source.VIEW, b"%d", lambda slice: slice.uids),
    Item.FLAGS: Column(Source.VIEW, b"%b", lambda slice: slice.view.tell_all_flags(slice.numbers)),
    Item.INTERNALDATE: Column(
        Source.ENTRIES,
        b"%b",
        lambda slice: [write_date_time(row.internal_date, row.zone) for row in slice.entries or slice.letters],
    ),
    Item.SIZE: Column(
        Source.ENTRIES, b"%d", lambda slice: [row.size for row in slice.entries] or map(size_of, slice.letters)
    ),
    Item.ENVELOPE: Column(Source.ANSWERS, b"%b", lambda slice: [row.envelope for row in slice.letters]),
    Item.BODYSTRUCTURE: Column(
        Source.ANSWERS, b"%b", lambda slice: [in_first_revision(row.bodystructure) for row in slice.letters]
    ),
    Item.BODY: Column(
        Source.ANSWERS,
        b"%b",
        lambda slice: [without_extensions(in_first_revision(row.bodystructure)) for row in slice.letters],
    ),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command's items come to."""

    columns: tuple[Column, ...]
    bodies: tuple[Body, ...]
    source: Source
    slice: int
    """Letters to be answered at a time."""
    template: bytes
    """A whole answer where no octets are asked for, else all that stands before their first item."""
    sets_seen: bool
    tells_flags: bool
    """Whether FLAGS is among the items."""

    @classmethod
    def of(cls, items: Sequence[FetchItem], *, by_uid: bool, read_only: bool) -> Plan:
        """The plan for these items."""
        plain = [item for item in items if isinstance(item, Item)]
        if by_uid and Item.UID not in plain:
            plain.insert(0, Item.UID)
        bodies = tuple(item for item in items if isinstance(item, Body))
        columns = tuple(_COLUMNS[item] for item in plain)
        source = max([column.source for column in columns] + [_source(body) for body in bodies])
        words = b"".join(b"%b %b " % (item.value, _COLUMNS[item].form) for item in plain)
        return cls(
            columns,
            bodies,
            source,
            _SLICE_OF_BODY if Item.BODY in plain else _SLICES[source],
            b"* %d FETCH (" + (words if bodies else words[:-1] + b")\r\n"),
            not read_only and any(not body.peek for body in bodies),
            Item.FLAGS in plain,
        )


def _source(body: Body) -> Source:
    """Offsets of parts are among the answers, those of the header are not."""
    return Source.ANSWERS if body.section.path else Source.LETTERS


class _Fetching:
    """One command on its way through the letters."""

    __slots__ = (
        "_bodies",
        "_mailbox",
        "_newly_seen",
        "_plan",
        "_session",
        "_store",
        "_view",
        "missing",
        "unreadable",
    )

    def __init__(self, session: Session, plan: Plan) -> None:
        selected = session.the_selected()
        self._session = session
        self._plan = plan
        self._view = selected.view
        self._mailbox = selected.mailbox.id
        self._store = session.service.store
        self._bodies = Bodies(session, plan.bodies)
        self._newly_seen: set[int] = set()
        self.missing = 0
        """Letters without an answer."""
        self.unreadable: list[Uid] = []
        """Those of them whose octets could not be read."""

    async def mark_seen(self, ranges: list[range]) -> None:
        """Give those letters \\Seen that haven't got it, if the command asks for octets without PEEK, and remember
        them: their answers show the change."""
        if not self._plan.sets_seen:
            return
        view = self._view
        unseen = [number for number in chain(*ranges) if not view.flags_at(number) & Flag.SEEN]
        uids = [uid for number in unseen if not view.is_gone(uid := view.uid_of(number))]
        if not uids:
            return
        try:
            await change_flags(self._session, uids, How.ADD, Flag.SEEN, ())
        except StoreFault as trouble:
            # A full disk must not keep anybody from reading.
            event(_log, logging.ERROR, "imap.seen-not-stored", session=self._session.id, reason=trouble)
            return
        await self._session.catch_up()
        self._newly_seen = set(unseen)

    async def answer(self, ranges: list[range]) -> None:
        """Write the answers for these letters."""
        slice = await self._look_up(ranges)
        if self._plan.bodies:
            await self._answer_with_bodies(slice)
        else:
            self._session.write(b"".join(self._rows(slice)))

    def _rows(self, slice: Slice) -> list[bytes]:
        template = self._plan.template
        columns = [column.values(slice) for column in self._plan.columns]
        return list(map(template.__mod__, zip(slice.numbers, *columns, strict=True)))

    async def _look_up(self, ranges: list[range]) -> Slice:
        """Read what the plan needs of these letters; those that are gone are left out."""
        view, source = self._view, self._plan.source
        numbers: Sequence[int] = ranges[0] if len(ranges) == 1 else list(chain(*ranges))
        uids = view.uids(ranges)
        if view.any_gone(uids):
            numbers = [number for number, uid in zip(numbers, uids, strict=True) if not view.is_gone(uid)]
            uids = list(map(view.uid_of, numbers))
            self.missing += sum(map(len, ranges)) - len(uids)
        if source is Source.VIEW or not uids:
            return Slice(view, numbers, uids)
        if source is Source.ENTRIES and len(ranges) == 1:
            # Neighbours in the view are neighbours in the mailbox: what came in since has higher UIDs.
            entries = await self._store.entries(self._mailbox, Uid(uids[0] - 1), len(ranges[0]))
            numbers, uids, entries = self._aligned(numbers, uids, entries)
            return Slice(view, numbers, uids, entries=entries)
        letters = await self._store.letters(self._mailbox, uids, answers=source is Source.ANSWERS)
        numbers, uids, letters = self._aligned(numbers, uids, letters)
        return Slice(view, numbers, uids, letters=letters)

    def _aligned(
        self, numbers: Sequence[int], uids: list[Uid], rows: list[Row]
    ) -> tuple[Sequence[int], list[Uid], list[Row]]:
        """Numbers, UIDs and rows of those letters that have a row."""
        found = [row.uid for row in rows]
        if found == uids:
            return numbers, uids, rows
        number_of = dict(zip(uids, numbers, strict=True))
        rows = [row for row in rows if row.uid in number_of]
        self.missing += len(uids) - len(rows)
        uids = [row.uid for row in rows]
        return [number_of[uid] for uid in uids], uids, rows

    async def _answer_with_bodies(self, slice: Slice) -> None:
        for batch in self._bodies.batches(slice.letters):
            answers: list[Texts] = []
            chosen: list[int] = []
            for at, answer in enumerate(await self._bodies.read(batch), batch.first):
                if isinstance(answer, Unreadable):
                    self.missing += 1
                    self.unreadable.append(slice.uids[at])
                else:
                    chosen.append(at)
                    answers.append(answer)
            await self._bodies.write(self._beginnings(slice, chosen), answers, batch)
            await self._session.breathe()

    def _beginnings(self, slice: Slice, chosen: list[int]) -> list[bytes]:
        """What stands before the octets in the answers for some of a slice's letters."""
        if len(chosen) < len(slice.letters):
            slice = Slice(
                slice.view,
                [slice.numbers[at] for at in chosen],
                [slice.uids[at] for at in chosen],
                letters=[slice.letters[at] for at in chosen],
            )
        rows = self._rows(slice)
        if self._newly_seen and not self._plan.tells_flags:
            for at, number in enumerate(slice.numbers):
                if number in self._newly_seen:
                    rows[at] += b"FLAGS %b " % slice.view.tell_flags(number)
        return rows
