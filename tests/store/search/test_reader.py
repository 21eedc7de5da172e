"""What is asked of the search index, and how little it costs those who wait."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from postroom.message.text import folded
from postroom.net.limits import SEARCH_CLUES
from postroom.store.interface import Store
from postroom.store.search import reader as search
from postroom.store.search import text as searchtext
from postroom.store.search.clues import Candidates, Clue, Where, clue
from postroom.store.search.file import make_search_file, search_path
from postroom.store.search.indexer import Indexer
from postroom.store.search.reader import SearchReader
from postroom.store.search.text import read_body_text
from postroom.store.search.writer import Mark, Paper, SearchWriter
from postroom.store.sqlite import open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import AccountId, MailboxId, MessageId, Uid
from tests.store.site import Site, file, find, letter_of, new_account

ALICE, INBOX, WORK = AccountId(1), MailboxId(1), MailboxId(2)


def ask(reader: SearchReader, *words: str, mailbox: MailboxId = INBOX) -> Candidates | None:
    return reader.candidates("one", ALICE, mailbox, [Clue(Where.BODY, folded(word)) for word in words])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Letters 1 to 9 in INBOX, "even" or "odd"; 3 also in Work as its first; 5 could not be read."""
    writer = SearchWriter(tmp_path)
    writer.marks("one", ALICE)
    papers = [
        Paper(
            Uid(each), MessageId(each), *(["", folded(("even", "odd.")[each % 2])] if each != 5 else [None, None])
        )
        for each in range(1, 10)
    ]
    writer.file("one", ALICE, INBOX, papers, Mark(9, 1))
    writer.file("one", ALICE, WORK, [Paper(Uid(1), MessageId(3), "", None)], Mark(1, 1))
    writer.close()
    return tmp_path


def test_a_word_is_worth_asking_for_from_three_characters_on() -> None:
    assert clue(Where.BODY, "ABC") == Clue(Where.BODY, "ABC")
    assert clue(Where.HEADER, "AB") is None


def test_each_mailbox_has_its_own_candidates_and_its_own_mark(root: Path) -> None:
    reader = SearchReader(root)
    inbox, work = ask(reader, "odd."), ask(reader, "odd.", "even", mailbox=WORK)
    assert inbox is not None
    assert work is not None
    assert (inbox.indexed, [list(uids) for uids in inbox.uids.values()]) == (9, [[1, 3, 5, 7, 9]])
    assert (work.indexed, [list(uids) for uids in work.uids.values()]) == (1, [[1], []])
    assert ask(reader, "odd.", mailbox=MailboxId(3)) is None
    assert reader.candidates("two", ALICE, INBOX, []) is None
    assert reader.candidates("one", AccountId(2), INBOX, []) is None
    reader.close()


def test_a_word_that_is_found_everywhere_is_no_clue(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEARCH_CANDIDATES", 5)
    reader = SearchReader(root)
    found = ask(reader, "even", "e", "odd.", "none")
    assert found is not None
    odd = found.suspects(Clue(Where.BODY, "ODD."))
    assert odd is not None
    assert list(odd.uids) == [1, 3, 5, 7, 9]
    monkeypatch.setattr(search, "SEARCH_CANDIDATES", 3)
    found = ask(reader, "even", "odd.", "none")
    assert found is not None
    assert list(found.uids) == [Clue(Where.BODY, "NONE")]
    assert found.suspects(Clue(Where.BODY, "ODD.")) is None
    reader.close()


def test_only_so_many_words_are_asked_for(root: Path) -> None:
    reader = SearchReader(root)
    found = ask(reader, *[f"word{number}" for number in range(SEARCH_CLUES + 1)])
    assert found is not None
    assert len(found.uids) == SEARCH_CLUES
    reader.close()


def test_one_that_reads_holds_up_no_writer_and_sees_what_it_wrote(root: Path) -> None:
    reader, writer = SearchReader(root), SearchWriter(root)
    assert reader.text("one", ALICE, MessageId(2)) == "EVEN"
    assert reader.text("one", ALICE, MessageId(20)) is None
    writer.file("one", ALICE, INBOX, [Paper(Uid(20), MessageId(20), "", "EVEN")], Mark(20, 1))
    assert reader.text("one", ALICE, MessageId(20)) == "EVEN"
    found = ask(reader, "even")
    assert found is not None
    assert list(found.uids[Clue(Where.BODY, "EVEN")]) == [2, 4, 5, 6, 8, 20]
    reader.close()
    writer.close()


def test_one_that_is_just_being_made_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    make_search_file(tmp_path, ALICE, "one").close()
    path = search_path(tmp_path, ALICE)
    path.write_bytes(b"")
    reader = SearchReader(tmp_path)
    assert ask(reader, "odd.") is None
    assert path.exists()
    path.write_bytes(b"no database" * 1000)
    assert ask(reader, "odd.") is None
    assert not path.exists()
    reader.close()


def test_a_busy_one_is_no_answer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise apsw.BusyError("busy")

    reader = SearchReader(root)
    with monkeypatch.context() as patched:
        patched.setattr(search, "_candidates", busy)
        assert ask(reader, "odd.") is None
    assert ask(reader, "odd.") is not None
    reader.close()


def test_the_loop_goes_on_while_candidates_are_found(tmp_path: Path) -> None:
    async def story() -> None:
        migrate(tmp_path)
        store = await open_store(tmp_path)
        inbox = await find(store, await new_account(store))
        await file(store, inbox)
        indexer = Indexer(tmp_path, store, share=1)
        await indexer.catch_up()
        indexer.close()
        turns = 0
        asking = asyncio.ensure_future(store.search_candidates(inbox.owner, inbox.id, [Clue(Where.BODY, "LETTER")]))
        while not asking.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > 1
        assert (await asking) is not None
        asking = asyncio.ensure_future(store.search_candidates(inbox.owner, inbox.id, [Clue(Where.BODY, "LETTER")]))
        await asyncio.sleep(0)
        asking.cancel()
        # A question that nobody waits for any more is in nobody's way, least of all at the end.
        assert await store.search_candidates(inbox.owner, inbox.id, []) is not None
        await store.close()

    asyncio.run(story())


def test_any_store_answers_and_knows_nothing_without_an_indexer(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        uid = await file(store, inbox)
        letter = await letter_of(store, inbox, uid)
        assert await store.search_candidates(inbox.owner, inbox.id, []) is None
        assert await store.search_text(inbox.owner, letter.message) is None

    site.run(story)


def test_a_long_text_is_folded_with_pauses_and_comes_out_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searchtext, "_FOLDED", 10)
    text = "Straße, İstanbul, nai\u0308ve " * 20
    pauses = 0

    async def pause() -> None:
        nonlocal pauses
        pauses += 1

    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        uid = await file(store, inbox, b"\r\n" + text.encode())
        letter = await letter_of(store, inbox, uid)
        assert await read_body_text(store, letter, pause) == folded(text)

    site.run(story)
    assert pauses >= len(text) // 10
