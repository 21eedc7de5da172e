"""The indexer: what it files is found, whatever happens to letters, mailboxes, accounts and its own files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroom.message.text import folded, header_text
from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.changes import (
    Copy,
    DeleteMailbox,
    Done,
    Expunge,
    Expunged,
    Filed,
    RemoveAccount,
    RenameMailbox,
    Target,
)
from postroom.store.check.search import check_search
from postroom.store.index import open_index
from postroom.store.interface import Store, Unreadable
from postroom.store.search import indexer as indexing
from postroom.store.search.clues import Clue, Where
from postroom.store.search.file import search_path
from postroom.store.search.indexer import Indexer
from postroom.store.search.text import read_body_text
from postroom.store.search.writer import Mark, SearchWriter
from postroom.store.sqlite import SqliteStore, open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import Account, AccountId, Letter, Mailbox, Uid
from tests.scale import scaled
from tests.store.site import ALICE, BOB, deliver, do, entries, file, find, letter_of, new_account, new_mailbox

HELLO = b"From: bob@example.test\r\nSubject: apples\r\n\r\nA word about pears.\r\n"


def letter(subject: str, text: str) -> bytes:
    return f"Subject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Desk:
    """A store with Alice's account, and an indexer that works when it is told to."""

    root: Path
    store: SqliteStore
    indexer: Indexer
    alice: Account
    inbox: Mailbox

    async def found(self, where: Where, word: str, mailbox: Mailbox | None = None) -> list[int] | None:
        """UIDs that may have a word; None where any may. Only of letters that are filed."""
        box = mailbox or self.inbox
        clue = Clue(where, folded(word))
        answer = await self.store.search_candidates(box.owner, box.id, [clue])
        return None if answer is None else list(answer.uids[clue])

    async def filed_up_to(self, mailbox: Mailbox | None = None) -> int | None:
        """The mailbox's mark."""
        box = mailbox or self.inbox
        answer = await self.store.search_candidates(box.owner, box.id, [])
        return None if answer is None else answer.indexed

    def ask(self, sql: str) -> list[tuple[apsw.SQLiteValue, ...]]:
        """Something of Alice's search index itself."""
        connection = apsw.Connection(str(search_path(self.root, self.alice.id)))
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def check(self) -> list[str]:
        """What fsck finds."""
        connection = open_index(self.root / "index.db", read_only=True)
        try:
            return [finding.what for finding in check_search(self.root, connection)]
        finally:
            connection.close()


@contextlib.asynccontextmanager
async def open_desk(root: Path) -> AsyncIterator[Desk]:
    migrate(root)
    store = await open_store(root)
    indexer = Indexer(root, store, share=1)
    try:
        alice = await store.account(ALICE) or await new_account(store)
        yield Desk(root, store, indexer, alice, await find(store, alice))
    finally:
        indexer.close()
        await store.close()


def tell(root: Path, story: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_desk(root) as desk:
            await story(desk)
            await desk.indexer.catch_up()
            assert desk.check() == []

    asyncio.run(run())


# --- filing


def test_a_letter_is_found_by_its_header_its_prefix_and_its_text(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await file(desk.store, desk.inbox, HELLO, b"X-Trace: cherries\r\n")
        await file(desk.store, desk.inbox, letter("none", "of them"))
        assert await desk.found(Where.HEADER, "apples") is None
        await desk.indexer.catch_up()
        assert await desk.filed_up_to() == 2
        assert await desk.found(Where.HEADER, "APPLES") == [1]
        assert await desk.found(Where.HEADER, "cherr") == [1]
        assert await desk.found(Where.HEADER, "pears") == []
        assert await desk.found(Where.BODY, "word about pears") == [1]
        assert await desk.found(Where.BODY, "apples") == []
        assert await desk.found(Where.BODY, "f t") == [2]

    tell(tmp_path, story)


def test_a_letter_of_two_mailboxes_has_its_text_kept_once_and_its_prefixes_each(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        work = await new_mailbox(desk.store, desk.alice, "Work")
        await deliver(desk.store, HELLO, Target(desk.inbox.id, b"X: one\r\n"), Target(work.id, b"X: two\r\n"))
        await desk.indexer.catch_up()
        await do(desk.store, Copy(desk.inbox.id, (Uid(1),), work.id), Filed)
        await desk.indexer.catch_up()
        assert await desk.found(Where.HEADER, "x: one") == [1]
        assert await desk.found(Where.HEADER, "x: one", work) == [2]
        assert await desk.found(Where.HEADER, "x: two", work) == [1]
        assert await desk.found(Where.BODY, "pears", work) == [1, 2]
        assert desk.ask("SELECT count(*) FROM texts") == [(1,)]

    tell(tmp_path, story)


def test_the_text_is_kept_folded(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await file(desk.store, desk.inbox, letter("x", "Grüße \0 tab\there"))
        body = b"Content-Type: text/html; charset=utf-7\r\n\r\n<p>lone +2AA- one"
        await file(desk.store, desk.inbox, body)
        for uid, text in ((1, folded("Grüße \0 tab here\r\n")), (2, "LONE \ud800 ONE")):
            one = await letter_of(desk.store, desk.inbox, Uid(uid))
            assert await desk.store.search_text(desk.alice.id, one.message) is None
            assert await read_body_text(desk.store, one, _no_pause) == text
        await desk.indexer.catch_up()
        for uid, text in ((1, folded("Grüße \0 tab here\r\n")), (2, "LONE \ud800 ONE")):
            one = await letter_of(desk.store, desk.inbox, Uid(uid))
            assert await desk.store.search_text(desk.alice.id, one.message) == text
        assert await desk.found(Where.BODY, "gRÜßE \0 TAB h") == [1]
        assert await desk.found(Where.BODY, "lone") == [2]

    tell(tmp_path, story)


async def _no_pause() -> None:
    """Nobody waits."""


def test_a_header_that_goes_on_where_the_prefix_ends_is_filed_as_it_is_searched(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await file(desk.store, desk.inbox, b" continued: here\r\n\r\nx", b"X-Trace: begun\r\n")
        await desk.indexer.catch_up()
        text = folded(header_text(b"X-Trace: begun\r\n continued: here\r\n\r\n"))
        assert "BEGUN CONTINUED" in text
        assert await desk.found(Where.HEADER, "begun continued") == [1]

    tell(tmp_path, story)


def test_a_large_letter_is_filed_by_its_text_and_its_files_names(tmp_path: Path) -> None:
    large = (
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nneedle one\r\n--x\r\n"
        b"Content-Type: application/pdf; name=needle-two.pdf\r\n\r\n"
        + b"not needle three " * (BLOB_IN_MEMORY // 10)
        + b"\r\n--x\r\nContent-Type: text/html\r\n\r\n<i>needle</i> four\r\n--x--\r\n"
    )

    async def story(desk: Desk) -> None:
        await file(desk.store, desk.inbox, large)
        await desk.indexer.catch_up()
        for word, found in (("needle one", [1]), ("needle-two", [1]), ("needle three", []), ("needle four", [1])):
            assert await desk.found(Where.BODY, word) == found

    tell(tmp_path, story)


def test_letters_come_in_batches_however_many_and_large_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "INDEXER_LETTERS", 3)
    monkeypatch.setattr(indexing, "INDEXER_CHARACTERS", 2000)

    async def story(desk: Desk) -> None:
        for number in range(40):
            await file(desk.store, desk.inbox, letter(f"number{number}", "long " * (500 if number % 3 else 1)))
        await do(desk.store, Expunge(desk.inbox.id, tuple(map(Uid, range(5, 25))), deleted_only=False), Expunged)
        await desk.indexer.catch_up()
        assert await desk.filed_up_to() == 40
        assert await desk.found(Where.HEADER, "number") == [*range(1, 5), *range(25, 41)]

    tell(tmp_path, story)


def test_each_account_has_its_own_and_only_that(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        bob = await new_account(desk.store, BOB)
        other = await find(desk.store, bob)
        await file(desk.store, desk.inbox, letter("secret", "of alice"))
        await file(desk.store, other, letter("secret", "of bob"))
        await desk.indexer.catch_up()
        assert await desk.found(Where.BODY, "of bob", other) == [1]
        assert await desk.found(Where.BODY, "of bob") == []
        assert search_path(desk.root, bob.id).exists()
        await do(desk.store, RemoveAccount(BOB), Done)
        await desk.indexer.catch_up()
        assert [each.name for each in (desk.root / "search").glob("*.db")] == [f"{desk.alice.id}.db"]

    tell(tmp_path, story)


# --- being woken


async def _filed(desk: Desk, uid: int) -> None:
    """Wait until a mailbox is filed up to this UID: nobody tells of that but the answers."""
    while await desk.filed_up_to() != uid:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def test_a_delivery_wakes_it(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        running = asyncio.create_task(Indexer(desk.root, desk.store).run())
        try:
            for number in (1, 2):
                await file(desk.store, desk.inbox, letter("here", f"number {number}"))
                await _filed(desk, number)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    tell(tmp_path, story)


def test_a_delivery_by_another_process_wakes_it(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        worker = await open_store(desk.root, name="worker")
        running = asyncio.create_task(Indexer(desk.root, desk.store).run())
        try:
            await file(worker, desk.inbox, letter("here", "it is"))
            await _filed(desk, 1)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await worker.close()

    tell(tmp_path, story)


@pytest.mark.parametrize("written", [False, True])
def test_stopped_anywhere_it_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    monkeypatch.setattr(indexing, "INDEXER_LETTERS", 2)

    async def stopped(desk: Desk, after: int) -> bool:
        """Let it do so much, and one thing more if `written`; whether it was done before."""
        indexer = Indexer(desk.root, desk.store, share=1)
        in_thread = indexer._in_thread
        left = after

        async def until_then(work: Any, *args: Any) -> Any:
            nonlocal left
            if not left:
                if written:
                    indexer._thread.submit(work, *args)
                raise asyncio.CancelledError
            left -= 1
            return await in_thread(work, *args)

        monkeypatch.setattr(indexer, "_in_thread", until_then)
        try:
            await indexer.catch_up()
        except asyncio.CancelledError:
            return True
        finally:
            indexer.close()
        return False

    async def story(desk: Desk) -> None:
        for number in range(12):
            await file(desk.store, desk.inbox, letter("number", f"{number:03} of them"))
        after = 0
        while await stopped(desk, after):
            after += 1
            if after % 3 == 0:
                await file(desk.store, desk.inbox, letter("number", "more of them"))
                await do(desk.store, Expunge(desk.inbox.id, (Uid(after),), deleted_only=False), Expunged)
        assert after > 5
        there = [entry.uid for entry in await entries(desk.store, desk.inbox)]
        assert await desk.found(Where.BODY, "of them") == there

    tell(tmp_path, story)


def test_what_is_done_is_not_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(desk: Desk) -> None:
        other = await find(desk.store, await new_account(desk.store, BOB))
        for box in (desk.inbox, other):
            await file(desk.store, box)
        await desk.indexer.catch_up()
        looked_at: list[int] = []
        account = desk.indexer._account

        async def looking(number: AccountId) -> None:
            looked_at.append(number)
            await account(number)

        monkeypatch.setattr(desk.indexer, "_account", looking)
        await desk.indexer.catch_up()
        assert looked_at == []
        await file(desk.store, other)
        await desk.indexer.catch_up()
        assert looked_at == [other.owner]

    tell(tmp_path, story)


# --- what goes


def test_what_is_expunged_is_forgotten_with_its_text(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        work = await new_mailbox(desk.store, desk.alice, "Work")
        for each in ("kept", "gone", "moved"):
            await file(desk.store, desk.inbox, letter("x", f"{each} away"))
        await desk.indexer.catch_up()
        await do(desk.store, Copy(desk.inbox.id, (Uid(3),), work.id, move=True), Filed)
        await do(desk.store, Expunge(desk.inbox.id, (Uid(2),), deleted_only=False), Expunged)
        await desk.indexer.catch_up()
        assert await desk.found(Where.BODY, "away") == [1]
        assert await desk.found(Where.BODY, "away", work) == [1]
        assert desk.ask("SELECT count(*) FROM texts") == [(2,)]
        assert desk.ask("SELECT count(*) FROM bodies_docsize") == [(2,)]

    tell(tmp_path, story)


def test_what_was_expunged_so_long_ago_that_nobody_knows_is_forgotten_too(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        for _ in range(3):
            await file(desk.store, desk.inbox, letter("x", "away"))
        await desk.indexer.catch_up()
        gone = await do(desk.store, Expunge(desk.inbox.id, (Uid(2),), deleted_only=False), Expunged)
        connection = apsw.Connection(str(desk.root / "index.db"))
        connection.execute("DELETE FROM tombstones").fetchall()
        connection.execute("UPDATE mailboxes SET forgotten_modseq = ? WHERE id = ?", (gone.modseq, desk.inbox.id))
        connection.close()
        await desk.indexer.catch_up()
        assert await desk.found(Where.BODY, "away") == [1, 3]

    tell(tmp_path, story)


def test_a_mailbox_that_is_deleted_is_forgotten_and_a_renamed_one_is_not(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        work = await new_mailbox(desk.store, desk.alice, "Work")
        play = await new_mailbox(desk.store, desk.alice, "Play")
        for box in (work, play):
            await file(desk.store, box, letter("x", "away"))
        await desk.indexer.catch_up()
        await do(desk.store, DeleteMailbox(desk.alice.id, "Work"), Done)
        await do(desk.store, RenameMailbox(desk.alice.id, "Play", "Work"), Done)
        await desk.indexer.catch_up()
        assert await desk.filed_up_to(work) is None
        assert await desk.found(Where.BODY, "away", play) == [1]
        assert desk.ask("SELECT count(*) FROM texts") == [(1,)]

    tell(tmp_path, story)


# --- what is damaged


def _cut(path: Path) -> None:
    octets = path.read_bytes()
    path.write_bytes(octets[: len(octets) // 2])


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xa5" * path.stat().st_size)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _of_another_index(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE about SET value = 'another' WHERE name = 'index'").fetchall()
    connection.close()


def _without_a_table(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("DROP TABLE headers").fetchall()
    connection.close()


@pytest.mark.parametrize("damage", [Path.unlink, _cut, _overwrite, _empty, _of_another_index, _without_a_table])
def test_what_is_lost_or_damaged_is_no_answer_and_is_built_anew(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    async def before(desk: Desk) -> None:
        for number in range(60):
            await file(desk.store, desk.inbox, letter(f"number{number}", f"the text {number}"))

    tell(tmp_path, before)
    for name in (tmp_path / "search").iterdir():
        if not name.name.endswith(".db"):
            name.unlink()
    (path,) = (tmp_path / "search").iterdir()
    damage(path)

    async def after(desk: Desk) -> None:
        assert await desk.found(Where.HEADER, "number12") in (None, [13])
        message = (await letter_of(desk.store, desk.inbox, Uid(1))).message
        assert await desk.store.search_text(desk.alice.id, message) in (None, "THE TEXT 0\r\n")
        await desk.indexer.catch_up()
        assert await desk.found(Where.HEADER, "number12") == [13]
        assert await desk.store.search_text(desk.alice.id, message) == "THE TEXT 0\r\n"

    tell(tmp_path, after)


def test_a_letter_that_can_not_be_read_is_suspected_of_everything_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = SqliteStore.read

    async def failing(store: SqliteStore, letter: Letter, start: int, length: int) -> bytes:
        if letter.uid == 2:
            raise Unreadable("damaged")
        return await read(store, letter, start, length)

    async def before(desk: Desk) -> None:
        for _ in range(3):
            await file(desk.store, desk.inbox, letter("same", "text"))
        await desk.indexer.catch_up()
        assert await desk.filed_up_to() == 3
        assert await desk.found(Where.BODY, "nowhere") == [2]
        assert await desk.found(Where.BODY, "text") == [1, 2, 3]

    async def after(desk: Desk) -> None:
        await desk.indexer.catch_up()
        assert await desk.found(Where.BODY, "nowhere") == []
        assert await desk.found(Where.BODY, "text") == [1, 2, 3]

    with monkeypatch.context() as patched:
        patched.setattr(SqliteStore, "read", failing)
        tell(tmp_path, before)
    tell(tmp_path, after)


def test_a_letter_that_the_program_stumbles_over_keeps_no_other_from_being_filed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stumbling(store: Store, one: Letter, pause: Callable[[], Awaitable[None]]) -> str:
        if one.uid == 1:
            raise ZeroDivisionError
        return await read_body_text(store, one, pause)

    async def story(desk: Desk) -> None:
        for _ in range(2):
            await file(desk.store, desk.inbox, letter("same", "text"))
        with monkeypatch.context() as patched:
            patched.setattr(indexing, "read_body_text", stumbling)
            await desk.indexer.catch_up()
        assert await desk.filed_up_to() == 2
        assert await desk.found(Where.BODY, "nowhere") == [1]
        assert await desk.found(Where.BODY, "text") == [1, 2]

    tell(tmp_path, story)


def test_an_account_that_can_not_be_done_keeps_no_other_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = SearchWriter.marks

    async def story(desk: Desk) -> None:
        bob = await new_account(desk.store, BOB)
        other = await find(desk.store, bob)

        def full(writer: SearchWriter, index: str, account: int) -> dict[int, Mark]:
            if account == desk.alice.id:
                raise apsw.FullError("no room")
            return make(writer, index, bob.id)  # type: ignore[return-value]

        for box in (desk.inbox, other):
            await file(desk.store, box, letter("same", "text"))
        with monkeypatch.context() as patched:
            patched.setattr(SearchWriter, "marks", full)
            await desk.indexer.catch_up()
        assert await desk.filed_up_to() is None
        assert await desk.filed_up_to(other) == 1
        await desk.indexer.catch_up()
        assert await desk.filed_up_to() == 1

    tell(tmp_path, story)


# --- at random


WORDS = (
    "straße",
    "STRASSE",
    "İstanbul",
    "istanbul",
    "ΣΊΣΥΦΟΣ",
    "σίσυφος",
    "naïve",
    "nai\u0308ve",
    "中文字",
    "a b",
    "xyz",
)
MOVES = st.sampled_from(("file", "copy", "move", "expunge", "index", "index", "search"))


@settings(max_examples=scaled(12, 400), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(MOVES, st.sampled_from(WORDS), st.sampled_from(WORDS)), min_size=3, max_size=25))
def test_nothing_that_is_there_is_ruled_out_at_any_time(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, str, str]]
) -> None:
    async def search(desk: Desk, boxes: list[Mailbox], word: str) -> None:
        for box in boxes:
            for where in Where:
                clue = Clue(where, folded(word))
                answer = await desk.store.search_candidates(box.owner, box.id, [clue])
                suspects = None if answer is None else answer.suspects(clue)
                if suspects is None:
                    continue
                for uid in [entry.uid for entry in await entries(desk.store, box)]:
                    one = await letter_of(desk.store, box, uid)
                    octets = await desk.store.read(one, 0, len(one.prefix) + one.header_size)
                    text = folded(header_text(octets))
                    if where is Where.BODY:
                        text = await read_body_text(desk.store, one, _no_pause)
                    assert uid in suspects or clue.word not in text

    async def story(desk: Desk) -> None:
        boxes = [desk.inbox, await new_mailbox(desk.store, desk.alice, "Work")]
        for move, one, two in moves:
            source, target = boxes if len(one) % 2 else boxes[::-1]
            uids = tuple([entry.uid for entry in await entries(desk.store, source)])[: len(two) % 3]
            if move == "file":
                await file(desk.store, source, letter(one, two), f"X: {two}\r\n".encode())
            elif move in ("copy", "move"):
                await desk.store.commit(Copy(source.id, uids, target.id, move=move == "move"))
            elif move == "expunge":
                await desk.store.commit(Expunge(source.id, uids, deleted_only=False))
            elif move == "index":
                await desk.indexer.catch_up()
            await search(desk, boxes, one)

    tell(tmp_path_factory.mktemp("site"), story)
