"""What becomes of a letter's octets while they come, by DATA or by BDAT: looked at, repaired, kept, or refused.

The first objection stays; from then on the rest of the letter is read and dropped. Memory stays bounded, whatever
the size of letters and pieces.
"""

from __future__ import annotations

from postroom.intake.submission import HeaderRepair
from postroom.net.limits import (
    SMTP_CHUNKS,
    SMTP_DATA_LINE_OCTETS,
    SMTP_JOINED_OCTETS,
    SMTP_SMALL_PIECE_OCTETS,
)
from postroom.smtp.replies import (
    R550_BARE_LINE_END,
    R550_NUL,
    R552_CHUNKS,
    R552_TOO_BIG,
    R554_LONG_LINE,
    Reply,
)
from postroom.smtp.stuffing import ChunkReader, Text
from postroom.store.interface import Blob, StoreFault

Failure = Reply | StoreFault


def objection(text: Text, limit: int) -> Reply | None:
    """Why a letter can't be taken, by what was seen of it so far; `limit` of its size in octets."""
    if text.bare:
        return R550_BARE_LINE_END
    if text.nul:
        return R550_NUL
    if text.size > limit:
        return R552_TOO_BIG
    if text.overlong:
        return R554_LONG_LINE
    return None


class Keeper:
    """Puts pieces of a letter into its blob, until something is against it."""

    __slots__ = ("_joined", "_repair", "blob", "failure")

    def __init__(self, blob: Blob, repair: HeaderRepair | None) -> None:
        self.blob = blob
        self.failure: Failure | None = None
        """Why the letter can't be taken, or None. The store's fault is told when the letter has ended."""
        self._repair = repair
        self._joined: bytearray | None = None

    def fail(self, failure: Failure) -> None:
        """Keep nothing more."""
        if self.failure is None:
            self.failure = failure
            self._joined = None
            self.blob.discard()

    def write(self, piece: bytes) -> None:
        """Take the next octets."""
        if self.failure is None:
            try:
                self._write(piece if self._repair is None else self._repair.feed(piece))
            except StoreFault as fault:
                self.fail(fault)

    def finish(self) -> None:
        """All octets have come."""
        if self.failure is None:
            try:
                if self._repair is not None:
                    self._write(self._repair.finish())
                if self._joined:
                    self.blob.write(self._joined)
                    self._joined = None
            except StoreFault as fault:
                self.fail(fault)

    def _write(self, piece: bytes) -> None:
        joined = self._joined
        if joined is None:
            if len(piece) >= SMTP_SMALL_PIECE_OCTETS:
                self.blob.write(piece)
                return
            joined = self._joined = bytearray()
        joined += piece
        if len(joined) >= SMTP_JOINED_OCTETS:
            self.blob.write(joined)
            self._joined = None


class Chunks:
    """A letter that comes by BDAT (RFC 3030 2). `binary`: each octet is kept as it is (BINARYMIME)."""

    __slots__ = ("_count", "_keeper", "_limit", "_reader", "binary")

    def __init__(self, blob: Blob, repair: HeaderRepair | None, limit: int, *, binary: bool) -> None:
        """`limit` in octets, of the whole letter."""
        self.binary = binary
        self._limit = limit
        self._keeper = Keeper(blob, repair)
        self._reader = ChunkReader(0 if binary else SMTP_DATA_LINE_OCTETS)
        self._count = 0

    @property
    def blob(self) -> Blob:
        """What was kept."""
        return self._keeper.blob

    @property
    def failure(self) -> Failure | None:
        """Why the letter can't be taken, or None."""
        return self._keeper.failure

    def begin(self, size: int) -> None:
        """A chunk of so many octets comes."""
        self._count += 1
        if self._count > SMTP_CHUNKS:
            self._keeper.fail(R552_CHUNKS)
        if self._reader.size + size > self._limit:
            self._keeper.fail(R552_TOO_BIG)

    def feed(self, piece: bytes) -> None:
        """The next octets of the chunk."""
        if self._keeper.failure is None:
            self._take(self._reader.feed(piece))

    def finish(self) -> None:
        """The last chunk has come whole."""
        if self._keeper.failure is None:
            self._take(self._reader.finish())
            self._keeper.finish()

    def _take(self, piece: bytes) -> None:
        against = objection(self._reader, self._limit)
        if against is not None:
            self._keeper.fail(against)
        else:
            self._keeper.write(piece)

    def discard(self) -> None:
        """Give the letter up; after its delivery this does nothing."""
        self._keeper.blob.discard()
