"""Connections counted over all workers: in all, by listener, and by address. No worker asks another for it.

The table lies in memory that all of them share (a memfd that the supervisor makes). Each worker writes its own
column alone, and a count is the sum of a row, so that no lock is needed: whoever is one too many has counted itself
first and then looked, hence two who come at once never both pass. A worker that is killed takes nothing back; the
supervisor empties its column when it buries it, and so does whoever gets the column next.

Addresses are a count-min sketch: an address has one cell in each of four rows, by a keyed hash that no stranger can
compute, and the least of the four sums is its count. It is never too small; how seldom it is too large stands at
`limits.COUNTED_ADDRESSES`.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
import secrets
import struct
from typing import Final

from postroom.net import limits

_KEY_OCTETS: Final = 16
_HEADER: Final = struct.Struct(f"<I{_KEY_OCTETS}s12x")
"""How many columns, and the key of the hash; 32 octets, so that the cells lie even."""
_HASHES: Final = struct.Struct("<4I")
_FIXED: Final = 1 + limits.CONNECTION_GROUPS
_CELLS: Final = _FIXED + 4 * limits.COUNTED_ADDRESSES
_CELL: Final = "H"
"""A worker has fewer than 65,536 connections (`limits.CONNECTIONS_PER_WORKER`)."""


class Table:
    """The counts of one site. `make` it in the supervisor; elsewhere it is made of the supervisor's descriptor."""

    def __init__(self, descriptor: int) -> None:
        """Of a descriptor that `make` gave, which stays the caller's, and isn't needed any more. Raises OSError,
        ValueError."""
        self._memory = mmap.mmap(descriptor, 0)
        self.columns, self._key = _HEADER.unpack_from(self._memory)
        self._cells = memoryview(self._memory)[_HEADER.size :].cast(_CELL)
        if len(self._cells) != _CELLS * self.columns:
            raise ValueError("not a table of connections")
        self.places = functools.lru_cache(4096)(self._places)

    @classmethod
    def make(cls, columns: int) -> tuple[Table, int]:
        """A new one, empty, for so many workers, and its descriptor, which is the caller's. Raises OSError."""
        descriptor = os.memfd_create("postroom-connections", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _HEADER.size + 2 * _CELLS * columns)
        os.pwrite(descriptor, _HEADER.pack(columns, secrets.token_bytes(_KEY_OCTETS)), 0)
        return cls(descriptor), descriptor

    def clear(self, column: int) -> None:
        """Forget what a worker counted. Where it counted nothing, nothing is touched."""
        if any(self._cells[column :: self.columns]):
            self._cells[column :: self.columns] = memoryview(bytes(2 * _CELLS)).cast(_CELL)

    def add(self, place: int, column: int, one: int) -> None:
        """Count `one` (1 or -1) more in a worker's column."""
        self._cells[place * self.columns + column] += one

    def total(self, place: int) -> int:
        """All workers' count in one row."""
        at = place * self.columns
        return sum(self._cells[at : at + self.columns])

    def _places(self, network: str) -> tuple[int, ...]:
        """The four rows of an address."""
        digest = hashlib.blake2b(network.encode(), digest_size=_HASHES.size, key=self._key).digest()
        return tuple(
            _FIXED + number * limits.COUNTED_ADDRESSES + one % limits.COUNTED_ADDRESSES
            for number, one in enumerate(_HASHES.unpack(digest))
        )


class Counts:
    """One worker's part of a table: it counts there, and sees everybody's sums."""

    def __init__(self, table: Table, column: int) -> None:
        """Begins with nothing counted: whoever had the column before is gone. Raises ValueError."""
        if not 0 <= column < table.columns:
            raise ValueError("no such column of the table of connections")
        self._table = table
        self._column = column
        table.clear(column)

    @classmethod
    def alone(cls) -> Counts:
        """Of a process that has no others beside it."""
        table, descriptor = Table.make(1)
        os.close(descriptor)
        return cls(table, 0)

    def enter(self, group: int, one: int = 1) -> None:
        """A connection at a listener of a group (0 to CONNECTION_GROUPS - 1); `one` is -1 when it leaves."""
        self._table.add(0, self._column, one)
        self._table.add(1 + group, self._column, one)

    def meet(self, network: str, one: int = 1) -> None:
        """It comes from there; -1: it has gone."""
        for place in self._table.places(network):
            self._table.add(place, self._column, one)

    def in_all(self) -> int:
        """Connections of all workers."""
        return self._table.total(0)

    def in_group(self, group: int) -> int:
        """The same at listeners of a group."""
        return self._table.total(1 + group)

    def of(self, network: str) -> int:
        """The same from a network."""
        return min(map(self._table.total, self._table.places(network)))
