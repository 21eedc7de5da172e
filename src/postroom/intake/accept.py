"""The door of the house: whom mail can be for, and the one way by which a letter comes into the store.

All that bring letters come through here: SMTP, and later LMTP, the console, reports. A letter is parsed once,
judged by the checks in order, and filed for all its recipients by one `deliver`; `Accepted` means that it is on
stable storage (docs/design.md, "The store").
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from postroom.intake.checks import CHECKS
from postroom.intake.envelope import Accepted, Arrival, Check, Envelope, Origin, Recipient, Rejected
from postroom.intake.notes import write_note
from postroom.intake.received import write_prefixes
from postroom.intake.recipients import Local, Recipients, Resolution
from postroom.intake.room import has_room
from postroom.message.structure import parse
from postroom.net.limits import HEADER_OCTETS, INBOXES_KNOWN
from postroom.net.log import event
from postroom.smtp.grammar import Address
from postroom.smtp.replies import R450_MAILBOX_GONE, R452_OVER_QUOTA
from postroom.store.changes import Reason, Refused, Target
from postroom.store.interface import Blob, Delivery, Store
from postroom.store.values import INBOX, Account, AccountId, MailboxId

_logger = logging.getLogger("postroom.intake")


class Intake:
    """See the module. `clock` gives seconds since 1970 UTC."""

    def __init__(
        self,
        store: Store,
        hostname: str,
        domains: Sequence[str],
        *,
        checks: Sequence[Check] = CHECKS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._hostname = hostname
        self._recipients = Recipients(store, domains)
        self._checks = tuple(checks)
        self._clock = clock
        self._inboxes: dict[AccountId, MailboxId] = {}

    async def recipient(self, address: Address) -> Resolution:
        """Whom an address means. Raises `StoreFault`."""
        return await self._recipients.resolve(address)

    async def may_send_as(self, account: Account, address: Address) -> bool:
        """Whether an envelope's sender belongs to an account: its name, with or without tag, or an alias that leads
        to it. Raises `StoreFault`."""
        found = await self._recipients.resolve(address)
        return isinstance(found, Local) and any(each.id == account.id for each in found.accounts)

    async def has_room(
        self, already: Mapping[AccountId, Recipient], accounts: Sequence[Account], octets: int
    ) -> bool:
        """Whether the quota lets a letter of so many octets (0: not known) come to each of these accounts, beside
        those that it comes to already; the last word has `accept`. Raises `StoreFault`."""
        return await has_room(self._store, already, accounts, octets)

    def begin(self) -> Blob:
        """A new letter to write to; whoever begins one accepts or discards it."""
        return self._store.blob()

    def now(self) -> int:
        """Seconds since 1970 UTC, for what is written into letters."""
        return int(self._clock())

    async def accept(self, envelope: Envelope, origin: Origin, blob: Blob) -> Accepted | Rejected:
        """Judge and file a whole letter. On `Rejected` nothing was filed, and the blob is the caller's to discard.

        Raises `StoreFault`, which also means that nothing was.
        """
        contents = blob.contents()
        facts = parse(contents)
        header = bytes(contents[: min(facts.header_size, HEADER_OCTETS)])
        arrival = Arrival(envelope, origin, header, facts, blob)
        for check in self._checks:
            verdict = await check(arrival)
            if isinstance(verdict, Rejected):
                return self._rejected(arrival, verdict)
        return await self._file(arrival)

    async def _file(self, arrival: Arrival) -> Accepted | Rejected:
        envelope, origin = arrival.envelope, arrival.origin
        now = self.now()
        targets = []
        for each, prefix in zip(
            envelope.recipients, write_prefixes(envelope, origin, self._hostname, now), strict=True
        ):
            inbox = await self._inbox(each.account.id)
            if inbox is not None:
                targets.append(Target(inbox, prefix))
        filed = 0
        if targets:
            note = write_note(envelope, origin, self._checks)
            delivery = Delivery(arrival.blob, arrival.facts, tuple(targets), now, by=origin.by, note=note)
            answers = await self._store.deliver(delivery)
            filed = sum(not isinstance(answer, Refused) for answer in answers)
            if Refused(Reason.OVER_QUOTA) in answers:
                # Nobody has it: DATA has one answer for all recipients.
                return self._rejected(arrival, Rejected(R452_OVER_QUOTA))
        if not filed:
            # The accounts were removed since RCPT: the next try will hear 550 there.
            return self._rejected(arrival, Rejected(R450_MAILBOX_GONE))
        event(
            _logger,
            logging.INFO,
            "intake.accepted",
            letter=origin.id,
            sender=envelope.sender or "<>",
            octets=arrival.blob.size,
            recipients=len(envelope.recipients),
            filed=filed,
            login=origin.login or None,
        )
        return Accepted(origin.id)

    async def _inbox(self, account: AccountId) -> MailboxId | None:
        """An account's INBOX. It is remembered: neither's number is ever another's, and a renamed INBOX keeps its
        own (RFC 9051 6.3.6); of an account that was removed `deliver` tells."""
        known = self._inboxes.get(account)
        if known is not None:
            return known
        inbox = await self._store.mailbox(account, INBOX)
        if inbox is None:
            return None
        if len(self._inboxes) >= INBOXES_KNOWN:
            self._inboxes.clear()
        self._inboxes[account] = inbox.id
        return inbox.id

    def _rejected(self, arrival: Arrival, verdict: Rejected) -> Rejected:
        """Tell the log of it."""
        event(
            _logger,
            logging.INFO,
            "intake.rejected",
            letter=arrival.origin.id,
            sender=arrival.envelope.sender or "<>",
            recipients=len(arrival.envelope.recipients),
            reply=f"{verdict.reply.code} {verdict.reply.enhanced}",
        )
        return verdict
