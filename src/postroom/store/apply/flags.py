"""Flags of entries, and who is told of new letters as \\Recent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from postroom.store.changes import FlagsSet, How, Reason, Recent, Refused, SetFlags, TakeRecent
from postroom.store.index import fetch_all
from postroom.store.keywords import TooManyKeywords, change_keywords
from postroom.store.ledger import Ledger
from postroom.store.stories import append, write_happening
from postroom.store.values import ModSeq, Uid

__all__ = ["set_flags", "take_recent"]

_READ = """SELECT uid, flags, keywords, modseq, message FROM entries WHERE mailbox = ?
 AND uid IN (SELECT value FROM json_each(?)) ORDER BY uid"""
_WRITE = """UPDATE entries SET flags = ?, keywords = ?, modseq = ? WHERE mailbox = ?
 AND uid IN (SELECT value FROM json_each(?))"""
_Flags = tuple[int, str]


def set_flags(ledger: Ledger, change: SetFlags) -> FlagsSet | Refused:
    """RFC 9051 6.4.6, with UNCHANGEDSINCE of RFC 7162 3.1.3."""
    mailbox = ledger.mailbox(change.mailbox)
    if mailbox is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    ledger.flush()
    rows = fetch_all(ledger.connection, _READ, (change.mailbox, json.dumps(change.uids)))
    modified: tuple[Uid, ...] = ()
    if change.unchanged_since is not None:
        since = change.unchanged_since
        modified = tuple([Uid(row[0]) for row in rows if row[3] > since])
        rows = [row for row in rows if row[3] <= since]
    try:
        after = _after(change, ((flags, keywords) for _, flags, keywords, _, _ in rows))
    except TooManyKeywords:
        return Refused(Reason.TOO_MANY)
    alike: dict[_Flags, list[int]] = {}
    moves = Counter[tuple[int, int]]()
    touched: set[int] = set()
    for uid, flags, keywords, _, message in rows:
        new = after[flags, keywords]
        if new != (flags, keywords):
            alike.setdefault(new, []).append(uid)
            touched.add(message)
            moves[flags, new[0]] += 1
    if alike:
        modseq = mailbox.next_modseq()
        for (was, now), count in moves.items():
            mailbox.flagged(was, now, count)
        for (flags, keywords), uids in alike.items():
            bound = (flags, keywords, modseq, change.mailbox, json.dumps(uids))
            ledger.connection.execute(_WRITE, bound).fetchall()
        _tell(ledger, change, mailbox.name, touched)
    return FlagsSet(ModSeq(mailbox.highest_modseq), modified)


def _tell(ledger: Ledger, change: SetFlags, mailbox: str, messages: Iterable[int]) -> None:
    named = [f"\\{flag.name.capitalize()}" for flag in change.flags if flag.name]
    detail = f"{mailbox} {change.how.value} ({' '.join([*named, *change.keywords])})"
    append(ledger.connection, messages, write_happening(ledger.now, "flags", change.by, detail))


def _after(change: SetFlags, before: Iterable[_Flags]) -> dict[_Flags, _Flags]:
    """What each combination of flags becomes: letters by the thousand have few different ones."""
    return {
        (flags, keywords): (_bits(flags, change), change_keywords(keywords, change.how, change.keywords))
        for flags, keywords in set(before)
    }


def _bits(flags: int, change: SetFlags) -> int:
    match change.how:
        case How.SET:
            return int(change.flags)
        case How.ADD:
            return flags | int(change.flags)
        case How.REMOVE:
            return flags & ~int(change.flags)


def take_recent(ledger: Ledger, change: TakeRecent) -> Recent | Refused:
    """From the first letter that no session was told of (RFC 3501 2.3.2)."""
    mailbox = ledger.mailbox(change.mailbox)
    if mailbox is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    if not mailbox.recent:
        # Nothing is written: SELECT of a mailbox without news must not cost a sync.
        return Recent(Uid(mailbox.uid_next))
    first = mailbox.first_recent
    mailbox.first_recent, mailbox.recent = mailbox.uid_next, 0
    return Recent(Uid(first))
