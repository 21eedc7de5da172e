"""The maildrop: an account's INBOX as it was at login, and the lock that lets one POP3 session at a time have it.

A snapshot by UID (RFC 1939 4): letters that arrive later aren't in it, and one that IMAP takes away meanwhile can
still be read for as long as the store has its octets. What is kept of a letter is what it takes to read it: about
half a kilobyte each.

The lock is a flock on a file of the account's own, so that it holds between all workers, and ends with the process
that held it. The file stays: who removed it could remove another's lock.

**Unique-ids** (RFC 1939 7) are `<email id>.<ordinal>`: the email id (RFC 8474) names the letter for ever, on every
machine and after a restore, and the ordinal counts the copies of one letter in this maildrop from 1 in UID order.
Where one of several copies goes, the others move up: they are the same octets, so a client that keeps lists of
unique-ids misses nothing and fetches nothing twice.

**Sizes** (RFC 1939 11) count what is sent: every line end as CRLF, whatever IMAP may have stored. The store has the
number since the letter came in (`message.octets.crlf_size`), so no letter is read to tell its size.
"""

from __future__ import annotations

import fcntl
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postroom.net.turns import Pace
from postroom.store.changes import Expunge, Refused
from postroom.store.interface import Store, Unreadable
from postroom.store.values import INBOX, AccountId, Letter, MailboxId, Uid

CHUNK: Final = 65536
"""Octets of a letter that are in memory at once."""
_SLICE: Final = 100
"""Rows read at once: about a millisecond's work."""


class InUse(Exception):
    """Another session has the maildrop."""


class NoMaildrop(Exception):
    """The account has no INBOX: it was removed meanwhile."""


class Lock:
    """An account's maildrop, held against all other sessions. Raises `InUse`, OSError."""

    __slots__ = ("_descriptor",)

    def __init__(self, folder: Path, account: AccountId) -> None:
        descriptor = os.open(
            folder / f"{account}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            os.close(descriptor)
            raise InUse from fault
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Reading:
    """A letter's octets, chunk by chunk, as they were stored: prefix and blob."""

    __slots__ = ("_at", "_letter", "_size", "_store")

    def __init__(self, store: Store, letter: Letter) -> None:
        self._store = store
        self._letter = letter
        self._at = 0
        self._size = len(letter.prefix) + letter.blob_size

    async def chunk(self) -> bytes:
        """The next octets, none at the end. Raises `Unreadable`."""
        if self._at >= self._size:
            return b""
        octets = await self._store.read(self._letter, self._at, CHUNK)
        if not octets:
            raise Unreadable("a letter ends too early")
        self._at += len(octets)
        return octets


class Maildrop:
    """See the module. Messages go by their numbers, from 1 (RFC 1939 4)."""

    __slots__ = ("_by", "_letters", "_lock", "_mailbox", "_marked", "_ordinals", "_store")

    def __init__(self, store: Store, mailbox: MailboxId, lock: Lock, letters: list[Letter], by: str = "") -> None:
        """`by` is whose session it is, for the letters' stories."""
        self._by = by
        self._store = store
        self._mailbox = mailbox
        self._lock = lock
        self._letters = letters
        self._marked: set[int] = set()
        copies: defaultdict[str, int] = defaultdict(int)
        self._ordinals: list[int] = []
        for each in letters:
            copies[each.email_id] += 1
            self._ordinals.append(copies[each.email_id])

    def __len__(self) -> int:
        """How many messages there are that aren't marked as deleted."""
        return len(self._letters) - len(self._marked)

    def __contains__(self, number: int) -> bool:
        """Whether there is a message of this number, marked or not."""
        return 0 < number <= len(self._letters)

    def numbers(self) -> Iterator[int]:
        """The messages that aren't marked as deleted, ascending."""
        marked = self._marked
        return (number for number in range(1, len(self._letters) + 1) if number not in marked)

    def is_marked(self, number: int) -> bool:
        """Whether a message is marked as deleted."""
        return number in self._marked

    def mark(self, number: int) -> None:
        """Mark a message as deleted; nothing happens to it before `update`."""
        self._marked.add(number)

    def unmark(self) -> None:
        """Take all marks away."""
        self._marked.clear()

    def unique_id(self, number: int) -> str:
        """A message's unique-id: see the module."""
        return f"{self._letters[number - 1].email_id}.{self._ordinals[number - 1]}"

    def reading(self, number: int) -> Reading:
        """A message's octets, from the start."""
        return Reading(self._store, self._letters[number - 1])

    def size(self, number: int) -> int:
        """Octets of a message as it is sent."""
        letter = self._letters[number - 1]
        return len(letter.prefix) + letter.crlf_size

    async def sizes(self) -> list[tuple[int, int]]:
        """Numbers and octets of all messages that aren't marked as deleted."""
        pace = Pace(None)
        found: list[tuple[int, int]] = []
        for number in self.numbers():
            found.append((number, self.size(number)))
            await pace.breathe()
        return found

    async def update(self) -> int:
        """The UPDATE state (RFC 1939 6): delete what is marked, all of it in one commit or nothing. How many went.

        Raises `StoreFault`, `NoMaildrop`.
        """
        if not self._marked:
            return 0
        uids = tuple(self._letters[number - 1].uid for number in sorted(self._marked))
        answer = await self._store.commit(Expunge(self._mailbox, uids, deleted_only=False, by=self._by))
        if isinstance(answer, Refused):
            raise NoMaildrop
        return len(uids)

    def release(self) -> None:
        """Let other sessions have the maildrop; a second call does nothing."""
        self._lock.release()


async def open_maildrop(store: Store, folder: Path, account: AccountId, by: str = "") -> Maildrop:
    """Lock an account's maildrop and take its snapshot, for the session that `by` names in the letters' stories.

    Raises `InUse`, `NoMaildrop`, `StoreFault` and OSError; then nothing is locked.
    """
    lock = Lock(folder, account)
    try:
        mailbox = await store.mailbox(account, INBOX)
        if mailbox is None:
            raise NoMaildrop
        return Maildrop(store, mailbox.id, lock, await _snapshot(store, mailbox.id), by)
    except BaseException:
        lock.release()
        raise


async def _snapshot(store: Store, mailbox: MailboxId) -> list[Letter]:
    """All letters of a mailbox, ascending, without the answers that only IMAP gives."""
    letters: list[Letter] = []
    last = Uid(0)
    pace = Pace(None)
    while entries := await store.entries(mailbox, last, _SLICE):
        last = entries[-1].uid
        for letter in await store.letters(mailbox, [entry.uid for entry in entries], answers=False):
            letters.append(letter._replace(thread_id="", envelope=b"", bodystructure=b"", parts=b""))
        await pace.breathe()
    return letters
