"""A session's view of a mailbox, held against what a client makes of the lines that it is sent."""

from __future__ import annotations

import random

import pytest

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.flags import RECENT, write_flags
from postroom.imap.grammar.sets import read_sequence_set
from postroom.imap.view import View
from postroom.net.limits import IMAP_KEYWORD_SETS_UNUSED, IMAP_KEYWORDS_LISTED
from postroom.store.changes import How
from postroom.store.values import Changes, Entry, ModSeq, Uid
from tests.imap.mailprogram import ANSWERED, DELETED, FLAGGED, SEEN, Client, Session, Truth
from tests.imap.test_view_at_random import step


def chosen(view: View, text: bytes, *, by_uid: bool = False) -> list[int]:
    ranges = view.chosen(read_sequence_set(text, 0)[0], by_uid=by_uid)
    numbers = [number for run in ranges for number in run]
    assert view.uids(ranges) == [view.uid_of(number) for number in numbers]
    return numbers


# --- SELECT


def test_an_empty_mailbox_opens() -> None:
    assert View(ModSeq(1)).opening() == [
        b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n",
        b"* 0 EXISTS\r\n",
        b"* 0 RECENT\r\n",
        b"* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)]"
        b" Flags are kept, new keywords too\r\n",
    ]


def test_a_mailbox_opens_with_its_counts_keywords_and_first_unseen_letter() -> None:
    truth = Truth()
    for flags, keywords in ((SEEN, "$a"), (SEEN | FLAGGED, ""), (FLAGGED, "$A b"), (0, "")):
        truth.deliver(flags, keywords)
    session = Session(truth, slice=1)
    assert len(session.view) == 4
    assert session.client.unseen == 3
    assert session.client.recent == 4
    assert session.client.flags[5:] == ["$a", "b"]
    assert session.client.permanent[5:] == ["$a", "b", "\\*"]
    session.check_truth()


def test_nothing_can_be_changed_in_a_mailbox_that_was_examined() -> None:
    truth = Truth(1)
    session = Session(truth, read_only=True)
    assert session.client.permanent == []
    assert session.client.recent == 0
    truth.store([1], How.ADD, 0, ("new",))
    assert session.news() == [
        b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft new)\r\n",
        b"* 1 FETCH (FLAGS (new))\r\n",
    ]


def test_what_happens_while_the_mailbox_is_read_is_seen_once() -> None:
    truth = Truth(3)
    view = View(ModSeq(truth.modseq))
    view.load([truth.entries[1], truth.entries[2]])
    truth.expunge(1)
    truth.store([3], How.ADD, SEEN)
    truth.deliver()
    view.load([truth.entries[3], truth.entries[4]])
    view.opening()
    assert len(view) == 4
    view.apply(truth.changes(view.modseq))
    assert view.news(expunges=True) == [b"* 1 EXPUNGE\r\n"]


def test_what_is_applied_before_the_opening_belongs_to_it() -> None:
    truth = Truth(3)
    view = View(ModSeq(truth.modseq))
    view.load(list(truth.entries.values()))
    truth.expunge(1)
    truth.store([2], How.ADD, SEEN, ("$a",))
    truth.deliver()
    view.apply(truth.changes(view.modseq))
    client = Client()
    client.hear(view.opening())
    assert len(client.letters) == 3
    assert client.unseen == 2
    assert "$a" in client.flags
    assert view.news(expunges=True) == []


# --- copies


def twin_of(session: Session, *, read_only: bool = False) -> Session:
    """Another session, which begins with a copy of what this one knows and hears of the rest at once."""
    twin = Session(session.truth, read_only=True)
    twin.view, twin.client, twin.read_only = session.view.copy(read_only=read_only), Client(), read_only
    if not read_only:
        twin.view.recent(session.truth.take_recent())
    twin.client.hear(twin.view.opening())
    return twin


def test_a_copy_knows_what_was_told_and_what_was_not() -> None:
    truth = Truth(5)
    session = Session(truth)
    truth.expunge(2)
    truth.store([1, 3], How.ADD, SEEN, ("$a",))
    truth.deliver(FLAGGED, "b")
    session.catch_up()
    twin = twin_of(session)
    assert len(twin.client.letters) == 5
    assert twin.client.recent == 0  # the other one claimed them
    assert twin.client.unseen == 3
    assert twin.client.flags[5:] == ["$a", "b"]
    twin.check_truth()
    assert len(session.view) == 5
    assert b"* 2 EXPUNGE\r\n" in session.news()
    session.check_truth()
    assert session.client.recent == 5


def test_a_view_and_its_copy_are_the_same_memory_until_one_changes() -> None:
    truth = Truth(3)
    session = Session(truth, read_only=True)
    one, two = twin_of(session, read_only=True), twin_of(session, read_only=True)
    assert one.view._uids is two.view._uids is session.view._uids
    assert one.view._flags is two.view._flags
    truth.store([2], How.ADD, SEEN, ("$a",))
    assert len(one.news()) == 2
    assert two.view.flags_at(2) == session.view.flags_at(2) == 0
    assert two.view.keywords_at(2) == session.view.keywords_at(2) == ""
    assert one.view._uids is not two.view._uids is session.view._uids
    truth.deliver()
    truth.expunge(1)
    for each in (one, two, session):
        each.news()
        each.check_truth()


def test_letters_are_recent_in_one_view_and_not_in_its_copies() -> None:
    session = Session(Truth(3))
    twin = twin_of(session)
    twin.view.recent(Uid(3))
    assert (session.view.recents, twin.view.recents) == (3, 1)
    assert [view.flags_at(1) for view in (session.view, twin.view)] == [RECENT, 0]
    assert session.view.copy().recents == 0


def test_the_first_unseen_letter_is_found_again_after_changes() -> None:
    truth = Truth(40_000)
    truth.store(list(range(1, 39_001)), How.ADD, SEEN)
    session = Session(truth, read_only=True, slice=40_000)
    assert session.client.unseen == 39_001
    for change, unseen in (
        (lambda: truth.expunge(1, 2, 39_001), 38_999),
        (lambda: truth.store([20_000], How.REMOVE, SEEN), 19_998),
        (lambda: truth.store([20_000], How.ADD, SEEN), 38_999),
        (lambda: truth.store(list(truth.entries), How.ADD, SEEN), None),
        (lambda: truth.deliver(), 39_998),
    ):
        change()
        session.catch_up()
        session = twin_of(session, read_only=True)
        assert session.client.unseen == unseen


def test_keywords_that_no_letter_has_make_room_in_the_list() -> None:
    truth = Truth(2)
    session = Session(truth, read_only=True)
    for number in range(IMAP_KEYWORDS_LISTED):
        truth.store([1], How.SET, 0, (f"k{number}",))
        session.catch_up()
    truth.store([2], How.ADD, 0, ("late",))
    session.catch_up()
    assert twin_of(session).client.flags[5:] == [f"k{number}", "late"]


@pytest.mark.parametrize("seed", range(4))
def test_copies_of_copies_end_with_the_truth(seed: int) -> None:
    rng = random.Random(f"copies {seed}")
    for _ in range(50):
        truth = Truth(rng.randrange(8))
        sessions = [Session(truth), Session(truth, read_only=True)]
        for _ in range(rng.randrange(40)):
            step(rng, truth, rng.choice(sessions))
            if rng.random() < 0.2:
                session = rng.choice(sessions)
                sessions[rng.randrange(2)] = twin_of(session, read_only=rng.random() < 0.5)
        for session in sessions:
            session.news()
            session.check_truth()


# --- numbers


def test_letters_are_chosen_by_number_and_by_uid() -> None:
    truth = Truth(9)
    truth.expunge(2, 3, 7)
    view = Session(truth).view
    assert chosen(view, b"2:3,6") == [2, 3, 6]
    assert chosen(view, b"*:5") == [5, 6]
    assert chosen(view, b"2:8", by_uid=True) == [2, 3, 4, 5]
    assert chosen(view, b"2,3,7", by_uid=True) == []
    assert chosen(view, b"100:*", by_uid=True) == [6]
    assert chosen(view, b"1:4294967295", by_uid=True) == [1, 2, 3, 4, 5, 6]
    assert view.number_of(8) == 5
    assert view.number_of(7) is None
    assert view.number_of(99) is None


@pytest.mark.parametrize("wrong", [b"4", b"1:4", b"4:*", b"4294967295"])
def test_a_number_that_is_not_there_is_refused(wrong: bytes) -> None:
    view = Session(Truth(3)).view
    with pytest.raises(SyntaxFault):
        chosen(view, wrong)


def test_an_empty_mailbox_has_no_last_letter() -> None:
    view = Session(Truth()).view
    for wrong in (b"*", b"1:*", b"1"):
        with pytest.raises(SyntaxFault):
            chosen(view, wrong)
        assert chosen(view, wrong, by_uid=True) == []


def test_a_letter_costs_seventeen_octets() -> None:
    view = View(ModSeq(1))
    columns = (view._uids, view._flags, view._keywords, view._modseqs)
    assert sum(column.itemsize for column in columns) == 17


# --- expunges (RFC 3501 7.4.1, RFC 2180)


def test_numbers_stay_until_the_client_is_told_of_an_expunge() -> None:
    truth = Truth(5)
    session = Session(truth)
    truth.expunge(2)
    truth.expunge(4)
    truth.deliver()
    assert session.news(expunges=False) == [b"* 6 EXISTS\r\n", b"* 6 RECENT\r\n"]
    assert session.view.is_gone(2)
    assert session.view.uid_of(5) == 5
    assert chosen(session.view, b"1:*") == [1, 2, 3, 4, 5, 6]
    session.check()
    assert session.news() == [b"* 2 EXPUNGE\r\n", b"* 3 EXPUNGE\r\n", b"* 4 RECENT\r\n"]
    assert not session.view.is_gone(2)
    session.check_truth()


def test_the_rfcs_example_of_expunge() -> None:
    truth = Truth(11)
    session = Session(truth, read_only=True)
    truth.expunge(3, 4, 7, 11)
    assert session.news() == [b"* 3 EXPUNGE\r\n", b"* 3 EXPUNGE\r\n", b"* 5 EXPUNGE\r\n", b"* 8 EXPUNGE\r\n"]
    session.check_truth()


def test_a_letter_that_is_gone_has_no_news_but_its_expunge() -> None:
    truth = Truth(3)
    session = Session(truth)
    truth.store([2], How.ADD, SEEN)
    session.catch_up()
    truth.expunge(2)
    session.catch_up()
    session.view.stored([2], How.ADD, FLAGGED, (), silent=False)
    assert session.news(expunges=False) == []
    assert session.news() == [b"* 2 EXPUNGE\r\n", b"* 2 RECENT\r\n"]


def test_a_letter_that_comes_and_goes_unseen_is_never_told_of() -> None:
    truth = Truth(1)
    session = Session(truth)
    truth.deliver()
    session.catch_up()
    truth.expunge(2)
    assert session.news() == []
    session.check_truth()


def test_changes_that_come_late_or_twice_do_no_harm() -> None:
    truth = Truth(3)
    session = Session(truth)
    start = session.view.modseq
    truth.store([1], How.ADD, SEEN)
    truth.deliver()
    early = truth.changes(start)
    truth.store([1, 4], How.SET, FLAGGED)
    truth.expunge(2, 4)
    late = truth.changes(start)
    for changes in (early, late, late, early):
        session.view.apply(changes)
    session.news()
    session.check_truth()
    for changes in (early, late):
        session.view.apply(changes)
    assert session.news() == []
    session.check_truth()
    assert session.view.modseq == truth.modseq


def test_a_late_change_of_a_letter_that_is_gone_is_no_news() -> None:
    truth = Truth(2)
    session = Session(truth)
    start = session.view.modseq
    truth.store([1], How.ADD, SEEN)
    early = truth.changes(start)
    truth.expunge(1)
    session.view.apply(truth.changes(start))
    session.view.apply(early)
    assert session.news(expunges=False) == []
    assert session.news() == [b"* 1 EXPUNGE\r\n", b"* 1 RECENT\r\n"]


def test_a_mailbox_that_is_gone_is_known_as_lost() -> None:
    view = View(ModSeq(1))
    view.apply(Changes(ModSeq(1), [], []))
    assert not view.lost
    view.apply(Changes(ModSeq(2), [], [], exists=False))
    view.apply(Changes(ModSeq(2), [], []))
    assert view.lost


# --- flags


def test_foreign_changes_are_told_once() -> None:
    truth = Truth(3)
    session = Session(truth, read_only=True)
    truth.store([1, 3], How.ADD, SEEN)
    assert session.news() == [b"* 1 FETCH (FLAGS (\\Seen))\r\n", b"* 3 FETCH (FLAGS (\\Seen))\r\n"]
    assert session.news() == []
    truth.store([3], How.SET, DELETED)
    assert session.news(with_uid=True, expunges=False) == [b"* 3 FETCH (UID 3 FLAGS (\\Deleted))\r\n"]


def test_a_change_that_was_taken_back_is_no_news() -> None:
    truth = Truth(1)
    session = Session(truth)
    truth.store([1], How.ADD, SEEN)
    session.catch_up()
    truth.store([1], How.REMOVE, SEEN)
    assert session.news() == []


def test_news_does_not_repeat_what_fetch_has_told() -> None:
    truth = Truth(1)
    session = Session(truth)
    truth.store([1], How.ADD, SEEN)
    session.catch_up()
    assert session.view.tell_flags(1) == b"(\\Seen \\Recent)"
    assert session.news() == []


def test_a_store_is_answered_for_each_letter_even_if_it_changed_nothing() -> None:
    truth = Truth(2)
    session = Session(truth, read_only=True)
    session.store([1, 2], How.ADD, SEEN, silent=False)
    assert session.news() == [b"* 1 FETCH (FLAGS (\\Seen))\r\n", b"* 2 FETCH (FLAGS (\\Seen))\r\n"]
    session.store([2], How.ADD, SEEN, silent=False)
    assert session.news(with_uid=True) == [b"* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n"]


def test_a_silent_store_is_not_answered() -> None:
    truth = Truth(2)
    session = Session(truth)
    session.fetch_all()
    session.store([1, 2], How.ADD, SEEN, ("$a",), silent=True)
    assert [line[:8] for line in session.news()] == [b"* FLAGS ", b"* OK [PE"]
    session.check_truth()


@pytest.mark.parametrize("foreign_first", [True, False])
def test_a_silent_store_does_not_hide_what_another_did(foreign_first: bool) -> None:
    truth = Truth(2)
    session = Session(truth, read_only=True)
    session.fetch_all()
    if foreign_first:
        truth.store([1], How.ADD, FLAGGED)
    session.store([1, 2], How.ADD, SEEN, silent=True)
    if not foreign_first:
        truth.store([1], How.ADD, FLAGGED)
    assert session.news() == [b"* 1 FETCH (FLAGS (\\Flagged \\Seen))\r\n"]
    session.check_truth()


def test_a_silent_store_that_another_undid_is_told() -> None:
    truth = Truth(1)
    session = Session(truth, read_only=True)
    session.fetch_all()
    session.store([1], How.ADD, SEEN, silent=True)
    truth.store([1], How.REMOVE, SEEN)
    assert session.news() == [b"* 1 FETCH (FLAGS ())\r\n"]


def test_a_silent_store_may_be_reported_after_its_changes_came() -> None:
    truth = Truth(1)
    session = Session(truth)
    truth.store([1], How.SET, SEEN, ("$a",))
    session.catch_up()
    session.view.stored([1], How.SET, SEEN, ["$A"], silent=True)
    assert not any(b"FETCH" in line for line in session.news())


def test_both_sessions_hear_of_each_other() -> None:
    truth = Truth(2)
    one, two = Session(truth), Session(truth)
    one.store([1], How.ADD, SEEN, silent=True)
    two.store([1], How.ADD, ANSWERED, silent=False)
    assert two.news() == [b"* 1 FETCH (FLAGS (\\Answered \\Seen))\r\n"]
    assert one.news() == [b"* 1 FETCH (FLAGS (\\Answered \\Seen \\Recent))\r\n"]


# --- keywords


def test_new_keywords_are_listed_before_a_letter_shows_them() -> None:
    truth = Truth(1)
    session = Session(truth)
    truth.store([1], How.ADD, 0, ("$Forwarded",))
    lines = session.news()
    assert [line.split(b" ")[1] for line in lines] == [b"FLAGS", b"OK", b"1"]
    assert session.client.flags[-1] == "$Forwarded"
    assert session.client.permanent[-2:] == ["$Forwarded", "\\*"]
    truth.store([1], How.REMOVE, 0, ("$Forwarded",))
    truth.deliver(keywords="$Forwarded")
    assert [line.split(b" ")[2] for line in session.news()] == [b"EXISTS\r\n", b"RECENT\r\n", b"FETCH"]


def test_a_new_letters_keywords_are_listed() -> None:
    truth = Truth()
    session = Session(truth)
    truth.deliver(keywords="a b")
    session.news()
    assert session.client.flags[5:] == ["a", "b"]


def test_a_list_of_flags_has_a_most_of_keywords() -> None:
    truth = Truth()
    for number in range(IMAP_KEYWORDS_LISTED + 1):
        truth.deliver(keywords=f"k{number}")
    session = Session(truth, slice=400)
    assert len(session.client.flags) == 5 + IMAP_KEYWORDS_LISTED
    assert session.view.keywords_at(IMAP_KEYWORDS_LISTED + 1) == f"k{IMAP_KEYWORDS_LISTED}"


def test_sets_of_keywords_that_no_letter_has_are_forgotten() -> None:
    """Who changes keywords without end does not fill the memory of all who watch."""
    truth = Truth(3)
    truth.store([2], How.ADD, 0, ("stays",))
    session = Session(truth)
    for number in range(3 * IMAP_KEYWORD_SETS_UNUSED):
        truth.store([1], How.SET, 0, (f"k{number}",))
        session.catch_up()
    assert len(session.view._sets.sets) <= IMAP_KEYWORD_SETS_UNUSED + 10
    assert session.view.keywords_at(1) == f"k{number}"
    assert session.view.keywords_at(2) == "stays"
    assert session.view.keywords_at(3) == ""


# --- \Recent


def test_a_letter_is_recent_in_the_session_that_claimed_it() -> None:
    truth = Truth(2)
    one, two = Session(truth), Session(truth)
    assert (one.client.recent, two.client.recent) == (2, 0)
    truth.deliver()
    two.catch_up()
    assert one.news() == [b"* 3 EXISTS\r\n"]
    assert two.news() == [b"* 3 EXISTS\r\n", b"* 1 RECENT\r\n"]
    assert two.view.tell_flags(3) == b"(\\Recent)"
    assert one.view.tell_flags(3) == b"()"


def test_a_letter_stays_recent_when_more_come_before_it_is_told() -> None:
    truth = Truth()
    session = Session(truth)
    truth.deliver()
    session.catch_up()
    truth.store([1], How.ADD, SEEN)
    truth.deliver()
    session.catch_up()
    assert session.news() == [b"* 2 EXISTS\r\n", b"* 2 RECENT\r\n"]
    assert session.view.tell_flags(1) == b"(\\Seen \\Recent)"
    session.store([1], How.SET, DELETED, silent=False)
    assert session.news() == [b"* 1 FETCH (FLAGS (\\Deleted \\Recent))\r\n"]


def test_letters_that_become_recent_late_are_counted() -> None:
    """The claim at SELECT failed, a later one didn't."""
    session = Session(Truth(3), read_only=True)
    session.view.recent(Uid(2))
    assert session.news() == [b"* 2 RECENT\r\n"]
    assert session.view.tell_flags(3) == b"(\\Recent)"


def test_a_large_mailbox_is_taken_in_and_thinned_out_by_slices() -> None:
    entries = [Entry(Uid(uid), uid & 31, "", ModSeq(uid), 0, 0, 1) for uid in range(1, 20_001)]
    view = View(ModSeq(20_000))
    for start in range(0, len(entries), 500):
        view.load(entries[start : start + 500])
    view.opening()
    ranges = view.chosen(read_sequence_set(b"1:*", 0)[0], by_uid=True)
    assert ranges == [range(1, 20_001)]
    assert view.uids(ranges) == list(range(1, 20_001))
    view.apply(Changes(ModSeq(20_001), [], [entry.uid for entry in entries[::2]]))
    lines = view.news(expunges=True)
    assert lines[:3] == [b"* 1 EXPUNGE\r\n", b"* 2 EXPUNGE\r\n", b"* 3 EXPUNGE\r\n"]
    assert len(lines) == len(view) == 10_000
    assert view.uid_of(10_000) == 20_000
    assert write_flags(view.flags_at(1), view.keywords_at(1)) == b"(\\Answered)"
