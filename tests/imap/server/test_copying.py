"""COPY and MOVE against the real store: what arrives where, and what is said of it."""

from __future__ import annotations

import asyncio

import pytest

from postroom.store.changes import DeleteMailbox, Expunge
from postroom.store.values import Flag, Uid
from tests.imap.server.asking import ask, selected
from tests.imap.server.house import LETTER, House, Open, login, select

OTHER = b"Subject: other\r\n\r\nOther\r\n"


async def three(opened: Open) -> None:
    await opened.deliver(LETTER, flags=Flag.SEEN, keywords=["$Kept"])
    await opened.deliver(OTHER, LETTER, prefix=b"Return-Path: <>\r\n")


def test_a_copy_is_the_same_letter_with_its_flags_and_date(house: House) -> None:
    async def after(opened: Open) -> None:
        other, third = b"Return-Path: <>\r\n" + OTHER, b"Return-Path: <>\r\n" + LETTER
        assert await opened.contents("Archive") == [LETTER, third, other, third]
        assert await opened.contents() == [LETTER, other, third]

    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a COPY 3,1 Archive
        S: a OK [COPYUID {{validity}} 1,3 1:2] Copied
        C: b UID COPY 2:99 Archive
        S: b OK [COPYUID {{validity}} 2:3 3:4] Copied
        C: c UID COPY 3 "archive"
        S: c NO [TRYCREATE] *
        C: d EXAMINE Archive
        S: * FLAGS *
        S: * 4 EXISTS
        S: * *
        S: * OK *
        S: * OK *
        S: * OK [UIDVALIDITY {{validity}}] *
        S: * OK *
        S: d OK *
        C: e FETCH 1 (FLAGS INTERNALDATE)
        S: * 1 FETCH (FLAGS (\\Seen \\Recent $Kept) INTERNALDATE "14-Nov-2023 22:13:20 +0000")
        S: e OK *
        """,
        before=three,
        after=after,
    )


def test_a_move_takes_the_letters_away_and_tells_where_they_went_first(house: House) -> None:
    async def after(opened: Open) -> None:
        assert await opened.contents("Trash") == [LETTER, b"Return-Path: <>\r\n" + LETTER]
        assert await opened.contents() == [b"Return-Path: <>\r\n" + OTHER]

    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a MOVE 1,3 Trash
        S: * OK [COPYUID {{validity}} 1,3 1:2] Moved
        S: * 1 EXPUNGE
        S: * 2 EXPUNGE
        S: * 1 RECENT
        S: a OK Done
        C: b UID MOVE 1,3 Trash
        S: b OK Done
        C: c UID FETCH 1:* UID
        S: * 1 FETCH (UID 2)
        S: c OK *
        """,
        before=three,
        after=after,
    )


def test_a_copy_into_the_selected_mailbox_is_told_as_new(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a COPY 2 inbox
        S: * 4 EXISTS
        S: * 4 RECENT
        S: a OK [COPYUID {{validity}} 2 4] Copied
        C: b UID MOVE 2 INBOX
        S: * OK [COPYUID {{validity}} 2 5] Moved
        S: * 2 EXPUNGE
        S: * 4 EXISTS
        S: b OK Done
        """,
        before=three,
    )


@pytest.mark.parametrize("verb", ["COPY", "UID COPY", "MOVE", "UID MOVE"])
def test_a_mailbox_that_is_not_there_can_be_created_and_tried_again(house: House, verb: str) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a {verb} 1 Nowhere
        S: a NO [TRYCREATE] *
        C: b CREATE Nowhere
        S: b OK *
        C: c {verb} 4294967295 Nowhere
        S: c {"OK" if "UID" in verb else "BAD"} *
        C: d {verb} 1 Nowhere
        S* * OK [COPYUID *
        S* * 1 EXPUNGE
        S* * 2 RECENT
        S: d OK *
        """,
        before=three,
    )


def test_nothing_is_moved_out_of_a_mailbox_that_is_only_looked_at(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3, verb="EXAMINE")}
        C: a MOVE 1 Trash
        S: a NO [READ-ONLY] *
        C: b UID MOVE 1 Trash
        S: b NO [READ-ONLY] *
        C: c COPY 1 Trash
        S: c OK [COPYUID *
        """,
        before=three,
    )


@pytest.mark.parametrize("verb", ["COPY", "MOVE"])
def test_a_letter_expunged_meanwhile_stops_a_copy_by_number_and_not_one_by_uid(house: House, verb: str) -> None:
    async def run() -> None:
        async with selected(house, *[LETTER] * 3) as (opened, client):
            await opened.store.commit(Expunge((await opened.mailbox()).id, (Uid(2),), deleted_only=False))
            answers = await ask(client, f"{verb} 1:3 Archive".encode())
            assert answers[-1].startswith(b"NO [EXPUNGEISSUED] ")
            assert await opened.contents("Archive") == []
            assert len(await opened.contents()) == 2
            answers = await ask(client, f"UID {verb} 1:3 Archive".encode())
            assert any(b"1,3 1:2] " in line for line in answers)
            assert await opened.contents("Archive") == [LETTER] * 2

    asyncio.run(run())


def test_where_nothing_is_copied_no_uids_are_told(house: House) -> None:
    async def run() -> None:
        async with selected(house, *[LETTER] * 2) as (opened, client):
            await opened.store.commit(Expunge((await opened.mailbox()).id, (Uid(2),), deleted_only=False))
            assert (await ask(client, b"UID COPY 2 Archive"))[-1] == b"OK Copied"
            assert await ask(client, b"UID MOVE 2 Archive") == [b"OK Done"]

    asyncio.run(run())


def test_another_persons_mailboxes_are_no_targets(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a CREATE Mine
        S: a OK *
        {login("2", "bob@example.test")}
        {select("2", letters=1)}
        C2: a COPY 1 Mine
        S2: a NO [TRYCREATE] *
        """,
        before=three_and_bob,
    )


async def three_and_bob(opened: Open) -> None:
    await three(opened)
    await opened.deliver(LETTER, address="bob@example.test")


def test_a_target_that_goes_away_is_like_one_that_never_was(house: House) -> None:
    async def run() -> None:
        async with selected(house, LETTER) as (opened, client):
            await ask(client, b"CREATE Brief")
            await opened.store.commit(DeleteMailbox((await opened.account()).id, "Brief"))
            assert (await ask(client, b"COPY 1 Brief"))[-1].startswith(b"NO [TRYCREATE] ")

    asyncio.run(run())
