"""Every row that is wrong is found, and named as people know it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from postroom.store.check import Severity, check
from postroom.store.findings import FINDINGS_OF_A_KIND
from postroom.store.interface import Store
from postroom.store.sqlite import migrate, open_store
from postroom.store.values import (
    AddAlias,
    Done,
    RemoveAccount,
    Subscribe,
)
from tests.store.damage import SECRET, damage, found
from tests.store.site import (
    ALICE,
    BOB,
    Site,
    do,
    new_account,
)

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
    "fewer octets for POP3 than there are": (
        "UPDATE messages SET crlf_size = size - 1 WHERE id = 3",
        "INBOX, UID 3: 81 octets are to be sent by POP3 of a letter of 82",
    ),
    "more octets for POP3 than there can be": (
        "UPDATE messages SET crlf_size = 2 * size + 2 WHERE id = 3",
        "INBOX, UID 3: 166 octets are to be sent by POP3 of a letter of 82",
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
