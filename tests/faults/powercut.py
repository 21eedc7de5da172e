"""What may lie on the disk after a power cut: a trace of system calls (tests/faults/trace.py) to legal states.

    disk = Disk(files, folders)        # what lay there when the trace began, all of it durable
    for record in records[:cut]:
        disk.take(record)
    state = disk.draw(dice)            # one of the states that the cut may leave

Pure. The rules: what a completed fsync or fdatasync of a file covered is there. Every sector of 512 octets that was
written since has what it had at some moment since, each sector for itself: so writes may be missing, torn or in
another order. A name that came, went or was changed may be as it was until its folder was synced: a sync of the
file alone does nothing for its name. A rename is done or not. After a *failed* sync what it was to cover may be
lost for good, whatever later syncs say, unless it is written again: the kernel takes the pages for clean.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.faults.trace import Kind, Phase, Record

SECTOR: Final = 512


@dataclass(slots=True)
class _Write:
    """Octets at an offset, or a new size where there are none (`data` is None, `offset` the size)."""

    time: int
    offset: int
    data: bytes | None
    doubtful: bool = False
    sure: bool = False

    def sectors(self) -> range:
        """Numbers of the sectors that it touches."""
        if not self.data:
            return range(0)
        return range(self.offset // SECTOR, (self.offset + len(self.data) - 1) // SECTOR + 1)


@dataclass(slots=True)
class _File:
    """`durable` is what is there for sure; `changes` came behind it."""

    durable: bytearray
    changes: list[_Write] = field(default_factory=list)
    folder: bool = False

    def synced(self, before: int, failed: bool) -> None:
        """A sync that began at time `before` is over."""
        for change in self.changes:
            if change.time < before:
                change.doubtful |= failed and not change.sure
                change.sure |= not failed and not change.doubtful
        while self.changes and self.changes[0].sure:
            _apply(self.durable, self.changes.pop(0))

    def draw(self, there: _Choice, dice: random.Random) -> bytes:
        """What may be there."""
        content = bytearray(self.durable)
        reached = self._reached(there)
        limit = None
        for change in self.changes:
            if change.data is None:
                if limit is None and (change.sure or there(change, -1)):
                    _apply(content, change)
                elif limit is None:
                    limit = change.offset  # what grew behind this size is in blocks that nobody has
            elif change.sure:
                _apply(content, change)
            elif limit is None or change.offset + len(change.data) <= limit:
                _apply_reached(content, change, reached, dice)
        return bytes(content)

    def _reached(self, there: _Choice) -> dict[int, int]:
        """By sector: the time of the last write to it that reached the disk, with all before it."""
        reached: dict[int, int] = {}
        for change in self.changes:
            for sector in change.sectors():
                if change.sure or there(change, sector):
                    reached[sector] = change.time
        return reached


_Choice = Callable[[_Write, int], bool]
"""Whether a write's sector gets to the disk by itself."""


def _apply(content: bytearray, change: _Write) -> None:
    if change.data is None:
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
    else:
        content.extend(bytes(max(0, change.offset - len(content))))
        content[change.offset : change.offset + len(change.data)] = change.data


def _apply_reached(content: bytearray, change: _Write, reached: Mapping[int, int], dice: random.Random) -> None:
    assert change.data is not None
    sectors = change.sectors()
    here = [sector for sector in sectors if reached.get(sector, -1) >= change.time]
    if len(here) == len(sectors):
        _apply(content, change)
        return
    end = change.offset + len(change.data)
    for sector in here:
        start, stop = max(change.offset, sector * SECTOR), min(end, (sector + 1) * SECTOR)
        _apply(content, _Write(change.time, start, change.data[start - change.offset : stop - change.offset]))
    if here and dice.random() < 0.5:
        content.extend(bytes(max(0, end - len(content))))  # the size is there, the octets are not


@dataclass(slots=True)
class _Naming:
    """A change of names: each path's file (None: it goes), all at once."""

    time: int
    names: dict[str, _File | None]
    folders: set[str]
    """A sync of any of them makes it sure."""
    sure: bool = False


class Disk:
    """A data directory as a trace changes it."""

    def __init__(self, files: Mapping[str, bytes], folders: Iterable[str]) -> None:
        """What is there for sure: files and folders by their paths below the root."""
        self._names: dict[str, _File] = {path: _File(bytearray(octets)) for path, octets in files.items()}
        self._names |= {path: _File(bytearray(), folder=True) for path in folders}
        self._now: dict[str, _File] = dict(self._names)
        self._inodes: dict[int, _File] = {}
        self._namings: list[_Naming] = []
        self._syncs: dict[tuple[int, str], int] = {}
        self._time = 0

    def take(self, record: Record) -> None:
        """Go on by one record."""
        self._time += 1
        if record.kind in _TAKE and not record.path.startswith("run/"):
            _TAKE[record.kind](self, record)

    def draw(self, dice: random.Random) -> dict[str, bytes]:
        """One of the legal states: files' octets by path."""
        there = dice.choice(_WAYS)(dice, self._time)
        names = dict(self._names)
        stopped: set[str] = set()
        for naming in self._namings:
            # In order for each name: where one change of it is not there, no later one is.
            held = not stopped.isdisjoint(naming.names)
            if naming.sure or (not held and there(_Write(naming.time, 0, None), -1)):
                _name(names, naming.names)
            else:
                stopped |= naming.names.keys()
        return {
            path: file.draw(there, dice)
            for path, file in names.items()
            if not file.folder and all(folder in names for folder in _folders_above(path))
        }

    # --- files

    def _file(self, record: Record) -> _File:
        """A descriptor may have outlived its name, and an inode number the file that it was."""
        file = self._inodes.get(record.inode) or self._now.get(record.path)
        assert file is not None, f"nobody made {record.path}"
        self._inodes[record.inode] = file
        return file

    def _write(self, record: Record) -> None:
        if record.phase is Phase.BEGIN:
            self._file(record).changes.append(_Write(self._time, record.offset, record.data))
        elif record.phase is Phase.END:
            self._came_out_short(record)

    def _came_out_short(self, record: Record) -> None:
        for change in reversed(self._file(record).changes):
            if change.offset == record.offset and change.data is not None and len(change.data) == record.length:
                change.doubtful |= record.failed
                change.data = change.data if record.failed else change.data[: record.result]
                return

    def _truncate(self, record: Record) -> None:
        if record.phase is Phase.BEGIN:
            self._file(record).changes.append(_Write(self._time, record.length, None))
        elif record.phase is Phase.END:
            assert record.failed
            self._file(record).changes.pop()

    def _sync(self, record: Record) -> None:
        key = (record.thread, record.path)
        if record.phase is Phase.BEGIN:
            self._syncs[key] = self._time
            return
        before = self._syncs.pop(key, self._time)
        named = self._now.get(record.path)
        if record.path != "." and (named is None or not named.folder):
            self._file(record).synced(before, record.failed)
        elif not record.failed:
            self._names_synced(record.path, before)

    # --- names

    def _names_synced(self, folder: str, before: int) -> None:
        for naming in self._namings:
            naming.sure |= naming.time < before and folder in naming.folders
        while self._namings and self._namings[0].sure:
            _name(self._names, self._namings.pop(0).names)

    def _named(self, names: dict[str, _File | None], *paths: str) -> None:
        self._namings.append(_Naming(self._time, names, {_folder(path) for path in paths}))
        _name(self._now, names)

    def _open(self, record: Record) -> None:
        if not record.failed:
            self._inodes[record.inode] = file = _File(bytearray())
            self._named({record.path: file}, record.path)

    def _mkdir(self, record: Record) -> None:
        if not record.failed:
            self._named({record.path: _File(bytearray(), folder=True)}, record.path)

    def _rename(self, record: Record) -> None:
        if record.failed:
            return
        names: dict[str, _File | None] = {}
        for path in [path for path in self._now if path == record.path or path.startswith(record.path + "/")]:
            names |= {path: None, record.other + path[len(record.path) :]: self._now[path]}
        self._named(names, record.path, record.other)

    def _link(self, record: Record) -> None:
        if not record.failed:
            self._named({record.other: self._now[record.path]}, record.other)

    def _unlink(self, record: Record) -> None:
        if not record.failed and record.path in self._now:
            self._named({record.path: None}, record.path)


def _folder(path: str) -> str:
    return os.path.dirname(path) or "."


def _folders_above(path: str) -> Iterator[str]:
    while (path := os.path.dirname(path)) != "":
        yield path


def _name(into: dict[str, _File], names: Mapping[str, _File | None]) -> None:
    for path, file in names.items():
        if file is None:
            into.pop(path, None)
        else:
            into[path] = file


_TAKE: Final[Mapping[Kind, Callable[[Disk, Record], None]]] = {
    Kind.OPEN: Disk._open,
    Kind.WRITE: Disk._write,
    Kind.TRUNCATE: Disk._truncate,
    Kind.SYNC: Disk._sync,
    Kind.RENAME: Disk._rename,
    Kind.LINK: Disk._link,
    Kind.UNLINK: Disk._unlink,
    Kind.MKDIR: Disk._mkdir,
}


# --- ways in which what was not synced may have got to the disk


def _nothing(_: random.Random, __: int) -> _Choice:
    return lambda change, sector: False


def _everything(_: random.Random, __: int) -> _Choice:
    return lambda change, sector: True


def _up_to_a_time(dice: random.Random, now: int) -> _Choice:
    until = now - int(dice.expovariate(1 / 20))
    return lambda change, sector: change.time <= until


def _by_write(dice: random.Random, _: int) -> _Choice:
    share = dice.random()
    drawn: dict[int, bool] = {}
    return lambda change, sector: drawn.setdefault(change.time, dice.random() < share)


def _by_sector(dice: random.Random, _: int) -> _Choice:
    share = dice.random()
    return lambda change, sector: dice.random() < share


_WAYS: Final[tuple[Callable[[random.Random, int], _Choice], ...]] = (
    _nothing,
    _everything,
    _up_to_a_time,
    _by_write,
    _by_sector,
    _by_sector,
)
