"""Letters of an index that is made anew: a row for each that has a record, then entries and tombstones in the order
of their old UIDs.

In the attached database `old`, beside the old index's tables, are noted `letters` (in the order of their arrival,
so that conversations begin with their oldest letter) and `placed` (what becomes entries).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apsw

from postroom.message.structure import parse
from postroom.store.index import fetch_all
from postroom.store.ledger import Ledger
from postroom.store.letterrows import answers_row, letter_row, references_of, thread_hashes
from postroom.store.rebuild.places import Letter, Placed, Places
from postroom.store.repair.answers import octets_at
from postroom.store.repair.bench import transaction
from postroom.store.stories import write_happening
from postroom.store.values import Place

__all__ = ["Letters"]

Progress = Callable[[int, int], None]
_SLICE: Final = 500
_HEADER_OCTETS: Final = 65536
"""Of a letter's header, where an address that is known here is looked for."""


class Letters:
    """Files all records that `collect` has noted."""

    def __init__(self, connection: apsw.Connection, places: Places, folder: Path, now: int) -> None:
        self._connection = connection
        self._places = places
        self._folder = folder
        self._now = now

    def file(self, progress: Progress) -> None:
        """Rows for every letter, and places for them. `progress` hears how many octets of letters are done, of how
        many. Raises OSError, apsw.Error."""
        for statement in _PREPARE:
            self._connection.execute(statement).fetchall()
        total = int(self._connection.execute("SELECT coalesce(sum(size), 0) FROM old.letters").get)
        after = done = 0
        while rows := fetch_all(
            self._connection, "SELECT * FROM old.letters WHERE number > ? ORDER BY number LIMIT ?", (after, _SLICE)
        ):
            with transaction(self._connection, self._now) as ledger:
                for _, email_id, segment, offset, size, end, whole, old in rows:
                    self._places.how.damaged += not whole
                    self._file(ledger, email_id, Place(segment, offset, size), end, old)
                    done += size
                    progress(done, total)
            after = rows[-1][0]

    def _file(self, ledger: Ledger, email_id: str, place: Place, end: int, old: int | None) -> None:
        with octets_at(self._folder, place) as data:
            facts = parse(data)
            header = data[: min(facts.header_size, _HEADER_OCTETS)]
        message = ledger.next_message()
        ledger.add_message(
            letter_row(message, place, email_id, facts),
            answers_row(message, facts),
            (message, self._story(old)),
            place.segment,
            end,
            place.size,
        )
        hashes = thread_hashes(facts.message_id, references_of(facts))
        letter = Letter(email_id, place, header, old, self._queue(message, old))
        rows = []
        for each in self._places.of(ledger, letter):
            mailbox = ledger.mailbox(each.mailbox)
            # A deleted mailbox may be of an account that is gone: its letters' conversations are too.
            thread = message if mailbox is None else ledger.thread(mailbox.owner, hashes, message)
            rows.append(_row(each, message, place.size, thread))
        self._connection.executemany(_PLACE, rows).fetchall()

    def _story(self, old: int | None) -> str:
        line = write_happening(self._now, "rebuilt", "fsck", "the index was made anew")
        rows = fetch_all(self._connection, "SELECT events FROM old.stories WHERE message = ?", (old,))
        return str(rows[0][0]) + line if rows else line

    def _queue(self, message: int, old: int | None) -> bool:
        """Put it into the outgoing queue again where it was."""
        rows = fetch_all(self._connection, "SELECT * FROM old.queue_letters WHERE message = ?", (old,))
        marks = ", ".join("?" * 14)
        self._connection.executemany(
            f"INSERT OR IGNORE INTO queue_letters VALUES ({marks})", [(row[0], message, *row[2:]) for row in rows]
        ).fetchall()
        return bool(rows)

    def enter(self) -> None:
        """Turn what is placed into entries and tombstones, in the order of the old UIDs, then of their arrival."""
        self._connection.execute(_ORDER).fetchall()
        after, uids = 0, Counter[int]()
        sql = "SELECT rowid, * FROM old.ordered WHERE rowid > ? ORDER BY rowid LIMIT ?"
        while rows := fetch_all(self._connection, sql, (after, _SLICE)):
            with transaction(self._connection, self._now) as ledger:
                buried = []
                for _, number, _, message, flags, keywords, *rest, gone, why, together in rows:
                    # `rest` is internal_date, zone, save_date, size, thread, prefix.
                    mailbox = ledger.mailbox(number)
                    if mailbox is None:
                        uids[number] += 1
                        uid, modseq = uids[number], _WITH_ITS_MAILBOX if together else _BEFORE
                    elif gone is None:
                        uid, modseq = mailbox.arrived(flags, rest[3]), mailbox.next_modseq()
                        ledger.add_entry((number, uid, message, flags, keywords, modseq, *rest))
                        continue
                    else:
                        uid, modseq = mailbox.uid_next, mailbox.next_modseq()
                        mailbox.uid_next += 1
                    buried.append((number, uid, message, flags, keywords, modseq, *rest, gone or self._now, why))
                self._connection.executemany(_BURY, buried).fetchall()
            after = rows[-1][0]


_BEFORE, _WITH_ITS_MAILBOX = 2, 3
"""Modseqs of a deleted mailbox's letters: expunged earlier, or gone with it."""
_PREPARE: Final = (
    "CREATE INDEX old.messages_email_id ON messages (email_id)",
    "CREATE INDEX old.entries_message ON entries (message)",
    "CREATE INDEX old.tombstones_message ON tombstones (message)",
    "CREATE INDEX old.queue_letters_message ON queue_letters (message)",
    "CREATE TABLE old.letters (number INTEGER PRIMARY KEY, email_id, segment, offset, size, end, whole, message)",
    # An email id begins with the time; letters of one millisecond came in the order of their old numbers.
    """INSERT INTO old.letters SELECT NULL, r.email_id, r.segment, r.offset, r.size, r.end, r.whole, min(m.id)
    FROM old.records r LEFT JOIN old.messages m ON m.email_id = r.email_id
    GROUP BY r.email_id ORDER BY substr(r.email_id, 1, 13), min(m.id), r.segment, r.offset""",
    """CREATE TABLE old.placed (mailbox, old_uid, message, flags, keywords, internal_date, zone, save_date, size,
    thread, prefix, gone, why, together)""",
)
_PLACE: Final = f"INSERT INTO old.placed VALUES ({', '.join('?' * 14)})"
_ORDER: Final = """CREATE TABLE old.ordered AS SELECT * FROM old.placed
 ORDER BY mailbox, old_uid IS NULL, old_uid, rowid"""
_BURY: Final = f"""INSERT INTO tombstones (mailbox, uid, message, flags, keywords, modseq, internal_date, zone,
 save_date, size, thread, prefix, gone, why) VALUES ({", ".join("?" * 14)})"""


def _row(each: Placed, message: int, size: int, thread: int) -> tuple[Any, ...]:
    return (
        each.mailbox,
        each.old_uid,
        message,
        each.flags,
        each.keywords,
        each.internal_date,
        each.zone,
        each.save_date,
        size + len(each.prefix),
        thread,
        each.prefix,
        each.gone,
        each.why,
        int(each.together),
    )
