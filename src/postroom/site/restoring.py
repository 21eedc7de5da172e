"""Bringing back what `undeleting` found: into the mailbox it was in, made anew where that is gone, or another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from postroom.net.limits import BURIED_PER_LOOK
from postroom.site.undeleting import Found
from postroom.store.changes import BringBack, BringBackMailbox, CreateMailbox, Filed, Reason, Refused, Subscribe
from postroom.store.graves import Grave
from postroom.store.interface import Store
from postroom.store.values import AccountId, Mailbox, MailboxId, Uid

__all__ = ["Outcome", "Restoring"]

_ROOM = (Reason.OVER_QUOTA, Reason.TOO_MANY)
"""Fewer letters may still go in."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of letters of one mailbox."""

    address: str
    mailbox: str
    """Where they are now, or should be."""
    letters: int
    reason: str = ""
    """Why they could not be brought back; empty where they were."""
    whole: bool = False
    """A deleted mailbox was brought back."""


@dataclass(slots=True)
class Restoring:
    """Brings back in a store. `into` is the mailbox for all of it, empty: where it was. `by` is who asks, for the
    letters' stories."""

    store: Store
    by: str
    into: str = ""
    _accounts: dict[str, AccountId | None] = field(default_factory=dict)
    _full: dict[tuple[AccountId, str], str] = field(default_factory=dict)
    """Where no more goes in, and why."""
    _targets: dict[tuple[AccountId, str], Mailbox | str] = field(default_factory=dict)

    async def restore(self, some: Sequence[Found]) -> AsyncIterator[Outcome]:
        """What came of each mailbox, and of the letters of each. Raises `StoreFault`."""
        for grave, letters in groupby(some, key=lambda each: each.grave):
            account = await self._account(grave)
            name = self.into or grave.name
            uids = [each.buried.letter.uid for each in letters if each.buried is not None]
            if account is None:
                yield Outcome(grave.address, name, len(uids) or grave.letters, "the account is gone; add it first")
            elif uids:
                async for outcome in self._letters(grave, account, name, uids):
                    yield outcome
            else:
                yield await self._whole(grave, account, name)

    async def _account(self, grave: Grave) -> AccountId | None:
        if grave.account is not None:
            return grave.account
        if grave.address not in self._accounts:
            account = await self.store.account(grave.address)
            self._accounts[grave.address] = None if account is None else account.id
        return self._accounts[grave.address]

    async def _whole(self, grave: Grave, account: AccountId, name: str) -> Outcome:
        change = BringBackMailbox(grave.mailbox, account, name, by=self.by, join=True)
        answer = await self.store.commit(change)
        if isinstance(answer, Refused):
            return Outcome(grave.address, name, grave.letters, answer.reason.value, whole=True)
        await self.store.commit(Subscribe(account, name))
        return Outcome(grave.address, name, grave.letters, whole=True)

    async def _letters(
        self, grave: Grave, account: AccountId, name: str, uids: Sequence[Uid]
    ) -> AsyncIterator[Outcome]:
        target = await self._target(grave, account, name)
        if isinstance(target, str):
            yield Outcome(grave.address, name, len(uids), target)
            return
        for start in range(0, len(uids), BURIED_PER_LOOK):
            wanted = uids[start : start + BURIED_PER_LOOK]
            done = await self._bring(grave.mailbox, account, target, wanted)
            if done:
                yield Outcome(grave.address, target.name, done)
            if done < len(wanted):
                reason = self._full.get((account, target.name), Reason.NOTHING_THERE.value)
                yield Outcome(grave.address, target.name, len(wanted) - done, reason)

    async def _target(self, grave: Grave, account: AccountId, name: str) -> Mailbox | str:
        """The mailbox, made anew where it is gone; or why it can't be."""
        known = self._targets.get((account, name))
        if known is None:
            known = await self.store.mailbox(account, name) or await self._anew(account, name)
            self._targets[account, name] = known
        return known

    async def _anew(self, account: AccountId, name: str) -> Mailbox | str:
        answer = await self.store.commit(CreateMailbox(account, name))
        if isinstance(answer, Refused):
            return answer.reason.value
        assert isinstance(answer, Mailbox)
        await self.store.commit(Subscribe(account, name))
        return answer

    async def _bring(self, source: MailboxId, account: AccountId, target: Mailbox, uids: Sequence[Uid]) -> int:
        """How many came; where not all have room, the first as many as do."""
        if (account, target.name) in self._full:
            return 0
        answer = await self.store.commit(BringBack(source, tuple(uids), target.id, by=self.by))
        if isinstance(answer, Filed):
            return len(answer.uids)
        assert isinstance(answer, Refused)
        if answer.reason is Reason.NOTHING_THERE:
            return 0
        if len(uids) == 1 or answer.reason not in _ROOM:
            self._full[account, target.name] = answer.reason.value
            return 0
        half = len(uids) // 2
        return await self._bring(source, account, target, uids[:half]) + await self._bring(
            source, account, target, uids[half:]
        )
