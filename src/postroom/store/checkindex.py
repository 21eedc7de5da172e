"""What must hold between the rows of the index: a table of statements, each of which gives the rows that are wrong.

Every statement is a snapshot of its own, is read to its end at once, and gives at most FINDINGS_OF_A_KIND rows: so
a check beside a live server pins the write-ahead log for one statement at a time and needs little memory, whatever
the number of letters. Sums are made by SQL in the order of a table's key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import apsw

from postroom.store.findings import (
    FINDINGS_OF_A_KIND,
    Finding,
    Severity,
    entry_name,
    letter_name,
    mailbox_name,
    note,
    problem,
)
from postroom.store.ledger import MAX_UID
from postroom.store.records import FRAME_OCTETS, SEGMENT_HEADER_OCTETS
from postroom.store.values import INBOX, Flag, SpecialUse

__all__ = ["CHECKS", "Check", "integrity"]

Check = Callable[[apsw.Connection], Iterator[Finding]]
"""One look at the index. Raises apsw.Error where the index is too damaged for it."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A check that is one statement. `says` is what each row means; {0}, {1} … are the row's columns."""

    about: str
    sql: str
    says: str
    severity: Severity = Severity.PROBLEM

    def __call__(self, connection: apsw.Connection) -> Iterator[Finding]:
        """Look."""
        tell = problem if self.severity is Severity.PROBLEM else note
        rows = connection.execute(f"{self.sql} LIMIT {FINDINGS_OF_A_KIND + 1}").fetchall()
        for row in rows[:FINDINGS_OF_A_KIND]:
            yield tell(self.says.format(*row))
        if len(rows) > FINDINGS_OF_A_KIND:
            yield tell(f"{self.about}: more of the same kind, not told one by one")


def integrity(connection: apsw.Connection, quick: bool) -> Iterator[Finding]:
    """SQLite's own check of its file; the quick one doesn't hold the indexes against their tables."""
    pragma = "quick_check" if quick else "integrity_check"
    for (says,) in connection.execute(f"PRAGMA {pragma}({FINDINGS_OF_A_KIND})").fetchall():
        if says != "ok":
            yield problem(f"index.db: {says}")


_COUNTED: Final = ("messages", "unseen", "deleted", "size", "recent")
_COUNT = f"""SELECT {mailbox_name("b.id")}, {", ".join(f"b.{name}, coalesce(c.{name}, 0)" for name in _COUNTED)}
 FROM mailboxes b LEFT JOIN (
  SELECT e.mailbox AS mailbox, count(*) AS messages, sum(e.flags & {int(Flag.SEEN)} = 0) AS unseen,
   sum(e.flags & {int(Flag.DELETED)} <> 0) AS deleted, sum(e.size) AS size, sum(e.uid >= o.first_recent) AS recent
  FROM entries e JOIN mailboxes o ON o.id = e.mailbox GROUP BY e.mailbox
 ) c ON c.mailbox = b.id
 WHERE {" OR ".join(f"b.{name} <> coalesce(c.{name}, 0)" for name in _COUNTED)}
 LIMIT {FINDINGS_OF_A_KIND + 1}"""


def _counters(connection: apsw.Connection) -> Iterator[Finding]:
    """A mailbox's counters against its entries."""
    rows = connection.execute(_COUNT).fetchall()
    for name, *numbers in rows[:FINDINGS_OF_A_KIND]:
        pairs = zip(_COUNTED, numbers[::2], numbers[1::2], strict=True)
        wrong = [f"{counter} says {says}, counted {counted}" for counter, says, counted in pairs if says != counted]
        yield problem(f"{name}: {'; '.join(wrong)}")
    if len(rows) > FINDINGS_OF_A_KIND:
        yield problem("counters of mailboxes: more are wrong")


_FLAGS: Final = int(~Flag(0))
_USES: Final = ", ".join(f"'{use}'" for use in SpecialUse)


def _without(child: str, column: str, parent: str, key: str) -> str:
    """The end of a statement: rows of `child` (known as c) whose parent isn't there."""
    return f"FROM {child} c WHERE NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.{key} = c.{column})"


def _highest(column: str, own: str) -> str:
    """The highest UID or modseq of a mailbox b's rows, of its own where it has none."""
    one = f"coalesce((SELECT max({column}) FROM {{}} WHERE mailbox = b.id), b.{own})"
    return f"max({one.format('entries')}, {one.format('tombstones')})"


CHECKS: Final[tuple[Check, ...]] = (
    # --- entries and tombstones
    Rows(
        "entries",
        f"SELECT {entry_name('c')} {_without('entries', 'message', 'messages', 'id')}",
        "{0}: its letter is not in the index",
    ),
    Rows(
        "tombstones",
        f"SELECT {entry_name('c')} {_without('tombstones', 'message', 'messages', 'id')}",
        "{0}, expunged: its letter is not in the index",
    ),
    Rows(
        "entries",
        f"SELECT {entry_name('c')} {_without('entries', 'mailbox', 'mailboxes', 'id')}",
        "{0}: a letter in a mailbox that is gone",
    ),
    Rows(
        "tombstones",
        f"""SELECT {entry_name("c")} {_without("tombstones", "mailbox", "mailboxes", "id")}
        AND NOT EXISTS (SELECT 1 FROM deleted_mailboxes d WHERE d.id = c.mailbox)""",
        "{0}, expunged: of a mailbox that nobody knows",
    ),
    Rows(
        "UIDs",
        f"SELECT {entry_name('t')} FROM tombstones t JOIN entries e USING (mailbox, uid)",
        "{0}: this UID was expunged, and a letter has it",
    ),
    Rows(
        "UIDs",
        f"SELECT {entry_name('e')} FROM entries e WHERE e.uid NOT BETWEEN 1 AND {MAX_UID}",
        "{0}: no UID can be so",
    ),
    Rows(
        "flags",
        f"SELECT {entry_name('e')} FROM entries e WHERE e.flags & ~{_FLAGS}",
        "{0}: flags that nobody knows",
    ),
    Rows(
        "sizes",
        f"""SELECT {entry_name("e")}, e.size, length(e.prefix) + x.size FROM entries e JOIN messages x
        ON x.id = e.message WHERE e.size <> length(e.prefix) + x.size""",
        "{0}: the index says {1} octets, the letter and its prefix have {2}",
    ),
    Rows(
        "sizes",
        f"""SELECT {entry_name("e")}, e.size, length(e.prefix) + x.size FROM tombstones e JOIN messages x
        ON x.id = e.message WHERE e.size <> length(e.prefix) + x.size""",
        "{0}, expunged: the index says {1} octets, the letter and its prefix have {2}",
    ),
    # --- letters
    Rows(
        "answers",
        f"""SELECT {letter_name("x")} FROM messages x
        WHERE NOT EXISTS (SELECT 1 FROM answers a WHERE a.message = x.id)""",
        "{0}: its ENVELOPE and BODYSTRUCTURE are missing",
    ),
    Rows(
        "answers",
        f"SELECT c.message {_without('answers', 'message', 'messages', 'id')}",
        "letter number {0}: an ENVELOPE without a letter",
        Severity.NOTE,
    ),
    Rows(
        "headers",
        f"""SELECT {letter_name("x")}, x.header_size, x.size FROM messages x
        WHERE x.header_size NOT BETWEEN 0 AND x.size""",
        "{0}: a header of {1} octets in a letter of {2}",
    ),
    Rows(
        # A lone CR or LF gets another octet, a last line without end gets two.
        "sizes",
        f"""SELECT {letter_name("x")}, x.crlf_size, x.size FROM messages x
        WHERE x.crlf_size NOT BETWEEN x.size AND 2 * x.size + 1""",
        "{0}: {1} octets are to be sent by POP3 of a letter of {2}",
    ),
    Rows(
        "places",
        f"""SELECT {letter_name("x")}, printf('%010d.seg', x.segment), x.offset FROM messages x
        LEFT JOIN segments s ON s.number = x.segment
        WHERE x.size < 0 OR x.offset < {SEGMENT_HEADER_OCTETS + FRAME_OCTETS}
        OR x.offset + x.size > coalesce(s.length, 0)""",
        "{0}: the index looks for it in segment file {1} at offset {2}, where nothing can be",
    ),
    Rows(
        "places",
        """SELECT printf('%010d.seg', segment), offset, count(*) FROM messages
        GROUP BY segment, offset HAVING count(*) > 1""",
        "segment file {0}, offset {1}: {2} letters of the index are said to be here",
    ),
    Rows(
        "the queue",
        f"SELECT c.id {_without('queue_letters', 'message', 'messages', 'id')}",
        "outgoing letter {0}: it is not in the index",
    ),
    # --- mailboxes
    _counters,
    Rows(
        "uid_next",
        f"""SELECT {mailbox_name("b.id")}, b.uid_next, {_highest("uid", "uid_next - 1")} FROM mailboxes b
        WHERE b.uid_next <= {_highest("uid", "uid_next - 1")}""",
        "{0}: its next UID would be {1}, and {2} was given away",
    ),
    Rows(
        "modseqs",
        f"""SELECT {mailbox_name("b.id")}, b.highest_modseq, {_highest("modseq", "highest_modseq")} FROM mailboxes b
        WHERE b.highest_modseq < {_highest("modseq", "highest_modseq")}""",
        "{0}: its highest modseq is said to be {1}, and a letter has {2}",
    ),
    Rows(
        "\\Recent",
        f"SELECT {mailbox_name('b.id')} FROM mailboxes b WHERE b.first_recent NOT BETWEEN 1 AND b.uid_next",
        "{0}: letters would be recent that aren't there yet",
    ),
    Rows(
        "UIDVALIDITY",
        """SELECT coalesce((SELECT address FROM accounts WHERE id = owner), 'account number ' || owner),
        uid_validity, group_concat(name, ', ') FROM (SELECT owner, name, uid_validity FROM mailboxes
        UNION ALL SELECT owner, name, uid_validity FROM deleted_mailboxes)
        GROUP BY owner, uid_validity HAVING count(*) > 1""",
        "{0}: mailboxes share the UIDVALIDITY {1}: {2}",
    ),
    Rows(
        "deleted mailboxes",
        f"SELECT {mailbox_name('b.id')} FROM mailboxes b JOIN deleted_mailboxes d ON d.id = b.id",
        "{0}: it is there and deleted at once",
    ),
    Rows(
        "special uses",
        f"SELECT {mailbox_name('b.id')} FROM mailboxes b WHERE b.special_use NOT IN ({_USES})",
        "{0}: a special use that nobody knows",
    ),
    Rows(
        "mailboxes",
        f"SELECT c.id, c.name {_without('mailboxes', 'owner', 'accounts', 'id')}",
        "mailbox number {0}, {1}: its account is gone",
    ),
    # --- accounts
    Rows(
        "accounts",
        f"""SELECT a.address FROM accounts a
        WHERE NOT EXISTS (SELECT 1 FROM mailboxes b WHERE b.owner = a.id AND b.name = '{INBOX}')""",
        "{0}: the account has no INBOX",
    ),
    Rows(
        "subscriptions",
        f"SELECT c.account, c.name {_without('subscriptions', 'account', 'accounts', 'id')}",
        "account number {0}, which is gone: still subscribed to {1}",
    ),
    Rows(
        "rights",
        f"SELECT c.identifier, c.mailbox {_without('rights', 'mailbox', 'mailboxes', 'id')}",
        "{0}: rights to mailbox number {1}, which is gone",
    ),
    Rows(
        "\\Seen of others",
        f"""SELECT {entry_name("c")} {_without("seen", "accessor", "accounts", "id")}
        OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.mailbox = c.mailbox AND e.uid = c.uid)""",
        "{0}: seen by somebody, and the letter or the reader is gone",
    ),
    Rows(
        # Who isn't here may well be elsewhere; but who was here and left is gone.
        "aliases",
        """SELECT l.name, l.target FROM aliases l JOIN account_changes c ON c.address = l.target
        WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.address = l.target)
        AND NOT EXISTS (SELECT 1 FROM aliases o WHERE o.name = l.target)""",
        "alias {0}: it leads to {1}, an account that was removed",
        Severity.NOTE,
    ),
    # --- the site's counters
    Rows(
        "counters",
        """SELECT u.name, c.value, u.used FROM (
        SELECT 'uid_validity' AS name, max((SELECT coalesce(max(uid_validity), 0) FROM mailboxes),
            (SELECT coalesce(max(uid_validity), 0) FROM deleted_mailboxes)) AS used
        UNION ALL SELECT 'message', coalesce(max(id), 0) FROM messages
        UNION ALL SELECT 'accounts', coalesce(max(serial), 0) FROM account_changes
        ) u LEFT JOIN counters c USING (name) WHERE coalesce(c.value, -1) < u.used""",
        "counter {0}: it stands at {1}, and {2} was given away",
    ),
)
