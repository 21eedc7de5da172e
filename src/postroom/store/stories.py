"""A letter's story: a line for each thing that happened to it, in one small row that goes when the letter goes.

A line is `seconds what by detail`, apart by single spaces, ended by LF. The first line (the arrival) stays; of the
rest the latest are kept, so that a row is never longer than about STORY_CHARACTERS.

    >>> write_happening(1700000000, "flags", "alice@example.test imap-1", "INBOX +\\\\Seen")
    '1700000000 flags alice@example.test/imap-1 INBOX +\\\\Seen\\n'
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import apsw

from postroom.net.limits import STORY_CHARACTERS, STORY_LINE_CHARACTERS
from postroom.store.values import Happening

__all__ = ["append", "read_story", "write_happening"]

_APPEND = f"""UPDATE stories SET events = CASE WHEN length(events) <= {STORY_CHARACTERS} THEN events || ?1
 ELSE substr(events, 1, instr(events, char(10)))
  || substr(substr(events, -{STORY_CHARACTERS // 2}), instr(substr(events, -{STORY_CHARACTERS // 2}), char(10)) + 1)
  || ?1 END
 WHERE message IN """


def write_happening(at: int, what: str, by: str, detail: str) -> str:
    """One line; `at` in seconds since 1970 UTC."""
    who = by.replace(" ", "/") or "-"
    line = f"{at} {what} {who} {detail}"[:STORY_LINE_CHARACTERS]
    if not line.isprintable():
        line = "".join([each if each.isprintable() else "?" for each in line])
    return f"{line}\n"


def read_story(events: str) -> list[Happening]:
    """The lines' values; one that can't be read is left out."""
    found = []
    for line in events.split("\n"):
        at, _, rest = line.partition(" ")
        what, _, rest = rest.partition(" ")
        by, _, detail = rest.partition(" ")
        if at.isascii() and at.isdigit() and what:
            found.append(Happening(int(at), what, by or "-", detail))
    return found


def append(connection: apsw.Connection, messages: Iterable[int], line: str) -> None:
    """Add a line to letters' stories, within a transaction."""
    numbers = json.dumps(list(messages))
    connection.execute(f"{_APPEND} (SELECT value FROM json_each(?2))", (line, numbers)).fetchall()
