"""What an index out of a backup must not say any more: restored, it is another one.

Its clients may have seen what came after the backup, so every mailbox gets a new UIDVALIDITY. Its queue may have
been sent meanwhile, so all of it is on hold. What others made from its numbers is not of it: it gets a name of its
own.
"""

from __future__ import annotations

import secrets

import apsw

from postroom.net.limits import RESTORE_UID_VALIDITIES
from postroom.store.index import fetch_one, migrate

__all__ = ["make_another"]


def make_another(connection: apsw.Connection, now: int) -> None:
    """Bring a restored index to this program's schema and make it another one. `now` is in seconds since 1970 UTC.
    Raises `NewerSchema`, apsw.Error."""
    migrate(connection)
    with connection:
        run = connection.execute
        highest = max(
            now,
            *fetch_one(
                connection,
                """SELECT coalesce((SELECT value FROM counters WHERE name = 'uid_validity'), 0),
                coalesce((SELECT max(uid_validity) FROM mailboxes), 0),
                coalesce((SELECT max(uid_validity) FROM deleted_mailboxes), 0)""",
            ),
        )
        # The lost index may have given away some after its backup, faster than one a second.
        highest += RESTORE_UID_VALIDITIES
        for table in ("mailboxes", "deleted_mailboxes"):
            run(
                f"""UPDATE {table} SET uid_validity = ? + place FROM
                (SELECT id AS one, row_number() OVER (ORDER BY id) AS place FROM {table}) WHERE id = one""",
                (highest,),
            ).fetchall()
            highest += int(fetch_one(connection, f"SELECT count(*) FROM {table}")[0])
        run(
            """INSERT INTO counters (name, value) VALUES ('uid_validity', ?)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value""",
            (highest,),
        ).fetchall()
        run("UPDATE queue_letters SET held = 1").fetchall()
        # Whoever was at it is no more.
        run("UPDATE queue_recipients SET lease = NULL, lease_until = NULL").fetchall()
        run("DELETE FROM kept_replies").fetchall()
        run("INSERT OR REPLACE INTO site VALUES ('index', ?)", (secrets.token_hex(16),)).fetchall()
