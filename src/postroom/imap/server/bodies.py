"""The octets that FETCH gives of letters: read ahead within bounds, and written as literals.

A literal's size is known before its octets are read, and it is announced only when its beginning was. Small letters
are read by the batch, all of them before a word of their answers is written; of a larger one the rest follows piece
by piece as the client takes it. Never more than IMAP_FETCH_OCTETS is in memory. If then a piece can't be read, the
connection is dropped: nothing else could be said within a literal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, repeat
from typing import Final, NamedTuple, cast

from postroom.imap.grammar.fetch import Body, Section, Text
from postroom.imap.server.sections import (
    Extent,
    Span,
    choose_fields,
    chooser,
    extents,
    field_names,
)
from postroom.imap.server.session import Session
from postroom.net.limits import IMAP_FETCH_OCTETS
from postroom.net.stream import EndOfStream
from postroom.store.interface import Unreadable
from postroom.store.values import Letter

_SHOWN: Final = 3
"""Answers of which the tap shows each line; of more together it shows the first line and counts the rest."""
_ITEM_COSTS: Final = 1000
"""As much as reading so many octets."""
_CHOOSERS: Final = 4
"""Items for which a chooser is made: they are worth it where there are few, as there mostly are."""


class _Wanted(NamedTuple):
    """One item: what it asks for, ready to be held against letters."""

    name: bytes
    section: Section
    partial: tuple[int, int] | None
    choose: Callable[[bytes], bytes] | None
    """Makes the item's text of a header; None where the section is taken as it stands."""


class Batch(NamedTuple):
    """Letters that are answered together: small ones, or a single one of any size."""

    first: int
    """Where in the slice they begin."""
    letters: Sequence[Letter]
    extents: list[Sequence[Extent | None]]
    """By letter, then by item: what is to be read."""
    large: bool
    """Whether it is more than may be in memory."""


class _Large(NamedTuple):
    """A text of which only the beginning is in memory."""

    size: int
    first: bytes
    rest: Span


_Text = bytes | _Large | None
"""What an item comes to; None stands for NIL."""


Texts = Sequence[_Text]
"""A letter's, by item, read as far as may be in memory: those that are missing at the end are read when they are
written."""


class Bodies:
    """One command's items for octets."""

    __slots__ = ("_extents", "_session", "_store", "_wanted")

    def __init__(self, session: Session, items: Sequence[Body]) -> None:
        self._session = session
        self._store = session.service.store
        ready = len(items) <= _CHOOSERS
        self._wanted = [_wanted(item, ready) for item in items]
        self._extents = extents([(each.section, None if each.choose else each.partial) for each in self._wanted])

    # --- read

    def batches(self, letters: Sequence[Letter]) -> Iterator[Batch]:
        """A slice's letters as they are to be read."""
        first = cost = 0
        most = self._session.pace.octets
        these: list[Sequence[Extent | None]] = []
        for at, letter in enumerate(letters):
            each = self._extents(letter)
            # A map of very many parts is much work too.
            price = _ITEM_COSTS * len(each) + len(letter.parts)
            for extent in each:
                if extent is not None:
                    price += extent[1]
            if these and cost + price > most:
                yield Batch(first, letters[first:at], these, cost > IMAP_FETCH_OCTETS)
                first, cost, these, most = at, 0, [], self._session.pace.octets
            cost += price
            these.append(each)
        if these:
            yield Batch(first, letters[first:], these, cost > IMAP_FETCH_OCTETS)

    async def read(self, batch: Batch) -> list[Texts | Unreadable]:
        """Read a batch's letters, or the beginning of a large one."""
        if batch.large:
            try:
                return [await self._read_ahead(batch.letters[0], batch.extents[0])]
            except Unreadable as fault:
                return [fault]
        failed: dict[int, Unreadable] = {}
        columns = [
            await self._column(wanted, batch.letters, spans, failed)
            for wanted, spans in zip(self._wanted, zip(*batch.extents, strict=True), strict=True)
        ]
        rows: list[Texts | Unreadable] = list(zip(*columns, strict=True))
        for at, why in failed.items():
            rows[at] = why
        return rows

    async def _column(
        self,
        wanted: _Wanted,
        letters: Sequence[Letter],
        spans: Sequence[Extent | None],
        failed: dict[int, Unreadable],
    ) -> list[bytes | None]:
        """An item's texts of all letters; what can't be read is added to `failed`."""
        texts: list[bytes | None] = []
        choose = None if wanted.choose is None else partial(_chosen, wanted) if wanted.partial else wanted.choose
        asked = [span or _NOTHING for span in spans]
        for span, octets in zip(spans, await self._store.read_each(letters, asked), strict=True):
            if span is None:
                texts.append(None)
            elif isinstance(octets, Unreadable) or len(octets) != span[1]:
                failed[len(texts)] = octets if isinstance(octets, Unreadable) else _too_short()
                texts.append(None)
            else:
                texts.append(octets if choose is None else choose(octets))
        return texts

    async def _read_ahead(self, letter: Letter, spans: Sequence[Extent | None]) -> Texts:
        texts: list[_Text] = []
        cost = 0
        for wanted, span in zip(self._wanted, spans, strict=True):
            if cost >= IMAP_FETCH_OCTETS:
                break
            text = await self._text(letter, span, wanted)
            texts.append(text)
            cost += _ITEM_COSTS + (0 if span is None else span[1])
        return texts

    async def _text(self, letter: Letter, span: Extent | None, wanted: _Wanted) -> _Text:
        if span is None:
            return None
        start, size = span
        # Of fields the whole header is read, which is no larger than HEADER_OCTETS.
        ahead = size if wanted.choose is not None else min(size, IMAP_FETCH_OCTETS)
        octets = await self._store.read(letter, start, ahead) if ahead else b""
        if len(octets) != ahead:
            raise _too_short()
        if wanted.choose is not None:
            return _chosen(wanted, octets)
        return octets if ahead == size else _Large(size, octets, Span(start + ahead, start + size))

    # --- written

    async def write(self, beginnings: Sequence[bytes], answers: Sequence[Texts], batch: Batch) -> None:
        """Write a batch's answers. Each beginning ends where its first item is to stand.

        Raises EndOfStream where the connection was lost, or dropped since a letter failed on its way.
        """
        if len(answers) > _SHOWN:
            self._write_together(beginnings, answers)
            return
        for beginning, texts in zip(beginnings, answers, strict=True):
            try:
                await self._write_one(beginning, texts, batch)
            except Unreadable as fault:
                self._session.stream.abort()
                raise EndOfStream("a letter could not be read to its end") from fault
            except Exception:
                self._session.stream.abort()
                raise

    def _write_together(self, beginnings: Sequence[bytes], answers: Sequence[Texts]) -> None:
        """Many small answers. They go out as they are, without being put together here."""
        heads = [b" %b {%%d}\r\n" % wanted.name.replace(b"%", b"%%") for wanted in self._wanted]
        heads[0] = heads[0][1:]
        pieces: list[bytes] = []
        if not any(wanted.section.path for wanted in self._wanted):
            # None is NIL: column by column, as everything about whole mailboxes.
            columns = cast("Iterator[Sequence[bytes]]", zip(*answers, strict=True))
            parts: list[Iterable[bytes]] = [beginnings]
            for head, column in zip(heads, columns, strict=True):
                parts += (map(head.__mod__, map(len, column)), column)
            pieces.extend(chain.from_iterable(zip(*parts, repeat(b")\r\n"))))
        else:
            for line, texts in zip(beginnings, answers, strict=True):
                for wanted, text in zip(self._wanted, texts, strict=True):
                    if text is None:
                        line += wanted.name + b" NIL "
                    else:
                        assert not isinstance(text, _Large)
                        pieces += (b"%b%b {%d}\r\n" % (line, wanted.name, len(text)), text)
                        line = b" "
                pieces.append(line[:-1] + b")\r\n")
        self._session.write_literal(*pieces)

    async def _write_one(self, line: bytes, read: Texts, batch: Batch) -> None:
        session = self._session
        for at, wanted in enumerate(self._wanted):
            # What was not read is of a large letter, the only one of its batch.
            text = read[at] if at < len(read) else await self._text(batch.letters[0], batch.extents[0][at], wanted)
            if text is None:
                line += wanted.name + b" NIL "
                continue
            size, first = (text.size, text.first) if isinstance(text, _Large) else (len(text), text)
            session.write_literal(b"%b%b {%d}\r\n" % (line, wanted.name, size), first)
            line = b" "
            if isinstance(text, _Large):
                await self._write_rest(batch.letters[0], text.rest)
            await session.breathe()
        session.write(line[:-1] + b")\r\n")

    async def _write_rest(self, letter: Letter, rest: Span) -> None:
        start = rest.start
        while start < rest.end:
            await self._session.breathe()
            size = min(self._session.pace.octets, rest.end - start)
            octets = await self._store.read(letter, start, size)
            if len(octets) != size:
                raise _too_short()
            self._session.write_body(octets)
            start += size


_NOTHING: Final = (0, 0)


def _too_short() -> Unreadable:
    return Unreadable("a letter is shorter than it was")


def _chosen(wanted: _Wanted, header: bytes) -> bytes:
    assert wanted.choose is not None
    text = wanted.choose(header)
    start, end = Span(0, len(text)).part(wanted.partial)
    return text[start:end]


def _wanted(item: Body, ready: bool) -> _Wanted:
    section = item.section
    choose: Callable[[bytes], bytes] | None = None
    if section.text in (Text.FIELDS, Text.FIELDS_NOT):
        names, matching = field_names(section.fields), section.text is Text.FIELDS
        choose = chooser(names) if matching and ready else partial(choose_fields, names=names, matching=matching)
    return _Wanted(item.name, section, item.partial, choose)
