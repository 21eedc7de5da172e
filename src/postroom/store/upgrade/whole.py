"""Upgrades of the index: a snapshot first, then all migrations and a look at the result, whole or not at all.

What was there before lies under data/snapshots (`store.upgrade.snapshots`). The migrations that are pending and the
check after them are one transaction: killed in it, or found wrong after it, the index is the one that it was. The
way back is `store.upgrade.undo`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from postroom.store.check.findings import Finding, Severity, problem
from postroom.store.check.index import CHECKS, integrity
from postroom.store.check.rows import Check
from postroom.store.check.usage import USAGE_CHECKS
from postroom.store.index import fetch_all, migrate, newest_schema, open_index, schema_version
from postroom.store.interface import StoreFault
from postroom.store.segments import segment_name
from postroom.store.upgrade.snapshots import open_copy, prune_snapshots, take_snapshot

__all__ = ["UpgradeRefused", "Upgraded", "quick_findings", "schemas", "upgrade"]

_LOOKS: Final[tuple[Check, ...]] = (partial(integrity, quick=True), *CHECKS, *USAGE_CHECKS)
"""All of fsck's looks at the index that are single statements (a million letters: 8 s, conversations would be
60)."""


class UpgradeRefused(StoreFault):
    """The index can't be brought to the schema that is asked for, and is as it was; the text is one line."""


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What was done: from which schema to which, and where what was there before lies."""

    before: int
    after: int
    snapshot: Path


def schemas(root: Path) -> tuple[int, int]:
    """The schema of a data directory's index, 0 where there is none, and the one that this program wants. Raises
    apsw.Error."""
    if not (root / "index.db").exists():
        return 0, newest_schema()
    with contextlib.closing(open_index(root / "index.db", read_only=True)) as connection:
        return schema_version(connection), newest_schema()


def upgrade(root: Path, *, config: Path | None = None, always: bool = False) -> Upgraded | None:
    """Bring the index to the newest schema; gives what was done where there was one to be upgraded. `config` is the
    configuration's file, for the snapshot, which is taken with `always` also where the index is at the newest
    schema.

    The caller holds the write lock. Raises `NewerSchema`, `UpgradeRefused`, OSError, apsw.Error.
    """
    with contextlib.closing(open_index(root / "index.db", make=True)) as connection:
        have, want = schema_version(connection), newest_schema()
        if not have or have > want or (have == want and not always):
            migrate(connection)
            return None
        prune_snapshots(root)
        snapshot = take_snapshot(root, have, time.time(), config)
        try:
            migrate(connection, partial(_check, root, snapshot / "index.db", have))
        except BaseException:
            # The index is as it was, and the next try takes one of its own.
            shutil.rmtree(snapshot, ignore_errors=True)
            raise
    prune_snapshots(root)
    return Upgraded(have, want, snapshot)


def _check(root: Path, before: Path, have: int, connection: apsw.Connection) -> None:
    """Refuse what the migrations have made wrong; what was so before is not their doing. Raises
    `UpgradeRefused`."""
    found = _problems(connection, root)
    if not found:
        return
    with contextlib.closing(open_copy(before)) as older:
        known = set(_problems(older, root))
    for what in found:
        if what not in known:
            raise UpgradeRefused(
                f"the upgrade from schema {have} to {newest_schema()} was taken back, nothing is changed: {what}"
            )


def _problems(connection: apsw.Connection, root: Path) -> list[str]:
    return [one.what for one in quick_findings(connection, root) if one.severity is Severity.PROBLEM]


def quick_findings(connection: apsw.Connection, root: Path) -> Iterator[Finding]:
    """What is wrong in the index, looked at in seconds: no letter is read, of segments only the length is asked."""
    lengths: Check = partial(_lengths, root / "segments")
    for look in (*_LOOKS, lengths):
        try:
            yield from look(connection)
        except apsw.Error as error:
            yield problem(f"index.db: a check could not be made: {error}")


def _lengths(folder: Path, connection: apsw.Connection) -> Iterator[Finding]:
    for number, wanted in fetch_all(
        connection,
        """SELECT number, length FROM segments
        WHERE EXISTS (SELECT 1 FROM messages x WHERE x.segment = segments.number) ORDER BY number""",
    ):
        name = segment_name(number)
        try:
            size = os.stat(folder / name).st_size
        except FileNotFoundError:
            yield problem(f"segment file {name} is missing")
        else:
            if size < wanted:
                yield problem(f"segment file {name} has {size} octets of the {wanted} that the index knows")
