"""A data directory as a crash leaves it: pictures of it at every instant between two calls that change the disk.

    with Camera(root) as camera:
        store = ...                       # opened here, so that SQLite's own calls are seen
        with camera.taking(lambda: acknowledged) as pictures:
            ...                           # a change
        pictures[n].develop(elsewhere, Lost.ALL, dice)

An instant is the end of any write, truncation, sync, creation or removal, by SQLite (through a VFS that lies around
its own) or by us. Each file is known in two states: as it is, which is what kill -9 leaves (`Lost.NOTHING`), and as
it was at its last sync, which is what a power cut may leave of it at worst (`Lost.ALL`); `Lost.SOME` tosses a coin
for each file. Files whose folder was not synced are lost with what isn't synced. What this doesn't model is a write
that is torn within one file, and removals undone: `tests/faults/test_powercut.py` does, at the system calls.
"""

from __future__ import annotations

import contextlib
import enum
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

import apsw

__all__ = ["Camera", "Lost", "Picture"]

_INDEX: Final = ("index.db", "index.db-wal")


class Lost(enum.Enum):
    """What a crash takes of the writes that nobody synced."""

    NOTHING = enum.auto()
    SOME = enum.auto()
    ALL = enum.auto()


@dataclass(frozen=True, slots=True)
class Picture:
    """A data directory at an instant, files by their paths within it."""

    acknowledged: int
    """How many changes had been answered."""
    after: str
    """The call that came before."""
    now: dict[str, bytes]
    synced: dict[str, bytes]
    named: frozenset[str]
    """Files that a sync of their folder has made sure."""

    def develop(self, root: Path, lost: Lost, dice: random.Random) -> None:
        """Make a data directory of it."""
        (root / "segments").mkdir(mode=0o700, parents=True)
        for path in sorted(self.now):
            keep = lost is Lost.NOTHING or (lost is Lost.SOME and dice.random() < 0.5)
            if keep or path in self.named:
                (root / path).write_bytes(self.now[path] if keep else self.synced.get(path, b""))


class Camera:
    """See the module. One at a time: it stands between a process and its disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._prefix = f"{root}/"
        self._now: dict[str, bytes] = {}
        self._synced: dict[str, bytes] = {}
        self._named: set[str] = set()
        self._pictures: list[Picture] | None = None
        self._acknowledged: Callable[[], int] = lambda: 0
        self._lock = threading.RLock()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Camera:
        """From now on everything that the process does below the root is seen; what is there now is safe."""
        for path in self.root.rglob("*"):
            if path.is_file() and self._is_known(name := path.relative_to(self.root).as_posix()):
                self._now[name] = self._synced[name] = path.read_bytes()
                self._named.add(name)
        self._vfs = _Vfs(self._happened)
        for name in _CALLS:
            self._stack.enter_context(mock.patch.object(os, name, self._seen(name, getattr(os, name))))
        return self

    def __exit__(self, *_: object) -> None:
        self._vfs.unregister()
        self._stack.close()

    @contextlib.contextmanager
    def looking_away(self) -> Iterator[None]:
        """For connections that only read: what SQLite's own file system shrugs off (a lock that can't be had), an
        outer one raises."""
        self._vfs.unregister()
        try:
            yield
        finally:
            self._vfs = _Vfs(self._happened)

    @contextlib.contextmanager
    def taking(self, acknowledged: Callable[[], int]) -> Iterator[list[Picture]]:
        """A picture after every call, and one at the end."""
        pictures: list[Picture] = []
        for name in self._now:
            self._now[name] = self._read(name)
        self._acknowledged, self._pictures = acknowledged, pictures
        try:
            yield pictures
            self._take("all was done")
        finally:
            self._pictures = None

    def _seen(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def stand_in(target: Any, *args: Any, **kwargs: Any) -> Any:
            path = _path_of(target)
            result = call(target, *args, **kwargs)
            if name == "open" and not (args and args[0] & os.O_CREAT):
                return result
            if path.startswith(self._prefix) or path == str(self.root):
                self._happened(name, path)
            return result

        return stand_in

    def _happened(self, call: str, path: str) -> None:
        """After a call, on a path below the root."""
        name = path.removeprefix(self._prefix)
        with self._lock:
            if call == "fsync" and os.path.isdir(path):
                below = "" if path == str(self.root) else f"{name}/"
                self._named |= {each for each in self._now if each.rpartition("/")[0] == below.rstrip("/")}
            elif not self._is_known(name):
                return
            elif call == "unlink":
                for files in (self._now, self._synced):
                    files.pop(name, None)
                self._named.discard(name)
            elif call in ("fsync", "fdatasync", "xSync"):
                self._now[name] = self._synced[name] = self._read(name)
            elif self._pictures is not None or name not in self._now:
                self._now[name] = self._read(name)
            if name in _INDEX:
                # SQLite syncs the folder itself, out of our sight.
                self._named.add(name)
            self._take(f"{call} {name}")

    def _is_known(self, name: str) -> bool:
        return name in _INDEX or name.startswith("segments/")

    def _read(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return b""

    def _take(self, after: str) -> None:
        if self._pictures is not None:
            picture = Picture(
                self._acknowledged(), after, dict(self._now), dict(self._synced), frozenset(self._named)
            )
            self._pictures.append(picture)

    def move_to(self, root: Path) -> None:
        """The old directory is gone; what is at the new one is safe."""
        shutil.rmtree(self.root)
        self.root, self._prefix = root, f"{root}/"
        names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        self._now = {name: self._read(name) for name in names if self._is_known(name)}
        self._synced, self._named = dict(self._now), set(self._now)


_CALLS: Final = (
    "open",
    "write",
    "pwrite",
    "pwritev",
    "ftruncate",
    "fsync",
    "fdatasync",
    "unlink",
    "truncate",
)
"""What changes the disk, each with a path or the descriptor that is written to in front."""


def _path_of(target: Any) -> str:
    if isinstance(target, int):
        try:
            return os.readlink(f"/proc/self/fd/{target}")
        except OSError:
            return ""
    return os.fspath(target) if isinstance(target, str | os.PathLike) else ""


class _Vfs(apsw.VFS):
    """The default one from its making on, until it is unregistered."""

    def __init__(self, happened: Callable[[str, str], None]) -> None:
        super().__init__("postroom-camera", _BASE, makedefault=True)
        self._happened = happened

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _File(name, flags, self._happened)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self._happened("unlink", filename)


_BASE: Final = "unix"


class _File(apsw.VFSFile):
    def __init__(
        self, name: str | apsw.URIFilename | None, flags: list[int], happened: Callable[[str, str], None]
    ) -> None:
        super().__init__(_BASE, name, flags)
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        self._happened = happened

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._happened("xWrite", self._path)

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._happened("xTruncate", self._path)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._happened("xSync", self._path)
