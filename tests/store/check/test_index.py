"""Every row that is wrong is found, and named as people know it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from postroom.store.changes import AddAlias, Done, RemoveAccount, Subscribe
from postroom.store.check.findings import FINDINGS_OF_A_KIND
from postroom.store.check.whole import Severity, check
from postroom.store.interface import Store
from postroom.store.sqlite import open_store
from postroom.store.upgrade.migrating import migrate
from tests.store.damage import damage, found
from tests.store.site import (
    ALICE,
    BOB,
    Site,
    do,
    new_account,
)


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
    problems = [each for each in found(root) if "quota" not in each]
    assert len(problems) == FINDINGS_OF_A_KIND + 1
    assert problems[-1] == "counters of mailboxes: more of the same kind, not told one by one"


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
