"""Entries whose rows are lost: a mailbox counts more letters than it has, and there are letters that came in for
its account and that this account doesn't hold. They are put back; in doubt into the mailbox for recovered ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from postroom.store.check.findings import Finding
from postroom.store.index import fetch_all
from postroom.store.letterrows import thread_hashes
from postroom.store.rebuild.homes import RECOVERED, Homes
from postroom.store.rebuild.places import good_keywords
from postroom.store.records import DeliveredTo, DeliveryFacts
from postroom.store.repair.answers import record_facts
from postroom.store.repair.bench import Bench, repaired, transaction
from postroom.store.values import AccountId, Flag, MailboxId, Place

__all__ = ["repair_lost_entries"]

_SLICE: Final = 500
_FLAGS: Final = int(~Flag(0))
_SHORT: Final = """SELECT b.id, b.owner, a.address, b.name, b.messages - coalesce(c.messages, 0) FROM mailboxes b
 JOIN accounts a ON a.id = b.owner LEFT JOIN
 (SELECT mailbox, count(*) AS messages FROM entries GROUP BY mailbox) c ON c.mailbox = b.id
 WHERE b.messages > coalesce(c.messages, 0)"""
_NOT_HELD: Final = """SELECT x.id, x.segment, x.offset, x.size, x.message_id, x.refs FROM messages x
 WHERE x.id > ?1 AND NOT EXISTS (SELECT 1 FROM entries e JOIN mailboxes b ON b.id = e.mailbox
 WHERE e.message = x.id AND b.owner = ?2)
 AND NOT EXISTS (SELECT 1 FROM tombstones t JOIN mailboxes b ON b.id = t.mailbox
 WHERE t.message = x.id AND b.owner = ?2)
 AND NOT EXISTS (SELECT 1 FROM tombstones t JOIN deleted_mailboxes d ON d.id = t.mailbox
 WHERE t.message = x.id AND d.owner = ?2)
 ORDER BY x.id LIMIT ?3"""


@dataclass(frozen=True, slots=True)
class _Lost:
    """A letter that an account may have held."""

    message: int
    place: Place
    hashes: tuple[int, ...]
    facts: DeliveryFacts
    target: DeliveredTo


def repair_lost_entries(bench: Bench) -> Iterator[Finding]:
    """Accounts whose mailboxes count more letters than they have. Raises OSError, apsw.Error."""
    accounts: dict[int, list[Any]] = {}
    for row in fetch_all(bench.connection, _SHORT):
        accounts.setdefault(row[1], []).append(row)
    homes = Homes(bench.connection, frozenset(), bench.hostname)
    for account, short in accounts.items():
        address, missing = short[0][2], sum([row[4] for row in short])
        lost = list(_lost(bench, AccountId(account), address))
        # Where there are more than are missing, some of them were expunged long ago.
        sure = {row[3]: MailboxId(row[0]) for row in short} if len(lost) <= missing else {}
        with transaction(bench.connection, bench.now) as ledger:
            for each in lost:
                mailbox = sure.get(each.target.mailbox) or homes.recovered(ledger, AccountId(account))
                counters = ledger.mailbox(mailbox)
                assert counters is not None, "it was found or made in this transaction"
                size, flags = each.place.size + len(each.target.prefix), each.target.flags & _FLAGS
                thread = ledger.thread(account, each.hashes, each.message)
                rows = [(account, one, thread) for one in each.hashes]
                ledger.connection.executemany("INSERT OR IGNORE INTO threads VALUES (?, ?, ?)", rows).fetchall()
                ledger.add_entry(
                    (
                        mailbox,
                        counters.arrived(flags, size),
                        each.message,
                        flags,
                        good_keywords(each.target.keywords),
                        counters.next_modseq(),
                        each.facts.internal_date,
                        each.facts.zone,
                        ledger.now,
                        size,
                        thread,
                        each.target.prefix,
                    )
                )
        if lost:
            where = "where they came in" if sure else f"in {RECOVERED}: some of them may have been expunged"
            yield repaired(f"{address}: {missing} letters are missing, and {len(lost)} are there again, {where}")


def _lost(bench: Bench, account: AccountId, address: str) -> Iterator[_Lost]:
    after = 0
    while rows := fetch_all(bench.connection, _NOT_HELD, (after, account, _SLICE)):
        for message, segment, offset, size, message_id, refs in rows:
            place = Place(segment, offset, size)
            with suppress(OSError):
                facts = record_facts(bench.folder, place)
                for target in facts.targets if facts else ():
                    if facts is not None and target.address == address:
                        yield _Lost(message, place, thread_hashes(message_id, refs), facts, target)
                        break
        after = rows[-1][0]
