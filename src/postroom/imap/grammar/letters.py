"""The arguments of commands on the letters of the selected mailbox (RFC 3501 6.4). With UID and without, a command
has the same ones; only what the numbers of its set mean differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from postroom.imap.grammar import search
from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.fetch import FetchItem, read_fetch_items
from postroom.imap.grammar.flags import FlagList, read_store_flags
from postroom.imap.grammar.names import read_mailbox
from postroom.imap.grammar.sets import SequenceSet, read_sequence_set
from postroom.imap.grammar.tokens import read_end, read_space, read_word
from postroom.store.changes import How


@dataclass(frozen=True, slots=True)
class ExpungeUids:
    """UID EXPUNGE (RFC 4315 2.1)."""

    chosen: SequenceSet


@dataclass(frozen=True, slots=True)
class Fetch:
    """FETCH and UID FETCH (RFC 3501 6.4.5)."""

    chosen: SequenceSet
    items: tuple[FetchItem, ...]


@dataclass(frozen=True, slots=True)
class Store:
    """STORE and UID STORE (RFC 3501 6.4.6)."""

    chosen: SequenceSet
    how: How
    silent: bool
    flags: FlagList


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY, MOVE and their UID forms (RFC 3501 6.4.7, RFC 6851 3.1)."""

    chosen: SequenceSet
    mailbox: str


def _read_set(buffer: bytes, position: int) -> tuple[SequenceSet, int]:
    """A set between two spaces."""
    chosen, position = read_sequence_set(buffer, read_space(buffer, position))
    return chosen, read_space(buffer, position)


def read_expunge_uids(buffer: bytes, position: int) -> ExpungeUids:
    """UIDs."""
    chosen, position = read_sequence_set(buffer, read_space(buffer, position))
    read_end(buffer, position)
    return ExpungeUids(chosen)


def read_fetch(buffer: bytes, position: int) -> Fetch:
    """A set and items."""
    chosen, position = _read_set(buffer, position)
    items, position = read_fetch_items(buffer, position)
    read_end(buffer, position)
    return Fetch(chosen, items)


_STORES: Final = {how.value.encode() + suffix: (how, bool(suffix)) for how in How for suffix in (b"", b".SILENT")}


def read_store(buffer: bytes, position: int) -> Store:
    """A set, what is to be done, and flags."""
    chosen, position = _read_set(buffer, position)
    word, position = read_word(buffer, position)
    if word not in _STORES:
        raise SyntaxFault("that can't be stored")
    how, silent = _STORES[word]
    flags, position = read_store_flags(buffer, read_space(buffer, position))
    read_end(buffer, position)
    return Store(chosen, how, silent, flags)


def read_copy(buffer: bytes, position: int) -> Copy:
    """A set and a mailbox."""
    chosen, position = _read_set(buffer, position)
    mailbox, position = read_mailbox(buffer, position)
    read_end(buffer, position)
    return Copy(chosen, mailbox)


def read_search(buffer: bytes, position: int) -> search.Search:
    """Perhaps CHARSET, and one key or more."""
    found, position = search.read_search(buffer, read_space(buffer, position))
    read_end(buffer, position)
    return found
