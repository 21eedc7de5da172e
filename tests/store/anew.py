"""An index made anew in tests, and what is compared before and after."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import apsw

from postroom.store.check.findings import Severity
from postroom.store.check.whole import check
from postroom.store.index import fetch_all
from postroom.store.rebuild.whole import rebuild

NOW = int(time.time())
HOST = "mx.example.test"


def anew(root: Path, *known: str) -> list[str]:
    """Make the index anew; gives what is told."""
    return [one.what for one in rebuild(root, NOW, HOST, frozenset(known))]


def lose_index(root: Path) -> None:
    for path in root.glob("index.db*"):
        path.unlink()


def rows(root: Path, sql: str) -> list[Any]:
    connection = apsw.Connection(str(root / "index.db"), flags=apsw.SQLITE_OPEN_READONLY)
    found = fetch_all(connection, sql)
    connection.close()
    return found


def everything(root: Path) -> list[Any]:
    """All entries by names that outlive an index."""
    return rows(
        root,
        """SELECT a.address, b.name, x.email_id, e.flags, e.keywords, e.internal_date, e.zone, e.prefix, e.size
        FROM entries e JOIN mailboxes b ON b.id = e.mailbox JOIN accounts a ON a.id = b.owner
        JOIN messages x ON x.id = e.message ORDER BY a.address, b.name, e.uid""",
    )


def problems(root: Path) -> list[str]:
    return [one.what for one in check(root) if one.severity is Severity.PROBLEM]
