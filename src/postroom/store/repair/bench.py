"""What all repairs are done with: the index open for writing, and one transaction after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from postroom.store.check.findings import Finding, Severity, one_line
from postroom.store.ledger import Ledger

__all__ = ["Bench", "repaired", "transaction"]


@dataclass(frozen=True, slots=True)
class Bench:
    """A store that nobody else uses while it is repaired. `now` is in seconds since 1970 UTC."""

    root: Path
    connection: apsw.Connection
    now: int
    hostname: str
    """For the address of an account that is made where nothing tells whose letters are."""

    @property
    def folder(self) -> Path:
        """Where the segments are."""
        return self.root / "segments"


def repaired(what: str) -> Finding:
    """Something that is right now."""
    return Finding(Severity.REPAIRED, one_line(what))


@contextmanager
def transaction(connection: apsw.Connection, now: int) -> Iterator[Ledger]:
    """One transaction and what it knows; nothing is done where it is left by an exception."""
    connection.execute("BEGIN IMMEDIATE").fetchall()
    try:
        ledger = Ledger(connection, now)
        yield ledger
        ledger.flush()
        connection.execute("COMMIT").fetchall()
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK").fetchall()
        raise
