"""What the upkeep asks of the index: forget what is past its time, look for letters where they were copied to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from postroom.store.changes import (
    Done,
    DropLetters,
    ForgetSegments,
    Moved,
    MoveLetters,
    RetireSegments,
    Sweep,
    Swept,
)
from postroom.store.index import fetch_all
from postroom.store.ledger import Ledger

__all__ = ["HOLDERS", "OF_A_LETTER", "UNHELD", "drop_letters", "forget", "move_letters", "retire", "sweep"]

HOLDERS: Final = ("entries", "tombstones", "queue_letters")
"""Tables whose rows keep the letter that they name."""
OF_A_LETTER: Final = ("answers", "stories")
"""Tables whose rows go with the letter that they name."""
UNHELD: Final = " AND ".join(
    f"NOT EXISTS (SELECT 1 FROM {table} WHERE {table}.message = messages.id)" for table in HOLDERS
)
"""Holds for a row of `messages` that nothing keeps."""

_THESE = "IN (SELECT value FROM json_each(?))"
_EMPTY = "NOT EXISTS (SELECT 1 FROM messages WHERE messages.segment = segments.number)"


def sweep(ledger: Ledger, change: Sweep) -> Swept:
    """Tombstones past their time, and what nothing holds when they are gone."""
    ledger.flush()
    run = ledger.connection.execute
    rows = fetch_all(
        ledger.connection,
        "SELECT mailbox, uid, message, modseq FROM tombstones WHERE gone <= ? ORDER BY gone LIMIT ?",
        (change.before, change.limit),
    )
    newest: dict[int, int] = {}
    for mailbox, _, _, modseq in rows:
        newest[mailbox] = max(modseq, newest.get(mailbox, 0))
    many = ledger.connection.executemany
    many("DELETE FROM tombstones WHERE mailbox = ? AND uid = ?", [row[:2] for row in rows]).fetchall()
    # Who comes back with an older modseq can't be told any more what vanished since (RFC 7162 3.2.5.1).
    many(
        "UPDATE mailboxes SET forgotten_modseq = max(forgotten_modseq, ?) WHERE id = ?",
        [(modseq, mailbox) for mailbox, modseq in newest.items()],
    ).fetchall()
    letters, octets = _drop(ledger, {row[2] for row in rows})
    if len(rows) < change.limit:
        run(
            """DELETE FROM deleted_mailboxes WHERE gone <= ?
            AND NOT EXISTS (SELECT 1 FROM tombstones WHERE mailbox = deleted_mailboxes.id)""",
            (change.before,),
        ).fetchall()
        run(
            """DELETE FROM removed_accounts WHERE gone <= ?
            AND NOT EXISTS (SELECT 1 FROM deleted_mailboxes WHERE owner = removed_accounts.id)""",
            (change.before,),
        ).fetchall()
    return Swept(len(rows), letters, octets)


def drop_letters(ledger: Ledger, change: DropLetters) -> Swept:
    """Those of them that nothing holds."""
    ledger.flush()
    return Swept(0, *_drop(ledger, change.messages))


def _drop(ledger: Ledger, messages: Iterable[int]) -> tuple[int, int]:
    """How many letters went, and their octets."""
    rows = fetch_all(
        ledger.connection,
        f"DELETE FROM messages WHERE id {_THESE} AND {UNHELD} RETURNING id, segment, size",
        (json.dumps(list(messages)),),
    )
    gone = json.dumps([row[0] for row in rows])
    for table in OF_A_LETTER:
        ledger.connection.execute(f"DELETE FROM {table} WHERE message {_THESE}", (gone,)).fetchall()
    sizes: dict[int, int] = {}
    for _, segment, size in rows:
        sizes[segment] = sizes.get(segment, 0) + size
    _sink(ledger, sizes)
    return len(rows), sum(sizes.values())


def _sink(ledger: Ledger, sizes: dict[int, int]) -> None:
    """So many octets of each segment have no row any more."""
    ledger.connection.executemany(
        "UPDATE segments SET live = live - ? WHERE number = ?",
        [(size, segment) for segment, size in sizes.items()],
    ).fetchall()


def move_letters(ledger: Ledger, change: MoveLetters) -> Moved:
    """Letters' new places. One that went meanwhile, or lies elsewhere already, has left its copy for nobody."""
    ledger.flush()
    rows: list[Any] = ledger.connection.executemany(
        "UPDATE messages SET segment = ?, offset = ? WHERE id = ? AND segment = ? AND offset = ? RETURNING size",
        [(change.target, to, message, change.source, at) for message, at, to in change.moves],
    ).fetchall()
    octets = sum([size for (size,) in rows])
    _sink(ledger, {change.source: octets})
    ledger.connection.execute(
        """INSERT INTO segments (number, length, born, live) VALUES (?, ?, ?, ?) ON CONFLICT (number)
        DO UPDATE SET length = max(length, excluded.length), live = live + excluded.live""",
        (change.target, change.end, ledger.now, octets),
    ).fetchall()
    return Moved(len(rows), octets)


def retire(ledger: Ledger, change: RetireSegments) -> Done:
    """From now on their files may go, when nobody can be reading them any more."""
    ledger.flush()
    ledger.connection.execute(
        f"UPDATE segments SET retired = ? WHERE number {_THESE} AND retired IS NULL AND {_EMPTY}",
        (ledger.now, json.dumps(change.numbers)),
    ).fetchall()
    return Done()


def forget(ledger: Ledger, change: ForgetSegments) -> Done:
    """Their rows, but for the highest: the next segment's number is drawn above it."""
    ledger.flush()
    ledger.connection.execute(
        f"""DELETE FROM segments WHERE number {_THESE} AND retired IS NOT NULL AND {_EMPTY}
        AND number < (SELECT max(number) FROM segments)""",
        (json.dumps(change.numbers),),
    ).fetchall()
    return Done()
