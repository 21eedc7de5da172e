"""A letter's story: what is told of it, by whom, for how long (the store's contract, and the lines themselves)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.structure import parse
from postroom.net.limits import STORY_CHARACTERS, STORY_LINE_CHARACTERS
from postroom.store.changes import (
    BringBack,
    BringBackMailbox,
    Copy,
    DeleteMailbox,
    Done,
    Expunge,
    Expunged,
    Filed,
    FlagsSet,
    How,
    RemoveAccount,
    RenameMailbox,
    SetFlags,
    Target,
)
from postroom.store.interface import Delivery, Store
from postroom.store.stories import read_story, write_happening
from postroom.store.values import Flag, Happening, Mailbox, MessageId, Uid
from tests.store.site import ALICE, LETTER, Site, do, file, find, letter_of, new_account, new_mailbox

BY = f"{ALICE} imap-a1"
TOLD_BY = f"{ALICE}/imap-a1"


async def told(store: Store, message: MessageId) -> list[tuple[str, str, str]]:
    return [(each.what, each.by, each.detail) for each in await store.story(message)]


# --- what is told


def test_a_story_tells_everything_that_happens_to_a_letter_and_who_did_it(site: Site) -> None:
    async def story(store: Store) -> None:
        alice = await new_account(store)
        inbox, sent, work = (
            await find(store, alice),
            await find(store, alice, "Sent"),
            await new_mailbox(store, alice, "Work"),
        )
        blob = store.blob()
        blob.write(LETTER)
        await store.deliver(
            Delivery(blob, parse(LETTER), (Target(inbox.id),), 0, 0, "smtp-b2", "id=b2.1 from=<x@y>")
        )
        message = (await letter_of(store, inbox, Uid(1))).message
        one = (Uid(1),)
        flags = SetFlags(inbox.id, one, How.ADD, Flag.SEEN | Flag.FLAGGED, ("$work",), by=BY)
        await do(store, flags, FlagsSet)
        await do(store, flags, FlagsSet)
        await do(store, Copy(inbox.id, one, sent.id, by=BY), Filed)
        await do(store, Copy(inbox.id, one, work.id, move=True, by=BY), Filed)
        await do(store, Expunge(sent.id, None, deleted_only=False, by=BY), Expunged)
        await do(store, BringBack(sent.id, None, sent.id, by="root cli"), Filed)
        await do(store, DeleteMailbox(alice.id, "Work", by=BY), Done)
        await do(store, BringBackMailbox(work.id, alice.id, "Job", by="root cli"), Mailbox)
        await do(store, Copy(sent.id, (Uid(2),), inbox.id, move=True, by=BY), Filed)
        await do(store, RenameMailbox(alice.id, "INBOX", "All", by=BY), Done)
        await do(store, RemoveAccount(ALICE, by="root cli"), Done)
        assert await told(store, message) == [
            ("arrived", "smtp-b2", "id=b2.1 from=<x@y>"),
            ("flags", TOLD_BY, "INBOX +FLAGS (\\Seen \\Flagged $work)"),
            ("copied", TOLD_BY, "INBOX -> Sent"),
            ("moved", TOLD_BY, "INBOX -> Work"),
            ("expunged", TOLD_BY, "Sent"),
            ("restored", "root/cli", "Sent"),
            ("mailbox-deleted", TOLD_BY, "Work"),
            ("restored", "root/cli", "Job"),
            ("moved", TOLD_BY, "Sent -> INBOX"),
            ("moved", TOLD_BY, "INBOX -> All"),
            ("mailbox-deleted", "root/cli", "All"),
            ("mailbox-deleted", "root/cli", "Job"),
        ]
        assert all(each.at > 1_600_000_000 for each in await store.story(message))

    site.run(story)


def test_letters_have_their_own_stories_and_nobody_s_are_empty(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        first, second = [(await letter_of(store, inbox, await file(store, inbox))).message for _ in range(2)]
        await do(store, SetFlags(inbox.id, (Uid(2),), How.ADD, Flag.SEEN), FlagsSet)
        assert await told(store, first) == [("arrived", "-", "")]
        assert [what for what, _, _ in await told(store, second)] == ["arrived", "flags"]
        assert await store.story(MessageId(99)) == []

    site.run(story)


def test_what_changes_nothing_is_not_told(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        message = (await letter_of(store, inbox, await file(store, inbox))).message
        await do(store, SetFlags(inbox.id, (Uid(1),), How.REMOVE, Flag.SEEN), FlagsSet)
        await do(store, Expunge(inbox.id, None), Expunged)
        await do(store, Copy(inbox.id, (Uid(9),), inbox.id), Filed)
        assert [what for what, _, _ in await told(store, message)] == ["arrived"]

    site.run(story)


def test_a_long_story_keeps_its_beginning_and_its_latest(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        message = (await letter_of(store, inbox, await file(store, inbox))).message
        for number in range(300):
            how = How.REMOVE if number % 2 else How.ADD
            await do(store, SetFlags(inbox.id, (Uid(1),), how, Flag.SEEN, by=f"n{number}"), FlagsSet)
        happened = await store.story(message)
        assert happened[0].what == "arrived"
        latest = [int(each.by.removeprefix("n")) for each in happened[1:]]
        assert latest == list(range(latest[0], 300))
        assert len(latest) > 20
        kept = sum(len(write_happening(each.at, each.what, each.by, each.detail)) for each in happened)
        assert kept <= STORY_CHARACTERS + STORY_LINE_CHARACTERS

    site.run(story)


# --- the lines


def test_what_could_break_a_line_is_replaced() -> None:
    line = write_happening(7, "arrived", "al ice\nx", "a\r\nb\x1b[2J\u2028c ü")
    assert line == "7 arrived al/ice?x a??b?[2J?c ü\n"
    assert read_story(line) == [Happening(7, "arrived", "al/ice?x", "a??b?[2J?c ü")]


def test_a_line_is_cut_where_it_is_too_long() -> None:
    line = write_happening(7, "arrived", "x", "y" * 1000)
    assert len(line) == STORY_LINE_CHARACTERS + 1
    assert line.endswith("y\n")


@given(st.text(max_size=500), st.text(max_size=500))
@settings(max_examples=100, deadline=None)
def test_any_line_is_one_line_and_can_be_read(by: str, detail: str) -> None:
    line = write_happening(1_700_000_000, "flags", by, detail)
    assert line.count("\n") == 1
    (read,) = read_story(line)
    assert (read.at, read.what) == (1_700_000_000, "flags")


def test_lines_that_are_none_are_left_out() -> None:
    assert read_story("") == read_story("\nx y z\n٣ a b c\n7\n") == []
    assert read_story("7 a\n") == [Happening(7, "a", "-", "")]
