"""Finding what was expunged or deleted, by what people remember of it, and bringing it back.

Letters that were in a mailbox when it was deleted are one thing with it, unless they are asked for by what they say
(sender, subject, letter id): then each stands for itself. All is read in slices; nothing is changed by looking.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from postroom.message.casemap import casemap
from postroom.message.headers import read_fields
from postroom.message.words import decode_words
from postroom.net.limits import BURIED_HEADER_OCTETS, BURIED_PER_LOOK
from postroom.store.graves import Buried, Grave, SoughtById
from postroom.store.interface import Store, Unreadable
from postroom.store.names import canonical
from postroom.store.values import MailboxId, MessageId, Span, Uid

__all__ = ["Found", "Wish", "find"]

_FIELDS = frozenset((b"from", b"subject"))


@dataclass(frozen=True, slots=True)
class Wish:
    """What is looked for; all that is said must hold. Times are seconds since 1970 UTC, of when it went."""

    address: str | None = None
    """The account's."""
    mailbox: str | None = None
    sender: str = ""
    """Somewhere in From, in any case."""
    subject: str = ""
    since: int | None = None
    until: int | None = None
    """Before this."""
    mailboxes_only: bool = False
    """No letters that went by themselves."""
    email_ids: tuple[str, ...] = ()

    @property
    def of_words(self) -> bool:
        """Whether letters are meant, whatever took them."""
        return bool(self.sender or self.subject or self.email_ids)

    def covers(self, gone: int) -> bool:
        """Whether it went in the time that is meant."""
        return (self.since is None or gone >= self.since) and (self.until is None or gone < self.until)

    def names(self, grave: Grave) -> bool:
        """Whether the account and the mailbox are meant."""
        return self.address in (None, grave.address) and (
            self.mailbox is None or canonical(self.mailbox) == grave.name
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A letter that can be brought back; a whole mailbox where `buried` is None."""

    grave: Grave
    buried: Buried | None = None
    sender: str = ""
    subject: str = ""


async def find(store: Store, wish: Wish) -> AsyncIterator[list[Found]]:
    """All that is meant, some at a time: first mailboxes, superiors before inferiors, then letters. Raises
    `StoreFault`."""
    if wish.email_ids:
        for email_id in wish.email_ids:
            yield await _by_id(store, wish, email_id)
        return
    if not wish.of_words:
        deleted = [Found(grave) async for grave in _graves(store, wish) if _is_whole(grave, wish)]
        yield sorted(deleted, key=lambda each: (each.grave.address, each.grave.name))
    if wish.mailboxes_only:
        return
    async for grave in _graves(store, wish):
        after: Uid | None = Uid(0)
        while after is not None:
            some, after = await store.buried(grave.mailbox, after, BURIED_PER_LOOK)
            yield await _meant(store, wish, grave, some)


def _is_whole(grave: Grave, wish: Wish) -> bool:
    return grave.gone is not None and not grave.restored and wish.covers(grave.gone)


async def _graves(store: Store, wish: Wish) -> AsyncIterator[Grave]:
    after = MailboxId(0)
    while some := await store.graves(wish.address, after, BURIED_PER_LOOK):
        after = some[-1].mailbox
        for grave in some:
            if wish.names(grave):
                yield grave


async def _meant(store: Store, wish: Wish, grave: Grave, some: Sequence[Buried]) -> list[Found]:
    """Those of a slice that are meant, with what their headers say."""
    chosen = [each for each in some if wish.covers(each.gone) and (wish.of_words or not each.with_mailbox)]
    spans: list[Span] = [
        (len(each.letter.prefix), min(each.letter.header_size, BURIED_HEADER_OCTETS)) for each in chosen
    ]
    headers = await store.read_each([each.letter for each in chosen], spans)
    found = []
    for each, header in zip(chosen, headers, strict=True):
        sender, subject = _said(header)
        if _has(sender, wish.sender) and _has(subject, wish.subject):
            found.append(Found(grave, each, sender, subject))
    return found


def _said(header: bytes | Unreadable) -> tuple[str, str]:
    """From and Subject as people read them; empty where they can't be read."""
    if isinstance(header, Unreadable):
        return "", ""
    fields = read_fields(header, _FIELDS)
    return decode_words(fields.get(b"from", b"")), decode_words(fields.get(b"subject", b""))


def _has(text: str, wanted: str) -> bool:
    return not wanted or casemap(wanted) in casemap(text)


async def _by_id(store: Store, wish: Wish, email_id: str) -> list[Found]:
    found: list[Found] = []
    letters, _ = await store.known(SoughtById(email_id), MessageId(0), 1)
    for entry in [entry for letter in letters for entry in letter.entries if entry.left == "expunged"]:
        graves = await store.graves(None, MailboxId(entry.mailbox - 1), 1)
        some, _ = await store.buried(entry.mailbox, Uid(entry.uid - 1), 1)
        for grave in graves:
            if grave.mailbox == entry.mailbox and wish.names(grave):
                found += await _meant(store, wish, grave, some)
    return found
