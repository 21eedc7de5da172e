"""Faults to plant in the store of `damage.a_busy_day`, what a check says of each, and what a repair leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from postroom.store.records import FRAME_OCTETS
from tests.store.damage import LARGE_SEGMENT, SECRET, alter, damage, flip, record, segment

__all__ = ["FAULTS", "Fault"]

_INBOX = "name = 'INBOX' AND owner = (SELECT id FROM accounts WHERE address = 'alice@example.test')"
_OF_INBOX = f"mailbox = (SELECT id FROM mailboxes WHERE {_INBOX})"


@dataclass(frozen=True, slots=True)
class Fault:
    """`says` is part of a finding. `left` is part of what a repair can't make right, None where it can all."""

    plant: Callable[[Path], None]
    says: str
    left: str | None = None


def _sql(says: str, *statements: str, left: str | None = None) -> Fault:
    return Fault(lambda root: damage(root, *statements), says, left)


def _flip(number: int, at: Callable[[int, int], int], root: Path) -> None:
    """Flip a bit of a letter's record, at a place counted from its payload's offset and size."""
    offset, size = record(root, number)
    flip(segment(root, LARGE_SEGMENT if number == 5 else 1), at(offset, size))


def _cut(root: Path) -> None:
    offset, _ = record(root, 3)
    alter(segment(root), lambda octets: octets.__delitem__(slice(offset + 1, None)))


FAULTS: dict[str, Fault] = {
    # --- segments
    "a flipped bit of a letter": Fault(
        partial(_flip, 3, lambda offset, size: offset + 2),
        "INBOX, UID 3: its octets are not those that came in: wrong checksum",
        "INBOX, UID 3: its octets are lost or damaged; `postroom restore DIR --letter M",
    ),
    "a flipped bit of a large letter": Fault(
        partial(_flip, 5, lambda offset, size: offset + size - 1),
        "INBOX, UID 5: its octets are not those that came in: wrong checksum",
        "INBOX, UID 5: its octets are lost or damaged",
    ),
    "a flipped bit of a frame": Fault(
        partial(_flip, 2, lambda offset, size: offset - 1),
        "INBOX, UID 2: its record can't be read: wrong checksum",
    ),
    "a flipped bit of a letter's checksum": Fault(
        partial(_flip, 2, lambda offset, size: offset - FRAME_OCTETS + 21),
        "INBOX, UID 2: its record can't be read: wrong checksum",
    ),
    "a flipped bit of a large letter's frame": Fault(
        partial(_flip, 5, lambda offset, size: offset - 1),
        "INBOX, UID 5: its record can't be read: wrong checksum",
    ),
    "a flipped bit of the facts": Fault(
        partial(_flip, 2, lambda offset, size: offset + size + 1),
        "INBOX, UID 2: what its record says of the delivery is damaged",
    ),
    "a flipped bit of a segment's header": Fault(
        lambda root: flip(segment(root), 3), "segment file 0000000001.seg has a damaged header"
    ),
    "a torn record": Fault(_cut, "INBOX, UID 3: its record can't be read: it runs past the end", "INBOX, UID 3"),
    "a segment that is gone": Fault(
        lambda root: segment(root).unlink(), "segment file 0000000001.seg is missing", "INBOX, UID 1: its octets"
    ),
    # --- entries and tombstones
    "an entry without letter": _sql(
        "alice@example.test, INBOX, UID 3: its letter is not in the index",
        f"UPDATE entries SET message = 99 WHERE {_OF_INBOX} AND uid = 3",
    ),
    "a letter's row that is gone": _sql(
        "alice@example.test, INBOX, UID 2: its letter is not in the index", "DELETE FROM messages WHERE id = 2"
    ),
    "all rows of a letter that are gone": _sql(
        "alice@example.test, INBOX, UID 2: its letter is not in the index",
        "DELETE FROM messages WHERE id = 2",
        "DELETE FROM answers WHERE message = 2",
        "DELETE FROM stories WHERE message = 2",
    ),
    "a tombstone without letter": _sql(
        "alice@example.test, INBOX, UID 4, expunged: its letter is not in the index",
        f"UPDATE tombstones SET message = 99 WHERE {_OF_INBOX}",
    ),
    "an entry without mailbox": _sql(
        "mailbox number 99, UID 2: a letter in a mailbox that is gone",
        f"UPDATE entries SET mailbox = 99 WHERE {_OF_INBOX} AND uid = 2",
    ),
    "a mailbox's row that is gone": _sql(
        "UID 1: a letter in a mailbox that is gone", "DELETE FROM mailboxes WHERE name = 'Work'"
    ),
    "an INBOX's row that is gone": _sql(
        "alice@example.test: the account has no INBOX", f"DELETE FROM mailboxes WHERE {_INBOX}"
    ),
    "a tombstone of no mailbox": _sql(
        "mailbox number 99, UID 4, expunged: of a mailbox that nobody knows", "UPDATE tombstones SET mailbox = 99"
    ),
    "a UID used twice": _sql(
        "alice@example.test, INBOX, UID 3: this UID was expunged, and a letter has it",
        "UPDATE tombstones SET uid = 3",
    ),
    "a UID that can't be": _sql(
        "alice@example.test, INBOX, UID 4294967296: no UID can be so",
        f"UPDATE entries SET uid = 4294967296 WHERE {_OF_INBOX} AND uid = 5",
    ),
    "flags that nobody knows": _sql(
        "alice@example.test, INBOX, UID 3: flags that nobody knows",
        f"UPDATE entries SET flags = 64 WHERE {_OF_INBOX} AND uid = 3",
    ),
    "a lost \\Seen": _sql(
        "alice@example.test, INBOX: unseen says 3, counted 4",
        f"UPDATE entries SET flags = 0 WHERE {_OF_INBOX} AND uid = 2",
    ),
    "keywords that are not packed": _sql(
        "INBOX, UID 2: keywords that are not kept as they should be",
        f"UPDATE entries SET keywords = ' a   b ' WHERE {_OF_INBOX} AND uid = 2",
    ),
    "an entry's size": _sql(
        f"UID 1: the index says {len(SECRET) + 22} octets, the letter and its prefix have {len(SECRET) + 21}",
        f"UPDATE entries SET size = size + 1 WHERE {_OF_INBOX} AND uid = 1",
    ),
    "a tombstone's size": _sql("UID 4, expunged: the index says 0 octets", "UPDATE tombstones SET size = 0"),
    "a tombstone's reason": _sql("UID 4, expunged: for a reason", "UPDATE tombstones SET why = 9"),
    # --- letters
    "answers that are missing": _sql(
        "INBOX, UID 1: its ENVELOPE and BODYSTRUCTURE are missing", "DELETE FROM answers WHERE message = 1"
    ),
    "an ENVELOPE that is none": _sql(
        "INBOX, UID 1: its ENVELOPE or BODYSTRUCTURE is no such thing",
        "UPDATE answers SET envelope = x'00' WHERE message = 1",
    ),
    "a header larger than its letter": _sql(
        "INBOX, UID 3: a header of", "UPDATE messages SET header_size = size + 1 WHERE id = 3"
    ),
    "fewer octets for POP3 than there are": _sql(
        "INBOX, UID 3: 81 octets are to be sent by POP3 of a letter of 82",
        "UPDATE messages SET crlf_size = size - 1 WHERE id = 3",
    ),
    "more octets for POP3 than there can be": _sql(
        "INBOX, UID 3: 166 octets are to be sent by POP3 of a letter of 82",
        "UPDATE messages SET crlf_size = 2 * size + 2 WHERE id = 3",
    ),
    "a place behind the end": _sql(
        "INBOX, UID 2: the index looks for it in segment file 0000000001.seg at offset",
        "UPDATE messages SET offset = offset + 100000 WHERE id = 2",
    ),
    "a place in a header": _sql(
        "at offset 10, where nothing can be", "UPDATE messages SET offset = 10 WHERE id = 2"
    ),
    "a place in no segment": _sql("segment file 0000000077.seg", "UPDATE messages SET segment = 77 WHERE id = 2"),
    "a place that is beside": _sql(
        "UID 3: no record begins where the index says", "UPDATE messages SET offset = offset + 1 WHERE id = 3"
    ),
    "two letters in one place": _sql(
        "2 letters of the index are said to be here",
        "UPDATE messages SET offset = (SELECT offset FROM messages WHERE id = 2) WHERE id = 3",
    ),
    "a letter's size": _sql(
        "UID 3: the index says 81 octets, its record 82", "UPDATE messages SET size = size - 1 WHERE id = 3"
    ),
    "a letter's name": _sql(
        "UID 3: its record is another letter's",
        "UPDATE messages SET email_id = 'M' || printf('%032d', 7) WHERE id = 3",
    ),
    # --- mailboxes
    "messages": _sql(
        "alice@example.test, INBOX: messages says 7, counted 4", f"UPDATE mailboxes SET messages = 7 WHERE {_INBOX}"
    ),
    "unseen": _sql("INBOX: unseen says 0, counted 3", f"UPDATE mailboxes SET unseen = 0 WHERE {_INBOX}"),
    "deleted": _sql("INBOX: deleted says 1, counted 0", f"UPDATE mailboxes SET deleted = 1 WHERE {_INBOX}"),
    "size": _sql("INBOX: size says 1, counted ", f"UPDATE mailboxes SET size = 1 WHERE {_INBOX}"),
    "recent": _sql("INBOX: recent says 9, counted 4", f"UPDATE mailboxes SET recent = 9 WHERE {_INBOX}"),
    "counters of an empty mailbox": _sql(
        "Sent: messages says 2, counted 0; unseen says -1, counted 0",
        "UPDATE mailboxes SET messages = 2, unseen = -1 WHERE name = 'Sent'",
    ),
    "a next UID that a letter has": _sql(
        "alice@example.test, INBOX: its next UID would be 5, and 5 was given away",
        f"UPDATE mailboxes SET uid_next = 5, first_recent = 1 WHERE {_INBOX}",
    ),
    "a next UID that a tombstone has": _sql(
        "INBOX: its next UID would be 6, and 9 was given away", "UPDATE tombstones SET uid = 9"
    ),
    "a modseq above the highest": _sql(
        "and a letter has 1000", f"UPDATE entries SET modseq = 1000 WHERE {_OF_INBOX} AND uid = 1"
    ),
    "a modseq of a tombstone above the highest": _sql(
        "and a letter has 1001", "UPDATE tombstones SET modseq = 1001"
    ),
    "a modseq that can't be": _sql(
        "UID 1: no modseq can be 0", f"UPDATE entries SET modseq = 0 WHERE {_OF_INBOX} AND uid = 1"
    ),
    "a modseq that is far too high": _sql(
        f"UID 1: no modseq can be {2**62 + 1}",
        f"UPDATE entries SET modseq = {2**62 + 1} WHERE {_OF_INBOX} AND uid = 1",
    ),
    "a tombstone's modseq that can't be": _sql(
        "UID 4, expunged: no modseq can be 0", "UPDATE tombstones SET modseq = 0"
    ),
    "a modseq of two changes": _sql(
        "INBOX, UID 1: it has the modseq with which UID 4 was expunged",
        f"UPDATE entries SET modseq = (SELECT modseq FROM tombstones) WHERE {_OF_INBOX} AND uid = 1",
    ),
    "more forgotten than happened": _sql(
        "INBOX: it has forgotten what was expunged up to modseq 500",
        f"UPDATE mailboxes SET forgotten_modseq = 500 WHERE {_INBOX}",
    ),
    "recent letters to come": _sql(
        "INBOX: letters would be recent that aren't there yet",
        f"UPDATE mailboxes SET first_recent = 7, recent = 0 WHERE {_INBOX}",
    ),
    "a UIDVALIDITY used twice": _sql(
        "alice@example.test: mailboxes share the UIDVALIDITY",
        f"""UPDATE mailboxes SET uid_validity = (SELECT uid_validity FROM mailboxes WHERE {_INBOX})
        WHERE name = 'Work'""",
    ),
    "a UIDVALIDITY that a deleted mailbox had": _sql(
        "bob@example.test: mailboxes share the UIDVALIDITY",
        """UPDATE deleted_mailboxes SET uid_validity = (SELECT uid_validity FROM mailboxes
        WHERE name = 'INBOX' AND owner = deleted_mailboxes.owner)""",
    ),
    "a mailbox that is there and deleted": _sql(
        "alice@example.test, INBOX: it is there and deleted at once",
        f"UPDATE deleted_mailboxes SET id = (SELECT id FROM mailboxes WHERE {_INBOX})",
    ),
    "a deleted mailbox's modseq": _sql(
        "UID 4, expunged: its modseq 7 is above the last one of its deleted mailbox, 2",
        "UPDATE tombstones SET mailbox = (SELECT id FROM deleted_mailboxes)",
    ),
    "a deleted mailbox that came back or not": _sql(
        "Old: nobody can tell whether it was brought back", "UPDATE deleted_mailboxes SET restored = 7"
    ),
    "a special use": _sql(
        "alice@example.test, Sent: a special use that nobody knows",
        "UPDATE mailboxes SET special_use = '\\Odd' WHERE name = 'Sent'",
    ),
    "a level that is missing": _sql(
        "alice@example.test, Far/away/Work: the level above it is missing",
        "UPDATE mailboxes SET name = 'Far/away/Work' WHERE name = 'Work'",
    ),
    # --- accounts
    "mailboxes without account": _sql(
        "INBOX: its account is gone", "DELETE FROM accounts WHERE address LIKE 'bob%'"
    ),
    "mailboxes without letters or account": _sql(
        "INBOX: its account is gone",
        "UPDATE mailboxes SET owner = 77 WHERE name = 'Sent' AND owner = 1",
        "UPDATE mailboxes SET owner = 77, name = 'INBOX' WHERE name = 'Junk' AND owner = 1",
    ),
    "an account without INBOX": _sql(
        "alice@example.test: the account has no INBOX", f"UPDATE mailboxes SET name = 'Nothing' WHERE {_INBOX}"
    ),
    "an account that is there and removed": _sql(
        "alice@example.test: the account is there and removed at once",
        "INSERT INTO removed_accounts VALUES (1, 'alice@example.test', 0)",
    ),
    "a subscription without account": _sql(
        "account number 99, which is gone: still subscribed to News",
        "INSERT INTO subscriptions VALUES (99, 'News')",
    ),
    "rights to nothing": _sql(
        "bob@example.test: rights to mailbox number 99, which is gone",
        "INSERT INTO rights VALUES (99, 'bob@example.test', 'lr')",
    ),
    "seen by others and gone": _sql("UID 99: seen by somebody", "INSERT INTO seen VALUES (1, 1, 99, 1)"),
    # --- sums
    "octets against the quota": _sql(
        "alice@example.test: 1 octets and 6 letters count against its quota",
        "UPDATE accounts SET octets = 1 WHERE id = 1",
    ),
    "letters against the quota": _sql(
        "60 letters count against its quota, its mailboxes have", "UPDATE accounts SET letters = 60 WHERE id = 1"
    ),
    "a domain's octets": _sql(
        "domain example.test: 5 octets and 7 letters count against its quota",
        "UPDATE domains SET octets = 5",
    ),
    "a domain that nobody counts": _sql("domain example.test: its accounts keep", "DELETE FROM domains"),
    "live octets": _sql(
        "segment file 0000000001.seg: 3 octets of letters are said to be in it", "UPDATE segments SET live = 3"
    ),
    "a segment that is to go and is needed": _sql(
        "segment file 0000000001.seg: it is to be taken away, and letters are in it",
        "UPDATE segments SET retired = 1 WHERE number = 1",
    ),
    "a segment's length": _sql("where nothing can be", "UPDATE segments SET length = 30 WHERE number = 1"),
    "a segment's row that is gone": _sql("where nothing can be", "DELETE FROM segments WHERE number = 1"),
    # --- conversations
    "a wrong conversation": _sql(
        "INBOX, UID 3: it is in conversation 1, and its Message-IDs belong elsewhere",
        f"UPDATE entries SET thread = 1 WHERE {_OF_INBOX} AND uid = 3",
    ),
    "a conversation to come": _sql(
        "INBOX, UID 3: it is in conversation 9, which can't have begun yet",
        f"UPDATE entries SET thread = 9 WHERE {_OF_INBOX} AND uid = 3",
    ),
    "a tombstone's conversation": _sql(
        "UID 4, expunged: it is in conversation 9", "UPDATE tombstones SET thread = 9"
    ),
    "a conversation that nobody remembers": _sql(
        "INBOX, UID 3: it is in conversation 2, and its Message-IDs belong elsewhere", "DELETE FROM threads"
    ),
    "a conversation without Message-IDs": _sql(
        "INBOX, UID 5: it is in conversation 4, and its Message-IDs belong elsewhere",
        f"UPDATE entries SET thread = 4 WHERE {_OF_INBOX} AND uid = 5",
    ),
    # --- the site
    "the counter of letters": _sql(
        "counter message: it stands at 1, and 5 was given away",
        "UPDATE counters SET value = 1 WHERE name = 'message'",
    ),
    "the counter of UIDVALIDITY": _sql(
        "counter uid_validity: it stands at 1", "UPDATE counters SET value = 1 WHERE name = 'uid_validity'"
    ),
    "the counter of accounts": _sql(
        "counter accounts: it stands at None", "DELETE FROM counters WHERE name = 'accounts'"
    ),
    "the index's name": _sql("the index has no name of its own", "DELETE FROM site"),
    "an outgoing letter": _sql(
        "outgoing letter 1: it is not in the index",
        "INSERT INTO queue_letters VALUES (1, 99, x'', '', NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0)",
        left="outgoing letter 1: it is not in the index",
    ),
    "an outgoing letter's recipient": _sql(
        "outgoing letter 9: it is gone, and its recipient number 0 isn't",
        "INSERT INTO queue_recipients VALUES (9, 0, 'x@y', 'y', NULL, 0, 0, 0, 0, NULL, NULL, NULL, NULL)",
    ),
}
