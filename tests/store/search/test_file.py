"""The file of an account's search index: what is found by a word's trigrams, and what becomes of it."""

from __future__ import annotations

import stat
from pathlib import Path

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postroom.message.text import folded
from postroom.net.limits import SEARCH_TRIGRAMS
from postroom.store.search import file as searchfile
from postroom.store.search.file import (
    Foreign,
    OpenFiles,
    accounts_with_files,
    discard,
    make_search_file,
    match_of,
    open_search_file,
    search_path,
    words_of,
)
from postroom.store.values import AccountId

ALICE = AccountId(7)


# --- words


CHARACTERS = st.characters() | st.sampled_from('iIıİſßẞΣσςée\u0301\u0345ŉǰﬁ\0\ud800\udfff\ufffe\uffff"*()^ \n\t😀𐐀')


@settings(max_examples=300, deadline=None)
@given(st.lists(CHARACTERS, min_size=3, max_size=60).map("".join), st.data())
@example("STRASSE straße ﬁn İstanbul ΣΊΣΥΦΟΣ", None)
def test_a_text_is_found_by_each_of_its_parts(text: str, data: st.DataObject | None) -> None:
    whole = folded(text)
    start = data.draw(st.integers(0, len(whole) - 3)) if data else 0
    end = data.draw(st.integers(start + 3, len(whole))) if data else len(whole)
    connection = apsw.Connection(":memory:")
    connection.execute(searchfile._SCHEMA).fetchall()
    insert = "INSERT INTO bodies (rowid, text) VALUES (1, ?)"
    connection.execute(insert, (words_of(whole),)).fetchall()
    found = connection.execute("SELECT rowid FROM bodies WHERE bodies MATCH ?", (match_of(whole[start:end]),))
    assert found.fetchall() == [(1,)]


@given(st.text(CHARACTERS))
def test_a_text_keeps_its_length_as_it_is_filed(text: str) -> None:
    assert len(words_of(text)) == len(text)
    words_of(text).encode()


def test_of_a_long_word_so_many_trigrams_are_asked_for_from_all_over_it() -> None:
    word = "".join(chr(0x4E00 + each) for each in range(10_000))
    asked = match_of(word).split(" ")
    assert len(asked) == SEARCH_TRIGRAMS
    assert asked[0] == f'"{word[:3]}"'
    assert ord(asked[-1][1]) > 0x4E00 + 9000
    assert len(match_of(word[: SEARCH_TRIGRAMS + 2]).split(" ")) == SEARCH_TRIGRAMS
    assert match_of("aaaaaa") == '"aaa"'
    assert match_of('a"b') == '"a""b"'


# --- files


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    connection = make_search_file(tmp_path, ALICE, "one")
    connection.execute("INSERT INTO unread VALUES (1)").fetchall()
    path = search_path(tmp_path, ALICE)
    assert path == tmp_path / "search" / "7.db"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"7.db": 0o600, "7.db-wal": 0o600, "7.db-shm": 0o600}
    connection.close()


def test_one_of_another_index_or_another_version_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_search_file(tmp_path, ALICE, "one").close()
    open_search_file(tmp_path, ALICE, "one").close()
    with pytest.raises(Foreign):
        open_search_file(tmp_path, ALICE, "two")
    monkeypatch.setattr(searchfile, "VERSION", 2)
    with pytest.raises(Foreign):
        open_search_file(tmp_path, ALICE, "one")


def test_one_that_is_deleted_leaves_nothing_and_is_not_missed(tmp_path: Path) -> None:
    connection = make_search_file(tmp_path, ALICE, "one")
    (tmp_path / "search" / "notes.txt").touch()
    assert accounts_with_files(tmp_path) == {ALICE}
    discard(tmp_path, ALICE)
    assert [each.name for each in (tmp_path / "search").iterdir()] == ["notes.txt"]
    discard(tmp_path, ALICE)
    connection.close()


def test_a_log_that_was_left_behind_is_of_no_file_to_come(tmp_path: Path) -> None:
    connection = make_search_file(tmp_path, ALICE, "one")
    connection.execute("INSERT INTO unread VALUES (1)").fetchall()
    path = search_path(tmp_path, ALICE)
    path.unlink()
    assert path.with_name("7.db-wal").stat().st_size
    new = make_search_file(tmp_path, ALICE, "two")
    assert new.execute("SELECT * FROM unread").fetchall() == []
    connection.close()
    new.close()


def test_one_that_was_built_anew_is_opened_anew(tmp_path: Path) -> None:
    make_search_file(tmp_path, ALICE, "one").close()
    files = OpenFiles(tmp_path)
    first = files.get(ALICE, "one")
    assert first is not None
    assert files.get(ALICE, "one") is first
    discard(tmp_path, ALICE)
    assert files.get(ALICE, "one") is None
    make_search_file(tmp_path, ALICE, "one").close()
    second = files.get(ALICE, "one")
    assert second is not None
    discard(tmp_path, ALICE)
    make_search_file(tmp_path, ALICE, "one").close()
    # What is deleted because it is damaged is the one that was seen to be.
    files.discard(ALICE)
    assert files.get(ALICE, "one") is not None
    files.discard(ALICE)
    assert files.get(ALICE, "one") is None
    files.close_all()


def test_only_so_many_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searchfile, "SEARCH_FILES_OPEN", 2)
    files = OpenFiles(tmp_path)
    for account in (1, 2, 3):
        make_search_file(tmp_path, AccountId(account), "one").close()
    one, two = files.get(AccountId(1), "one"), files.get(AccountId(2), "one")
    assert files.get(AccountId(1), "one") is one
    files.get(AccountId(3), "one")
    assert files.get(AccountId(1), "one") is one
    assert files.get(AccountId(2), "one") is not two
    files.close_all()
