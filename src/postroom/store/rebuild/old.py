"""What can still be read of an index that is damaged: table by table, in slices, in the order of their keys.

SQLite says where a page is no page of its; the rows behind it are looked for by keys that lie further and further
away, and then read backwards, so that a damaged page costs its own rows and no others. A row whose values are not
of their columns' types, or whose key is out of order, is not believed. (A page that was written over with octets
that make sense to SQLite can't be told from a sound one: rows have no checksums.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import apsw

from postroom.store.index import open_index

__all__ = ["TABLES", "Table", "open_old", "read_old", "read_table"]

_SLICE: Final = 500
"""Rows in memory at a time."""
_FARTHEST: Final = 2**40
"""How far behind a damaged place the next row is looked for, in numbers of its key."""
_FAULTS: Final = 10_000
"""Damaged places of one table that are gone around."""

Row = tuple[Any, ...]
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is read: `columns` are name, type and what to take where an older schema lacks it (None for
    required). The first `key` of them are its key; with `numbers` that is made of numbers."""

    name: str
    columns: tuple[tuple[str, str, str | None], ...]
    key: int = 1
    numbers: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple([name for name, _, _ in self.columns])


def _table(name: str, columns: str, key: int = 1, numbers: bool = True) -> Table:
    """A row of TABLES: columns as `name:type` or `name:type=default`; i int, s str, b bytes, capitals also NULL."""
    split = []
    for column in columns.split():
        spec, _, default = column.partition("=")
        column_name, _, kind = spec.partition(":")
        split.append((column_name, kind, default or None))
    return Table(name, tuple(split), key, numbers)


_ENTRY = "mailbox:i uid:i message:i flags:i keywords:s internal_date:i zone:i save_date:i prefix:b"
TABLES: Final = (
    _table(
        "accounts",
        """id:i address:s disabled:i admin:i fxp:i files:S created:i max_octets:I=NULL max_letters:I=NULL
        short:S=NULL tags:i=0 hourly:I=NULL daily:I=NULL""",
    ),
    _table("removed_accounts", "id:i address:s gone:i"),
    _table("account_changes", "address:s serial:i", numbers=False),
    _table("counters", "name:s value:i", numbers=False),
    _table("aliases", "name:s position:i target:s", key=2, numbers=False),
    _table("domains", "name:s max_octets:I max_letters:I", numbers=False),
    _table("mailboxes", "id:i owner:i name:s uid_validity:i special_use:S object_id:s created:i"),
    _table(
        "deleted_mailboxes",
        "id:i owner:i name:s uid_validity:i object_id:s special_use:S gone:i restored:i=0 modseq:i=0",
    ),
    _table("subscriptions", "account:i name:s", key=2, numbers=False),
    _table("rights", "mailbox:i identifier:s rights:s", key=2, numbers=False),
    _table(
        "refusals",
        "id:i time:i session:s peer:s login:s sender:s recipient:s judge:s reply:s",
    ),
    _table("segments", "number:i length:i born:i"),
    _table("messages", "id:i email_id:s"),
    _table("stories", "message:i events:s"),
    _table("entries", _ENTRY, key=2),
    _table("tombstones", f"{_ENTRY} modseq:i gone:i why:i=0", key=2),
    _table(
        "queue_letters",
        """id:i message:i prefix:b sender:s account:I envelope_id:S return_full:I eight_bit:i utf8:i require_tls:i
        priority:i held:i created:i expires:i""",
    ),
    _table(
        "queue_recipients",
        """letter:i position:i recipient:s domain:s original:S notify:i state:i attempts:i next_time:i
        last_reply:S last_host:S lease:S lease_until:I""",
        key=2,
    ),
)
"""All that a new index takes over. Counters are made anew, and so are threads and everything that a letter says."""

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "i": (int,),
    "s": (str,),
    "b": (bytes,),
    "I": (int, type(None)),
    "S": (str, type(None)),
}


def open_old(path: Path) -> apsw.Connection | None:
    """The index for reading, with what its log has; None where nothing can be read of it."""
    if not path.exists():
        return None
    try:
        connection = open_index(path, read_only=True)
    except apsw.Error:
        return None
    try:
        # A damaged page may point anywhere.
        connection.execute("PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON").fetchall()
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except apsw.Error:
        connection.close()
        return None
    return connection


def read_old(old: apsw.Connection | None, new: apsw.Connection, schema: str) -> set[str]:
    """Copy what can be read into tables of the same names in the attached database `schema`. Gives the names of
    those that were read without a fault. Raises apsw.Error where the copy fails."""
    sound = set()
    for table in TABLES:
        columns = ", ".join(table.names)
        key = ", ".join(table.names[: table.key])
        new.execute(f"CREATE TABLE {schema}.{table.name} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID").fetchall()
        sql = f"INSERT OR IGNORE INTO {schema}.{table.name} VALUES ({', '.join('?' * len(table.columns))})"
        if old is None:
            continue
        reading = _Reading(old, table)
        new.execute("BEGIN").fetchall()
        for rows in reading.slices():
            new.executemany(sql, rows).fetchall()
        new.execute("COMMIT").fetchall()
        if not reading.faults:
            sound.add(table.name)
    return sound


def read_table(old: apsw.Connection, name: str) -> tuple[list[Row], bool]:
    """One table, and whether it was read without a fault."""
    (table,) = [each for each in TABLES if each.name == name]
    reading = _Reading(old, table)
    return [row for rows in reading.slices() for row in rows], not reading.faults


class _Fault(Exception):
    """There is something that can't be read."""


class _Reading:
    """One table being read. `faults` counts what couldn't be."""

    def __init__(self, old: apsw.Connection, table: Table) -> None:
        self._old = old
        self._table = table
        self.faults = 0
        self._keys = ", ".join(table.names[: table.key])
        self._marks = ", ".join("?" * table.key)
        self._sql = ""

    def slices(self) -> Iterator[list[Row]]:
        """All rows that can be read; some may come twice."""
        try:
            self._sql = self._select()
        except (_Fault, apsw.Error):
            self.faults += 1
            return
        after: Key | None = None
        while self.faults < _FAULTS:
            rows, fault = self._forward(after)
            yield rows
            if rows:
                after = self._key(rows[-1])
            if not fault:
                if not rows:
                    return
                continue
            self.faults += 1
            behind = self._behind(after)
            yield from self._backward(behind, after)
            if behind is None:
                return
            after = behind

    def _select(self) -> str:
        have = {row[1] for row in self._old.execute(f"PRAGMA table_info({self._table.name})").fetchall()}
        columns = []
        for name, _, default in self._table.columns:
            if name not in have and default is None:
                raise _Fault
            columns.append(name if name in have else f"{default} AS {name}")
        return f"SELECT {', '.join(columns)} FROM {self._table.name}"

    def _key(self, row: Row) -> Key:
        return row[: self._table.key]

    def _ask(self, where: str, bound: Key, limit: int) -> list[Row]:
        try:
            rows = self._old.execute(f"{self._sql} {where} LIMIT {limit}", bound).fetchall()
        except (apsw.Error, UnicodeDecodeError) as error:
            raise _Fault from error
        for row in rows:
            for value, (_, kind, _) in zip(row, self._table.columns, strict=True):
                if not isinstance(value, _KINDS[kind]):
                    raise _Fault
        return rows

    def _forward(self, after: Key | None) -> tuple[list[Row], bool]:
        """Rows behind a key, and whether something can't be read behind them."""
        where = f"WHERE ({self._keys}) > ({self._marks})" if after is not None else ""
        order = f"{where} ORDER BY {self._keys}"
        try:
            return self._ascending(self._ask(order, after or (), _SLICE), after), False
        except _Fault:
            rows: list[Row] = []
        with contextlib.suppress(_Fault):
            while len(rows) < _SLICE:
                last = self._key(rows[-1]) if rows else after
                where = f"WHERE ({self._keys}) > ({self._marks})" if last is not None else ""
                more = self._ascending(self._ask(f"{where} ORDER BY {self._keys}", last or (), 1), last)
                if not more:
                    break
                rows += more
            return rows, False
        return rows, True

    def _ascending(self, rows: list[Row], after: Key | None) -> list[Row]:
        keys = [self._key(row) for row in rows]
        if after is not None:
            keys.insert(0, after)
        if any(one >= other for one, other in pairwise(keys)):
            raise _Fault
        return rows

    def _behind(self, after: Key | None) -> Key | None:
        """The key of a row behind a damaged place; None where none is found, or where keys are no numbers."""
        if not self._table.numbers:
            return None
        *first, last = after or (0,) * self._table.key
        where = f"WHERE ({self._keys}) >= ({self._marks}) ORDER BY {self._keys}"
        step = 1
        while step <= _FARTHEST:
            for key in ((*first, last + step), *([(first[0] + step, 0)] if first else [])):
                with contextlib.suppress(_Fault):
                    if rows := self._ask(where, key, 1):
                        return self._key(rows[0])
            step *= 2
        return None

    def _backward(self, before: Key | None, after: Key | None) -> Iterator[list[Row]]:
        """The row of a key and those before it (the last ones where it is None), backwards, as far as it goes."""
        if before is not None:
            with contextlib.suppress(_Fault):
                yield self._ask(f"WHERE ({self._keys}) = ({self._marks})", before, 1)
        while True:
            where = f"WHERE ({self._keys}) < ({self._marks})" if before is not None else ""
            try:
                rows = self._ask(f"{where} ORDER BY {self._descending()}", before or (), 1)
            except _Fault:
                return
            if not rows or (after is not None and self._key(rows[0]) <= after):
                return
            if before is not None and self._key(rows[0]) >= before:
                return
            yield rows
            before = self._key(rows[0])

    def _descending(self) -> str:
        return ", ".join(f"{name} DESC" for name in self._table.names[: self._table.key])
