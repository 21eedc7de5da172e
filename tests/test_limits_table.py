"""The table of limits is whole: each row has a reason and a test that names it, and docs/limits.md shows it."""

from __future__ import annotations

from tests import limits_table

UNTESTED = frozenset(
    {
        "AUTHORITY_RETRY_SECONDS",
        "AUTHORS",
        "BACKUPS_KEPT",
        "BACKUP_FINDINGS",
        "BACKUP_SYNC_OCTETS",
        "BURIED_HEADER_OCTETS",
        "COMPACTION_LETTERS",
        "COMPACTION_OCTETS",
        "COMPACTION_OLD_DEAD_PERCENT",
        "INBOXES_KNOWN",
        "INDEXER_SHARE",
        "INDEXER_WAIT_SECONDS",
        "INTROSPECTION_SECONDS",
        "INTROSPECTION_THREADS",
        "POP3_LOCK_SECONDS",
        "POP3_LOCK_TRY_SECONDS",
        "RESTORE_LETTERS",
        "RESTORE_UID_VALIDITIES",
        "STORIES_PER_LOOK",
        "SWEEP_LEAST_SECONDS",
        "TURNS_OF_REST",
    }
)
"""Rows that no test names yet. This list only ever gets shorter."""


def test_every_limit_has_a_reason() -> None:
    assert [row.name for row in limits_table.table() if not row.reason] == []


def test_every_limit_is_a_number_of_a_section() -> None:
    rows = limits_table.table()
    assert len(rows) > 200
    assert all(row.section and row.value >= 0 for row in rows)
    assert len({row.name for row in rows}) == len(rows)


def test_every_limit_is_named_by_a_test() -> None:
    shown = limits_table.tests()
    assert {row.name for row in limits_table.table()} - set(shown) <= UNTESTED


def test_the_list_of_those_that_are_not_gets_shorter() -> None:
    shown = limits_table.tests()
    names = {row.name for row in limits_table.table()}
    assert sorted(UNTESTED & set(shown)) == [], "they are tested now: take them off the list"
    assert names >= UNTESTED


def test_the_page_shows_the_table() -> None:
    assert limits_table.PAGE.read_text() == "\n".join(limits_table.page()) + "\n", (
        "make it anew: python -m tests.limits_table > docs/limits.md"
    )
