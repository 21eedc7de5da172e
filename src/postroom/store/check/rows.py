"""What a check of the index is, and how one is written as a single statement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import apsw

from postroom.store.check.findings import FINDINGS_OF_A_KIND, Finding, Severity, note, problem

__all__ = ["Check", "Rows", "delete_without", "without"]

Check = Callable[[apsw.Connection], Iterator[Finding]]
"""One look at the index. Raises apsw.Error where the index is too damaged for it."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A check that is one statement. `says` is what each row means; {0}, {1} … are the row's columns. `fix` are the
    statements of one transaction that make all of it right (`store.repair`); it is empty where more is needed."""

    about: str
    sql: str
    says: str
    severity: Severity = Severity.PROBLEM
    fix: tuple[str, ...] = ()

    def __call__(self, connection: apsw.Connection) -> Iterator[Finding]:
        """Look."""
        tell = problem if self.severity is Severity.PROBLEM else note
        rows = connection.execute(f"{self.sql} LIMIT {FINDINGS_OF_A_KIND + 1}").fetchall()
        for row in rows[:FINDINGS_OF_A_KIND]:
            yield tell(self.says.format(*row))
        if len(rows) > FINDINGS_OF_A_KIND:
            yield tell(f"{self.about}: more of the same kind, not told one by one")


def without(child: str, column: str, parent: str, key: str) -> str:
    """The end of a statement: rows of `child` (known as c) whose parent isn't there."""
    return f"FROM {child} c WHERE NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.{key} = c.{column})"


def delete_without(child: str, column: str, parent: str, key: str) -> str:
    """The statement that takes those rows away."""
    return f"DELETE FROM {child} AS c WHERE NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.{key} = c.{column})"
