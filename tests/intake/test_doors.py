"""Who a letter is for, whose it is, and how many may be sent: what intake decides for all doors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from postroom.intake.accept import Intake
from postroom.intake.authorship import authors
from postroom.intake.checks.memory import Memory
from postroom.intake.envelope import Accepted, Envelope, Origin, Recipient, Rejected
from postroom.intake.names import unicode_domain
from postroom.intake.recipients import Local, Recipients, Resolution, Unknown
from postroom.intake.refusals import Refusals
from postroom.intake.sending import Sending
from postroom.net.limits import AUTHORS, HEADER_OCTETS, REFUSALS_WAITING
from postroom.smtp.grammar import read_address
from postroom.smtp.replies import R450_SENDS, R452_OVER_QUOTA, R550_AUTHOR, R550_FROM, R552_HEADER
from postroom.store.changes import ArrangeAccount, CreateMailbox, Done, LimitAccount
from postroom.store.interface import Store
from postroom.store.sqlite import open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import Account, Mailbox, Uid
from tests.smtp.office import MemoryStore
from tests.store.site import do, new_account

ALICE, BOB = "alice@example.test", "bob@example.test"


# --- whom an address means


def resolve(store: MemoryStore, address: str, **options: object) -> Resolution:
    recipients = Recipients(cast(Store, store), ["example.test", "xn--bcher-kva.test"], **options)  # type: ignore[arg-type]
    return asyncio.run(recipients.resolve(read_address(address)))


def a_store() -> MemoryStore:
    store = MemoryStore()
    for name in ("alice@example.test", "bob@example.test", "jo@bücher.test"):
        store.add(name)
    return store


def names(found: Resolution) -> list[str]:
    return [each.address for each in found.accounts] if isinstance(found, Local) else []


def test_mail_for_names_that_nobody_has_goes_to_the_catch_all() -> None:
    store = a_store()
    catch = {"example.test": "bob@example.test"}
    assert names(resolve(store, "nobody@example.test", catch_all=catch)) == [BOB]
    assert names(resolve(store, "nobody+tag@Example.TEST", catch_all=catch)) == [BOB]
    assert names(resolve(store, ALICE, catch_all=catch)) == [ALICE]
    assert resolve(store, "nobody@xn--bcher-kva.test", catch_all=catch) == Unknown()


def test_a_catch_all_that_is_nobody_itself_is_no_loop() -> None:
    assert resolve(a_store(), "x@example.test", catch_all={"example.test": "gone@example.test"}) == Unknown()
    assert resolve(a_store(), "x@example.test", catch_all={"example.test": "x@example.test"}) == Unknown()


def test_a_disabled_account_is_not_read_by_the_catch_all() -> None:
    store = a_store()
    store.add("carol@example.test", disabled=True)
    assert names(resolve(store, "carol@example.test", catch_all={"example.test": BOB})) == []


@pytest.mark.parametrize("name", ["postmaster", "Abuse", "ABUSE+x", "postmaster+tag"])
@pytest.mark.parametrize("domain", ["example.test", "xn--bcher-kva.test"])
def test_postmaster_and_abuse_are_always_there(name: str, domain: str) -> None:
    store = a_store()
    store.add("zoe@example.test", admin=True)
    found = resolve(store, f"{name}@{domain}", catch_all={"example.test": BOB})
    assert names(found) == ["zoe@example.test"]


def test_a_tag_is_kept_for_the_account_that_it_led_to() -> None:
    store = a_store()
    store.also("lists@example.test", "alice+Lists@example.test", "bob@example.test")
    found = resolve(store, "lists+other@example.test")
    assert isinstance(found, Local) and [found.tags.get(each.id) for each in found.accounts] == ["Lists", None]
    direct = resolve(store, "alice+a+b@example.test")
    assert isinstance(direct, Local) and list(direct.tags.values()) == ["a+b"]


def test_case_counts_where_it_is_said_to() -> None:
    store = a_store()
    store.also("sales@example.test", ALICE)
    store.also("Help@example.test", BOB)
    for options in ({}, {"case_sensitive": ["EXAMPLE.test"]}):
        assert names(resolve(store, "sales@example.test", **options)) == [ALICE]
        assert names(resolve(store, "Help@example.test", **options)) == [BOB]
        assert names(resolve(store, "ALICE@example.test", **options)) == [ALICE]
    assert names(resolve(store, "Sales@example.test")) == [ALICE]
    assert resolve(store, "Sales@example.test", case_sensitive=["example.test"]) == Unknown()


def test_both_spellings_of_a_domain_are_one() -> None:
    assert names(resolve(a_store(), "jo@xn--bcher-kva.test")) == ["jo@bücher.test"]
    assert names(resolve(a_store(), "JO@Bücher.test")) == ["jo@bücher.test"]
    assert unicode_domain("xn--.test") == "xn--.test" and unicode_domain("xn--a\x00.test") == "xn--a\x00.test"


# --- whose a letter is


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"From: Alice <alice@example.test>\r\n\r\n", [ALICE]),
        (b'from:\r\n "ceo@bank.test" <alice@example.test>, Bob <bob@example.test>\r\n\r\n', [ALICE, BOB]),
        (b"From: =?utf-8?q?ceo=40bank=2Etest?= <alice@example.test>\r\n\r\n", [ALICE]),
        (b"From: us: alice@example.test, bob@example.test;\r\n\r\n", [ALICE, BOB]),
        (b"From : (ceo@bank.test) alice@example.test\r\n\r\n", [ALICE]),
        (b"Subject: x\r\n\r\n", []),
        (b"From:\r\n\r\n", None),
        (b"From: nobody:;\r\n\r\n", None),
        (b"From: alice@example.test\r\nFrom: ceo@bank.test\r\n\r\n", None),
        (b"From: alice\r\n\r\n", None),
        (b"From: \xff@example.test\r\n\r\n", None),
        (b"From: " + b", ".join([b"a%d@example.test" % each for each in range(AUTHORS + 1)]) + b"\r\n\r\n", None),
        (b"From: " + b",".join([b"a%d@x.test" % each for each in range(100 * AUTHORS)]) + b"\r\n\r\n", None),
    ],
)
def test_authors(header: bytes, found: list[str] | None) -> None:
    read = authors(header)
    assert (None if read is None else [str(each) for each in read]) == found


def test_as_many_authors_as_there_may_be() -> None:
    header = b"From: " + b", ".join([b"a%d@example.test" % each for each in range(AUTHORS)]) + b"\r\n\r\n"
    assert len(authors(header) or []) == AUTHORS


# --- with a store


async def _store(folder: Path) -> Store:
    migrate(folder)
    return await open_store(folder, name="test")


class Door:
    """An intake over a real store, in which Alice is logged in."""

    def __init__(self, store: Store, folder: Path, hourly: int = 0, daily: int = 0) -> None:
        self.now = 1_800_000_000.0
        self.store = store
        self.refusals = Refusals(store)
        memory = Memory(folder / "marks.db", clock=lambda: self.now)
        recipients = Recipients(store, ["example.test"])
        self.intake = Intake(
            store,
            "mx.example.test",
            ["example.test"],
            recipients=recipients,
            sending=Sending(memory, hourly, daily),
            refusals=self.refusals,
        )

    async def envelope(self, *addresses: str) -> Envelope:
        each: list[Recipient] = []
        for text in addresses:
            found = await self.intake.recipient(read_address(text))
            assert isinstance(found, Local)
            each += [Recipient(one, read_address(text), found.tags.get(one.id, "")) for one in found.accounts]
        return Envelope(read_address("x@there.test"), tuple(each))

    async def bring(self, *addresses: str, letter: bytes = b"", login: str = "") -> Accepted | Rejected:
        blob = self.intake.begin()
        blob.write(letter or b"From: alice@example.test\r\n\r\nbody\r\n")
        origin = Origin("client.test", "192.0.2.1", "ESMTPSA", "a.1", login)
        return await self.intake.accept(await self.envelope(*addresses), origin, blob)

    async def bring_each(self, *addresses: str) -> Sequence[Accepted | Rejected]:
        blob = self.intake.begin()
        blob.write(b"Subject: x\r\n\r\n" + b"body\r\n" * 100)
        origin = Origin("client.test", "192.0.2.1", "LMTP", "a.1")
        return await self.intake.accept_each(await self.envelope(*addresses), origin, blob)

    async def count(self, account: Account, mailbox: str) -> int:
        found = await self.store.mailbox(account.id, mailbox)
        return 0 if found is None else len(await self.store.entries(found.id, Uid(0), 100))


def test_a_tagged_letter_comes_into_the_mailbox_of_that_name(tmp_path: Path) -> None:
    async def story() -> None:
        store = await _store(tmp_path)
        door = Door(store, tmp_path)
        alice = await new_account(store, ALICE)
        await do(store, CreateMailbox(alice.id, "Lists"), Mailbox)
        await door.bring("alice+Lists@example.test")
        assert await door.count(alice, "INBOX") == 1, "it has not asked for it"
        await do(store, ArrangeAccount(ALICE, None, True, None, None), Done)
        for tag in ("Lists", "lists", "LISTS"):
            await door.bring(f"alice+{tag}@example.test")
        assert await door.count(alice, "Lists") == 3
        for tag in ("nothing", "Sent", "Trash", "a/x", "*"):
            await door.bring(f"alice+{tag}@example.test")
        assert await door.count(alice, "INBOX") == 6
        assert await door.count(alice, "Sent") == 0, "nobody puts letters among those that were sent"
        await store.close()

    asyncio.run(story())


def test_each_recipient_of_lmtp_has_an_answer_of_its_own(tmp_path: Path) -> None:
    async def story() -> None:
        store = await _store(tmp_path)
        door = Door(store, tmp_path)
        alice, bob = await new_account(store, ALICE), await new_account(store, BOB)
        await do(store, LimitAccount(BOB, 100, None), Done)
        assert await door.bring_each(ALICE, BOB) == (Accepted("a.1"), Rejected(R452_OVER_QUOTA))
        assert await door.bring_each(BOB) == (Rejected(R452_OVER_QUOTA),)
        assert (await door.count(alice, "INBOX"), await door.count(bob, "INBOX")) == (1, 0)
        await do(store, LimitAccount(BOB, 0, None), Done)
        assert await door.bring_each(ALICE, BOB) == (Accepted("a.1"),) * 2
        await store.close()

    asyncio.run(story())


def test_a_letter_that_is_sent_is_its_senders_own(tmp_path: Path) -> None:
    async def story() -> None:
        store = await _store(tmp_path)
        door = Door(store, tmp_path)
        await new_account(store, ALICE)
        await new_account(store, BOB)
        for letter, answer in (
            (b"From: Alice+x@EXAMPLE.test\r\n\r\n", Accepted("a.1")),
            (b"From: bob@example.test\r\n\r\n", Rejected(R550_AUTHOR)),
            (b"From: alice@example.test, bob@example.test\r\n\r\n", Rejected(R550_AUTHOR)),
            (b"From: ceo@bank.test\r\nSender: alice@example.test\r\n\r\n", Rejected(R550_AUTHOR)),
            (b"Subject: none\r\n\r\n", Accepted("a.1")),
            (b"From: a b\r\n\r\n", Rejected(R550_FROM)),
            (b"From: alice@example.test\r\nX: " + b"x" * HEADER_OCTETS + b"\r\n\r\n", Rejected(R552_HEADER)),
        ):
            assert await door.bring(BOB, letter=letter, login=ALICE) == answer, letter[:50]
            assert isinstance(await door.bring(BOB, letter=letter), Accepted), "a stranger's From is his own affair"
        await store.close()

    asyncio.run(story())


def test_an_account_sends_as_many_letters_as_it_may(tmp_path: Path) -> None:
    async def story() -> None:
        store = await _store(tmp_path)
        door = Door(store, tmp_path, hourly=3, daily=5)
        await new_account(store, ALICE)
        answers = [await door.bring(ALICE, login=ALICE) for _ in range(3 + 1 + 300)]
        assert answers == [Accepted("a.1")] * 3 + [Rejected(R450_SENDS)] * 301
        assert isinstance(await door.bring(ALICE), Accepted), "what comes from elsewhere is not counted"
        again = Door(store, tmp_path, hourly=3, daily=5)
        assert await again.bring(ALICE, login=ALICE) == Rejected(R450_SENDS), "another worker knows"
        door.now += 3601
        assert [isinstance(await door.bring(ALICE, login=ALICE), Accepted) for _ in range(3)] == [True, True, False]
        door.now += 86_400
        await do(store, ArrangeAccount(ALICE, None, False, 1, 0), Done)
        assert [isinstance(await door.bring(ALICE, login=ALICE), Accepted) for _ in range(2)] == [True, False]
        await store.close()

    asyncio.run(story())


def test_what_was_refused_can_be_told_later_and_a_flood_is_bounded(tmp_path: Path) -> None:
    async def story() -> None:
        store = await _store(tmp_path)
        door = Door(store, tmp_path)
        await new_account(store, ALICE)
        await door.bring(ALICE, letter=b"From: ceo@bank.test\r\n\r\n", login=ALICE)
        await door.refusals.flush()
        (one,) = await store.refused("ceo", 10) or await store.refused("author", 10)
        assert (one.login, one.peer, one.recipient, one.judge) == (ALICE, "192.0.2.1", ALICE, "author")
        assert one.reply.startswith("550 5.7.1 ")
        for number in range(100 * REFUSALS_WAITING):
            door.refusals.note(
                session="s", peer="p", login="", sender="x", recipient=str(number), judge="rcpt", reply="550"
            )
        await door.refusals.flush()
        await door.refusals.flush()
        kept = await store.refused("", 10 * REFUSALS_WAITING)
        assert len(kept) == 1 + REFUSALS_WAITING + 1
        assert kept[0].judge == "flood" and kept[0].reply.startswith(f"{99 * REFUSALS_WAITING} more ")
        await store.close()

    asyncio.run(story())


def test_records_are_kept_without_anybody_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.intake.refusals.REFUSALS_SECONDS", 0.0)

    async def story() -> None:
        store = await _store(tmp_path)
        refusals = Refusals(store)
        task = asyncio.create_task(refusals.run())
        refusals.note(
            session="s", peer="p", login="", sender="x", recipient="y", judge="rcpt", reply="550 5.1.1 no"
        )
        async with asyncio.timeout(10):
            while not await store.refused("", 10):  # noqa: ASYNC110
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.close()

    asyncio.run(story())


def test_a_limit_is_kept_by_account_alone(tmp_path: Path) -> None:
    async def story() -> None:
        memory = Memory(tmp_path / "marks.db", clock=lambda: 1.8e9)
        sending = Sending(memory, 1, 0)
        store = await _store(tmp_path)
        alice, bob = await new_account(store, ALICE), await new_account(store, BOB)
        assert [await sending.objection(each) for each in (alice, bob, alice)] == [None, None, R450_SENDS]
        assert await sending.objection(replace(alice, hourly=0)) is None
        await store.close()

    asyncio.run(story())
