"""What a check of the store has to say, and how it names what it is about; never by a letter's content."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

__all__ = [
    "FINDINGS_OF_A_KIND",
    "Finding",
    "Severity",
    "capped",
    "entry_name",
    "letter_name",
    "mailbox_name",
    "note",
    "one_line",
    "problem",
]

FINDINGS_OF_A_KIND: Final = 100
"""So many are told one by one; a store with a million of a kind is told as that."""


class Severity(enum.Enum):
    """Whether something is wrong."""

    PROBLEM = "problem"
    NOTE = "note"
    """Nothing is lost or wrong; somebody who looks closely may want to know."""
    REPAIRED = "repaired"
    """It was wrong and is right now."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `what` is one line for people."""

    severity: Severity
    what: str


def problem(what: str) -> Finding:
    """A finding that something is wrong."""
    return Finding(Severity.PROBLEM, one_line(what))


def note(what: str) -> Finding:
    """A finding that is no harm."""
    return Finding(Severity.NOTE, one_line(what))


def one_line(what: str) -> str:
    """Text for a terminal: printable, in one line."""
    # A damaged index may hold any text; a terminal is to see none of its controls.
    return "".join([letter if letter.isprintable() else "?" for letter in what])


def capped(findings: Iterable[Finding], of: str) -> Iterator[Finding]:
    """The first FINDINGS_OF_A_KIND of either severity; how many more there were is told once, naming `of`."""
    told = dict.fromkeys(Severity, 0)
    for finding in findings:
        told[finding.severity] += 1
        if told[finding.severity] <= FINDINGS_OF_A_KIND:
            yield finding
    for severity, count in told.items():
        if count > FINDINGS_OF_A_KIND:
            yield Finding(severity, f"{of}: {count - FINDINGS_OF_A_KIND} more, not told one by one")


# --- names, as SQL expressions


def mailbox_name(number: str) -> str:
    """The account and the mailbox whose number the SQL expression `number` gives."""
    return f"""coalesce((SELECT coalesce(a_.address, 'account number ' || m_.owner) || ', ' || m_.name
 FROM mailboxes m_ LEFT JOIN accounts a_ ON a_.id = m_.owner WHERE m_.id = {number}),
 'mailbox number ' || {number})"""


def entry_name(table: str) -> str:
    """The account, mailbox and UID of a row of entries, tombstones or seen, known in the statement as `table`."""
    return f"{mailbox_name(f'{table}.mailbox')} || ', UID ' || {table}.uid"


def letter_name(table: str) -> str:
    """A row of messages, known in the statement as `table`, by the first mailbox that holds it."""
    return f"""coalesce((SELECT {entry_name("e_")} FROM entries e_ WHERE e_.message = {table}.id LIMIT 1),
 'letter ' || {table}.email_id || ', in no mailbox')"""
