"""Letters out of a backup into a store that goes on: an account's, a mailbox's, or one.

A letter comes back as a new one, with its octets, flags (but \\Deleted), keywords and dates. It isn't brought where
it still is: in the mailbox that it would come to (by its id, or octet by octet, as after an earlier run), or in
another one, but Trash and Junk, that somebody has moved it to since.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from postroom.message.structure import parse
from postroom.net.limits import BACKUP_CHUNK_OCTETS, BLOB_IN_MEMORY, LETTERS_PER_READ, RESTORE_LETTERS
from postroom.store import reads
from postroom.store.backup.folder import BackupFailed, BackupFolder, SnapshotFolder
from postroom.store.changes import CreateMailbox, Filed, Refused, Subscribe, Target
from postroom.store.graves import SoughtById
from postroom.store.index import fetch_all, migrate, newest_schema, open_index
from postroom.store.interface import Blob, Delivery, Store, Unreadable
from postroom.store.names import canonical
from postroom.store.reading import SegmentReader
from postroom.store.records import FRAME_OCTETS, BadFrame, checksum, read_frame
from postroom.store.upgrade.snapshots import INDEX, copy_file, open_copy
from postroom.store.values import (
    Account,
    AccountId,
    Entry,
    Flag,
    Letter,
    Mailbox,
    MessageId,
    Place,
    SpecialUse,
    Uid,
)

__all__ = ["Brought", "Wanted", "bring_letters"]

_DISCARDED: Final = frozenset((SpecialUse.TRASH, SpecialUse.JUNK))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is brought back: all of an account's mailboxes, one, or one letter wherever it was; `into` another
    mailbox than it was in. With `again` also what is still there."""

    address: str
    mailbox: str | None = None
    email_id: str | None = None
    into: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True)
class Brought:
    """What came of the letters of one mailbox: where they are now (or should be), how many came, how many were
    there already, how many are damaged in the backup, and how many were refused and why."""

    mailbox: str
    letters: int = 0
    there: int = 0
    damaged: int = 0
    refused: int = 0
    reason: str = ""


async def bring_letters(
    store: Store, folder: BackupFolder, snapshot: SnapshotFolder, wanted: Wanted, by: str, scratch: Path
) -> AsyncIterator[Brought]:
    """Bring them back; an answer per mailbox. `by` is who asks, for the letters' stories; `scratch` a folder where
    a snapshot of an older schema may be worked on. Raises `BackupFailed` where there is no such account, mailbox or
    letter in the snapshot, or no such account here; `NewerSchema`, `StoreFault`, OSError, apsw.Error."""
    account = await store.account(wanted.address)
    if account is None:
        raise BackupFailed(f"{wanted.address}: no such account here; add it first")
    with _opened(snapshot, scratch) as index:
        was = reads.account(index, wanted.address)
        if was is None:
            raise BackupFailed(f"{wanted.address}: no such account in the snapshot {snapshot.name}")
        bringing = _Bringing(
            store,
            index,
            SegmentReader(folder.segments),
            account,
            was.id,
            wanted,
            by,
            f"out of the backup {snapshot.name}",
        )
        try:
            async for each in bringing.run():
                yield each
        finally:
            bringing.reader.close()


@contextlib.contextmanager
def _opened(snapshot: SnapshotFolder, scratch: Path) -> Iterator[apsw.Connection]:
    """A snapshot's index in this program's schema, to be read."""
    index = snapshot.folder / INDEX
    if snapshot.manifest.schema == newest_schema():
        with contextlib.closing(open_copy(index)) as connection:
            yield connection
        return
    with tempfile.TemporaryDirectory(dir=scratch, prefix="restore-") as name:
        copy = Path(name) / INDEX
        copy_file(index, copy)
        with contextlib.closing(open_index(copy)) as connection:
            migrate(connection)
            yield connection


@dataclass(frozen=True, slots=True)
class _Bringing:
    store: Store
    index: apsw.Connection
    reader: SegmentReader
    account: Account
    was: AccountId
    """The account in the snapshot."""
    wanted: Wanted
    by: str
    note: str

    async def run(self) -> AsyncIterator[Brought]:
        found = False
        for mailbox, uids in self._chosen():
            found = True
            target = await self._target(self.wanted.into or mailbox.name)
            if isinstance(target, str):
                yield Brought(self.wanted.into or mailbox.name, refused=len(uids), reason=target)
                continue
            here = {} if self.wanted.again else await self._here(mailbox, uids, target)
            brought = Counter[str]()
            for first in range(0, len(uids), LETTERS_PER_READ):
                some = uids[first : first + LETTERS_PER_READ]
                brought += await self._bring(mailbox, some, target, here)
            reasons = set(brought) - {"letters", "there", "damaged"}
            yield Brought(
                target.name,
                brought["letters"],
                brought["there"],
                brought["damaged"],
                sum([brought[reason] for reason in reasons]),
                ", ".join(sorted(reasons)),
            )
        if not found:
            what = self.wanted.email_id or self.wanted.mailbox or "a mailbox"
            raise BackupFailed(f"{self.wanted.address}: {what} is not in the snapshot")

    def _chosen(self) -> Iterator[tuple[Mailbox, list[Uid]]]:
        """Mailboxes of the snapshot and the UIDs that are meant."""
        for mailbox in reads.mailboxes(self.index, self.was):
            if self.wanted.mailbox is not None and canonical(self.wanted.mailbox) != mailbox.name:
                continue
            sql = "SELECT uid FROM entries WHERE mailbox = ? ORDER BY uid"
            bound: tuple[int | str, ...] = (mailbox.id,)
            if self.wanted.email_id is not None:
                sql = """SELECT e.uid FROM messages m JOIN entries e ON e.message = m.id
                WHERE e.mailbox = ? AND m.email_id = ? ORDER BY e.uid"""
                bound = (mailbox.id, self.wanted.email_id)
            uids = [uid for (uid,) in fetch_all(self.index, sql, bound)]
            if uids or self.wanted.email_id is None:
                yield mailbox, uids

    async def _target(self, name: str) -> Mailbox | str:
        """The mailbox, made anew where it is gone; or why it can't be."""
        found = await self.store.mailbox(self.account.id, name)
        if found is not None:
            return found
        answer = await self.store.commit(CreateMailbox(self.account.id, name))
        if isinstance(answer, Refused):
            return answer.reason.value
        assert isinstance(answer, Mailbox)
        await self.store.commit(Subscribe(self.account.id, answer.name))
        return answer

    # --- what is there already

    async def _here(self, mailbox: Mailbox, uids: Sequence[Uid], target: Mailbox) -> dict[int, list[Uid]]:
        """Letters of the target that look like one that is meant, by what they look like."""
        looks = {_looks(letter) for some in _slices(uids) for letter in self._letters(mailbox, some)}
        here: dict[int, list[Uid]] = {}
        after = Uid(0)
        while entries := await self.store.entries(target.id, after, LETTERS_PER_READ):
            after = entries[-1].uid
            for letter in await self.store.letters(target.id, [each.uid for each in entries], answers=False):
                if _looks(letter) in looks:
                    here.setdefault(_looks(letter), []).append(letter.uid)
        return here

    async def _is_here(self, letter: Letter, target: Mailbox, here: dict[int, list[Uid]]) -> bool:
        places, _ = await self.store.known(SoughtById(letter.email_id), MessageId(0), 1)
        lying = [each for known in places for each in known.entries if each.gone is None]
        mine = [each for each in lying if each.address == self.account.address]
        if any(each.mailbox == target.id for each in mine):
            return True
        if mine and not self.wanted.into and await self._was_moved(letter, [each.name for each in mine]):
            return True
        for uid in here.get(_looks(letter), ()):
            for other in await self.store.letters(target.id, [uid], answers=False):
                if await self._is_same(letter, other):
                    return True
        return False

    async def _was_moved(self, letter: Letter, names: Sequence[str]) -> bool:
        """Whether it lies in a mailbox where it wasn't when the snapshot was taken, and that isn't for what is
        thrown away."""
        rows = fetch_all(
            self.index,
            """SELECT b.name FROM entries e JOIN mailboxes b ON b.id = e.mailbox
            WHERE e.message = ? AND b.owner = ?""",
            (letter.message, self.was),
        )
        before = {name for (name,) in rows}
        for name in names:
            mailbox = await self.store.mailbox(self.account.id, name)
            if name not in before and mailbox is not None and mailbox.special_use not in _DISCARDED:
                return True
        return False

    async def _is_same(self, letter: Letter, other: Letter) -> bool:
        """Whether two letters that look alike have the same octets, prefixes aside."""
        with contextlib.suppress(Unreadable):
            start = 0
            for chunk in self._octets(letter):
                if await self.store.read(other, len(other.prefix) + start, len(chunk)) != chunk:
                    return False
                start += len(chunk)
            return True
        return False

    # --- bringing

    def _letters(self, mailbox: Mailbox, uids: Sequence[Uid]) -> list[Letter]:
        return reads.letters(self.index, mailbox.id, uids, answers=False)

    async def _bring(
        self, mailbox: Mailbox, uids: Sequence[Uid], target: Mailbox, here: dict[int, list[Uid]]
    ) -> Counter[str]:
        """How many came, were there, are damaged, or were refused for each reason."""
        count = Counter[str]()
        entries = {each.uid: each for each in reads.entries(self.index, mailbox.id, Uid(uids[0] - 1), len(uids))}
        waiting: list[tuple[Letter, Entry]] = []
        for letter in self._letters(mailbox, uids):
            entry = entries.get(letter.uid) or reads.entries(self.index, mailbox.id, Uid(letter.uid - 1), 1)[0]
            if not self.wanted.again and await self._is_here(letter, target, here):
                count["there"] += 1
                continue
            if letter.blob_size > BLOB_IN_MEMORY:
                # Its octets go to the disk before others are asked for: one at a time, and in its order.
                count += await self._file(waiting, target)
                count += await self._file([(letter, entry)], target)
                waiting = []
            else:
                waiting.append((letter, entry))
            if len(waiting) == RESTORE_LETTERS:
                count += await self._file(waiting, target)
                waiting = []
        return count + await self._file(waiting, target)

    async def _file(self, some: Sequence[tuple[Letter, Entry]], target: Mailbox) -> Counter[str]:
        return Counter(await asyncio.gather(*[self._deliver(letter, entry, target) for letter, entry in some]))

    async def _deliver(self, letter: Letter, entry: Entry, target: Mailbox) -> str:
        blob = self.store.blob()
        try:
            try:
                self._fill(blob, letter)
            except Unreadable:
                return "damaged"
            contents = blob.contents()
            facts = parse(contents)
            if not isinstance(contents, bytes):
                contents.close()
            # What comes back is not to go with the next EXPUNGE.
            flags = Flag(entry.flags) & ~Flag.DELETED
            to = Target(target.id, letter.prefix, flags, tuple(entry.keywords.split()))
            (answer,) = await self.store.deliver(
                Delivery(blob, facts, (to,), letter.internal_date, letter.zone, self.by, self.note)
            )
        finally:
            blob.discard()
        return "letters" if isinstance(answer, Filed) else answer.reason.value

    def _fill(self, blob: Blob, letter: Letter) -> None:
        for chunk in self._octets(letter):
            blob.write(chunk)

    def _octets(self, letter: Letter) -> Iterator[bytes]:
        """A letter's octets in the backup. Raises `Unreadable`, at the end, where they are not those that came
        in."""
        place = Place(letter.segment, letter.offset, letter.blob_size)
        if letter.blob_size <= BLOB_IN_MEMORY:
            yield self.reader.whole(place, letter.email_id)
            return
        crc = 0
        for start in range(0, letter.blob_size, BACKUP_CHUNK_OCTETS):
            chunk = self.reader.part(place, start, BACKUP_CHUNK_OCTETS)
            crc = checksum(chunk, crc)
            yield chunk
        before = Place(letter.segment, letter.offset - FRAME_OCTETS, FRAME_OCTETS)
        try:
            frame = read_frame(self.reader.part(before, 0, FRAME_OCTETS))
        except BadFrame as bad:
            raise Unreadable(f"letter {letter.email_id}: {bad}") from bad
        if frame.payload_checksum != crc:
            raise Unreadable(f"letter {letter.email_id}: not the letter that was filed")


def _slices(uids: Sequence[Uid]) -> Iterator[Sequence[Uid]]:
    for first in range(0, len(uids), LETTERS_PER_READ):
        yield uids[first : first + LETTERS_PER_READ]


def _looks(letter: Letter) -> int:
    """What is the same of letters with the same octets, as a number."""
    return hash((letter.blob_size, letter.header_size, letter.crlf_size, letter.sent))
