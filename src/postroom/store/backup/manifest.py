"""What a snapshot of a backup consists of: manifest.json and files.jsonl, as values.

A folder without a manifest is no snapshot: it is written last, to another name first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from postroom.store.upgrade.snapshots import write_document

__all__ = ["FORMAT", "BadManifest", "Document", "Manifest", "Outside", "SegmentCopy", "TreeEntry", "read_tree"]

FORMAT: Final = 1
"""Of backup.json and manifest.json; a reader refuses others."""
FILE: Final = "manifest.json"
TREE: Final = "files.jsonl"


class BadManifest(Exception):
    """A manifest that can't be read; the text is one line."""


@dataclass(frozen=True, slots=True)
class SegmentCopy:
    """How much of a segment a snapshot has: `checksum` is the CRC-32 of the first `length` octets of its copy."""

    number: int
    length: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Document:
    """A file of the snapshot's own folder, by its path in there."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Outside:
    """A file that the configuration names: `document` is its copy's path, `place` is as the setting has it."""

    setting: str
    place: str
    document: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A snapshot. `number` counts a directory's snapshots, `time` is in seconds since 1970 UTC, `site` is the name
    of the index (its own), `schema` its schema, `config` the name of the configuration's file."""

    number: int
    time: int
    site: str
    schema: int
    config: str
    accounts: int
    letters: int
    damaged: int
    """Letters and records that were damaged in the store itself."""
    segments: tuple[SegmentCopy, ...]
    documents: tuple[Document, ...]
    outside: tuple[Outside, ...]
    roots: tuple[tuple[str, str], ...]
    """Accounts that have a directory of their own for their files, and which."""
    format: int = FORMAT

    @property
    def octets(self) -> int:
        """Of all segments as far as the snapshot has them."""
        return sum([each.length for each in self.segments])

    def write(self, folder: Path) -> None:
        """From now on the folder is a snapshot. Raises OSError."""
        facts = asdict(self)
        facts["segments"] = [[each.number, each.length, each.checksum] for each in self.segments]
        write_document(folder / FILE, json.dumps(facts, indent=1).encode("ascii") + b"\n")

    @staticmethod
    def read(folder: Path) -> Manifest:
        """A snapshot's. Raises FileNotFoundError and other OSErrors, `BadManifest`."""
        octets = (folder / FILE).read_bytes()
        try:
            facts = json.loads(octets)
            if facts["format"] != FORMAT:
                raise BadManifest(f"{folder.name}: a snapshot of format {facts['format']}: use a newer Postroom")
            return Manifest(
                segments=tuple([SegmentCopy(*map(int, each)) for each in facts["segments"]]),
                documents=tuple([Document(**each) for each in facts["documents"]]),
                outside=tuple([Outside(**each) for each in facts["outside"]]),
                roots=tuple([(str(account), str(path)) for account, path in facts["roots"]]),
                number=int(facts["number"]),
                time=int(facts["time"]),
                site=str(facts["site"]),
                schema=int(facts["schema"]),
                config=str(facts["config"]),
                accounts=int(facts["accounts"]),
                letters=int(facts["letters"]),
                damaged=int(facts["damaged"]),
            )
        except (ValueError, KeyError, TypeError) as fault:
            raise BadManifest(f"{folder.name}: its manifest is damaged ({fault})") from fault


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file, folder or symbolic link of a tree of accounts' files. `root` is the account, or empty for data/files;
    `path` is below that; names that are no text have their octets as lone surrogates."""

    root: str
    path: str
    kind: str
    """file, folder or link."""
    mode: int = 0
    mtime: int = 0
    """Nanoseconds since 1970 UTC."""
    size: int = 0
    sha256: str = ""
    """Of a file: its name in the backup's files/."""
    target: str = ""
    """Of a link."""


_TREE_FIELDS: Final = tuple([field.name for field in fields(TreeEntry)])


def tree_lines(entries: Iterable[TreeEntry]) -> Iterator[bytes]:
    """Lines of files.jsonl: an array each, in the order of `TreeEntry`'s fields."""
    for each in entries:
        yield (
            json.dumps([getattr(each, name) for name in _TREE_FIELDS], separators=(",", ":")).encode("ascii")
            + b"\n"
        )


def read_tree(folder: Path) -> Iterator[TreeEntry]:
    """What a snapshot's files.jsonl says, line by line. Raises OSError, `BadManifest`."""
    try:
        with (folder / TREE).open("rb") as file:
            for line in file:
                root, path, kind, mode, mtime, size, sha256, target = json.loads(line)
                yield TreeEntry(root, path, kind, mode, mtime, size, sha256, target)
    except FileNotFoundError:
        return
    except (ValueError, TypeError) as fault:
        raise BadManifest(f"{folder.name}: its list of files is damaged ({fault})") from fault
