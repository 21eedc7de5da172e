"""The door of the house: whom mail can be for, and the one way by which a letter comes into the store.

All that bring letters come through here: SMTP, and later LMTP, the console, reports. A letter is parsed once,
judged by the checks in order, and filed for all its recipients by one `deliver`; `Accepted` means that it is on
stable storage (docs/design.md, "The store").
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from postroom.intake import authorship
from postroom.intake.checks import CHECKS
from postroom.intake.envelope import Accepted, Arrival, Check, Discarded, Envelope, Origin, Recipient, Rejected
from postroom.intake.judging import Judged, Judging, Note, Visit, judge
from postroom.intake.milter.changes import Desk
from postroom.intake.names import composed
from postroom.intake.notes import write_note
from postroom.intake.received import write_prefixes
from postroom.intake.recipients import Local, Recipients, Resolution
from postroom.intake.refusals import Refusals
from postroom.intake.room import has_room
from postroom.intake.sending import Sending
from postroom.message.structure import parse
from postroom.net.limits import HEADER_OCTETS, INBOXES_KNOWN
from postroom.net.log import event
from postroom.smtp.grammar import Address
from postroom.smtp.replies import R450_MAILBOX_GONE, R452_OVER_QUOTA, R552_HEADER
from postroom.store.changes import Reason, Refused, Target
from postroom.store.interface import Blob, Delivery, Store
from postroom.store.values import INBOX, Account, AccountId, Mailbox, MailboxId, SpecialUse

_logger = logging.getLogger("postroom.intake")
_TOLD: Final = 10
"""Recipients that the record of a refused letter names."""


class Intake:
    """See the module. `clock` gives seconds since 1970 UTC."""

    def __init__(
        self,
        store: Store,
        hostname: str,
        domains: Sequence[str],
        *,
        checks: Sequence[Check] = CHECKS,
        judging: Judging | None = None,
        recipients: Recipients | None = None,
        sending: Sending | None = None,
        refusals: Refusals | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._hostname = hostname
        self._recipients = recipients or Recipients(store, domains)
        self._sending = sending
        self._refusals = refusals
        self._judging = judging or Judging(letters=tuple(checks))
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

    def visit(self, note: Note | None = None) -> Visit:
        """A client has come: its way through the checks, to be closed by the caller. `note`: told what they say."""
        return Visit(self._judging, Desk(self.begin, self.recipient, self._judging.most), note)

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
        judged = await self.judge(envelope, origin, blob)
        if not isinstance(judged, Judged):
            return judged
        try:
            return await self.file(judged)
        finally:
            if judged.arrival.blob is not blob:
                judged.arrival.blob.discard()

    async def accept_each(self, envelope: Envelope, origin: Origin, blob: Blob) -> tuple[Accepted | Rejected, ...]:
        """The same, with an answer for each recipient of the envelope, in order (RFC 2033 4.2): who has no room
        doesn't keep the others from having it. Raises `StoreFault`, which means that nobody has it."""
        judged = await self.judge(envelope, origin, blob)
        if not isinstance(judged, Judged):
            return (judged,) * len(envelope.recipients)
        try:
            full = await self._without_room(judged.arrival)
            rest = tuple([each for each in judged.arrival.envelope.recipients if each.account.id not in full])
            answer: Accepted | Rejected = Rejected(R452_OVER_QUOTA)
            gone: set[AccountId] = set()
            if rest:
                arrival = judged.arrival
                arrival = replace(arrival, envelope=replace(arrival.envelope, recipients=rest))
                answer, gone = await self._file(replace(judged, arrival=arrival))
            # Whom a filter has taken out is as the filter wants it.
            refused = dict.fromkeys(full, Rejected(R452_OVER_QUOTA)) | dict.fromkeys(
                gone, Rejected(R450_MAILBOX_GONE)
            )
            return tuple([refused.get(each.account.id, answer) for each in envelope.recipients])
        finally:
            if judged.arrival.blob is not blob:
                judged.arrival.blob.discard()

    async def _without_room(self, arrival: Arrival) -> set[AccountId]:
        """Those of a letter's recipients whose quota has no room beside those before them."""
        full: set[AccountId] = set()
        before: dict[AccountId, Recipient] = {}
        prefixes = write_prefixes(arrival.envelope, arrival.origin, self._hostname, self.now())
        for each, prefix in zip(arrival.envelope.recipients, prefixes, strict=True):
            if await self.has_room(before, [each.account], arrival.blob.size + len(prefix)):
                before[each.account.id] = each
            else:
                full.add(each.account.id)
        return full

    async def judge(self, envelope: Envelope, origin: Origin, blob: Blob) -> Judged | Accepted | Rejected:
        """The first half of `accept`: what is to be filed, with a blob that is the caller's to discard where it is
        another; or the answer, where nothing is. Raises `StoreFault`."""
        contents = blob.contents()
        facts = parse(contents)
        header = bytes(contents[: min(facts.header_size, HEADER_OCTETS)])
        arrival = Arrival(envelope, origin, header, facts, blob)
        if origin.login and (objection := await self._objection(arrival)) is not None:
            return self._rejected(arrival, objection)
        judged = await (origin.visit.letter(arrival) if origin.visit else judge(self._judging, arrival))
        if isinstance(judged, Rejected):
            return self._rejected(arrival, judged)
        return self._discarded(arrival) if isinstance(judged, Discarded) else judged

    async def _objection(self, arrival: Arrival) -> Rejected | None:
        """Why an account may not send this letter, or None."""
        account = await self._store.account(arrival.origin.login)
        if account is None:
            return Rejected(R450_MAILBOX_GONE)  # removed just now
        if arrival.facts.header_size > HEADER_OCTETS:
            return Rejected(R552_HEADER, "header")
        reply = await authorship.objection(arrival.header, partial(self.may_send_as, account))
        if reply is not None:
            return Rejected(reply, "author")
        reply = None if self._sending is None else await self._sending.objection(account)
        return None if reply is None else Rejected(reply, "sending")

    async def file(self, judged: Judged) -> Accepted | Rejected:
        """The second half of `accept`. Raises `StoreFault`."""
        return (await self._file(judged))[0]

    async def _file(self, judged: Judged) -> tuple[Accepted | Rejected, set[AccountId]]:
        """The answer, and the accounts that are gone by now. Raises `StoreFault`."""
        arrival = judged.arrival
        envelope, origin = arrival.envelope, arrival.origin
        now = self.now()
        targets: list[Target] = []
        there: list[AccountId] = []
        for each, prefix in zip(
            envelope.recipients, write_prefixes(envelope, origin, self._hostname, now), strict=True
        ):
            inbox = await self._home(each, junk=bool(judged.junk))
            if inbox is not None:
                targets.append(Target(inbox, prefix))
                there.append(each.account.id)
        filed: set[AccountId] = set()
        if targets:
            note = write_note(envelope, origin, judged.words)
            delivery = Delivery(arrival.blob, arrival.facts, tuple(targets), now, by=origin.by, note=note)
            answers = await self._store.deliver(delivery)
            filed = {
                account for account, answer in zip(there, answers, strict=True) if not isinstance(answer, Refused)
            }
            if Refused(Reason.OVER_QUOTA) in answers:
                # Nobody has it: DATA has one answer for all recipients.
                return self._rejected(arrival, Rejected(R452_OVER_QUOTA)), set()
        if not filed:
            # The accounts were removed since RCPT: the next try will hear 550 there.
            return self._rejected(arrival, Rejected(R450_MAILBOX_GONE)), set()
        event(
            _logger,
            logging.INFO,
            "intake.accepted",
            letter=origin.id,
            sender=envelope.sender or "<>",
            octets=arrival.blob.size,
            recipients=len(envelope.recipients),
            filed=len(filed),
            login=origin.login or None,
            checks=",".join(judged.words) or None,
            junk=judged.junk or None,
        )
        return Accepted(origin.id), {each.account.id for each in envelope.recipients} - filed

    async def _home(self, recipient: Recipient, *, junk: bool) -> MailboxId | None:
        """Where an account's letter comes: its \\Junk, where it has one and that is what it is; or the mailbox that
        the address's tag names, where the account wants that; or its INBOX."""
        account = recipient.account
        if junk or (recipient.tag and account.tags):
            mailboxes = await self._store.mailboxes(account.id)
            found = _junk(mailboxes) if junk else _tagged(mailboxes, recipient.tag)
            if found is not None:
                return found
        return await self._inbox(account.id)

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

    def _discarded(self, arrival: Arrival) -> Accepted:
        """Tell the log of it: nobody else hears."""
        event(
            _logger,
            logging.INFO,
            "intake.discarded",
            letter=arrival.origin.id,
            sender=arrival.envelope.sender or "<>",
            recipients=len(arrival.envelope.recipients),
        )
        return Accepted(arrival.origin.id)

    def _rejected(self, arrival: Arrival, verdict: Rejected) -> Rejected:
        """Tell the log of it."""
        event(
            _logger,
            logging.INFO,
            "intake.rejected",
            letter=arrival.origin.id,
            sender=arrival.envelope.sender or "<>",
            recipients=len(arrival.envelope.recipients),
            check=verdict.judge or None,
            reply=f"{verdict.reply.code} {verdict.reply.enhanced}",
        )
        origin = arrival.origin
        self.note_refused(
            session=origin.id,
            peer=origin.peer,
            login=origin.login,
            sender=str(arrival.envelope.sender or "<>"),
            recipient=" ".join([str(each.address) for each in arrival.envelope.recipients[:_TOLD]]),
            judge=verdict.judge or "letter",
            reply=verdict.reply.octets.decode("ascii", "replace").strip(),
        )
        return verdict

    def note_refused(
        self, *, session: str, peer: str, login: str, sender: str, recipient: str, judge: str, reply: str
    ) -> None:
        """Leave a record of what was refused, if records are kept; never waits, and raises nothing."""
        if self._refusals is not None:
            self._refusals.note(
                session=session,
                peer=peer,
                login=login,
                sender=sender,
                recipient=recipient,
                judge=judge,
                reply=reply,
            )


def _junk(mailboxes: Sequence[Mailbox]) -> MailboxId | None:
    return next((each.id for each in mailboxes if each.special_use is SpecialUse.JUNK), None)


def _tagged(mailboxes: Sequence[Mailbox], tag: str) -> MailboxId | None:
    """The mailbox of a tag's name, or of that name in another case; none of those that have a use of their own, so
    that no stranger puts letters among those that were sent."""
    named = {each.name: each.id for each in mailboxes if each.special_use is None}
    if tag in named:
        return named[tag]
    return next((id for name, id in named.items() if composed(name) == composed(tag)), None)
