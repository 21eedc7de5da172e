"""A letter's keywords."""

from __future__ import annotations

import pytest

from postroom.net.limits import IMAP_KEYWORDS
from postroom.store.changes import How
from postroom.store.keywords import TooManyKeywords, change_keywords, pack_keywords


def test_keywords_are_sorted_and_there_once_whatever_their_case() -> None:
    assert pack_keywords(["b", "$Forwarded", "B", "a"]) == "$Forwarded a b"
    assert pack_keywords([]) == ""


@pytest.mark.parametrize(
    ("before", "how", "named", "after"),
    [
        ("", How.ADD, ["x"], "x"),
        ("X", How.ADD, ["x"], "X"),
        ("a", How.ADD, ["c", "b"], "a b c"),
        ("a B", How.REMOVE, ["b", "c"], "a"),
        ("a", How.REMOVE, ["A"], ""),
        ("a B", How.SET, ["b", "C"], "B C"),
        ("a", How.SET, [], ""),
        ("a b", How.ADD, [], "a b"),
    ],
)
def test_keywords_keep_the_spelling_that_came_first(before: str, how: How, named: list[str], after: str) -> None:
    assert change_keywords(before, how, named) == after


def test_as_many_keywords_as_may_be_and_one_more() -> None:
    most = [f"k{number:03}" for number in range(IMAP_KEYWORDS)]
    packed = pack_keywords(most)
    assert change_keywords(packed, How.ADD, ["K000"]) == packed
    with pytest.raises(TooManyKeywords):
        change_keywords(packed, How.ADD, ["more"])
    with pytest.raises(TooManyKeywords):
        pack_keywords([*most, "more"])


@pytest.mark.parametrize("keyword", ["", "a b", "a\r\n", "ä", "\0"])
def test_what_would_break_the_row_is_no_keyword(keyword: str) -> None:
    with pytest.raises(ValueError, match="not a keyword"):
        pack_keywords([keyword])
    with pytest.raises(ValueError, match="not a keyword"):
        change_keywords("a", How.REMOVE, [keyword])
