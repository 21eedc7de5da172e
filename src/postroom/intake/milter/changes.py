"""What a filter asks to be changed at the end of a letter, gathered within bounds and then done."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from postroom.intake.envelope import Arrival, Changed, Envelope, Recipient
from postroom.intake.milter.grammar import (
    Action,
    AddHeader,
    AddRecipient,
    Change,
    ChangeHeader,
    ChangeSender,
    InsertHeader,
    MilterFault,
    Options,
    Quarantine,
    RemoveRecipient,
    ReplaceBody,
    Step,
)
from postroom.intake.milter.header import Header, make_field
from postroom.intake.recipients import Local, Resolution
from postroom.message.octets import Octets
from postroom.message.structure import parse
from postroom.net.limits import HEADER_OCTETS, MILTER_CHANGES, SLICE_OCTETS
from postroom.net.log import event
from postroom.smtp.grammar import Address, SyntaxFault, read_path, read_reverse_path
from postroom.store.interface import Blob

_logger = logging.getLogger("postroom.intake")

_NEEDS: Final[Mapping[type[Change], Action]] = {
    AddHeader: Action.ADD_HEADERS,
    InsertHeader: Action.ADD_HEADERS,
    ChangeHeader: Action.CHANGE_HEADERS,
    ReplaceBody: Action.CHANGE_BODY,
    AddRecipient: Action.ADD_RECIPIENTS | Action.ADD_RECIPIENTS_WITH_PARAMETERS,
    RemoveRecipient: Action.REMOVE_RECIPIENTS,
    ChangeSender: Action.CHANGE_SENDER,
    Quarantine: Action.QUARANTINE,
}
"""Which actions, one of them at least, a filter must have asked for when it began."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What is needed to make another letter of one. `most`: octets that a letter may have."""

    begin: Callable[[], Blob]
    resolve: Callable[[Address], Awaitable[Resolution]]
    most: int


class Changes:
    """Those of one letter by one filter; whoever made it calls `discard` in the end."""

    def __init__(self, options: Options, desk: Desk) -> None:
        self._options = options
        self._desk = desk
        self._list: list[Change] = []
        self._header_octets = 0
        self._body: Blob | None = None

    def discard(self) -> None:
        """Forget a new body."""
        if self._body is not None:
            self._body.discard()

    def take(self, change: Change) -> None:
        """One more. Raises MilterFault where it is too much, or was not agreed on; StoreFault."""
        if not self._options.actions & _NEEDS[type(change)]:
            raise MilterFault("it does what it has not asked for")
        if isinstance(change, ReplaceBody):
            self._take_body(change.octets)
            return
        self._list.append(change)
        if isinstance(change, AddHeader | InsertHeader | ChangeHeader):
            self._header_octets += len(change.name) + len(change.value)
        if len(self._list) > MILTER_CHANGES or self._header_octets > HEADER_OCTETS:
            raise MilterFault("it changes too much in one letter")

    def _take_body(self, octets: bytes) -> None:
        if self._body is None:
            self._body = self._desk.begin()
        if self._body.size + len(octets) > self._desk.most:
            raise MilterFault("it makes the letter too large")
        self._body.write(octets)

    async def done(self, arrival: Arrival) -> Changed | None:
        """The letter after all changes; None where there are none. Raises StoreFault."""
        envelope, junk = arrival.envelope, ""
        header = Header(arrival.header, arrival.facts.header_size)
        for change in self._list:
            match change:
                case AddRecipient() | RemoveRecipient() | ChangeSender():
                    envelope = await self._address(envelope, change, arrival.origin.id)
                case Quarantine(reason):
                    junk = f"quarantined: {reason}"
                case _:
                    self._field(header, change)
        what = self._what()
        if not what:
            return None
        if self._body is None and not self._header_octets:
            return Changed(replace(arrival, envelope=envelope), what, junk)
        return Changed(self._rewritten(replace(arrival, envelope=envelope), header), what, junk)

    def _what(self) -> str:
        words = sorted({_WORDS[type(change)] for change in self._list} | ({"body"} if self._body else set()))
        return "+".join(words)

    def _field(self, header: Header, change: Change) -> None:
        space = bool(self._options.steps & Step.LEADING_SPACE)
        match change:
            case AddHeader(name, value):
                header.add(make_field(name, value, leading_space=space))
            case InsertHeader(index, name, value):
                header.insert(index, make_field(name, value, leading_space=space))
            case ChangeHeader(index, name, value):
                header.change(index, make_field(name, value, leading_space=space) if value else None, name)

    async def _address(
        self, envelope: Envelope, change: AddRecipient | RemoveRecipient | ChangeSender, letter: str
    ) -> Envelope:
        path = change.path if change.path.startswith(b"<") else b"<%b>" % change.path
        try:
            if isinstance(change, ChangeSender):
                return replace(envelope, sender=read_reverse_path(path, 0)[0])
            address = read_path(path, 0)[0]
        except SyntaxFault:
            _ignored(letter, change.path, "no address")
            return envelope
        if isinstance(change, RemoveRecipient):
            left = [each for each in envelope.recipients if not _same(each.address, address)]
            return replace(envelope, recipients=tuple(left))
        found = await self._desk.resolve(address)
        if not isinstance(found, Local):
            _ignored(letter, change.path, "nobody of this site")
            return envelope
        there = {each.account.id for each in envelope.recipients}
        new = [
            Recipient(account, address, found.tags.get(account.id, ""))
            for account in found.accounts
            if account.id not in there
        ]
        return replace(envelope, recipients=(*envelope.recipients, *new))

    def _rewritten(self, arrival: Arrival, header: Header) -> Arrival:
        """The letter's octets anew. Nothing but one slice of it is in memory beside what a blob keeps there."""
        old = arrival.blob.contents()
        blob = self._desk.begin()
        try:
            blob.write(header.octets())
            if self._body is None:
                pieces = _slices(old, header.rest, len(old))
            else:
                body = self._body.contents()
                blob.write(old[header.rest : arrival.facts.header_size])
                pieces = _slices(body, 0, len(body))
            for piece in pieces:
                blob.write(piece)
            contents = blob.contents()
            facts = parse(contents)
        except BaseException:
            blob.discard()
            raise
        head = bytes(contents[: min(facts.header_size, HEADER_OCTETS)])
        return replace(arrival, blob=blob, facts=facts, header=head)


_WORDS: Final[Mapping[type[Change], str]] = {
    AddHeader: "header",
    InsertHeader: "header",
    ChangeHeader: "header",
    AddRecipient: "recipients",
    RemoveRecipient: "recipients",
    ChangeSender: "sender",
    Quarantine: "quarantine",
}


def _slices(octets: Octets, start: int, end: int) -> Iterator[bytes]:
    return (octets[at : min(at + SLICE_OCTETS, end)] for at in range(start, end, SLICE_OCTETS))


def _same(one: Address, other: Address) -> bool:
    return one.local == other.local and one.domain.lower() == other.domain.lower()


def _ignored(letter: str, path: bytes, why: str) -> None:
    event(_logger, logging.WARNING, "milter.ignored", letter=letter, address=path, reason=why)
