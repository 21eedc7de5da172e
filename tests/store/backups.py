"""What stories about a backup are made of: a store with letters, its backup, and both side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from postroom.store.backup.folder import BackupFolder, SnapshotFolder
from postroom.store.backup.whole import Done, Source, back_up
from postroom.store.changes import AddAccount
from postroom.store.interface import Store
from postroom.store.restore.whole import Restored, restore
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import Account
from tests.store.site import ALICE, BOB, Site, file, find

NOW = 1_700_000_000


def letter(number: int, size: int = 200) -> bytes:
    """A letter of about `size` octets that no other is like."""
    head = f"From: x@elsewhere.test\r\nSubject: number {number}\r\nMessage-ID: <{number}@elsewhere.test>\r\n\r\n"
    return (head + f"Line {number}.\r\n" * (size // 9)).encode()


async def account(store: Store, address: str = ALICE) -> Account:
    """An account, made where it isn't there."""
    found = await store.account(address)
    if found is None:
        made = await store.commit(AddAccount(address))
        assert isinstance(made, Account)
        found = made
    return found


@dataclass(frozen=True, slots=True)
class Backed:
    """A site in `folder`, and its backup."""

    folder: Path

    @property
    def site(self) -> Site:
        """The store."""
        return Site(self.folder / "data")

    @property
    def path(self) -> Path:
        """The backup's directory."""
        return self.folder / "backup"

    @property
    def config(self) -> Path:
        """The configuration's file."""
        return self.folder / "postroom.toml"

    def make(self) -> None:
        """The site, with nothing in it."""
        migrate(self.site.root)
        self.config.write_text('hostname = "a.test"\n')

    def file(self, *numbers: int, size: int = 200, address: str = ALICE) -> None:
        """Letters into an INBOX."""

        async def story(store: Store) -> None:
            inbox = await find(store, await account(store, address))
            for number in numbers:
                await file(store, inbox, letter(number, size))

        self.site.run(story)

    def back_up(self, at: int = NOW, *, keep: int = 7, verify_all: bool = False) -> Done:
        """A snapshot."""
        return back_up(Source(self.site.root, self.config), self.path, at, keep=keep, verify_all=verify_all)

    def snapshots(self) -> list[SnapshotFolder]:
        """All that are finished."""
        return BackupFolder(self.path).finished()

    def restore(self, root: Path, snapshot: SnapshotFolder | None = None) -> Restored:
        """A data directory out of the backup, the newest snapshot where none is given."""
        folder = BackupFolder(self.path)
        with folder.held(writing=False):
            return restore(folder, snapshot or folder.finished()[-1], root, NOW)

    def sizes(self) -> dict[str, int]:
        """The backup's segments."""
        return {each.name: each.stat().st_size for each in sorted((self.path / "segments").iterdir())}


def tree(path: Path) -> dict[str, bytes]:
    """All files below a directory, with their octets."""
    return {str(each.relative_to(path)): each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}


@contextlib.contextmanager
def flipped(path: Path, offset: int) -> Iterator[None]:
    """A bit of a file is wrong until the end of the context."""
    octets = bytearray(path.read_bytes())
    octets[offset] ^= 1
    path.write_bytes(octets)
    yield
    octets[offset] ^= 1
    path.write_bytes(octets)


__all__ = ["ALICE", "BOB", "NOW", "Backed", "account", "flipped", "letter", "tree"]
