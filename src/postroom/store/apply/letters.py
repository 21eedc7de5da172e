"""Letters into mailboxes, and from one to another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from postroom.message.structure import Facts
from postroom.net.limits import THREAD_REFERENCES
from postroom.store.apply.leaving import Why, take_away
from postroom.store.changes import BringBack, Copy, Filed, Reason, Refused, Target
from postroom.store.index import fetch_all, fetch_one
from postroom.store.keywords import TooManyKeywords, pack_keywords
from postroom.store.ledger import Counters, Ledger
from postroom.store.letterrows import answers_row, letter_row, thread_hashes
from postroom.store.stories import append, write_happening
from postroom.store.usage import without_room
from postroom.store.values import Flag, MailboxId, Place, Uid, UidValidity

__all__ = [
    "FileLetter",
    "all_entries",
    "bring_back",
    "bring_back_these",
    "buried_together",
    "copy",
    "copy_entries",
    "file_letter",
]


@dataclass(frozen=True, slots=True)
class FileLetter:
    """A letter whose record is on stable storage, to be filed in its mailboxes. Answered by a tuple, an answer per
    target in order."""

    email_id: str
    place: Place
    end: int
    """Where the record ends in its segment."""
    facts: Facts
    targets: tuple[Target, ...]
    internal_date: int
    zone: int
    by: str = ""
    note: str = ""


def file_letter(ledger: Ledger, letter: FileLetter) -> tuple[Filed | Refused, ...]:
    """One row for the letter, an entry for each target whose mailbox is there; none where one has no room."""
    ready = [_check(ledger, target) for target in letter.targets]
    if not any(isinstance(each, str) for each in ready):
        return tuple([each for each in ready if isinstance(each, Refused)])
    full = _full(ledger, letter, ready)
    if any(full.values()):
        return tuple(
            [
                each
                if isinstance(each, Refused)
                else Refused(Reason.OVER_QUOTA if full[number] else Reason.TOGETHER)
                for number, each in enumerate(ready)
            ]
        )
    message = ledger.next_message()
    hashes = _write(ledger, letter, message)
    return tuple(
        [
            each if isinstance(each, Refused) else _file(ledger, letter, target, each, message, hashes)
            for target, each in zip(letter.targets, ready, strict=True)
        ]
    )


def _full(ledger: Ledger, letter: FileLetter, ready: Sequence[str | Refused]) -> dict[int, bool]:
    """By the numbers of the targets that can be filed in: whether the quota has no room for what comes there."""
    wanted = {}
    for number, (target, each) in enumerate(zip(letter.targets, ready, strict=True)):
        mailbox = ledger.mailbox(target.mailbox)
        if mailbox is not None and not isinstance(each, Refused):
            wanted[number] = mailbox.use, letter.place.size + len(target.prefix)
    return dict(zip(wanted, without_room(list(wanted.values())), strict=True))


def _check(ledger: Ledger, target: Target) -> str | Refused:
    """The target's packed keywords, or why nothing can be filed there."""
    mailbox = ledger.mailbox(target.mailbox)
    if mailbox is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    if not mailbox.has_room(1):
        return Refused(Reason.TOO_MANY)
    try:
        return pack_keywords(target.keywords) if target.keywords else ""
    except TooManyKeywords:
        return Refused(Reason.TOO_MANY)


def _write(ledger: Ledger, letter: FileLetter, message: int) -> tuple[int, ...]:
    """The letter's own rows; gives the hashes that thread it."""
    ledger.add_message(
        letter_row(message, letter.place, letter.email_id, letter.facts),
        answers_row(message, letter.facts),
        (message, write_happening(ledger.now, "arrived", letter.by, letter.note)),
        letter.place.segment,
        letter.end,
        letter.place.size,
    )
    own = () if letter.facts.message_id is None else (letter.facts.message_id,)
    return own + letter.facts.references[-THREAD_REFERENCES:]


def _file(
    ledger: Ledger, letter: FileLetter, target: Target, keywords: str, message: int, hashes: tuple[int, ...]
) -> Filed | Refused:
    mailbox = ledger.mailbox(target.mailbox)
    if mailbox is None or not mailbox.has_room(1):
        # Named twice, and the last UID went to the first of them.
        return Refused(Reason.TOO_MANY)
    flags, size = int(target.flags), letter.place.size + len(target.prefix)
    uid = mailbox.arrived(flags, size)
    ledger.add_entry(
        (
            mailbox.id,
            uid,
            message,
            flags,
            keywords,
            mailbox.next_modseq(),
            letter.internal_date,
            letter.zone,
            ledger.now,
            size,
            ledger.thread(mailbox.owner, hashes, message),
            target.prefix,
        )
    )
    return Filed(UidValidity(mailbox.uid_validity), (uid,))


_COLUMNS = "uid, message, flags, keywords, internal_date, zone, size, thread, prefix"
_SOURCE = f"SELECT {_COLUMNS} FROM entries WHERE mailbox = ?"
_CHOSEN = f"{_SOURCE} AND uid IN (SELECT value FROM json_each(?)) ORDER BY uid"
Source = tuple[int, int, int, str, int, int, int, int, bytes]
"""An entry as the copy needs it: the columns above."""


def copy(ledger: Ledger, change: Copy) -> Filed | Refused:
    """Copies in the order of their UIDs (RFC 9051 6.4.7), and with `move` their originals away (RFC 6851)."""
    source, target = ledger.mailbox(change.source), ledger.mailbox(change.target)
    if source is None or target is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    ledger.flush()
    rows: list[Source] = fetch_all(ledger.connection, _CHOSEN, (change.source, json.dumps(change.uids)))
    if not _fits(source, rows, target, move=change.move):
        return Refused(Reason.OVER_QUOTA)
    filed = copy_entries(ledger, _at_home(ledger, rows, source.owner, target), target)
    if isinstance(filed, Filed) and rows:
        what = "moved" if change.move else "copied"
        line = write_happening(ledger.now, what, change.by, f"{source.name} -> {target.name}")
        append(ledger.connection, {row[1] for row in rows}, line)
        if change.move:
            take_away(ledger, source, [(row[0], row[2], row[6]) for row in rows], Why.MOVED)
    return filed


def _fits(source: Counters, rows: Sequence[Source], target: Counters, *, move: bool) -> bool:
    """Whether the quota has room. A move within an account needs none, one within a domain none in the domain's."""
    if move and source.use is target.use:
        return True
    octets, letters = sum([row[6] for row in rows]), len(rows)
    if move and source.use.domain is target.use.domain:
        return target.use.own.has_room(octets, letters)
    return target.use.has_room(octets, letters)


_BURIED = f"SELECT {_COLUMNS} FROM tombstones WHERE mailbox = ? AND why = {int(Why.EXPUNGED)}"
_BROUGHT_BACK = f"""UPDATE tombstones SET why = {int(Why.BROUGHT_BACK)}
 WHERE mailbox = ? AND uid IN (SELECT value FROM json_each(?))"""


def bring_back(ledger: Ledger, change: BringBack) -> Filed | Refused:
    """Expunged letters as new entries; they count against the quota again."""
    target = ledger.mailbox(change.target)
    if target is None:
        return Refused(Reason.NO_SUCH_MAILBOX)
    ledger.flush()
    if change.uids is None:
        rows = fetch_all(ledger.connection, f"{_BURIED} ORDER BY uid", (change.mailbox,))
    else:
        sql = f"{_BURIED} AND uid IN (SELECT value FROM json_each(?)) ORDER BY uid"
        rows = fetch_all(ledger.connection, sql, (change.mailbox, json.dumps(change.uids)))
    if not rows:
        return Refused(Reason.NOTHING_THERE)
    if not target.use.has_room(sum([row[6] for row in rows]), len(rows)):
        return Refused(Reason.OVER_QUOTA)
    return bring_back_these(ledger, change.mailbox, rows, target, change.by)


def buried_together(ledger: Ledger, mailbox: MailboxId, modseq: int) -> list[Source]:
    """The letters that a mailbox took with it when it was deleted, for `bring_back_these`."""
    return fetch_all(ledger.connection, f"{_BURIED} AND modseq = ? ORDER BY uid", (mailbox, modseq))


def bring_back_these(
    ledger: Ledger, mailbox: MailboxId, rows: Sequence[Source], target: Counters, by: str
) -> Filed | Refused:
    """New entries for these tombstones of a mailbox."""
    # Who brings a letter back wants to see it: with \Deleted the next EXPUNGE would take it again.
    alive: list[Source] = [(*row[:2], row[2] & ~int(Flag.DELETED), *row[3:]) for row in rows]
    (owner,) = fetch_one(ledger.connection, _OWNER, (mailbox,)) or (target.owner,)
    filed = copy_entries(ledger, _at_home(ledger, alive, owner, target), target)
    if isinstance(filed, Filed) and rows:
        ledger.connection.execute(_BROUGHT_BACK, (mailbox, json.dumps(filed.sources))).fetchall()
        line = write_happening(ledger.now, "restored", by, target.name)
        append(ledger.connection, {row[1] for row in rows}, line)
    return filed


def _at_home(ledger: Ledger, rows: Sequence[Source], owner: int, target: Counters) -> Sequence[Source]:
    """The same letters as `target`'s account threads them, where they come from another one: an account's threads
    are its own (RFC 8474 5.2), and what answers these letters there is to be found with them."""
    if owner == target.owner or not target.has_room(len(rows)):
        return rows
    numbers = json.dumps([row[1] for row in rows])
    hashes = {
        message: thread_hashes(message_id, refs)
        for message, message_id, refs in fetch_all(ledger.connection, _REFERENCES, (numbers,))
    }
    return [(*row[:7], ledger.thread(target.owner, hashes[row[1]], row[1]), row[8]) for row in rows]


_OWNER = "SELECT owner FROM mailboxes WHERE id = ?1 UNION ALL SELECT owner FROM deleted_mailboxes WHERE id = ?1"
_REFERENCES = "SELECT id, message_id, refs FROM messages WHERE id IN (SELECT value FROM json_each(?))"


def copy_entries(ledger: Ledger, rows: Sequence[Source], target: Counters) -> Filed | Refused:
    """New entries at the end of a mailbox for those of `rows`; all of one change have one modseq."""
    if not target.has_room(len(rows)):
        return Refused(Reason.TOO_MANY)
    modseq = target.next_modseq() if rows else 0
    uids = []
    for _, message, flags, keywords, internal_date, zone, size, thread, prefix in rows:
        uid = target.arrived(flags, size)
        uids.append(uid)
        ledger.add_entry(
            (
                target.id,
                uid,
                message,
                flags,
                keywords,
                modseq,
                internal_date,
                zone,
                ledger.now,
                size,
                thread,
                prefix,
            )
        )
    return Filed(UidValidity(target.uid_validity), tuple(uids), tuple([Uid(row[0]) for row in rows]))


def all_entries(ledger: Ledger, mailbox: MailboxId) -> list[Source]:
    """All of a mailbox, for `copy_entries`."""
    ledger.flush()
    return fetch_all(ledger.connection, f"{_SOURCE} ORDER BY uid", (mailbox,))
