"""A sound store has no findings; whatever is damaged is found, and named as people know it."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store import checksegments
from postroom.store.check import Finding, Severity, check
from postroom.store.findings import FINDINGS_OF_A_KIND
from postroom.store.index import NewerSchema, OlderSchema, open_index
from postroom.store.interface import Store
from postroom.store.records import (
    FRAME_OCTETS,
    SEGMENT_HEADER_OCTETS,
    frame_of,
    write_frame,
    write_segment_header,
)
from postroom.store.sqlite import migrate, open_store
from postroom.store.values import (
    AddAlias,
    Copy,
    DeleteMailbox,
    Done,
    Expunge,
    Expunged,
    Filed,
    Flag,
    RemoveAccount,
    Subscribe,
    Target,
    Uid,
)
from tests.store.site import (
    ALICE,
    BOB,
    LETTER,
    Site,
    deliver,
    do,
    file,
    find,
    new_account,
    new_mailbox,
)

SECRET = b"From: x@elsewhere.test\r\nSubject: sesame\r\n\r\nopen sesame\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"x" * (BLOB_IN_MEMORY + 1)


async def a_busy_day(store: Store) -> None:
    """Letters 1 to 5 in alice's INBOX, of which 4 is expunged and 5 large; 1 and 2 copied to Work."""
    alice, bob = await new_account(store, ALICE), await new_account(store, BOB)
    inbox, other = await find(store, alice), await find(store, bob)
    await deliver(store, SECRET, Target(inbox.id, b"Delivered-To: alice\r\n"), Target(other.id, b"x"))
    await file(store, inbox, flags=Flag.SEEN, keywords=("$Work",))
    await file(store, inbox, flags=Flag.FLAGGED)
    await file(store, inbox, flags=Flag.DELETED)
    await file(store, inbox, LARGE)
    await do(store, Expunge(inbox.id, None), Expunged)
    work = await new_mailbox(store, alice, "Work")
    await do(store, Copy(inbox.id, (Uid(1), Uid(2)), work.id), Filed)
    await do(store, AddAlias("al@example.test", (ALICE,)), Done)
    await new_mailbox(store, bob, "Old")
    await do(store, DeleteMailbox(bob.id, "Old"), Done)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store in which things have happened."""
    site = Site(tmp_path / "data")
    site.run(a_busy_day)
    return site.root


def damage(root: Path, *sql: str) -> None:
    connection = apsw.Connection(str(root / "index.db"))
    for each in sql:
        connection.execute(each).fetchall()
        assert connection.changes() or not each.startswith(("UPDATE", "DELETE")), each
    connection.close()


def found(root: Path, severity: Severity = Severity.PROBLEM, quick: bool = True) -> list[str]:
    return [one.what for one in check(root, quick=quick) if one.severity is severity]


def segment(root: Path, number: int = 1) -> Path:
    return root / "segments" / f"{number:010}.seg"


def alter(path: Path, change: Callable[[bytearray], None]) -> None:
    octets = bytearray(path.read_bytes())
    change(octets)
    path.write_bytes(octets)


def flip(path: Path, at: int) -> None:
    def change(octets: bytearray) -> None:
        octets[at] ^= 1

    alter(path, change)


# --- sound


def test_an_empty_store_is_sound(tmp_path: Path) -> None:
    migrate(tmp_path)
    assert list(check(tmp_path)) == []


def test_a_store_in_which_things_happened_is_sound(root: Path) -> None:
    assert list(check(root)) == []


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_check_writes_nothing(root: Path) -> None:
    before = contents(root)
    list(check(root))
    after = contents(root)
    # SQLite makes these for its readers too, and leaves them empty.
    assert after.keys() - before.keys() <= {"index.db-wal", "index.db-shm"}
    assert after.get("index.db-wal", b"") == b""
    assert {name: after[name] for name in before} == before


def test_progress_counts_the_octets_of_all_segments_to_their_end(root: Path) -> None:
    told: list[tuple[int, int]] = []
    list(check(root, lambda done, total: told.append((done, total))))
    total = sum(path.stat().st_size for path in (root / "segments").iterdir())
    assert told[0] == (0, total)
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_long_look_at_the_index_is_the_default(root: Path) -> None:
    assert list(check(root)) == list(check(root, quick=True)) == []
    damage(
        root, "PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'entries_modseq'"
    )
    assert any(one.startswith("index.db: ") for one in found(root, quick=False))


@pytest.mark.parametrize(("version", "fault"), [(0, OlderSchema), (99, NewerSchema)])
def test_an_index_of_another_schema_is_refused(root: Path, version: int, fault: type[Exception]) -> None:
    damage(root, f"PRAGMA user_version = {version}")
    with pytest.raises(fault):
        list(check(root))


def test_an_index_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(apsw.Error):
        list(check(tmp_path))


def test_nothing_is_made_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(apsw.Error):
        list(check(tmp_path))
    assert list(tmp_path.iterdir()) == []


# --- beside a live server


def test_letters_that_come_while_segments_are_read_are_no_findings(root: Path) -> None:
    async def story() -> list[Finding]:
        store = await open_store(root)
        account = await store.account(ALICE)
        assert account is not None
        inbox = await find(store, account)
        await file(store, inbox)
        loop = asyncio.get_running_loop()

        def step(done: int, total: int) -> None:
            asyncio.run_coroutine_threadsafe(busy(), loop).result(30)

        async def busy() -> None:
            uid = await file(store, inbox)
            await do(store, Expunge(inbox.id, (uid,), deleted_only=False), Expunged)
            await file(store, inbox)

        findings = await asyncio.to_thread(lambda: list(check(root, step)))
        await store.close()
        return findings

    assert asyncio.run(story()) == []


def test_no_read_transaction_is_open_while_a_finding_is_handed_over(root: Path) -> None:
    damage(root, "UPDATE mailboxes SET unseen = 99 WHERE name = 'INBOX'")
    flip(segment(root), SEGMENT_HEADER_OCTETS + FRAME_OCTETS)
    for _ in check(root):
        other = apsw.Connection(str(root / "index.db"))
        other.execute("UPDATE counters SET value = value").fetchall()
        # A checkpoint that empties the log needs that nobody reads from it.
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall() == [(0, 0, 0)]
        other.close()


# --- rows


INBOX_ROW = "name = 'INBOX' AND owner = (SELECT id FROM accounts WHERE address = 'alice@example.test')"
OF_INBOX = f"mailbox = (SELECT id FROM mailboxes WHERE {INBOX_ROW})"
ROWS = {
    "an entry without letter": (
        f"UPDATE entries SET message = 99 WHERE {OF_INBOX} AND uid = 3",
        "alice@example.test, INBOX, UID 3: its letter is not in the index",
    ),
    "a tombstone without letter": (
        f"UPDATE tombstones SET message = 99 WHERE {OF_INBOX}",
        "alice@example.test, INBOX, UID 4, expunged: its letter is not in the index",
    ),
    "an entry without mailbox": (
        f"UPDATE entries SET mailbox = 99 WHERE {OF_INBOX} AND uid = 2",
        "mailbox number 99, UID 2: a letter in a mailbox that is gone",
    ),
    "a tombstone of no mailbox": (
        "UPDATE tombstones SET mailbox = 99",
        "mailbox number 99, UID 4, expunged: of a mailbox that nobody knows",
    ),
    "a UID used twice": (
        "UPDATE tombstones SET uid = 3",
        "alice@example.test, INBOX, UID 3: this UID was expunged, and a letter has it",
    ),
    "a UID that can't be": (
        f"UPDATE entries SET uid = 4294967296 WHERE {OF_INBOX} AND uid = 5",
        "alice@example.test, INBOX, UID 4294967296: no UID can be so",
    ),
    "flags that nobody knows": (
        f"UPDATE entries SET flags = 64 WHERE {OF_INBOX} AND uid = 3",
        "alice@example.test, INBOX, UID 3: flags that nobody knows",
    ),
    "an entry's size": (
        f"UPDATE entries SET size = size + 1 WHERE {OF_INBOX} AND uid = 1",
        f"UID 1: the index says {len(SECRET) + 22} octets, the letter and its prefix have {len(SECRET) + 21}",
    ),
    "a tombstone's size": ("UPDATE tombstones SET size = 0", "UID 4, expunged: the index says 0 octets"),
    "answers that are missing": (
        "DELETE FROM answers WHERE message = 1",
        "INBOX, UID 1: its ENVELOPE and BODYSTRUCTURE are missing",
    ),
    "a header larger than its letter": (
        "UPDATE messages SET header_size = size + 1 WHERE id = 3",
        "INBOX, UID 3: a header of",
    ),
    "a place behind the end": (
        "UPDATE messages SET offset = offset + 100000 WHERE id = 2",
        "INBOX, UID 2: the index looks for it in segment file 0000000001.seg at offset",
    ),
    "a place in a header": ("UPDATE messages SET offset = 10 WHERE id = 2", "at offset 10, where nothing can be"),
    "a place in no segment": ("UPDATE messages SET segment = 77 WHERE id = 2", "segment file 0000000077.seg"),
    "two letters in one place": (
        "UPDATE messages SET offset = (SELECT offset FROM messages WHERE id = 2) WHERE id = 3",
        "2 letters of the index are said to be here",
    ),
    "messages": (
        f"UPDATE mailboxes SET messages = 7 WHERE {INBOX_ROW}",
        "alice@example.test, INBOX: messages says 7, counted 4",
    ),
    "unseen": (f"UPDATE mailboxes SET unseen = 0 WHERE {INBOX_ROW}", "INBOX: unseen says 0, counted 3"),
    "deleted": (f"UPDATE mailboxes SET deleted = 1 WHERE {INBOX_ROW}", "INBOX: deleted says 1, counted 0"),
    "size": (f"UPDATE mailboxes SET size = 1 WHERE {INBOX_ROW}", "INBOX: size says 1, counted "),
    "recent": (f"UPDATE mailboxes SET recent = 9 WHERE {INBOX_ROW}", "INBOX: recent says 9, counted 4"),
    "counters of an empty mailbox": (
        "UPDATE mailboxes SET messages = 2, unseen = -1 WHERE name = 'Sent'",
        "Sent: messages says 2, counted 0; unseen says -1, counted 0",
    ),
    "a next UID that a letter has": (
        f"UPDATE mailboxes SET uid_next = 5, first_recent = 1 WHERE {INBOX_ROW}",
        "alice@example.test, INBOX: its next UID would be 5, and 5 was given away",
    ),
    "a next UID that a tombstone has": (
        "UPDATE tombstones SET uid = 9",
        "INBOX: its next UID would be 6, and 9 was given away",
    ),
    "a modseq above the highest": (
        f"UPDATE entries SET modseq = 1000 WHERE {OF_INBOX} AND uid = 1",
        "and a letter has 1000",
    ),
    "a modseq of a tombstone above the highest": (
        "UPDATE tombstones SET modseq = 1001",
        "and a letter has 1001",
    ),
    "recent letters to come": (
        f"UPDATE mailboxes SET first_recent = 7, recent = 0 WHERE {INBOX_ROW}",
        "INBOX: letters would be recent that aren't there yet",
    ),
    "a UIDVALIDITY used twice": (
        f"""UPDATE mailboxes SET uid_validity = (SELECT uid_validity FROM mailboxes WHERE {INBOX_ROW})
        WHERE name = 'Work'""",
        "alice@example.test: mailboxes share the UIDVALIDITY",
    ),
    "a UIDVALIDITY that a deleted mailbox had": (
        """UPDATE deleted_mailboxes SET uid_validity = (SELECT uid_validity FROM mailboxes
        WHERE name = 'INBOX' AND owner = deleted_mailboxes.owner)""",
        "bob@example.test: mailboxes share the UIDVALIDITY",
    ),
    "a mailbox that is there and deleted": (
        f"UPDATE deleted_mailboxes SET id = (SELECT id FROM mailboxes WHERE {INBOX_ROW})",
        "alice@example.test, INBOX: it is there and deleted at once",
    ),
    "a special use": (
        "UPDATE mailboxes SET special_use = '\\Odd' WHERE name = 'Sent'",
        "alice@example.test, Sent: a special use that nobody knows",
    ),
    "mailboxes without account": ("DELETE FROM accounts WHERE address LIKE 'bob%'", "INBOX: its account is gone"),
    "an account without INBOX": (
        f"UPDATE mailboxes SET name = 'Nothing' WHERE {INBOX_ROW}",
        "alice@example.test: the account has no INBOX",
    ),
    "a subscription without account": (
        "INSERT INTO subscriptions VALUES (99, 'News')",
        "account number 99, which is gone: still subscribed to News",
    ),
    "rights to nothing": (
        "INSERT INTO rights VALUES (99, 'bob@example.test', 'lr')",
        "bob@example.test: rights to mailbox number 99, which is gone",
    ),
    "seen by others and gone": ("INSERT INTO seen VALUES (1, 1, 99, 1)", "UID 99: seen by somebody"),
    "an outgoing letter": (
        "INSERT INTO queue_letters VALUES (1, 99, x'', '', NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0)",
        "outgoing letter 1: it is not in the index",
    ),
    "the counter of letters": (
        "UPDATE counters SET value = 1 WHERE name = 'message'",
        "counter message: it stands at 1, and 5 was given away",
    ),
    "the counter of UIDVALIDITY": (
        "UPDATE counters SET value = 1 WHERE name = 'uid_validity'",
        "counter uid_validity: it stands at 1",
    ),
    "the counter of accounts": (
        "DELETE FROM counters WHERE name = 'accounts'",
        "counter accounts: it stands at None",
    ),
}


@pytest.mark.parametrize(("sql", "says"), ROWS.values(), ids=ROWS)
def test_a_row_that_is_wrong_is_found(root: Path, sql: str, says: str) -> None:
    damage(root, sql)
    problems = found(root)
    assert any(says in one for one in problems), problems


def test_answers_without_letter_are_a_note(root: Path) -> None:
    damage(root, "INSERT INTO answers SELECT 99, envelope, bodystructure, parts FROM answers WHERE message = 1")
    assert found(root, Severity.NOTE) == ["letter number 99: an ENVELOPE without a letter"]
    assert found(root) == []


def test_an_alias_of_an_account_that_was_removed_is_a_note(tmp_path: Path) -> None:
    async def story(store: Store) -> None:
        await new_account(store, BOB)
        for target in (BOB, "bob@elsewhere.test"):
            await do(store, AddAlias("b@example.test", (target,)), Done)
        await do(store, RemoveAccount(BOB), Done)

    migrate(tmp_path)

    async def tell() -> None:
        store = await open_store(tmp_path)
        await story(store)
        await store.close()

    asyncio.run(tell())
    (only,) = check(tmp_path)
    assert only.severity is Severity.NOTE
    assert only.what == f"alias b@example.test: it leads to {BOB}, an account that was removed"


def test_a_subscription_to_a_mailbox_that_is_gone_is_no_finding(root: Path) -> None:
    async def story(store: Store) -> None:
        account = await store.account(ALICE)
        assert account is not None
        await do(store, Subscribe(account.id, "Nowhere"), Done)

    Site(root).run(story)


def test_a_million_of_a_kind_is_told_as_that(root: Path) -> None:
    count = FINDINGS_OF_A_KIND + 5
    rows = ",".join(f"(99, 'n{number}')" for number in range(count))
    damage(root, f"INSERT INTO subscriptions VALUES {rows}")
    problems = found(root)
    assert len(problems) == FINDINGS_OF_A_KIND + 1
    assert problems[-1] == "subscriptions: more of the same kind, not told one by one"


def test_many_mailboxes_with_wrong_counters_are_told_as_that(root: Path) -> None:
    rows = ",".join(
        f"(1, 'n{number}', {number + 1}, 1, 'F{number}', 0)" for number in range(FINDINGS_OF_A_KIND + 5)
    )
    damage(root, f"INSERT INTO mailboxes (owner, name, uid_validity, messages, object_id, created) VALUES {rows}")
    problems = found(root)
    assert len(problems) == FINDINGS_OF_A_KIND + 1
    assert problems[-1] == "counters of mailboxes: more are wrong"


def test_text_that_is_not_utf8_is_a_finding_and_the_other_checks_go_on(root: Path) -> None:
    damage(
        root,
        "UPDATE mailboxes SET name = cast(x'ff' AS TEXT), unseen = 9 WHERE name = 'Work'",
        "UPDATE counters SET value = 1 WHERE name = 'message'",
    )
    problems = found(root)
    assert any("text that is not UTF-8" in one for one in problems)
    assert any("counter message" in one for one in problems)


def test_a_table_that_is_damaged_is_a_finding_and_the_other_checks_go_on(root: Path) -> None:
    damage(root, "DROP TABLE answers", "UPDATE counters SET value = 1 WHERE name = 'message'")
    problems = found(root)
    assert any(one.startswith("index.db: a check could not be made") for one in problems)
    assert any("counter message" in one for one in problems)


def test_names_are_told_in_one_line_without_controls(root: Path) -> None:
    damage(root, "UPDATE mailboxes SET name = 'a\n\x1b[2Jb', unseen = 9 WHERE name = 'Work'")
    problems = found(root)
    assert problems == ["alice@example.test, a??[2Jb: unseen says 9, counted 1"]


# --- records


def record(root: Path, number: int = 1) -> tuple[int, int]:
    """Offset and size of the payload of the letter of this number."""
    connection = apsw.Connection(str(root / "index.db"), flags=apsw.SQLITE_OPEN_READONLY)
    offset = connection.execute("SELECT offset FROM messages WHERE id = ?", (number,)).get
    size = connection.execute("SELECT size FROM messages WHERE id = ?", (number,)).get
    connection.close()
    return int(offset), int(size)


def test_every_flipped_bit_of_a_segment_is_found(root: Path) -> None:
    path = segment(root)
    sound = path.read_bytes()
    connection = open_index(root / "index.db", read_only=True)
    for at in range(len(sound)):
        flipped = bytearray(sound)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        assert any(list(checksegments.check_segments(connection, root / "segments", lambda done, total: None))), at
    path.write_bytes(sound)
    connection.close()
    assert list(check(root)) == []


def test_a_flipped_bit_of_a_letter_names_where_it_lies(root: Path) -> None:
    offset, _ = record(root, 3)
    flip(segment(root), offset + 2)
    (only,) = found(root)
    assert only == (
        "alice@example.test, INBOX, UID 3: its octets are not those that came in: wrong checksum"
        f" (segment file 0000000001.seg, offset {offset})"
    )


def test_a_flipped_bit_of_a_large_letter_is_found(root: Path) -> None:
    offset, size = record(root, 5)
    flip(segment(root, 2), offset + size - 1)
    (only,) = found(root)
    assert only.startswith("alice@example.test, INBOX, UID 5: its octets are not those that came in")


def test_a_letter_is_read_in_chunks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counting(octets: bytes, before: int = 0) -> int:
        seen.append(len(octets))
        return zlib.crc32(octets, before)

    monkeypatch.setattr(checksegments, "_CHUNK", 1000)
    monkeypatch.setattr(checksegments, "checksum", counting)
    assert list(check(root)) == []
    assert max(seen) == 1000


def test_rows_are_read_in_slices(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksegments, "_SLICE", 1)
    assert list(check(root)) == []
    damage(root, "UPDATE messages SET offset = (SELECT offset FROM messages WHERE id = 2) WHERE id = 3")
    problems = found(root)
    assert sum("its record is another letter's" in one for one in problems) == 1


def test_damaged_facts_are_found(root: Path) -> None:
    offset, size = record(root, 2)
    flip(segment(root), offset + size + 1)
    (only,) = found(root)
    assert only.startswith("alice@example.test, INBOX, UID 2: what its record says of the delivery is damaged")


def test_behind_a_damaged_frame_the_next_letter_is_found_again(root: Path) -> None:
    offset, _ = record(root, 2)
    behind, _ = record(root, 3)
    flip(segment(root), offset - 1)
    problems = found(root)
    assert problems == [
        "alice@example.test, INBOX, UID 2: its record can't be read: wrong checksum"
        f" (segment file 0000000001.seg, offset {offset})",
        f"segment file 0000000001.seg: from offset {offset - FRAME_OCTETS} to {behind - FRAME_OCTETS} there is no"
        " record: wrong checksum",
    ]


def test_a_damaged_header_of_a_segment_is_found(root: Path) -> None:
    flip(segment(root), 3)
    assert found(root) == ["segment file 0000000001.seg has a damaged header: wrong checksum"]


def test_a_segment_under_another_number_is_found(root: Path) -> None:
    alter(
        segment(root), lambda octets: octets.__setitem__(slice(0, SEGMENT_HEADER_OCTETS), write_segment_header(9))
    )
    assert found(root) == ["segment file 0000000001.seg calls itself by another number"]


def test_a_segment_that_is_gone_is_found(root: Path) -> None:
    segment(root).unlink()
    assert found(root) == ["segment file 0000000001.seg is missing: 4 letters of the index were in it"]


def test_a_segment_that_cannot_be_read_is_found(root: Path) -> None:
    segment(root).unlink()
    segment(root).mkdir()
    assert found(root) == ["segment file 0000000001.seg can't be read: Is a directory"]


def test_a_segment_that_is_cut_off_names_the_letters_that_are_lost(root: Path) -> None:
    offset, _ = record(root, 3)
    alter(segment(root), lambda octets: octets.__delitem__(slice(offset + 1, None)))
    problems = found(root)
    assert any(re.search(rf"has {offset + 1} octets of the \d+ that the index knows", one) for one in problems)
    assert any("INBOX, UID 3: its record can't be read: it runs past the end" in one for one in problems)
    assert any(f"letter {email_id(root, 4)}, in no mailbox: no record begins" in one for one in problems)
    assert not any("UID 2" in one for one in problems)


def email_id(root: Path, number: int) -> str:
    connection = apsw.Connection(str(root / "index.db"), flags=apsw.SQLITE_OPEN_READONLY)
    found = connection.execute("SELECT email_id FROM messages WHERE id = ?", (number,)).get
    connection.close()
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("UPDATE messages SET size = size - 1 WHERE id = 3", "UID 3: the index says 81 octets, its record 82"),
        (
            "UPDATE messages SET email_id = 'M' || printf('%032d', 7) WHERE id = 3",
            "UID 3: its record is another letter's",
        ),
        ("UPDATE messages SET offset = offset + 1 WHERE id = 3", "UID 3: no record begins where the index says"),
    ],
    ids=["size", "email id", "offset"],
)
def test_a_row_that_does_not_fit_its_record_is_found(root: Path, sql: str, says: str) -> None:
    damage(root, sql)
    assert any(says in one for one in found(root)), found(root)


def test_many_lost_letters_of_a_segment_are_told_as_that(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.store.findings.FINDINGS_OF_A_KIND", 2)
    for number in (1, 2, 3, 4):
        flip(segment(root), record(root, number)[0])
    problems = found(root)
    assert len(problems) == 3
    assert problems[-1] == "segment file 0000000001.seg: 2 more, not told one by one"


# --- what is no harm


def test_an_unfinished_write_is_a_note(root: Path) -> None:
    with segment(root).open("ab") as out:
        out.write(b"half a let")
    assert found(root, Severity.NOTE) == [
        "segment file 0000000001.seg ends with 10 octets that the index doesn't know: a write under way, or one"
        " that was cut short and never acknowledged"
    ]
    assert found(root) == []


def test_a_letter_that_was_never_acknowledged_is_a_note(root: Path) -> None:
    with segment(root).open("ab") as out:
        frame = write_frame(frame_of(LETTER, b"", b"x" * 16))
        out.write(frame + LETTER)
    damage(root, f"UPDATE segments SET length = length + {len(frame) + len(LETTER)} WHERE number = 1")
    assert found(root, Severity.NOTE) == [
        "segment file 0000000001.seg: 1 letter that the index doesn't know: never acknowledged"
    ]
    assert found(root) == []
    flip(segment(root), segment(root).stat().st_size - 1)
    (only,) = found(root)
    assert only.endswith("a record that no letter needs is damaged")


def test_a_segment_that_the_index_does_not_know_is_a_note(root: Path) -> None:
    letter = write_frame(frame_of(LETTER, b"", b"x" * 16)) + LETTER
    segment(root, 9).write_bytes(write_segment_header(9) + letter + letter + b"torn")
    assert found(root, Severity.NOTE) == [
        "segment file 0000000009.seg is not in the index; it holds 2 whole letters: one on its way in, or never"
        " acknowledged"
    ]
    assert found(root) == []


def test_a_segment_that_waits_for_its_first_letter_is_no_finding(root: Path) -> None:
    segment(root, 9).write_bytes(write_segment_header(9))
    segment(root, 10).write_bytes(b"")
    assert list(check(root)) == []


def test_foreign_files_among_the_segments_are_a_note(root: Path) -> None:
    for name in ("core", "1.seg", "0000000001.seg.bak"):
        (root / "segments" / name).write_bytes(b"")
    assert sorted(found(root, Severity.NOTE)) == [
        "segments/0000000001.seg.bak: not a file of this store",
        "segments/1.seg: not a file of this store",
        "segments/core: not a file of this store",
    ]


def test_a_letters_content_is_never_told(root: Path) -> None:
    for number in (1, 2):
        offset, size = record(root, number)
        flip(segment(root), offset + size // 2)
    damage(root, "UPDATE messages SET header_size = size + 1", "DELETE FROM answers")
    told = " ".join(one.what for one in check(root))
    assert "sesame" not in told
    assert "elsewhere" not in told
