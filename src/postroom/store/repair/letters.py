"""Letters' rows: those that entries name and nobody has, made anew from the records, and answers that a letter's
octets give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from postroom.message.structure import parse
from postroom.store.apply.compaction import HOLDERS, UNHELD
from postroom.store.check.findings import Finding, letter_name, problem
from postroom.store.check.rows import without
from postroom.store.index import fetch_all, fetch_one
from postroom.store.letterrows import LEARNED, answers_row, learned, letter_row
from postroom.store.rebuild.scan import Found, scan_segment, segment_files
from postroom.store.repair.answers import octets_at, record_facts
from postroom.store.repair.bench import Bench, repaired, transaction
from postroom.store.stories import write_happening
from postroom.store.values import Place

__all__ = ["repair_answers", "repair_missing"]

_SLICE: Final = 500
_LOST: Final = " UNION ".join(
    f"SELECT c.message AS message, {size} AS size, {date} AS date {without(table, 'message', 'messages', 'id')}"
    for table, size, date in (
        ("entries", "c.size - length(c.prefix)", "c.internal_date"),
        ("tombstones", "c.size - length(c.prefix)", "c.internal_date"),
        ("queue_letters", "NULL", "NULL"),
    )
)


def repair_missing(bench: Bench) -> Iterator[Finding]:
    """Letters that something holds and that have no row. A record that the index doesn't know, of the same size and
    date, and with the same ENVELOPE where that is still known, is theirs; else a letter of that size and date that
    nothing holds. Raises OSError, apsw.Error."""
    lost = fetch_all(bench.connection, f"SELECT * FROM ({_LOST}) ORDER BY message")
    if not lost:
        return
    unknown = _unknown_records(bench, {size for _, size, _ in lost})
    for message, size, date in lost:
        if fetch_one(bench.connection, "SELECT 1 FROM messages WHERE id = ?", (message,)) is not None:
            continue
        fitting = [
            each for each in unknown if each.size == size and each.facts and each.facts.internal_date == date
        ]
        for found in fitting:
            if _refile(bench, message, found):
                unknown.remove(found)
                yield repaired(f"letter {found.email_id}: its row in the index is there again")
                break
        else:
            unheld = _unheld(bench, message, size, date)
            if unheld is None:
                yield problem(f"letter number {message}: its row is lost, and no record fits; a backup may have it")
            else:
                _point_to(bench, message, unheld)
                yield repaired(f"letter number {message}: it is letter number {unheld}, which nothing held")


def _unheld(bench: Bench, message: int, size: int | None, date: int | None) -> int | None:
    """A letter of this size and date that nothing holds, or that came in for those who hold the lost one and that
    none of them holds."""
    owners = fetch_all(bench.connection, _OWNERS, (message,))
    for found, *place, free in fetch_all(
        bench.connection,
        f"SELECT id, segment, offset, size, {UNHELD} FROM messages WHERE size = ? ORDER BY id",
        (size,),
    ):
        with suppress(OSError):
            facts = record_facts(bench.folder, Place(*place))
            if facts is None or facts.internal_date != date:
                continue
            named = {target.address for target in facts.targets}
            holders = {owner for (owner, _) in fetch_all(bench.connection, _OWNERS, (found,))}
            if free or (owners and all(who in named and owner not in holders for owner, who in owners)):
                return int(found)
    return None


_OWNERS: Final = """SELECT DISTINCT a.id, a.address FROM (SELECT mailbox, message FROM entries
 UNION ALL SELECT mailbox, message FROM tombstones) h JOIN mailboxes b ON b.id = h.mailbox
 JOIN accounts a ON a.id = b.owner WHERE h.message = ?"""


def _point_to(bench: Bench, message: int, found: int) -> None:
    """Let what holds the one letter hold the other; or give the other its number, if that one's answers have it."""
    with transaction(bench.connection, bench.now):
        sql = "SELECT 1 FROM answers WHERE message = ?"
        if fetch_one(bench.connection, sql, (found,)) is None and fetch_one(bench.connection, sql, (message,)):
            sql = "UPDATE messages SET id = ? WHERE id = ?"
            bench.connection.execute(sql, (message, found)).fetchall()
            return
        for table in HOLDERS:
            sql = f"UPDATE {table} SET message = ? WHERE message = ?"
            bench.connection.execute(sql, (found, message)).fetchall()


def _unknown_records(bench: Bench, sizes: set[int | None]) -> list[Found]:
    """Whole records of letters of these sizes that the index doesn't know, in the order of their arrival."""
    found: dict[str, Found] = {}
    for number, path in segment_files(bench.folder):
        with suppress(OSError):
            for each in scan_segment(number, path, lambda at: None):
                if each.size in sizes and each.whole and not each.doubtful and each.email_id not in found:
                    sql = "SELECT 1 FROM messages WHERE email_id = ?"
                    if fetch_one(bench.connection, sql, (each.email_id,)) is None:
                        found[each.email_id] = each
    return sorted(found.values(), key=lambda each: (each.email_id[:13], each.segment, each.offset))


def _refile(bench: Bench, message: int, found: Found) -> bool:
    """Give a letter its row; False where it is another one."""
    place = Place(found.segment, found.offset, found.size)
    with octets_at(bench.folder, place) as data:
        facts = parse(data)
    row = fetch_one(bench.connection, "SELECT envelope FROM answers WHERE message = ?", (message,))
    if row is not None and row[0] != facts.envelope and row[0][:1] == b"(" and row[0][-1:] == b")":
        return False
    with transaction(bench.connection, bench.now):
        many = bench.connection.executemany
        many(
            f"INSERT INTO messages VALUES ({', '.join('?' * 17)})",
            [letter_row(message, place, found.email_id, facts)],
        )
        many("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", [answers_row(message, facts)])
        line = write_happening(bench.now, "repaired", "fsck", "its row was lost")
        many("INSERT OR IGNORE INTO stories VALUES (?, ?)", [(message, line)])
        many(
            """INSERT INTO segments (number, length, born) VALUES (?1, ?2, ?3)
            ON CONFLICT (number) DO UPDATE SET length = max(length, ?2), retired = NULL""",
            [(found.segment, found.end, bench.now)],
        )
    return True


_AMISS: Final = f"""SELECT x.id, x.segment, x.offset, x.size, {letter_name("x")} FROM messages x
 LEFT JOIN answers a ON a.message = x.id WHERE x.id > ? AND (a.message IS NULL
 OR substr(a.envelope, 1, 1) <> x'28' OR substr(a.envelope, -1) <> x'29'
 OR substr(a.bodystructure, 1, 1) <> x'28' OR substr(a.bodystructure, -1) <> x'29'
 OR x.header_size NOT BETWEEN 0 AND x.size OR x.crlf_size NOT BETWEEN x.size AND 2 * x.size + 1)
 ORDER BY x.id LIMIT {_SLICE}"""


def repair_answers(bench: Bench) -> Iterator[Finding]:
    """What a letter's octets say of it, where the index has nothing or what can't be. Raises apsw.Error."""
    after = -(2**63)
    while rows := fetch_all(bench.connection, _AMISS, (after,)):
        told = []
        with transaction(bench.connection, bench.now):
            for message, segment, offset, size, name in rows:
                with suppress(OSError, ValueError), octets_at(bench.folder, Place(segment, offset, size)) as data:
                    facts = parse(data)
                    sets = ", ".join(f"{column} = ?" for column in LEARNED)
                    sql = f"UPDATE messages SET {sets} WHERE id = ?"
                    bench.connection.execute(sql, (*learned(facts), message)).fetchall()
                    sql = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)"
                    bench.connection.execute(sql, answers_row(message, facts)).fetchall()
                    told.append(repaired(f"{name}: its ENVELOPE, BODYSTRUCTURE and sizes are made anew"))
        yield from told
        after = rows[-1][0]
