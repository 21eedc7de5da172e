"""Which letters a search can match at all, once the search index has said what it knows of the words."""

from __future__ import annotations

from array import array

import pytest

from postroom.imap.grammar.commands import read_search
from postroom.imap.server.matching import Matcher, matcher
from postroom.imap.server.narrowing import first_behind, numbers_of, runs_within
from postroom.imap.view import View
from postroom.store.search.clues import Suspects
from postroom.store.values import Entry, ModSeq, Uid

UIDS = (2, 4, 6, 8, 10, 12)
FOUND = {"ONE": [2, 4], "TWO": [4, 6, 8], "NONE": []}
"""What the index says of words; of others it says nothing."""


def view() -> View:
    made = View(ModSeq(1))
    made.load([Entry(Uid(uid), 0, "", ModSeq(1), 0, 0, 100) for uid in UIDS])
    made.opening()
    return made


def asked(arguments: str) -> Matcher:
    search = read_search(f" {arguments}\r\n".encode(), 0)
    assert search.key is not None
    made = matcher(search.key, view())
    for look in made.looks:
        assert look.clue is not None
        uids = FOUND.get(look.clue.word)
        look.suspects = None if uids is None else Suspects(array("I", uids), Uid(10))
    return made


@pytest.mark.parametrize(
    ("arguments", "uids"),
    [
        ("ALL", None),
        ("SEEN", None),
        ("BODY one", [2, 4]),
        ("SUBJECT two", [4, 6, 8]),
        ("TEXT one", [2, 4]),
        ("TEXT other", None),
        ("BODY none", []),
        ("BODY on", None),
        ("NOT BODY one", None),
        ("UNSEEN BODY two SMALLER 10", [4, 6, 8]),
        ("BODY two BODY one", [2, 4]),
        ("BODY two NOT BODY one", [4, 6, 8]),
        ("BODY other BODY one", [2, 4]),
        ("OR BODY one SUBJECT two", [2, 4, 6, 8]),
        ("OR BODY one SEEN", None),
        ("OR BODY one BODY other", None),
        ("OR (BODY one SEEN) (BODY none UNSEEN)", [2, 4]),
        ("NOT (OR BODY one BODY two)", None),
    ],
)
def test_as_many_are_left_as_the_words_leave(arguments: str, uids: list[int] | None) -> None:
    found = asked(arguments).narrow()
    assert (None if found is None else list(found)) == uids


def test_a_letter_that_is_ruled_out_is_decided_without_a_look() -> None:
    suspects = Suspects(array("I", [2, 8]), Uid(10))
    assert [uid for uid in (*UIDS, 11) if uid in suspects] == [2, 8, 12, 11]


def test_uids_become_the_numbers_that_the_view_has() -> None:
    assert numbers_of([1, 2, 3, 8, 12, 13], view()) == [1, 4, 6]
    assert [first_behind(uid, view()) for uid in (0, 2, 3, 12, 99)] == [1, 2, 2, 7, 7]
    assert first_behind(5, View(ModSeq(1))) == 1


@pytest.mark.parametrize(
    ("numbers", "ranges", "runs"),
    [
        ([], [range(1, 9)], []),
        ([1, 2], [], []),
        ([1, 2, 3, 7, 9], [range(2, 8)], [range(2, 4), range(7, 8)]),
        ([1, 2, 3, 4, 5, 6], [range(1, 3), range(5, 7)], [range(1, 3), range(5, 7)]),
        ([1, 2, 3, 4], [range(1, 3), range(3, 9)], [range(1, 5)]),
        ([5], [range(1, 3), range(4, 5)], []),
    ],
)
def test_only_numbers_that_were_asked_for_stay(numbers: list[int], ranges: list[range], runs: list[range]) -> None:
    assert list(runs_within(numbers, ranges)) == runs
