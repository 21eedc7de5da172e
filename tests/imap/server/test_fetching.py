"""FETCH against the real store: every item over every kind of letter, octet for octet."""

from __future__ import annotations

import asyncio

import pytest

from postroom.imap.server.shortbody import without_extensions
from postroom.message import structure
from postroom.store.changes import Expunge
from postroom.store.values import Flag, Uid
from tests.imap.server.asking import ask, logged_in, selected
from tests.imap.server.house import LETTER, House, Open, login, select
from tests.imap.server.stores import counting, full
from tests.imap.server.zoo import LARGE, MADE, ZOO

PREFIX = b"Return-Path: <bob@example.test>\r\nDelivered-To: alice@example.test\r\n"
DATE = b'"14-Nov-2023 22:13:20 +0000"'


# --- the items


def test_each_item_is_answered_as_it_was_made_at_delivery(house: House) -> None:
    async def run() -> None:
        letters = list((ZOO | {"large": LARGE}).values())
        async with selected(house, *letters, prefix=PREFIX) as (_, client):
            for number, source in enumerate(letters, 1):
                facts = structure.parse(source)
                items = b"INTERNALDATE ENVELOPE RFC822.SIZE BODYSTRUCTURE UID FLAGS BODY"
                expected = b" ".join(
                    (
                        b"* %d FETCH (INTERNALDATE %b" % (number, DATE),
                        b"ENVELOPE %b" % facts.envelope,
                        b"RFC822.SIZE %d" % len(PREFIX + source),
                        b"BODYSTRUCTURE %b" % facts.bodystructure,
                        b"UID %d FLAGS (\\Recent)" % number,
                        b"BODY %b)" % without_extensions(facts.bodystructure),
                    )
                )
                assert await ask(client, b"FETCH %d (%b)" % (number, items)) == [expected, b"OK Fetched"]

    asyncio.run(run())


LETTERS = (b"Subject: x\r\n\r\nText\r\n", b"Subject: y\r\nFrom: a@example.test\r\n\r\n")


async def two(opened: Open) -> None:
    await opened.deliver(*LETTERS, prefix=b"Return-Path: <>\r\n")


def test_the_old_names_are_answered_by_their_names(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=2, verb="EXAMINE")}
        C: a FETCH 1 RFC822
        S< * 1 FETCH (RFC822 {{37}}\\r\\nReturn-Path: <>\\r\\nSubject: x\\r\\n\\r\\nText\\r\\n)\\r\\n
        S: a OK *
        C: b FETCH 1 (RFC822.TEXT RFC822.HEADER)
        S< * 1 FETCH (RFC822.TEXT {{6}}\\r\\nText\\r\\n
        S<  RFC822.HEADER {{31}}\\r\\nReturn-Path: <>\\r\\nSubject: x\\r\\n\\r\\n)\\r\\n
        S: b OK *
        """,
        before=two,
    )


def test_macros_stand_for_their_items(house: House) -> None:
    fast = b"FLAGS (\\Recent) INTERNALDATE %b RFC822.SIZE 37" % DATE
    facts = structure.parse(LETTERS[0])
    full = b"%b ENVELOPE %b" % (fast, facts.envelope)
    body = b"%b BODY %b" % (full, without_extensions(facts.bodystructure))

    async def run() -> None:
        async with selected(house, LETTERS[0], prefix=b"Return-Path: <>\r\n") as (_, client):
            for macro, items in ((b"FAST", fast), (b"all", full), (b"FULL", body)):
                assert await ask(client, b"FETCH 1 " + macro) == [b"* 1 FETCH (%b)" % items, b"OK Fetched"]

    asyncio.run(run())


# --- which letters


def test_letters_are_chosen_by_number_or_by_uid(house: House) -> None:
    async def before(opened: Open) -> None:
        await opened.deliver(*[LETTER] * 5)
        await opened.store.commit(Expunge((await opened.mailbox()).id, (Uid(2), Uid(4)), deleted_only=False))

    house.talk(
        f"""
        {login()}
        {select(letters=3, verb="EXAMINE")}
        C: a FETCH 3,1 UID
        S: * 1 FETCH (UID 1)
        S: * 3 FETCH (UID 5)
        S: a OK *
        C: b UID FETCH 2:4,9:* FLAGS
        S: * 2 FETCH (UID 3 FLAGS (\\Recent))
        S: * 3 FETCH (UID 5 FLAGS (\\Recent))
        S: b OK *
        C: c UID FETCH 2,4,1000 (UID FLAGS)
        S: c OK *
        C: d FETCH 4 FLAGS
        S: d BAD *
        C: e UID FETCH * RFC822.SIZE
        S: * 3 FETCH (UID 5 RFC822.SIZE {{size}})
        S: e OK *
        C: f FETCH 1:2,3 (FLAGS RFC822.SIZE)
        S: * 1 FETCH (FLAGS (\\Recent) RFC822.SIZE {{size}})
        S: * 2 FETCH (FLAGS (\\Recent) RFC822.SIZE {{size}})
        S: * 3 FETCH (FLAGS (\\Recent) RFC822.SIZE {{size}})
        S: f OK *
        """,
        before=before,
    )


def test_an_empty_mailbox_has_no_numbers_and_no_uids(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=0)}
        C: a FETCH 1:* FLAGS
        S: a BAD *
        C: b UID FETCH 1:* FLAGS
        S: b OK *
        """
    )


# --- what it costs


def test_only_what_is_asked_for_is_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client's own stream is of this process, and counts as somebody who speaks.
    monkeypatch.setattr("postroom.net.turns.CROWDED_SECONDS", 0.0)
    made = counting(house)

    async def run() -> None:
        async with selected(house, *[MADE["attached"]] * 250) as (_, client):
            (store,) = made
            for items, asked in (
                (b"(FLAGS UID)", {}),
                (b"FAST", {"entries": 1}),
                (b"(ENVELOPE BODYSTRUCTURE)", {"letters": 3}),
                (b"BODY.PEEK[HEADER.FIELDS (TO)]", {"letters": 3, "read_each": 3}),
            ):
                store.asked.clear()
                store.octets = 0
                assert len(await ask(client, b"FETCH 1:* " + items)) == 251
                assert {name: count for name, count in store.asked.items() if name != "changes"} == asked
            assert store.octets == 250 * structure.parse(MADE["attached"]).header_size

    asyncio.run(run())


# --- \Seen


async def three(opened: Open) -> None:
    await opened.deliver(LETTER)
    await opened.deliver(LETTER, flags=Flag.SEEN)
    await opened.deliver(LETTER)


@pytest.mark.parametrize("item", ["BODY[HEADER]", "BODY[9]", "BODY[1]<0.1>", "RFC822", "RFC822.TEXT"])
def test_octets_without_peek_make_a_letter_seen_and_the_answer_says_so(house: House, item: str) -> None:
    async def run() -> None:
        async with house.open() as opened:
            await three(opened)
            async with logged_in(opened) as client:
                answers = await ask(client, f"FETCH 1:2 {item}".encode())
                assert answers[0].startswith(b"* 1 FETCH (FLAGS (\\Seen \\Recent) ")
                assert b"FLAGS" not in answers[1]
                assert answers[2:] == [b"OK Fetched"]
                entries = await opened.store.entries((await opened.mailbox()).id, Uid(0), 9)
                assert [entry.flags for entry in entries] == [Flag.SEEN, Flag.SEEN, 0]

    asyncio.run(run())


@pytest.mark.parametrize("item", ["BODY.PEEK[]", "RFC822.HEADER", "BODY", "ENVELOPE"])
def test_a_look_does_not_make_a_letter_seen(house: House, item: str) -> None:
    async def run() -> None:
        async with house.open() as opened:
            await three(opened)
            async with logged_in(opened) as client:
                assert b"FLAGS" not in b"".join(await ask(client, f"FETCH 1:3 {item}".encode()))
                assert (await ask(client, b"FETCH 3 FLAGS"))[0] == b"* 3 FETCH (FLAGS (\\Recent))"

    asyncio.run(run())


def test_flags_that_were_asked_for_are_told_once(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a UID FETCH 1:* (FLAGS BODY[9])
        S: * 1 FETCH (UID 1 FLAGS (\\Seen \\Recent) BODY[9] NIL)
        S: * 2 FETCH (UID 2 FLAGS (\\Seen \\Recent) BODY[9] NIL)
        S: * 3 FETCH (UID 3 FLAGS (\\Seen \\Recent) BODY[9] NIL)
        S: a OK *
        C: b NOOP
        S: b OK *
        """,
        before=three,
    )


def test_nothing_becomes_seen_in_a_mailbox_that_is_only_looked_at(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3, verb="EXAMINE")}
        C: a FETCH 1 (BODY[9] FLAGS)
        S: * 1 FETCH (FLAGS (\\Recent) BODY[9] NIL)
        S: a OK *
        """,
        before=three,
    )


def test_another_session_hears_what_became_seen(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        {login("2")}
        {select("2", letters=3)}
        C: a FETCH 3 BODY[9]
        S: * 3 FETCH (FLAGS (\\Seen \\Recent) BODY[9] NIL)
        S: a OK *
        C2: a NOOP
        S2: * 3 FETCH (FLAGS (\\Seen))
        S2: a OK *
        """,
        before=three,
    )


def test_many_letters_become_seen_in_one_commit(house: House) -> None:
    made = counting(house)

    async def run() -> None:
        async with selected(house, *[LETTER] * 30) as (_, client):
            made[0].asked.clear()
            assert len(await ask(client, b"FETCH 1:* BODY[TEXT]")) == 31
            assert made[0].asked["commit"] == 1
            assert len(await ask(client, b"FETCH 1:* BODY[TEXT]")) == 31
            assert made[0].asked["commit"] == 1

    asyncio.run(run())


# --- letters that are gone or damaged


async def expunge_the_second(opened: Open) -> None:
    await opened.store.commit(Expunge((await opened.mailbox()).id, (Uid(2),), deleted_only=False))


@pytest.mark.parametrize("items", ["RFC822.SIZE", "ENVELOPE", "BODY.PEEK[]", "BODY[TEXT]", "(FLAGS INTERNALDATE)"])
@pytest.mark.parametrize("chosen", ["1:3", "1,3,2"])
def test_a_letter_expunged_meanwhile_is_left_out_and_the_rest_is_whole(
    house: House, items: str, chosen: str
) -> None:
    async def run() -> None:
        async with selected(house, *[LETTER] * 3) as (opened, client):
            await expunge_the_second(opened)
            answers = await ask(client, f"FETCH {chosen} {items}".encode())
            assert [line[:9] for line in answers[:-1]] == [b"* 1 FETCH", b"* 3 FETCH"]
            assert answers[-1].startswith(b"NO [EXPUNGEISSUED] ")
            answers = await ask(client, f"UID FETCH {chosen} {items}".encode())
            assert [line[:17] for line in answers] == [
                b"* 1 FETCH (UID 1 ",
                b"* 3 FETCH (UID 3 ",
                b"* 2 EXPUNGE",
                b"* 2 RECENT",
                b"OK Fetched",
            ]
            assert len(await ask(client, f"FETCH 1:2 {items}".encode())) == 3

    asyncio.run(run())


def test_flags_of_a_letter_expunged_meanwhile_are_those_that_the_client_knows_until_it_is_told(
    house: House,
) -> None:
    async def run() -> None:
        async with selected(house, *[LETTER] * 3) as (opened, client):
            await expunge_the_second(opened)
            assert len(await ask(client, b"FETCH 1:3 FLAGS")) == 4
            answers = await ask(client, b"FETCH 1:3 FLAGS")
            assert [line[:19] for line in answers] == [
                b"* 1 FETCH (FLAGS (\\",
                b"* 3 FETCH (FLAGS (\\",
                b"NO [EXPUNGEISSUED] ",
            ]

    asyncio.run(run())


def test_a_full_disk_keeps_nobody_from_reading(house: House) -> None:
    house.wrap = full
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a FETCH 1 BODY[TEXT]<0.3>
        S: * 1 FETCH (BODY[TEXT]<0> {{3}}
        S: How)
        S: a OK *
        C: b STORE 1 +FLAGS \\Seen
        S: b NO [OVERQUOTA] *
        """,
        before=three,
    )


def test_sets_are_never_spread_out(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a UID FETCH 4294967295:1 UID
        S: * 1 FETCH (UID 1)
        S: * 2 FETCH (UID 2)
        S: * 3 FETCH (UID 3)
        S: a OK *
        C: b UID FETCH *:* UID
        S: * 3 FETCH (UID 3)
        S: b OK *
        C: c UID FETCH 4294967296 UID
        S: c BAD *
        C: d FETCH 1:4294967295 UID
        S: d BAD *
        C: e UID STORE 4294967295:2 +FLAGS.SILENT \\Seen
        S: e OK *
        C: f UID SEARCH UID 1:4294967295 UNSEEN
        S: * SEARCH 1
        S: f OK *
        """,
        before=three,
    )
