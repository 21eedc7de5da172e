"""What is past its time goes, in small transactions: tombstones, letters that nothing holds, old trash.

    sweeper = Sweeper(root, store, undelete=14 * 86400, keep={SpecialUse.TRASH: 30 * 86400})
    swept = await sweeper.run()

A sweep frees rows; the octets of the letters stay in their segments until compaction. Any number of processes may
sweep at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from postroom.net.limits import EXPUNGE_ROWS, SWEEP_LEAST_SECONDS, SWEEP_ROWS
from postroom.store.apply.compaction import UNHELD
from postroom.store.changes import DropLetters, Expunge, Expunged, Sweep, Swept
from postroom.store.index import fetch_all, open_index
from postroom.store.interface import Store
from postroom.store.values import MailboxId, MessageId, SpecialUse, Uid

__all__ = ["Sweeper"]

_LOOK_ROWS: Final = 1000
"""Rows looked at in one statement."""
_LOOK_SLICES: Final = 20
"""Statements of one run's look for letters that nothing holds: many runs go through all of them."""


class Sweeper:
    """One process's. `undelete` and the times of `keep` are in seconds; a `keep` of 0 keeps for ever. `pause` is
    the rest between two transactions, in seconds, which leaves the index to others."""

    def __init__(
        self,
        root: Path,
        store: Store,
        undelete: int,
        keep: Mapping[SpecialUse, int],
        *,
        pause: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises apsw.Error."""
        self._store = store
        self._undelete = max(undelete, SWEEP_LEAST_SECONDS)
        self._keep = {use: seconds for use, seconds in keep.items() if seconds}
        self._pause = pause
        self._clock = clock
        self._index = open_index(root / "index.db", read_only=True)
        self._looked_up_to = 0

    def __enter__(self) -> Sweeper:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index."""
        self._index.close()

    async def run(self, *, thorough: bool = False) -> Swept:
        """One sweep; `thorough` looks at every letter. Raises `StoreFault`, apsw.Error."""
        for use, seconds in self._keep.items():
            await self._empty(use, int(self._clock()) - seconds)
        before = int(self._clock()) - self._undelete
        swept = Swept()
        while True:
            more = await self._do(Sweep(before, SWEEP_ROWS))
            swept += more
            if more.entries < SWEEP_ROWS:
                return swept + await self._drop_unheld(thorough)

    async def _do(self, change: Sweep | DropLetters) -> Swept:
        answer = await self._store.commit(change)
        assert isinstance(answer, Swept), "a sweep is never refused"
        await asyncio.sleep(self._pause)
        return answer

    # --- letters that nothing holds, whatever let them go

    async def _drop_unheld(self, thorough: bool) -> Swept:
        """A stretch of all letters; the next run goes on behind it."""
        swept = Swept()
        if thorough:
            self._looked_up_to = 0
        looked = 0
        while thorough or looked < _LOOK_SLICES:
            looked += 1
            last, unheld = self._look(self._looked_up_to)
            for first in range(0, len(unheld), SWEEP_ROWS):
                swept += await self._do(DropLetters(tuple(unheld[first : first + SWEEP_ROWS])))
            if last is None:
                self._looked_up_to = 0
                break
            self._looked_up_to = last
            await asyncio.sleep(0)
        return swept

    def _look(self, after: int) -> tuple[int | None, list[MessageId]]:
        """The last of the next letters, and those of them that nothing holds."""
        rows = fetch_all(
            self._index,
            f"SELECT id, {UNHELD} FROM messages WHERE id > ? ORDER BY id LIMIT {_LOOK_ROWS}",
            (after,),
        )
        return (rows[-1][0] if rows else None), [MessageId(number) for number, unheld in rows if unheld]

    # --- mailboxes that empty themselves

    async def _empty(self, use: SpecialUse, before: int) -> None:
        """Expunge what was put into mailboxes of this use before a time; sessions hear of it as of any other
        change, and it can be brought back."""
        mailbox = 0
        while rows := fetch_all(
            self._index,
            f"SELECT id FROM mailboxes WHERE special_use = ? AND id > ? ORDER BY id LIMIT {_LOOK_ROWS}",
            (use, mailbox),
        ):
            for (mailbox,) in rows:
                while uids := self._oldest(MailboxId(mailbox), before):
                    change = Expunge(MailboxId(mailbox), uids, deleted_only=False, by="keep")
                    if not isinstance(await self._store.commit(change), Expunged):
                        break  # deleted meanwhile
                    await asyncio.sleep(self._pause)

    def _oldest(self, mailbox: MailboxId, before: int) -> tuple[Uid, ...]:
        """Some of the letters that were put there before a time. Letters come in the order of their UIDs, so that
        the first ones tell (where the clock was set back they wait for those before them)."""
        rows = fetch_all(
            self._index,
            f"SELECT uid, save_date FROM entries WHERE mailbox = ? ORDER BY uid LIMIT {EXPUNGE_ROWS}",
            (mailbox,),
        )
        return tuple([Uid(uid) for uid, saved in rows if saved <= before])
