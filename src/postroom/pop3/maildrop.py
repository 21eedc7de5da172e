"""The maildrop: an account's INBOX as it was at login, and the lock that lets one POP3 session at a time have it.

A snapshot by UID (RFC 1939 4): letters that arrive later aren't in it, and one that IMAP takes away meanwhile can
still be read for as long as the store keeps it, an hour at the least; after that it is refused. No other letter can
come in its place, for a UID is never given twice. What is kept of a letter is its UID, its size and its email id:
about fifty octets each, so that a maildrop of 100,000 letters takes five megabytes.

The lock is a flock on a file of the account's own, so that it holds between all workers, and ends with the process
that held it. The file stays: who removed it could remove another's lock.

**Unique-ids** (RFC 1939 7) are `<email id>.<ordinal>`: the email id (RFC 8474) names the letter for ever, on every
machine and after a restore, and the ordinal counts the copies of one letter in this maildrop from 1 in UID order.
Where one of several copies goes, the others move up: they are the same octets, so a client that keeps lists of
unique-ids misses nothing and fetches nothing twice.

**Sizes** (RFC 1939 11) count what is sent: every line end as CRLF, whatever IMAP may have stored, and binary parts
as base64 (`carriage`). The store has the former number since the letter came in (`message.octets.crlf_size`); only
letters with a binary part are read to tell their size, once in a worker's life (`sizes`).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from array import array
from collections import defaultdict
from collections.abc import Iterator
from itertools import compress, repeat
from pathlib import Path
from typing import Final

from postroom.net.limits import POP3_LOCK_SECONDS, POP3_LOCK_TRY_SECONDS
from postroom.net.turns import Pace
from postroom.pop3.reading import CHUNK as CHUNK
from postroom.pop3.reading import AsStored, Edited, Reading, plan
from postroom.pop3.sizes import Sizes
from postroom.store.changes import Expunge, Refused
from postroom.store.interface import Store
from postroom.store.values import INBOX, AccountId, Letter, MailboxId, Uid

BLOCK: Final = 500
"""Letters whose rows are read, and whose lines are written, at once: well under a millisecond's work."""
_AHEAD: Final = 50
"""Letters whose places are read at once where a client takes one after the other."""


class InUse(Exception):
    """Another session has the maildrop."""


class NoMaildrop(Exception):
    """The account has no INBOX: it was removed meanwhile."""


class Gone(Exception):
    """A letter was taken away by somebody else, and isn't kept any more."""


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


class Snapshot:
    """The letters of a mailbox at one time, by columns; they go by their indexes, from 0."""

    __slots__ = ("_cut", "_ids", "octets", "ordinals", "sizes", "uids")

    def __init__(self) -> None:
        self.uids = array("I")
        self.sizes = array("Q")
        """Octets as they are sent; those of letters with binary parts when they have been measured."""
        self.octets = 0
        """All of them together."""
        self.ordinals: dict[int, int] = {}
        """Of letters that are the second copy or a later one."""
        self._ids: list[str] = []
        """Email ids of BLOCK letters each, with a LF between them."""
        self._cut: tuple[int, list[str]] = (-1, [])
        """The block that was asked for last."""

    def __len__(self) -> int:
        return len(self.uids)

    def ids(self, block: int) -> list[str]:
        """The email ids of the letters from index `block * BLOCK` on."""
        if self._cut[0] != block:
            self._cut = (block, self._ids[block].split("\n"))
        return self._cut[1]

    def unique_id(self, index: int) -> str:
        """See the module."""
        block, at = divmod(index, BLOCK)
        return f"{self.ids(block)[at]}.{self.ordinals.get(index, 1)}"

    @staticmethod
    async def of(store: Store, mailbox: MailboxId) -> Snapshot:
        """That of a mailbox, now. Raises `StoreFault`."""
        taken, pace = Snapshot(), Pace(None)
        messages, ascending = array("Q"), True
        while True:
            drops = await store.drops(mailbox, Uid(taken.uids[-1] if taken.uids else 0), BLOCK)
            if not drops.uids:
                break
            ascending = ascending and _ascend(drops.messages, messages[-1] if messages else 0)
            taken.uids += drops.uids
            taken.sizes += drops.sizes
            taken.octets += sum(drops.sizes)
            taken._ids.append(drops.email_ids)
            messages += drops.messages
            if len(drops.uids) < BLOCK:
                break
            await pace.breathe()
        if not ascending:
            await taken._count_copies(messages, pace)
        return taken

    async def _count_copies(self, messages: array[int], pace: Pace) -> None:
        copies: defaultdict[int, int] = defaultdict(int)
        for index, message in enumerate(messages):
            copies[message] = ordinal = copies[message] + 1
            if ordinal > 1:
                self.ordinals[index] = ordinal
            if index % BLOCK == 0:
                await pace.breathe()


def _ascend(numbers: array[int], after: int) -> bool:
    """Whether each is greater than the one before it: then no letter is there twice. As letters come in, so it is;
    only copies that IMAP makes stand in another order."""
    return numbers[0] > after and all(map(int.__lt__, numbers, numbers[1:]))


class Maildrop:
    """See the module. Messages go by their numbers, from 1 (RFC 1939 4)."""

    __slots__ = (
        "_by",
        "_last",
        "_left",
        "_letters",
        "_lock",
        "_mailbox",
        "_measured",
        "_octets",
        "_rows",
        "_step",
        "_store",
    )

    def __init__(self, store: Store, mailbox: MailboxId, lock: Lock, letters: Snapshot, by: str = "") -> None:
        """`by` is whose session it is, for the letters' stories."""
        self._by = by
        self._store = store
        self._mailbox = mailbox
        self._lock = lock
        self._letters = letters
        self._left = bytearray(repeat(1, len(letters)))
        """A 1 for each letter that isn't marked as deleted."""
        self._octets = letters.octets
        """Of those that aren't."""
        self._measured: frozenset[int] | None = None
        """Indexes of letters with binary parts, once they are known."""
        self._rows: dict[int, Letter] = {}
        """Of a few letters, by index: that which was read last, and some behind it."""
        self._last = -1
        self._step = 1
        """Index of the letter that was read last, and how far it was from the one before it."""

    def __len__(self) -> int:
        """How many messages there are that aren't marked as deleted."""
        return self._left.count(1)

    def __contains__(self, number: int) -> bool:
        """Whether there is a message of this number, marked or not."""
        return 0 < number <= len(self._letters)

    def is_marked(self, number: int) -> bool:
        """Whether a message is marked as deleted."""
        return not self._left[number - 1]

    def mark(self, number: int) -> None:
        """Mark a message as deleted; nothing happens to it before `update`."""
        if self._left[number - 1]:
            self._left[number - 1] = 0
            self._octets -= self._letters.sizes[number - 1]

    def unmark(self) -> None:
        """Take all marks away."""
        self._left = bytearray(repeat(1, len(self._letters)))
        self._octets = self._letters.octets

    # --- listings

    def unique_id(self, number: int) -> str:
        """A message's unique-id: see the module."""
        return self._letters.unique_id(number - 1)

    def unique_ids(self) -> Iterator[bytes]:
        """UIDL's lines of all messages that aren't marked as deleted, some hundred at a time."""
        letters, ordinals = self._letters, self._letters.ordinals
        for start in range(0, len(letters), BLOCK):
            ids = letters.ids(start // BLOCK)
            left = compress(enumerate(ids, start + 1), self._left[start : start + BLOCK])
            if ordinals:
                lines = [f"{number} {each}.{ordinals.get(number - 1, 1)}\r\n" for number, each in left]
            else:
                lines = [f"{number} {each}.1\r\n" for number, each in left]
            yield "".join(lines).encode("ascii")

    def size(self, number: int) -> int:
        """Octets of a message as it is sent, when they have been measured."""
        return self._letters.sizes[number - 1]

    @property
    def octets(self) -> int:
        """Those of all messages that aren't marked as deleted, when they have been measured."""
        return self._octets

    def sizes(self) -> Iterator[bytes]:
        """LIST's lines of all messages that aren't marked as deleted, some hundred at a time; they have been
        measured."""
        for start in range(0, len(self._letters), BLOCK):
            left = self._left[start : start + BLOCK]
            # One format for many lines takes half the time of one for each.
            values = [0, 0] * left.count(1)
            values[::2] = compress(range(start + 1, start + 1 + len(left)), left)
            values[1::2] = compress(self._letters.sizes[start : start + BLOCK], left)
            yield ("%d %d\r\n" * left.count(1) % tuple(values)).encode("ascii")

    async def measure(self, known: Sizes) -> None:
        """Get the sizes of letters with binary parts right; what it learns is kept in `known`. Raises
        `StoreFault`."""
        if self._measured is None:
            letters = self._letters
            found = await known.measure(self._store, self._mailbox, letters.uids)
            for index, size in found.items():
                more, letters.sizes[index] = size - letters.sizes[index], size
                letters.octets += more
                self._octets += more * self._left[index]
            self._measured = frozenset(found)

    # --- letters

    async def reading(self, number: int, *, first: int | None = None) -> tuple[Reading, int]:
        """A message from its start, and how many octets will come; they have been measured. Where only the header
        and `first` octets behind it are wanted, no more than that is read at first.

        Raises `Gone`, `Unreadable`, `StoreFault`.
        """
        assert self._measured is not None, "sizes are told before letters are read"
        index = number - 1
        letter = await self._row(index)
        if index in self._measured:
            whole = await self._store.kept_letters(self._mailbox, [letter.uid])
            if not whole:
                raise Gone
            made = await plan(self._store, whole[0], Pace(None))
            return Edited(self._store, whole[0], made), made.size
        wanted = CHUNK if first is None else len(letter.prefix) + letter.header_size + first
        return AsStored(self._store, letter, wanted), self.size(number)

    async def _row(self, index: int) -> Letter:
        """A letter's place. Where a client takes letters at even steps, up or down, some more are read with it."""
        row = self._rows.get(index)
        step, self._last = index - self._last, index
        if row is None:
            uids = self._letters.uids
            ahead = range(index, index + _AHEAD * step, step) if step == self._step else range(index, index + 1)
            wanted = {Uid(uids[each]): each for each in sorted(ahead) if 0 <= each < len(uids)}
            rows = await self._store.kept_letters(self._mailbox, [*wanted], answers=False)
            self._rows = {wanted[letter.uid]: letter for letter in rows}
            row = self._rows.get(index)
            if row is None:
                raise Gone
        self._step = step or self._step
        return row

    # --- the end

    async def update(self) -> int:
        """The UPDATE state (RFC 1939 6): delete what is marked, all of it in one commit or nothing. How many went.

        Raises `StoreFault`, `NoMaildrop`.
        """
        if 0 not in self._left:
            return 0
        marked = self._left.translate(_TURNED)
        uids = tuple(map(Uid, compress(self._letters.uids, marked)))
        answer = await self._store.commit(Expunge(self._mailbox, uids, deleted_only=False, by=self._by))
        if isinstance(answer, Refused):
            raise NoMaildrop
        return len(uids)

    def release(self) -> None:
        """Let other sessions have the maildrop; a second call does nothing."""
        self._lock.release()


_TURNED: Final = bytes([1, 0, *range(2, 256)])


async def open_maildrop(store: Store, folder: Path, account: AccountId, by: str = "") -> Maildrop:
    """Lock an account's maildrop and take its snapshot, for the session that `by` names in the letters' stories.

    Raises `InUse`, `NoMaildrop`, `StoreFault` and OSError; then nothing is locked.
    """
    lock = await _locked(folder, account)
    try:
        mailbox = await store.mailbox(account, INBOX)
        if mailbox is None:
            raise NoMaildrop
        return Maildrop(store, mailbox.id, lock, await Snapshot.of(store, mailbox.id), by)
    except BaseException:
        lock.release()
        raise


async def _locked(folder: Path, account: AccountId) -> Lock:
    """The lock, as soon as it is free: a client whose connection was cut comes back before we have seen its end."""
    for _ in range(round(POP3_LOCK_SECONDS / POP3_LOCK_TRY_SECONDS)):
        try:
            return Lock(folder, account)
        except InUse:
            await asyncio.sleep(POP3_LOCK_TRY_SECONDS)
    return Lock(folder, account)
