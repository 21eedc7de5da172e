"""An index that is lost or damaged is made anew: letters come back where they last were, and nothing is dropped."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from postroom.store.changes import (
    ArrangeAccount,
    BringBack,
    BringBackMailbox,
    Copy,
    CreateMailbox,
    DeleteMailbox,
    Done,
    Expunge,
    Expunged,
    Filed,
    FlagsSet,
    How,
    LimitAccount,
    NoteRefused,
    RemoveAccount,
    SetFlags,
    Subscribe,
    SwitchAccount,
    Target,
)
from postroom.store.interface import Store
from postroom.store.records import (
    DeliveredTo,
    DeliveryFacts,
    ExpungedFrom,
    frame_of,
    write_facts,
    write_frame,
    write_segment_header,
)
from postroom.store.repair.whole import repair
from postroom.store.values import Flag, Mailbox, RefusedLetter, Uid
from tests.store.anew import HOST, NOW, anew, everything, lose_index, problems, rows
from tests.store.damage import a_busy_day, damage, email_id, flip, letters, record, segment
from tests.store.site import (
    ALICE,
    BOB,
    LETTER,
    Site,
    deliver,
    do,
    entries,
    file,
    find,
    letter_of,
    new_account,
    new_mailbox,
    octets_of,
    status,
)

CAROL = "carol@example.test"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = Site(tmp_path_factory.mktemp("sound") / "data")
    site.run(a_busy_day)
    return site.root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A store in which things have happened."""
    return Path(shutil.copytree(sound, tmp_path / "data"))


# --- without the old index


def test_without_the_index_letters_lie_where_they_came_in_with_all_that_they_came_with(root: Path) -> None:
    before, came = letters(root), [each for each in everything(root) if each[1] == "INBOX"]
    expunged = email_id(root, 4)
    lose_index(root)
    anew(root)
    # The copies were made later, and that 4 was expunged is in no record.
    assert [each for each in everything(root) if each[2] != expunged] == came
    assert expunged in [each[2] for each in everything(root)]
    assert set(before) <= set(letters(root))
    assert problems(root) == []


def test_flags_keywords_dates_zone_and_prefix_come_back_from_the_records(tmp_path: Path) -> None:
    site = Site(tmp_path / "data")

    async def story(store: Store) -> None:
        alice = await new_account(store)
        target = Target(
            (await new_mailbox(store, alice, "a/b")).id, b"X: y\r\n", Flag.SEEN | Flag.DRAFT, ("$A", "b")
        )
        await deliver(store, LETTER, target, date=1_600_000_000, zone=-90)

    site.run(story)
    before = everything(site.root)
    lose_index(site.root)
    anew(site.root)
    assert everything(site.root) == before
    assert before[0][1:] == ("a/b", before[0][2], 17, "$A b", 1_600_000_000, -90, b"X: y\r\n", len(LETTER) + 6)
    assert problems(site.root) == []


def test_letters_of_several_processes_come_back_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    site = Site(tmp_path / "data")

    async def begin(store: Store) -> None:
        await new_account(store)

    async def story(store: Store) -> None:
        account = await store.account(ALICE)
        assert account is not None
        await file(store, await find(store, account), b"Subject: %d\r\n\r\n" % time.time_ns())

    site.run(begin)
    for _ in range(3):
        site.run(story)
    assert len(list((site.root / "segments").iterdir())) == 3
    before = everything(site.root)
    lose_index(site.root)
    anew(site.root)
    assert everything(site.root) == before


def test_an_account_that_has_no_secrets_any_more_is_made_and_switched_off(root: Path) -> None:
    lose_index(root)
    anew(root, ALICE, CAROL)
    assert rows(root, "SELECT address, disabled FROM accounts ORDER BY address") == [
        (ALICE, 0),
        (BOB, 1),
        (CAROL, 0),
    ]
    lose_index(root)
    anew(root)
    assert rows(root, "SELECT address, disabled FROM accounts ORDER BY address") == [(ALICE, 0), (BOB, 0)]


def write_letter(root: Path, number: int, letter: bytes, facts: bytes, name: bytes) -> None:
    """A segment with one letter."""
    octets = write_frame(frame_of(letter, facts, name)) + letter + facts
    segment(root, number).write_bytes(write_segment_header(number) + octets)


def name_of(root: Path, number: int) -> bytes:
    return bytes.fromhex(email_id(root, number)[1:])


def test_of_two_records_of_a_letter_the_newer_one_tells_where_it_lay(root: Path) -> None:
    work = DeliveredTo(ALICE, "Work/2025", b"Delivered-To: alice\r\n", 5, ("$X",))
    old = ExpungedFrom(DeliveredTo(BOB, "INBOX", b"x", 0, ()), 1234)
    facts = write_facts(DeliveryFacts(1_700_000_000, 0, (work,), (old,)))
    offset, size = record(root, 1)
    name = name_of(root, 1)
    write_letter(root, 9, segment(root).read_bytes()[offset : offset + size], facts, name)
    lose_index(root)
    anew(root)
    found = [each for each in everything(root) if each[2] == "M" + name.hex()]
    assert [(each[0], each[1], each[3], each[4]) for each in found] == [(ALICE, "Work/2025", 5, "$X")]
    assert rows(root, "SELECT gone, why, prefix FROM tombstones") == [(1234, 0, b"x")]
    assert problems(root) == []

    async def story(store: Store) -> None:
        bob = await store.account(BOB)
        assert bob is not None
        inbox = await find(store, bob)
        assert await entries(store, inbox) == []
        await do(store, BringBack(inbox.id, None, inbox.id), Filed)
        assert len(await entries(store, inbox)) == 1

    Site(root).run(story)


def test_a_newer_record_that_is_damaged_is_no_better_than_a_whole_one(root: Path) -> None:
    offset, size = record(root, 1)
    facts = write_facts(DeliveryFacts(0, 0, (DeliveredTo(ALICE, "Elsewhere", b"", 0, ()),)))
    write_letter(root, 9, segment(root).read_bytes()[offset : offset + size], facts, name_of(root, 1))
    flip(segment(root, 9), segment(root, 9).stat().st_size - len(facts) - 1)
    before = letters(root)
    lose_index(root)
    anew(root)
    assert set(before) <= set(letters(root))
    assert "Elsewhere" not in [each[1] for each in everything(root)]


@pytest.mark.parametrize(
    ("letter", "address"),
    [
        (b"Delivered-To: bob@example.test\r\nTo: alice@example.test\r\n\r\n", BOB),
        (b"To: list@elsewhere.test, Alice <ALICE@example.test>\r\n\r\n", ALICE),
        (b"To: x@elsewhere.test\r\n\r\n", "recovered@mx.example.test"),
        (b"no header at all", "recovered@mx.example.test"),
    ],
)
def test_a_letter_whose_record_says_nothing_goes_to_whom_it_names(root: Path, letter: bytes, address: str) -> None:
    write_letter(root, 9, letter, b"what", bytes.fromhex("018bcfe56800") + bytes(10))
    lose_index(root)
    told = anew(root)
    (found,) = [each for each in everything(root) if each[2].startswith("M018bcfe56800")]
    assert found[:2] == (address, "Recovered")
    assert found[5] == 1_700_000_000
    assert any("1 letters that nobody placed" in each for each in told), told
    list(repair(root, NOW, HOST))
    assert problems(root) == []


def test_strangers_letters_go_to_the_administrator_before_anybody_else(root: Path) -> None:
    damage(root, "UPDATE accounts SET admin = 1 WHERE address = 'bob@example.test'")
    write_letter(root, 9, b"\r\n", b"", b"n" * 16)
    anew(root)
    assert ("bob@example.test", "Recovered") in [each[:2] for each in everything(root)]
    assert rows(root, "SELECT count(*) FROM accounts") == [(2,)]


def test_names_that_can_be_none_lose_no_letter(root: Path) -> None:
    bad = [
        DeliveredTo("Not/An Address", "INBOX", b"", 0, ()),
        DeliveredTo(ALICE, "a//b\0", b"", 255, ("a b", "ok")),
    ]
    write_letter(root, 9, b"\r\n", write_facts(DeliveryFacts(2**70, 0, tuple(bad))), b"n" * 16)
    lose_index(root)
    anew(root)
    found = [each for each in everything(root) if each[2] == "M" + (b"n" * 16).hex()]
    assert [(each[0], each[1], each[4]) for each in found] == [
        (ALICE, "Recovered", "ok"),
        ("recovered@mx.example.test", "Recovered", ""),
    ]
    assert problems(root) == []


# --- with the old one


def test_with_the_index_everything_is_where_it_was(root: Path) -> None:
    async def more(store: Store) -> None:
        alice = await store.account(ALICE)
        assert alice is not None
        inbox, work = await find(store, alice), await find(store, alice, "Work")
        await do(store, SetFlags(inbox.id, (Uid(1), Uid(3)), How.ADD, Flag.ANSWERED, ("$K",)), FlagsSet)
        await do(store, Copy(inbox.id, (Uid(5),), work.id, move=True), Filed)
        await do(store, CreateMailbox(alice.id, "Empty/deep"), Mailbox)
        await do(store, Subscribe(alice.id, "Nowhere"), Done)
        await do(store, SwitchAccount(BOB, disabled=True), Done)
        await do(store, LimitAccount(ALICE, 10**9, 0), Done)
        await do(store, ArrangeAccount(ALICE, "al", True, 5, None), Done)
        await do(store, NoteRefused((RefusedLetter(1, "s", "p", "", "x", "y", "rcpt", "550"),)), Done)
        await new_account(store, CAROL)
        await do(store, RemoveAccount(CAROL), Done)

    Site(root).run(more)
    damage(root, "INSERT INTO rights SELECT id, 'bob@example.test', 'lr' FROM mailboxes WHERE name = 'Work'")
    questions = (
        "SELECT id, address, disabled, admin, created, max_octets, max_letters, octets, letters FROM accounts",
        "SELECT address, short, tags, hourly, daily FROM accounts",
        "SELECT * FROM refusals",
        "SELECT owner, name, special_use, object_id, messages, unseen, deleted, size FROM mailboxes ORDER BY 1, 2",
        "SELECT * FROM subscriptions ORDER BY 1, 2",
        "SELECT * FROM aliases",
        "SELECT * FROM removed_accounts",
        "SELECT name, octets, letters FROM domains",
        "SELECT identifier, rights, name FROM rights JOIN mailboxes ON id = mailbox",
        "SELECT email_id, flags, why, gone FROM tombstones t JOIN messages x ON x.id = t.message ORDER BY 1, 3",
        "SELECT owner, name, object_id, gone, restored FROM deleted_mailboxes ORDER BY object_id",
        "SELECT number, length, live FROM segments",
    )
    before, asked = everything(root), [rows(root, sql) for sql in questions]
    octets = letters(root)
    (validities,) = rows(root, "SELECT max(uid_validity), (SELECT value FROM site) FROM mailboxes")
    told = anew(root)
    assert everything(root) == before
    assert [rows(root, sql) for sql in questions] == asked
    assert letters(root) == octets
    assert any("5 letters lie where the old index had them" in each for each in told), told
    (after,) = rows(root, "SELECT min(uid_validity), (SELECT value FROM site) FROM mailboxes")
    assert after[0] > validities[0]
    assert after[1] != validities[1]
    assert problems(root) == []


def test_a_store_made_anew_goes_on_as_any_other(root: Path) -> None:
    anew(root)

    async def story(store: Store) -> None:
        alice = await store.account(ALICE)
        assert alice is not None
        inbox = await find(store, alice)
        assert (await status(store, inbox)).recent == 0
        uid = await file(store, inbox, b"Subject: new\r\n\r\nnew\r\n")
        assert await octets_of(store, inbox, uid) == b"Subject: new\r\n\r\nnew\r\n"
        story = await store.story((await letter_of(store, inbox, Uid(2))).message)
        assert [each.what for each in story][-1] == "rebuilt"
        await do(store, Expunge(inbox.id, None, deleted_only=False), Expunged)
        assert len(await store.mailboxes(alice.id)) == 7

    Site(root).run(story)


def test_a_deleted_mailbox_can_still_be_brought_back(tmp_path: Path) -> None:
    site = Site(tmp_path / "data")

    async def begin(store: Store) -> None:
        alice = await new_account(store)
        old = await new_mailbox(store, alice, "Old")
        first = await file(store, old)
        await file(store, old, b"Subject: two\r\n\r\n")
        await do(store, Expunge(old.id, (first,), deleted_only=False), Expunged)
        await do(store, DeleteMailbox(alice.id, "Old"), Done)

    site.run(begin)
    anew(site.root)

    async def story(store: Store) -> None:
        alice = await store.account(ALICE)
        assert alice is not None
        ((number,),) = rows(site.root, "SELECT id FROM deleted_mailboxes")
        made = await do(store, BringBackMailbox(number, alice.id, "Old"), Mailbox)
        (only,) = await entries(store, made)
        assert await octets_of(store, made, only.uid) == b"Subject: two\r\n\r\n"

    site.run(story)


def test_letters_that_a_whole_index_does_not_place_are_kept_apart(root: Path) -> None:
    """It had forgotten them, or never acknowledged them: they are not put back among the others."""
    gone, before = email_id(root, 3), everything(root)
    damage(root, *(f"DELETE FROM {table} WHERE message = 3" for table in ("entries", "answers", "stories")))
    damage(root, "DELETE FROM messages WHERE id = 3")
    told = anew(root)
    assert [each for each in everything(root) if each[1] != "Recovered"] == [e for e in before if e[2] != gone]
    assert [each[:3] for each in everything(root) if each[1] == "Recovered"] == [(ALICE, "Recovered", gone)]
    assert any("had been forgotten" in each for each in told)
    assert problems(root) == []


def test_the_outgoing_queue_comes_back(root: Path) -> None:
    damage(
        root,
        "INSERT INTO queue_letters VALUES (7, 2, x'', 's@example.test', 1, NULL, NULL, 0, 0, 0, 0, 0, 5, 6)",
        "INSERT INTO queue_recipients VALUES (7, 0, 'x@y', 'y', NULL, 0, 1, 2, 3, NULL, NULL, NULL, NULL)",
    )
    asked = (
        "SELECT q.id, x.email_id, q.sender, q.created FROM queue_letters q JOIN messages x ON x.id = q.message",
        "SELECT * FROM queue_recipients",
    )
    before = [rows(root, sql) for sql in asked]
    anew(root)
    assert [rows(root, sql) for sql in asked] == before


def test_a_letter_without_a_record_is_told(root: Path) -> None:
    gone = email_id(root, 5)
    segment(root, 2).unlink()
    told = anew(root)
    assert f"{ALICE}, INBOX, UID 5: letter {gone} has no record any more; a backup may have it" in told
    assert problems(root) == []
    # Its number is never given to another segment.
    assert rows(root, "SELECT max(number) FROM segments") == [(2,)]
