"""Where a letter goes in an index that is made anew: where the old index had it, else where its record says, else
into its account's mailbox for the recovered ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from postroom.message.headers import read_fields
from postroom.net.limits import IMAP_KEYWORDS
from postroom.store.index import fetch_all
from postroom.store.keywords import pack_keywords
from postroom.store.ledger import Ledger
from postroom.store.rebuild.homes import Homes
from postroom.store.records import DeliveredTo, DeliveryFacts
from postroom.store.repair.answers import record_facts
from postroom.store.values import Flag, MailboxId, Place

__all__ = ["How", "Letter", "Placed", "Places", "good_keywords"]

_FLAGS: Final = int(~Flag(0))
_MAX: Final = 2**62
_ADDRESSES: Final = 100
"""Of a header, that are looked for among the accounts."""
_RECIPIENTS: Final = (b"delivered-to", b"x-original-to", b"to", b"cc")
_address = re.compile(rb"[^\s<>()\[\],;:\"\\@]+@[^\s<>()\[\],;:\"\\@]+").finditer


@dataclass(slots=True)
class How:
    """How many letters found their places in which way."""

    by_index: int = 0
    by_record: int = 0
    recovered: int = 0
    damaged: int = 0
    """Of all of them, those whose octets are damaged."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter that is to be placed."""

    email_id: str
    place: Place
    header: bytes
    old: int | None
    """Its number in the old index."""
    queued: bool
    """Whether the outgoing queue has it."""


@dataclass(frozen=True, slots=True)
class Placed:
    """What is to become an entry, or a tombstone where it has `gone`."""

    mailbox: MailboxId
    prefix: bytes
    flags: int
    keywords: str
    internal_date: int
    zone: int
    save_date: int
    old_uid: int | None = None
    gone: int | None = None
    why: int = 0
    together: bool = False
    """It went with its mailbox."""


class Places:
    """`sound` names the old index's tables that could be read whole; they are in the attached database `old`."""

    def __init__(self, connection: apsw.Connection, homes: Homes, folder: Path, sound: set[str], now: int) -> None:
        self._connection = connection
        self._homes = homes
        self._folder = folder
        self._all_known = {"messages", "entries", "tombstones", "mailboxes", "deleted_mailboxes"} <= sound
        self._now = now
        self.how = How()

    def of(self, ledger: Ledger, letter: Letter) -> list[Placed]:
        """All places of a letter; none where only the outgoing queue holds it. Raises OSError, apsw.Error."""
        facts = record_facts(self._folder, letter.place)
        if found := self._by_index(ledger, letter.old, facts):
            self.how.by_index += 1
            return found
        if letter.queued:
            return []
        # A whole index that doesn't place a letter has forgotten it, or never acknowledged it: its record would
        # bring it back into the mailbox that it was expunged from long ago.
        if facts is not None and not self._all_known and (facts.targets or facts.expunged):
            self.how.by_record += 1
            return list(self._by_record(ledger, facts))
        self.how.recovered += 1
        return [self._recovered(ledger, letter, facts)]

    # --- as the old index had it

    def _by_index(self, ledger: Ledger, old: int | None, facts: DeliveryFacts | None) -> list[Placed]:
        if old is None:
            return []
        placed = []
        for number, uid, _, flags, keywords, date, zone, saved, prefix in fetch_all(
            self._connection, "SELECT * FROM old.entries WHERE message = ?", (old,)
        ):
            mailbox = self._mailbox(ledger, number, facts)
            words = good_keywords(keywords.split())
            placed.append(Placed(mailbox, prefix, flags & _FLAGS, words, date, zone, saved, uid))
        for number, uid, _, flags, keywords, date, zone, saved, prefix, _, gone, why, together in fetch_all(
            self._connection, _TOMBSTONES, (old,)
        ):
            mailbox = self._mailbox(ledger, number, facts)
            words = good_keywords(keywords.split())
            buried = (uid, gone, why if why in (0, 1, 2) else 0, bool(together))
            placed.append(Placed(mailbox, prefix, flags & _FLAGS, words, date, zone, saved, *buried))
        return placed

    def _mailbox(self, ledger: Ledger, old: int, facts: DeliveryFacts | None) -> MailboxId:
        """A mailbox by its old number; one that the old index doesn't know any more is the one that the record
        names."""
        found = self._homes.old.get(old)
        if found is not None:
            return found
        named = _targets(facts)
        account = self._homes.account(ledger, named[0].address) if named else None
        if account is None:
            return self._homes.recovered(ledger, None)
        return self._homes.mailbox(ledger, account, named[0].mailbox)

    # --- as the record says

    def _by_record(self, ledger: Ledger, facts: DeliveryFacts) -> Iterator[Placed]:
        for target in facts.targets:
            yield self._target(ledger, target, facts)
        for each in facts.expunged:
            yield self._target(ledger, each.target, facts, _number(each.gone))

    def _target(self, ledger: Ledger, to: DeliveredTo, facts: DeliveryFacts, gone: int | None = None) -> Placed:
        account = self._homes.account(ledger, to.address)
        if account is None:
            mailbox = self._homes.recovered(ledger, None)
        else:
            mailbox = self._homes.mailbox(ledger, account, to.mailbox)
        words = good_keywords(to.keywords)
        dates = (_number(facts.internal_date), _number(facts.zone), self._now)
        return Placed(mailbox, to.prefix, to.flags & _FLAGS, words, *dates, gone=gone)

    # --- as nobody says

    def _recovered(self, ledger: Ledger, letter: Letter, facts: DeliveryFacts | None) -> Placed:
        named = _targets(facts)
        account = self._homes.known_account([each.address for each in named])
        if account is None and named:
            account = self._homes.account(ledger, named[0].address)
        if account is None:
            account = self._homes.known_account(_recipients(letter.header))
        mailbox = self._homes.recovered(ledger, account)
        date, zone = (facts.internal_date, facts.zone) if facts else (_born(letter.email_id), 0)
        prefix = named[0].prefix if named else b""
        return Placed(mailbox, prefix, 0, "", _number(date), _number(zone), self._now)


_TOMBSTONES: Final = """SELECT t.*, d.modseq IS t.modseq FROM old.tombstones t
 LEFT JOIN old.deleted_mailboxes d ON d.id = t.mailbox WHERE t.message = ?"""


def good_keywords(words: list[str] | tuple[str, ...]) -> str:
    """Those of the words that can be keywords, packed."""
    good = [word for word in words if word.isascii() and word.isprintable() and word and " " not in word]
    return pack_keywords(good[:IMAP_KEYWORDS])


def _targets(facts: DeliveryFacts | None) -> list[DeliveredTo]:
    """Where a record says that its letter lay, or was expunged from."""
    return [] if facts is None else [*facts.targets, *(each.target for each in facts.expunged)]


def _number(value: int) -> int:
    """A number of a record that SQLite can hold."""
    return value if -_MAX < value < _MAX else 0


def _born(email_id: str) -> int:
    """When a letter came, in seconds since 1970 UTC: its id begins with it."""
    return int(email_id[1:13], 16) // 1000


def _recipients(header: bytes) -> Iterator[str]:
    """Addresses that a letter's header names as its recipients."""
    fields = read_fields(header, frozenset(_RECIPIENTS))
    for name in _RECIPIENTS:
        for _, found in zip(range(_ADDRESSES), _address(fields.get(name, b"")), strict=False):
            yield found[0].decode("utf-8", "replace").lower()
