"""A backup of a data directory while its server runs: `postroom backup` (docs/backup.md).

Compaction takes no file away meanwhile. The index comes first, as it is at one instant; then secrets and
configuration; then segments, up to the lengths which that index knows: so each of its rows finds its letter. All of
it is synced and read back, and at the very end the manifest makes a snapshot of it: killed before, or out of room,
there is none, and the earlier ones are as they were.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import apsw

from postroom.net.limits import BACKUP_FINDINGS
from postroom.store import reads
from postroom.store.backup.check import check_all, check_index, check_records, read_back
from postroom.store.backup.files import TreeCopier
from postroom.store.backup.folder import BackupFailed, BackupFolder, SnapshotFolder
from postroom.store.backup.manifest import TREE, Document, Manifest, Outside, SegmentCopy, TreeEntry, read_tree
from postroom.store.backup.manners import Progress
from postroom.store.backup.segments import copy_segment
from postroom.store.index import fetch_all, open_index, require_current, schema_version
from postroom.store.segments import segment_name, sync_folder
from postroom.store.upgrade.snapshots import INDEX, SECRETS, copy_database, copy_file, open_copy, sha256_of

__all__ = ["Done", "Source", "back_up"]

_LOCK: Final = "run/backup.lock"


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up. `data` is the data directory, `config` the configuration's file; `outside` are files that
    it names: the setting, the name that it gives, and where that is."""

    data: Path
    config: Path
    outside: tuple[tuple[str, str, Path], ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What a run did. `copied` are octets of segments, `damaged` and `missed` lines for people: letters that are
    damaged in the store, and files that could not be read. `removed` snapshots went."""

    snapshot: SnapshotFolder
    copied: int
    damaged: tuple[str, ...]
    missed: tuple[str, ...]
    removed: int
    verified: tuple[str, ...] | None = None
    """What is wrong with anything in the backup, where all of it was read."""


def _untold(what: str, done: int, total: int) -> None:
    """Nobody watches."""


def back_up(
    source: Source, path: Path, now: float, *, keep: int, verify_all: bool = False, progress: Progress = _untold
) -> Done:
    """Make a snapshot in the directory `path`, keep the newest `keep` ones, and with `verify_all` read everything
    that is there. Raises `BackupFailed`, `NewerSchema`, `OlderSchema`, OSError, apsw.Error."""
    data, own = source.data.resolve(), path.resolve()
    if own == data or data in own.parents:
        raise BackupFailed(f"{path} lies in the data directory: a backup belongs on another disk")
    with contextlib.closing(open_index(source.data / INDEX, read_only=True)) as connection:
        require_current(connection)
        site = reads.index_id(connection)
    folder = BackupFolder.made(path, site)
    with folder.held(writing=True), _compaction_held(source.data):
        folder.clean()
        snapshot = folder.begin(now)
        try:
            done = _Backup(source, folder, snapshot, now, verify_all, progress).run()
        except BaseException:
            # What is left of it is no snapshot; where it can't be taken away now, the next run does.
            with contextlib.suppress(OSError):
                folder.clean()
            raise
        removed = folder.prune(keep)
        verified = tuple(_verify_all(folder, progress)) if verify_all else None
    return Done(done.snapshot, done.copied, done.damaged, done.missed, removed, verified)


@contextlib.contextmanager
def _compaction_held(data: Path) -> Iterator[None]:
    """No segment's file goes until the end of the context; one that is being taken away is waited for."""
    (data / "run").mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(data / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _verify_all(folder: BackupFolder, progress: Progress) -> Iterator[str]:
    finished = folder.finished()
    total = sum([each.length for each in folder.known_segments().values()])
    yield from check_all(folder, finished, _Told("verifying", total, progress))


class _Told:
    """Octets that are done, told to whoever watches."""

    def __init__(self, what: str, total: int, progress: Progress) -> None:
        self._what = what
        self._done = 0
        self._total = total
        self._progress = progress

    def __call__(self, octets: int) -> None:
        self._done += octets
        self._progress(self._what, self._done, max(self._total, self._done))


class _Backup:
    """One run, into the folder `snapshot`. With `all_records` those that were copied before are looked at too."""

    def __init__(
        self,
        source: Source,
        folder: BackupFolder,
        snapshot: Path,
        now: float,
        all_records: bool,
        progress: Progress,
    ) -> None:
        self._all_records = all_records
        self._source = source
        self._folder = folder
        self._snapshot = snapshot
        self._now = now
        self._progress = progress
        self._finished = folder.finished()
        self._known = {number: copy for number, copy in folder.known_segments().items() if self._is_there(copy)}
        self._documents: list[Document] = []

    def run(self) -> Done:
        """Copy, read back, and write the manifest. Raises as `back_up` does."""
        index = self._snapshot / INDEX
        copy_database(self._source.data / INDEX, index, lambda done, total: self._progress("index", done, total))
        self._enter(INDEX, sha256_of(index))
        outside = self._copy_documents()
        with contextlib.closing(open_copy(index)) as connection:
            require_current(connection)
            if reads.index_id(connection) != self._folder.site:
                raise BackupFailed("the index was made anew while its backup began: try again")
            wanted = _needed(connection)
            check_index(index, dict(wanted))
            segments = self._copy_segments(wanted)
            trees = self._copy_trees(connection)
            damaged = self._read_back(connection, segments)
            ((accounts,),) = fetch_all(connection, "SELECT count(*) FROM accounts")
            ((letters,),) = fetch_all(connection, "SELECT count(*) FROM messages")
            schema = schema_version(connection)
            roots = _roots_of(connection)
        _sync_all(self._snapshot)
        manifest = Manifest(
            number=1 + max([each.manifest.number for each in self._finished], default=0),
            time=int(self._now),
            site=self._folder.site,
            schema=schema,
            config=self._source.config.name,
            accounts=accounts,
            letters=letters,
            damaged=len(damaged),
            segments=tuple(segments),
            documents=tuple(self._documents),
            outside=outside,
            roots=roots,
        )
        manifest.write(self._snapshot)
        copied = sum([copy.length - self._start(copy) for copy in segments])
        return Done(SnapshotFolder(self._snapshot), copied, tuple(damaged), tuple(trees.missed), 0)

    def _enter(self, path: str, sha256: str) -> None:
        self._documents.append(Document(path, (self._snapshot / path).stat().st_size, sha256))

    # --- documents

    def _copy_documents(self) -> tuple[Outside, ...]:
        """Secrets, configuration, and the files that it names."""
        data, snapshot = self._source.data, self._snapshot
        if (data / SECRETS).exists():
            copy_database(data / SECRETS, snapshot / SECRETS)
            self._enter(SECRETS, sha256_of(snapshot / SECRETS))
        self._copy_document(self._source.config, self._source.config.name)
        if (data / "tls").is_dir():
            (snapshot / "tls").mkdir(mode=0o700)
            for path in sorted((data / "tls").iterdir()):
                if path.is_file():
                    self._copy_document(path, f"tls/{path.name}")
        outside = []
        for number, (setting, place, path) in enumerate(self._source.outside):
            (snapshot / "outside").mkdir(mode=0o700, exist_ok=True)
            document = f"outside/{number}"
            self._copy_document(path, document)
            outside.append(Outside(setting, place, document))
        return tuple(outside)

    def _copy_document(self, path: Path, name: str) -> None:
        self._enter(name, copy_file(path, self._snapshot / name))

    # --- segments

    def _copy_segments(self, wanted: Sequence[tuple[int, int]]) -> list[SegmentCopy]:
        known = self._known
        new = [length - known[number].length if number in known else length for number, length in wanted]
        told = _Told("letters", sum([max(0, each) for each in new]), self._progress)
        source, target = self._source.data / "segments", self._folder.segments
        copies = [
            SegmentCopy(number, length, copy_segment(source, target, number, length, known.get(number), told))
            if not self._is_whole(number, length)
            else known[number]
            for number, length in wanted
        ]
        sync_folder(target)
        return copies

    def _is_there(self, copy: SegmentCopy) -> bool:
        """Whether the backup has it; what was cut or taken away is copied anew."""
        with contextlib.suppress(FileNotFoundError):
            return (self._folder.segments / segment_name(copy.number)).stat().st_size >= copy.length
        return False

    def _is_whole(self, number: int, length: int) -> bool:
        """Whether the copy has all of it already."""
        return number in self._known and self._known[number].length == length

    def _start(self, copy: SegmentCopy) -> int:
        """Up to where the copy was there before this run."""
        return min(copy.length, self._known[copy.number].length) if copy.number in self._known else 0

    def _read_back(self, connection: apsw.Connection, segments: Sequence[SegmentCopy]) -> list[str]:
        """Verify what was copied in this run; gives what is damaged in the store itself."""
        starts = {copy.number: 0 if self._all_records else self._start(copy) for copy in segments}
        # Each octet is read for its segment's checksum, and once more for its record's.
        octets = sum([2 * copy.length - starts[copy.number] - self._start(copy) for copy in segments])
        told = _Told("verifying", octets, self._progress)
        damaged: list[str] = []
        for copy in segments:
            if self._start(copy) < copy.length:
                read_back(self._folder.segments, self._known.get(copy.number), copy, told)
            start = starts[copy.number]
            if start < copy.length:
                found = check_records(connection, self._folder.segments, copy.number, start, copy.length, told)
                damaged += islice(found, BACKUP_FINDINGS)
        return damaged

    # --- accounts' files

    def _copy_trees(self, connection: apsw.Connection) -> TreeCopier:
        before: dict[tuple[str, str], TreeEntry] = {}
        if self._finished:
            last = read_tree(self._finished[-1].folder)
            before = {(each.root, each.path): each for each in last if each.kind == "file"}
        copier = TreeCopier(self._folder, before, _Told("files", 0, self._progress))
        roots = [("", self._source.data / "files")]
        roots += [(account, Path(path)) for account, path in _roots_of(connection)]
        copier.copy(roots, self._snapshot)
        self._enter(TREE, sha256_of(self._snapshot / TREE))
        return copier


def _needed(connection: apsw.Connection) -> list[tuple[int, int]]:
    """Number and length of the segments that have letters in them."""
    rows = fetch_all(
        connection,
        """SELECT number, length FROM segments
        WHERE EXISTS (SELECT 1 FROM messages x WHERE x.segment = segments.number) ORDER BY number""",
    )
    return [(number, length) for number, length in rows]


def _roots_of(connection: apsw.Connection) -> tuple[tuple[str, str], ...]:
    rows = fetch_all(connection, "SELECT address, files FROM accounts WHERE files IS NOT NULL ORDER BY address")
    return tuple([(address, path) for address, path in rows])


def _sync_all(snapshot: Path) -> None:
    """The names of all files of a snapshot's folder."""
    for folder in (snapshot / "tls", snapshot / "outside", snapshot):
        if folder.is_dir():
            sync_folder(folder)
