"""What must hold between the rows of the index: a table of statements, each of which gives the rows that are wrong.

Every statement is a snapshot of its own, is read to its end at once, and gives at most FINDINGS_OF_A_KIND rows: so
a check beside a live server pins the write-ahead log for one statement at a time and needs little memory, whatever
the number of letters. Sums are made by SQL in the order of a table's key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import apsw

from postroom.store.check.findings import (
    FINDINGS_OF_A_KIND,
    Finding,
    Severity,
    entry_name,
    letter_name,
    mailbox_name,
    problem,
)
from postroom.store.check.rows import Check, Rows, delete_without, without
from postroom.store.ledger import MAX_UID
from postroom.store.records import FRAME_OCTETS, SEGMENT_HEADER_OCTETS
from postroom.store.values import INBOX, Flag, SpecialUse

__all__ = ["CHECKS", "MAX_MODSEQ", "integrity"]


def integrity(connection: apsw.Connection, quick: bool) -> Iterator[Finding]:
    """SQLite's own check of its file; the quick one doesn't hold the indexes against their tables."""
    pragma = "quick_check" if quick else "integrity_check"
    for (says,) in connection.execute(f"PRAGMA {pragma}({FINDINGS_OF_A_KIND})").fetchall():
        if says != "ok":
            yield problem(f"index.db: {says}")


_COUNTED: Final = ("messages", "unseen", "deleted", "size", "recent")
_COUNTS: Final = f"""count(*) AS messages, coalesce(sum(e.flags & {int(Flag.SEEN)} = 0), 0) AS unseen,
 coalesce(sum(e.flags & {int(Flag.DELETED)} <> 0), 0) AS deleted, coalesce(sum(e.size), 0) AS size,
 coalesce(sum(e.uid >= o.first_recent), 0) AS recent"""
_WRONG: Final = " || ".join(
    f"""CASE WHEN b.{name} <> coalesce(c.{name}, 0)
    THEN printf('{name} says %d, counted %d; ', b.{name}, coalesce(c.{name}, 0)) ELSE '' END"""
    for name in _COUNTED
)

_FLAGS: Final = int(~Flag(0))
_USES: Final = ", ".join(f"'{use}'" for use in SpecialUse)


_USED: Final = """FROM (
 SELECT 'uid_validity' AS name, max((SELECT coalesce(max(uid_validity), 0) FROM mailboxes),
  (SELECT coalesce(max(uid_validity), 0) FROM deleted_mailboxes)) AS used
 UNION ALL SELECT 'message', coalesce(max(id), 0) FROM messages
 UNION ALL SELECT 'accounts', coalesce(max(serial), 0) FROM account_changes
 ) u LEFT JOIN counters c USING (name) WHERE coalesce(c.value, -1) < u.used"""


MAX_MODSEQ: Final = 2**62
"""No mailbox ever sees as many changes."""


def _last(column: str, most: int, own: str, least: int) -> str:
    """The highest UID or modseq that was given away in a mailbox b, by its rows and by its own `own`, as far as
    those can be."""
    one = f"coalesce((SELECT max({column}) FROM {{}} WHERE mailbox = b.id AND {column} <= {most}), {least})"
    mine = f"CASE WHEN {own} BETWEEN {least} AND {most} THEN {own} ELSE {least} END"
    return f"max({one.format('entries')}, {one.format('tombstones')}, {mine})"


_LAST_LETTER: Final = "(SELECT value FROM counters WHERE name = 'message')"
_LAST_UID: Final = _last("uid", MAX_UID, "b.uid_next - 1", 0)
_LAST_MODSEQ: Final = _last("modseq", MAX_MODSEQ, "b.highest_modseq", 1)

CHECKS: Final[tuple[Check, ...]] = (
    # --- entries and tombstones
    Rows(
        "entries",
        f"SELECT {entry_name('c')} {without('entries', 'message', 'messages', 'id')}",
        "{0}: its letter is not in the index",
    ),
    Rows(
        "tombstones",
        f"SELECT {entry_name('c')} {without('tombstones', 'message', 'messages', 'id')}",
        "{0}, expunged: its letter is not in the index",
        fix=(delete_without("tombstones", "message", "messages", "id"),),
    ),
    Rows(
        "entries",
        f"SELECT {entry_name('c')} {without('entries', 'mailbox', 'mailboxes', 'id')}",
        "{0}: a letter in a mailbox that is gone",
    ),
    Rows(
        "tombstones",
        f"""SELECT {entry_name("c")} {without("tombstones", "mailbox", "mailboxes", "id")}
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
        "UIDs",
        f"SELECT {entry_name('t')} FROM tombstones t WHERE t.uid NOT BETWEEN 1 AND {MAX_UID}",
        "{0}, expunged: no UID can be so",
    ),
    Rows(
        # Every change draws a modseq of its own.
        "modseqs",
        f"""SELECT {entry_name("e")}, t.uid FROM tombstones t JOIN entries e USING (mailbox, modseq)""",
        "{0}: it has the modseq with which UID {1} was expunged",
    ),
    Rows(
        "modseqs",
        f"SELECT {entry_name('e')}, e.modseq FROM entries e WHERE e.modseq NOT BETWEEN 1 AND {MAX_MODSEQ}",
        "{0}: no modseq can be {1}",
    ),
    Rows(
        "modseqs",
        f"SELECT {entry_name('t')}, t.modseq FROM tombstones t WHERE t.modseq NOT BETWEEN 1 AND {MAX_MODSEQ}",
        "{0}, expunged: no modseq can be {1}",
    ),
    Rows(
        # A conversation has the number of the letter that began it.
        "threads",
        f"SELECT {entry_name('e')}, e.thread FROM entries e WHERE e.thread NOT BETWEEN 1 AND {_LAST_LETTER}",
        "{0}: it is in conversation {1}, which can't have begun yet",
    ),
    Rows(
        "threads",
        f"SELECT {entry_name('t')}, t.thread FROM tombstones t WHERE t.thread NOT BETWEEN 1 AND {_LAST_LETTER}",
        "{0}, expunged: it is in conversation {1}, which can't have begun yet",
        fix=(f"UPDATE tombstones SET thread = message WHERE thread NOT BETWEEN 1 AND {_LAST_LETTER}",),
    ),
    Rows(
        "keywords",
        f"""SELECT {entry_name("e")} FROM entries e WHERE e.keywords <> ''
        AND (e.keywords <> trim(e.keywords) OR instr(e.keywords, '  '))""",
        "{0}: keywords that are not kept as they should be",
        fix=(
            """UPDATE entries SET keywords = trim(replace(replace(replace(keywords, ' ', char(1) || char(2)),
            char(2) || char(1), ''), char(1) || char(2), ' ')) WHERE keywords <> trim(keywords)
            OR instr(keywords, '  ')""",
        ),
    ),
    Rows(
        "flags",
        f"SELECT {entry_name('e')} FROM entries e WHERE e.flags & ~{_FLAGS}",
        "{0}: flags that nobody knows",
        fix=(f"UPDATE entries SET flags = flags & {_FLAGS} WHERE flags & ~{_FLAGS}",),
    ),
    Rows(
        "sizes",
        f"""SELECT {entry_name("e")}, e.size, length(e.prefix) + x.size FROM entries e JOIN messages x
        ON x.id = e.message WHERE e.size <> length(e.prefix) + x.size""",
        "{0}: the index says {1} octets, the letter and its prefix have {2}",
        fix=(
            """UPDATE entries AS e SET size = length(e.prefix) + x.size FROM messages x
            WHERE x.id = e.message AND e.size <> length(e.prefix) + x.size""",
        ),
    ),
    Rows(
        "sizes",
        f"""SELECT {entry_name("e")}, e.size, length(e.prefix) + x.size FROM tombstones e JOIN messages x
        ON x.id = e.message WHERE e.size <> length(e.prefix) + x.size""",
        "{0}, expunged: the index says {1} octets, the letter and its prefix have {2}",
        fix=(
            """UPDATE tombstones AS e SET size = length(e.prefix) + x.size FROM messages x
            WHERE x.id = e.message AND e.size <> length(e.prefix) + x.size""",
        ),
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
        f"SELECT c.message {without('answers', 'message', 'messages', 'id')}",
        "letter number {0}: an ENVELOPE without a letter",
        Severity.NOTE,
        fix=(delete_without("answers", "message", "messages", "id"),),
    ),
    Rows(
        "answers",
        f"""SELECT {letter_name("x")} FROM answers a JOIN messages x ON x.id = a.message
        WHERE substr(a.envelope, 1, 1) <> x'28' OR substr(a.envelope, -1) <> x'29'
        OR substr(a.bodystructure, 1, 1) <> x'28' OR substr(a.bodystructure, -1) <> x'29'""",
        "{0}: its ENVELOPE or BODYSTRUCTURE is no such thing",
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
        f"SELECT c.id {without('queue_letters', 'message', 'messages', 'id')}",
        "outgoing letter {0}: it is not in the index",
    ),
    # --- mailboxes
    Rows(
        "counters of mailboxes",
        f"""SELECT {mailbox_name("b.id")}, rtrim({_WRONG}, '; ') FROM mailboxes b LEFT JOIN (
        SELECT e.mailbox AS mailbox, {_COUNTS} FROM entries e JOIN mailboxes o ON o.id = e.mailbox
        GROUP BY e.mailbox
        ) c ON c.mailbox = b.id WHERE {" OR ".join(f"b.{name} <> coalesce(c.{name}, 0)" for name in _COUNTED)}""",
        "{0}: {1}",
        fix=(
            f"""UPDATE mailboxes AS o SET ({", ".join(_COUNTED)}) =
            (SELECT {_COUNTS} FROM entries e WHERE e.mailbox = o.id)""",
        ),
    ),
    Rows(
        "uid_next",
        f"""SELECT {mailbox_name("b.id")}, b.uid_next, {_LAST_UID} FROM mailboxes b
        WHERE b.uid_next <> 1 + {_LAST_UID}""",
        "{0}: its next UID would be {1}, and {2} was given away",
        fix=(f"UPDATE mailboxes AS b SET uid_next = 1 + {_LAST_UID} WHERE b.uid_next <> 1 + {_LAST_UID}",),
    ),
    Rows(
        "modseqs",
        f"""SELECT {mailbox_name("b.id")}, b.highest_modseq, {_LAST_MODSEQ} FROM mailboxes b
        WHERE b.highest_modseq <> {_LAST_MODSEQ}""",
        "{0}: its highest modseq is said to be {1}, and a letter has {2}",
        fix=(
            f"""UPDATE mailboxes AS b SET highest_modseq = {_LAST_MODSEQ}
            WHERE b.highest_modseq <> {_LAST_MODSEQ}""",
        ),
    ),
    Rows(
        "modseqs",
        f"""SELECT {mailbox_name("b.id")}, b.forgotten_modseq, b.highest_modseq FROM mailboxes b
        WHERE b.forgotten_modseq NOT BETWEEN 0 AND b.highest_modseq""",
        "{0}: it has forgotten what was expunged up to modseq {1}, and is only at {2}",
        fix=(
            """UPDATE mailboxes SET forgotten_modseq = max(forgotten_modseq, 0),
            highest_modseq = max(highest_modseq, forgotten_modseq)
            WHERE forgotten_modseq NOT BETWEEN 0 AND highest_modseq""",
        ),
    ),
    Rows(
        "\\Recent",
        f"SELECT {mailbox_name('b.id')} FROM mailboxes b WHERE b.first_recent NOT BETWEEN 1 AND b.uid_next",
        "{0}: letters would be recent that aren't there yet",
        fix=(
            """UPDATE mailboxes SET first_recent = min(max(first_recent, 1), uid_next)
            WHERE first_recent NOT BETWEEN 1 AND uid_next""",
        ),
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
        fix=("DELETE FROM deleted_mailboxes WHERE id IN (SELECT id FROM mailboxes)",),
    ),
    Rows(
        "special uses",
        f"SELECT {mailbox_name('b.id')} FROM mailboxes b WHERE b.special_use NOT IN ({_USES})",
        "{0}: a special use that nobody knows",
        fix=(f"UPDATE mailboxes SET special_use = NULL WHERE special_use NOT IN ({_USES})",),
    ),
    Rows(
        "mailboxes",
        f"SELECT c.id, c.name {without('mailboxes', 'owner', 'accounts', 'id')}",
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
        f"SELECT c.account, c.name {without('subscriptions', 'account', 'accounts', 'id')}",
        "account number {0}, which is gone: still subscribed to {1}",
        fix=(delete_without("subscriptions", "account", "accounts", "id"),),
    ),
    Rows(
        "rights",
        f"SELECT c.identifier, c.mailbox {without('rights', 'mailbox', 'mailboxes', 'id')}",
        "{0}: rights to mailbox number {1}, which is gone",
        fix=(delete_without("rights", "mailbox", "mailboxes", "id"),),
    ),
    Rows(
        "\\Seen of others",
        f"""SELECT {entry_name("c")} {without("seen", "accessor", "accounts", "id")}
        OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.mailbox = c.mailbox AND e.uid = c.uid)""",
        "{0}: seen by somebody, and the letter or the reader is gone",
        fix=(
            """DELETE FROM seen WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = seen.accessor) OR NOT EXISTS
            (SELECT 1 FROM entries e WHERE e.mailbox = seen.mailbox AND e.uid = seen.uid)""",
        ),
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
        f"SELECT u.name, c.value, u.used {_USED}",
        "counter {0}: it stands at {1}, and {2} was given away",
        fix=(f"INSERT OR REPLACE INTO counters SELECT u.name, max(coalesce(c.value, 0), u.used) {_USED}",),
    ),
)
