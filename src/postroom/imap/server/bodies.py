"""The octets that FETCH gives of letters: read ahead within bounds, and written as literals.

A literal's size is known before its octets are read, and it is announced only when its beginning was. Of a letter
that is small enough everything is read before a word of its answer is written; of a larger one the rest follows
piece by piece as the client takes it, never more than IMAP_FETCH_OCTETS of it in memory. If then a piece can't be
read, the connection is dropped: nothing else could be said within a literal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from postroom.imap.grammar.fetch import Body, Section, Text
from postroom.imap.server.sections import Sections, Span, choose_fields, field_names
from postroom.imap.server.session import Session
from postroom.net.limits import IMAP_FETCH_OCTETS
from postroom.net.stream import EndOfStream
from postroom.store.interface import Unreadable
from postroom.store.values import Letter

_SHOWN: Final = 3
"""Answers of which the tap shows each line; of more together it shows the first line and counts the rest."""


class _Wanted(NamedTuple):
    """One item: what it asks for, ready to be held against letters."""

    name: bytes
    section: Section
    partial: tuple[int, int] | None
    fields: frozenset[bytes] | None
    """Names of header fields in lower case; None where the section is taken whole."""
    matching: bool
    """Whether fields of these names are wanted, or all the others."""


class _Large(NamedTuple):
    """A text of which only the beginning is in memory."""

    size: int
    first: bytes
    rest: Span


_Text = bytes | _Large | None
"""What an item comes to; None stands for NIL."""


class Answer(NamedTuple):
    """A letter's octets, read as far as may be in memory."""

    letter: Letter
    sections: Sections
    texts: list[_Text]
    """By item. Those that are missing at the end are read when they are written."""
    cost: int
    """Octets that were read, and as many for each item as its work is worth."""
    whole: bool
    """Whether all is in memory."""


class Bodies:
    """One command's items for octets."""

    __slots__ = ("_session", "_store", "_wanted")

    def __init__(self, session: Session, items: Sequence[Body]) -> None:
        self._session = session
        self._store = session.service.store
        self._wanted = [_wanted(item) for item in items]

    async def read(self, letter: Letter) -> Answer:
        """Read ahead. Raises Unreadable."""
        sections = Sections(letter)
        texts: list[_Text] = []
        cost = 0
        whole = True
        for wanted in self._wanted:
            if cost >= IMAP_FETCH_OCTETS:
                whole = False
                break
            span = sections.locate(wanted.section)
            cost += _ITEM_COSTS
            if span is None:
                texts.append(None)
                continue
            text = await self._text(letter, span, wanted)
            texts.append(text)
            if isinstance(text, _Large):
                whole = False
                cost += IMAP_FETCH_OCTETS
            else:
                cost += span.end - span.start
        return Answer(letter, sections, texts, cost, whole)

    async def _text(self, letter: Letter, span: Span, wanted: _Wanted) -> bytes | _Large:
        start, end = span if wanted.fields is not None or wanted.partial is None else span.part(wanted.partial)
        # Of fields the whole header is read, which is no larger than HEADER_OCTETS.
        size = end - start if wanted.fields is not None else min(end - start, IMAP_FETCH_OCTETS)
        octets = await self._store.read(letter, start, size) if size else b""
        if len(octets) != size:
            raise _too_short()
        if wanted.fields is not None:
            text = choose_fields(octets, wanted.fields, matching=wanted.matching)
            start, end = Span(0, len(text)).part(wanted.partial)
            return text[start:end]
        return octets if size == end - start else _Large(end - start, octets, Span(start + size, end))

    async def write(self, beginnings: Sequence[bytes], answers: Sequence[Answer]) -> None:
        """Write answers. Each beginning ends where its first item is to stand. At most the last answer isn't whole.

        Raises EndOfStream where the connection was lost, or dropped since a letter failed on its way.
        """
        count = len(answers) - (not answers[-1].whole) if answers else 0
        if count > _SHOWN:
            self._write_together(beginnings[:count], answers[:count])
            beginnings, answers = beginnings[count:], answers[count:]
        for beginning, answer in zip(beginnings, answers, strict=True):
            try:
                await self._write_one(beginning, answer)
            except Unreadable as fault:
                self._session.stream.abort()
                raise EndOfStream("a letter could not be read to its end") from fault
            except Exception:
                self._session.stream.abort()
                raise

    def _write_together(self, beginnings: Sequence[bytes], answers: Sequence[Answer]) -> None:
        names = [wanted.name for wanted in self._wanted]
        pieces: list[bytes] = []
        for line, answer in zip(beginnings, answers, strict=True):
            for name, text in zip(names, answer.texts, strict=True):
                if text is None:
                    line += name + b" NIL "
                    continue
                assert not isinstance(text, _Large)
                pieces += (b"%b%b {%d}\r\n" % (line, name, len(text)), text)
                line = b" "
            pieces.append(line[:-1] + b")\r\n")
        self._session.write_literal(*pieces)

    async def _write_one(self, line: bytes, answer: Answer) -> None:
        session, letter, read = self._session, answer.letter, answer.texts
        for at, wanted in enumerate(self._wanted):
            text: _Text = None
            if at < len(read):
                text = read[at]
            elif (span := answer.sections.locate(wanted.section)) is not None:
                text = await self._text(letter, span, wanted)
            if text is None:
                line += wanted.name + b" NIL "
                continue
            size, first = (text.size, text.first) if isinstance(text, _Large) else (len(text), text)
            session.write_literal(b"%b%b {%d}\r\n" % (line, wanted.name, size), first)
            line = b" "
            if isinstance(text, _Large):
                await self._write_rest(letter, text.rest)
            await session.breathe()
        session.write(line[:-1] + b")\r\n")

    async def _write_rest(self, letter: Letter, rest: Span) -> None:
        for start in range(rest.start, rest.end, IMAP_FETCH_OCTETS):
            await self._session.breathe()
            size = min(IMAP_FETCH_OCTETS, rest.end - start)
            octets = await self._store.read(letter, start, size)
            if len(octets) != size:
                raise _too_short()
            self._session.write_body(octets)


_ITEM_COSTS: Final = 1000


def _too_short() -> Unreadable:
    return Unreadable("a letter is shorter than it was")


def _wanted(item: Body) -> _Wanted:
    section = item.section
    chosen = section.text in (Text.FIELDS, Text.FIELDS_NOT)
    fields = field_names(section.fields) if chosen else None
    return _Wanted(item.name, section, item.partial, fields, section.text is Text.FIELDS)
