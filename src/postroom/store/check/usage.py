"""What must hold of sums and of what is gone: usage, live octets, deleted mailboxes, stories, the queue."""

from __future__ import annotations

from typing import Final

from postroom.store.check.findings import Severity, entry_name, letter_name, mailbox_name
from postroom.store.check.rows import Check, Rows, delete_without, without
from postroom.store.records import SEGMENT_HEADER_OCTETS
from postroom.store.usage import DOMAIN

__all__ = ["USAGE_CHECKS"]

_SEGMENT: Final = "printf('%010d.seg', s.number)"
_OWN: Final = """FROM accounts a LEFT JOIN (SELECT owner, sum(size) AS octets, sum(messages) AS letters
 FROM mailboxes GROUP BY owner) m ON m.owner = a.id
 WHERE a.octets <> coalesce(m.octets, 0) OR a.letters <> coalesce(m.letters, 0)"""
_TOGETHER: Final = f"""(SELECT {DOMAIN.format("address")} AS name, sum(octets) AS octets, sum(letters) AS letters
 FROM accounts GROUP BY 1)"""

USAGE_CHECKS: Final[tuple[Check, ...]] = (
    # --- quota
    Rows(
        "usage",
        f"""SELECT a.address, a.octets, a.letters, coalesce(m.octets, 0), coalesce(m.letters, 0) {_OWN}""",
        "{0}: {1} octets and {2} letters count against its quota, its mailboxes have {3} and {4}",
        fix=(
            """UPDATE accounts AS a SET (octets, letters) =
            (SELECT coalesce(sum(size), 0), coalesce(sum(messages), 0) FROM mailboxes WHERE owner = a.id)""",
        ),
    ),
    Rows(
        "usage",
        f"""SELECT t.name, t.octets, t.letters FROM {_TOGETHER} t
        WHERE NOT EXISTS (SELECT 1 FROM domains d WHERE d.name = t.name)""",
        "domain {0}: its accounts keep {1} octets and {2} letters, and nobody counts them",
        fix=(f"INSERT OR IGNORE INTO domains SELECT name, octets, letters, NULL, NULL FROM {_TOGETHER}",),
    ),
    Rows(
        "usage",
        f"""SELECT d.name, d.octets, d.letters, coalesce(t.octets, 0), coalesce(t.letters, 0)
        FROM domains d LEFT JOIN {_TOGETHER} t ON t.name = d.name
        WHERE d.octets <> coalesce(t.octets, 0) OR d.letters <> coalesce(t.letters, 0)""",
        "domain {0}: {1} octets and {2} letters count against its quota, its accounts have {3} and {4}",
        fix=(
            f"""UPDATE domains AS d SET (octets, letters) =
            (SELECT coalesce(sum(octets), 0), coalesce(sum(letters), 0) FROM {_TOGETHER} t
            WHERE t.name = d.name)""",
        ),
    ),
    # --- segments
    Rows(
        "segments",
        f"""SELECT {_SEGMENT}, s.live, coalesce(x.live, 0) FROM segments s LEFT JOIN
        (SELECT segment, sum(size) AS live FROM messages GROUP BY segment) x ON x.segment = s.number
        WHERE s.live <> coalesce(x.live, 0)""",
        "segment file {0}: {1} octets of letters are said to be in it, counted {2}",
        fix=(
            """UPDATE segments SET live =
            (SELECT coalesce(sum(size), 0) FROM messages x WHERE x.segment = segments.number)""",
        ),
    ),
    Rows(
        "segments",
        f"""SELECT {_SEGMENT} FROM segments s WHERE s.retired IS NOT NULL
        AND EXISTS (SELECT 1 FROM messages x WHERE x.segment = s.number)""",
        "segment file {0}: it is to be taken away, and letters are in it",
        fix=("UPDATE segments SET retired = NULL WHERE number IN (SELECT segment FROM messages)",),
    ),
    Rows(
        "segments",
        f"SELECT {_SEGMENT}, s.length FROM segments s WHERE s.length < {SEGMENT_HEADER_OCTETS}",
        "segment file {0}: no segment has {1} octets",
        fix=(f"UPDATE segments SET length = {SEGMENT_HEADER_OCTETS} WHERE length < {SEGMENT_HEADER_OCTETS}",),
    ),
    # --- what is gone
    Rows(
        "tombstones",
        f"SELECT {entry_name('t')} FROM tombstones t WHERE t.why NOT BETWEEN 0 AND 2",
        "{0}, expunged: for a reason that nobody knows",
        fix=("UPDATE tombstones SET why = 0 WHERE why NOT BETWEEN 0 AND 2",),
    ),
    Rows(
        "deleted mailboxes",
        f"""SELECT {entry_name("t")}, t.modseq, d.modseq FROM deleted_mailboxes d JOIN tombstones t
        ON t.mailbox = d.id WHERE t.modseq > d.modseq""",
        "{0}, expunged: its modseq {1} is above the last one of its deleted mailbox, {2}",
        fix=(
            """UPDATE tombstones SET modseq = d.modseq FROM deleted_mailboxes d
            WHERE d.id = tombstones.mailbox AND tombstones.modseq > d.modseq""",
        ),
    ),
    Rows(
        "deleted mailboxes",
        "SELECT d.id, d.name FROM deleted_mailboxes d WHERE d.restored NOT BETWEEN 0 AND 1",
        "deleted mailbox number {0}, {1}: nobody can tell whether it was brought back",
        fix=("UPDATE deleted_mailboxes SET restored = 0 WHERE restored NOT BETWEEN 0 AND 1",),
    ),
    Rows(
        "deleted mailboxes",
        """SELECT d.id, d.name, d.owner FROM deleted_mailboxes d
        WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = d.owner)
        AND NOT EXISTS (SELECT 1 FROM removed_accounts r WHERE r.id = d.owner)""",
        "deleted mailbox number {0}, {1}: it was of account number {2}, whose address nobody knows any more",
        Severity.NOTE,
    ),
    Rows(
        "accounts",
        "SELECT a.address FROM accounts a JOIN removed_accounts r ON r.id = a.id",
        "{0}: the account is there and removed at once",
        fix=("DELETE FROM removed_accounts WHERE id IN (SELECT id FROM accounts)",),
    ),
    # --- stories, the queue
    Rows(
        "stories",
        f"SELECT c.message {without('stories', 'message', 'messages', 'id')}",
        "letter number {0}: a story without a letter",
        Severity.NOTE,
        fix=(delete_without("stories", "message", "messages", "id"),),
    ),
    Rows(
        "the queue",
        f"SELECT c.letter, c.position {without('queue_recipients', 'letter', 'queue_letters', 'id')}",
        "outgoing letter {0}: it is gone, and its recipient number {1} isn't",
        fix=(delete_without("queue_recipients", "letter", "queue_letters", "id"),),
    ),
    # --- letters that are kept for nobody
    Rows(
        "letters",
        f"""SELECT {letter_name("x")} FROM messages x
        WHERE NOT EXISTS (SELECT 1 FROM entries e WHERE e.message = x.id)
        AND NOT EXISTS (SELECT 1 FROM tombstones t WHERE t.message = x.id)
        AND NOT EXISTS (SELECT 1 FROM queue_letters q WHERE q.message = x.id)""",
        "{0}: nothing holds it, and compaction will forget it",
        Severity.NOTE,
    ),
    # --- names
    Rows(
        # What stands before the last separator: levels are never empty.
        "mailboxes",
        f"""SELECT {mailbox_name("b.id")} FROM (SELECT id, owner, name, rtrim(name, replace(name, '/', '')) AS above
        FROM mailboxes WHERE instr(name, '/')) b WHERE NOT EXISTS (SELECT 1 FROM mailboxes p
        WHERE p.owner = b.owner AND p.name = substr(b.above, 1, length(b.above) - 1))""",
        "{0}: the level above it is missing",
    ),
    Rows(
        "the site",
        """SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM site WHERE name = 'index' AND length(value) >= 16)""",
        "the index has no name of its own: a search index made from another one would be taken for its",
        fix=("INSERT OR REPLACE INTO site VALUES ('index', lower(hex(randomblob(16))))",),
    ),
)
