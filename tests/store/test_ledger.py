"""Counters of a mailbox, and a transaction's rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.store.apply.mailboxes import add_mailbox
from postroom.store.index import migrate, open_index
from postroom.store.ledger import MAX_UID, Counters, Ledger
from postroom.store.usage import Count, Use
from postroom.store.values import AccountId, Flag, MailboxId

_NOW = 1_700_000_000


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    connection = open_index(tmp_path / "index.db", make=True)
    migrate(connection)
    yield connection
    connection.close()


def _use() -> Use:
    return Use(Count(0, 0, 0, 0, 0, 0), Count(0, 0, 0, 0, 0, 0))


def _counters(connection: apsw.Connection, mailbox: MailboxId) -> Counters:
    found = Ledger(connection, _NOW).mailbox(mailbox)
    assert found is not None
    return found


def _new(connection: apsw.Connection) -> MailboxId:
    return add_mailbox(Ledger(connection, _NOW), AccountId(1), "x", None).id


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 31), st.integers(0, 100)), max_size=8), st.data())
def test_counters_are_what_counting_gives(arrivals: list[tuple[int, int]], data: st.DataObject) -> None:
    mailbox = Counters(_use(), MailboxId(1), 1, "x", 1, 1, 1, 0, 0, 0, 0, 1, 0)
    entries = {mailbox.arrived(flags, size): (flags, size) for flags, size in arrivals}
    for uid in list(entries):
        match data.draw(st.sampled_from(["keep", "go", "flag"])):
            case "go":
                mailbox.went(uid, *entries.pop(uid))
            case "flag":
                after = data.draw(st.integers(0, 31))
                mailbox.flagged(entries[uid][0], after, 1)
                entries[uid] = (after, entries[uid][1])
    assert list(entries) == sorted(entries)
    assert mailbox.uid_next == len(arrivals) + 1
    assert mailbox.messages == mailbox.recent == len(entries)
    assert mailbox.unseen == sum(not flags & Flag.SEEN for flags, _ in entries.values())
    assert mailbox.deleted == sum(bool(flags & Flag.DELETED) for flags, _ in entries.values())
    assert mailbox.size == sum(size for _, size in entries.values())
    for count in (mailbox.use.own, mailbox.use.domain):
        assert (count.octets, count.letters) == (mailbox.size, mailbox.messages)


def test_the_last_uid_is_given_and_no_further_one() -> None:
    mailbox = Counters(_use(), MailboxId(1), 1, "x", 1, MAX_UID, 1, 0, 0, 0, 0, 1, 0)
    assert mailbox.has_room(1)
    assert not mailbox.has_room(2)
    assert mailbox.arrived(0, 1) == MAX_UID
    assert not mailbox.has_room(1)


def test_letters_that_came_before_recent_was_taken_do_not_count_when_they_go() -> None:
    mailbox = Counters(_use(), MailboxId(1), 1, "x", 1, 5, 1, 4, 4, 0, 0, 3, 2)
    mailbox.went(1, 0, 0)
    assert mailbox.recent == 2
    mailbox.went(3, 0, 0)
    assert mailbox.recent == 1


def test_a_mailbox_that_was_only_looked_at_is_not_written_and_nobody_is_told(connection: apsw.Connection) -> None:
    mailbox = _new(connection)
    ledger = Ledger(connection, _NOW)
    assert ledger.mailbox(mailbox) is not None
    before = connection.total_changes()
    ledger.flush()
    assert connection.total_changes() == before
    assert ledger.touched == set()


def test_counters_stay_good_after_they_were_written(connection: apsw.Connection) -> None:
    mailbox = _new(connection)
    ledger = Ledger(connection, _NOW)
    counters = ledger.mailbox(mailbox)
    assert counters is not None
    counters.next_modseq()
    ledger.flush()
    assert _counters(connection, mailbox).highest_modseq == 2
    counters.next_modseq()
    ledger.flush()
    assert _counters(connection, mailbox).highest_modseq == 3
    assert ledger.touched == {mailbox}


def test_a_mailbox_that_is_not_there_has_no_counters(connection: apsw.Connection) -> None:
    ledger = Ledger(connection, _NOW)
    assert ledger.mailbox(MailboxId(99)) is None
    ledger.flush()
    assert ledger.touched == set()


def test_a_counter_of_the_site_never_runs_back(connection: apsw.Connection) -> None:
    assert Ledger(connection, _NOW).draw("uid_validity", _NOW) == _NOW
    assert Ledger(connection, _NOW - 1000).draw("uid_validity", _NOW - 1000) == _NOW + 1
    assert Ledger(connection, _NOW + 7).draw("uid_validity", _NOW + 7) == _NOW + 7


def test_entries_without_new_letters_leave_the_count_of_letters_alone(connection: apsw.Connection) -> None:
    mailbox = _new(connection)
    ledger = Ledger(connection, _NOW)
    ledger.add_entry((mailbox, 1, 5, 0, "", 2, 0, 0, _NOW, 1, 5, b""))
    ledger.flush()
    assert Ledger(connection, _NOW).next_message() == 1


def test_a_thread_is_the_smallest_that_a_letter_is_known_under(connection: apsw.Connection) -> None:
    ledger = Ledger(connection, _NOW)
    assert ledger.thread(1, (10,), 1) == 1
    assert ledger.thread(1, (20,), 2) == 2
    assert ledger.thread(1, (30, 20, 10), 3) == 1
    assert ledger.thread(1, (40, 30), 4) == 1
    assert ledger.thread(2, (10,), 5) == 5
    assert ledger.thread(1, (), 6) == 6


def test_a_changed_account_is_listed_under_its_last_change(connection: apsw.Connection) -> None:
    ledger = Ledger(connection, _NOW)
    for address in ("a@x", "b@x", "a@x"):
        ledger.account_changed(address)
    rows = connection.execute("SELECT serial, address FROM account_changes ORDER BY serial").fetchall()
    assert rows == [(2, "b@x"), (3, "a@x")]
    assert ledger.accounts
