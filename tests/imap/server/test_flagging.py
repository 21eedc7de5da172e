"""STORE against the real store: what becomes of flags and keywords, and who is told."""

from __future__ import annotations

import asyncio

import pytest

from postroom.net.limits import IMAP_KEYWORDS, IMAP_LETTERS_PER_CHANGE
from postroom.store.changes import Copy, Expunge, How, SetFlags
from postroom.store.values import Flag, Uid
from tests.imap.server.asking import ask, logged_in, selected
from tests.imap.server.house import LETTER, House, Open, login, select
from tests.imap.server.stores import failing


async def three(opened: Open) -> None:
    await opened.deliver(LETTER)
    await opened.deliver(LETTER, flags=Flag.SEEN, keywords=["$Old"])
    await opened.deliver(LETTER)


def test_flags_are_set_added_and_taken_away(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a STORE 1:2 +FLAGS (\\Flagged $New)
        S: * FLAGS *
        S: * OK [PERMANENTFLAGS *
        S: * 1 FETCH (FLAGS (\\Flagged \\Recent $New))
        S: * 2 FETCH (FLAGS (\\Flagged \\Seen \\Recent $New $Old))
        S: a OK *
        C: b STORE 2 -FLAGS (\\Seen $old)
        S: * 2 FETCH (FLAGS (\\Flagged \\Recent $New))
        S: b OK *
        C: c UID STORE 2:3 FLAGS \\Deleted \\Draft
        S: * 2 FETCH (UID 2 FLAGS (\\Deleted \\Draft \\Recent))
        S: * 3 FETCH (UID 3 FLAGS (\\Deleted \\Draft \\Recent))
        S: c OK *
        C: d STORE 3 FLAGS ()
        S: * 3 FETCH (FLAGS (\\Recent))
        S: d OK *
        C: e FETCH 1:* FLAGS
        S: * 1 FETCH (FLAGS (\\Flagged \\Recent $New))
        S: * 2 FETCH (FLAGS (\\Deleted \\Draft \\Recent))
        S: * 3 FETCH (FLAGS (\\Recent))
        S: e OK *
        """,
        before=three,
    )


def test_a_letter_that_already_is_as_asked_is_told_all_the_same(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a STORE 2 +FLAGS \\Seen
        S: * 2 FETCH (FLAGS (\\Seen \\Recent $Old))
        S: a OK *
        """,
        before=three,
    )


def test_silence_is_kept_except_about_what_others_did(house: House) -> None:
    async def run() -> None:
        async with house.open() as opened:
            await three(opened)
            async with logged_in(opened) as client:
                assert await ask(client, b"STORE 1:2 +FLAGS.SILENT \\Flagged") == [b"OK Stored"]
                mailbox = (await opened.mailbox()).id
                await opened.store.commit(SetFlags(mailbox, (Uid(1),), How.ADD, Flag.ANSWERED))
                answers = await ask(client, b"UID STORE 1:2 FLAGS.SILENT (\\Draft)")
                assert answers == [b"OK Stored"]
                await opened.store.commit(SetFlags(mailbox, (Uid(2),), How.ADD, Flag.ANSWERED))
                answers = await ask(client, b"UID STORE 1:2 -FLAGS.SILENT (\\Draft)")
                assert answers == [b"* 2 FETCH (UID 2 FLAGS (\\Answered \\Recent))", b"OK Stored"]

    asyncio.run(run())


def test_another_session_is_told(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        {login("2")}
        {select("2", letters=3)}
        C: a STORE 1 FLAGS.SILENT (\\Answered)
        S: a OK *
        C2: a NOOP
        S2: * 1 FETCH (FLAGS (\\Answered))
        S2: a OK *
        """,
        before=three,
    )


def test_a_mailbox_that_is_only_looked_at_is_not_changed(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3, verb="EXAMINE")}
        C: a STORE 1 +FLAGS \\Seen
        S: a NO [READ-ONLY] *
        C: b UID STORE 1 +FLAGS \\Seen
        S: b NO [READ-ONLY] *
        C: c FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS (\\Recent))
        S: c OK *
        """,
        before=three,
    )


def test_numbers_must_be_there_and_uids_need_not(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a STORE 4 +FLAGS \\Seen
        S: a BAD *
        C: b UID STORE 4:9 +FLAGS \\Seen
        S: b OK *
        C: c UID STORE 3,9 +FLAGS \\Seen
        S: * 3 FETCH (UID 3 FLAGS (\\Seen \\Recent))
        S: c OK *
        """,
        before=three,
    )


def test_a_letter_expunged_meanwhile_stays_as_it_is_and_the_rest_is_changed(house: House) -> None:
    async def run() -> None:
        async with selected(house, *[LETTER] * 3) as (opened, client):
            await opened.store.commit(Expunge((await opened.mailbox()).id, (Uid(2),), deleted_only=False))
            answers = await ask(client, b"STORE 1:3 +FLAGS \\Seen")
            assert answers[:-1] == [b"* %d FETCH (FLAGS (\\Seen \\Recent))" % number for number in (1, 3)]
            assert answers[-1].startswith(b"NO [EXPUNGEISSUED] ")
            answers = await ask(client, b"UID STORE 1:3 +FLAGS.SILENT \\Draft")
            assert answers[0] == b"* 2 EXPUNGE"
            assert answers[-1] == b"OK Stored"
            assert not any(b"FETCH" in line for line in answers)

    asyncio.run(run())


def test_a_letter_takes_so_many_keywords_and_no_more(house: House) -> None:
    words = [f"k{number:03}" for number in range(IMAP_KEYWORDS)]

    async def run() -> None:
        async with selected(house, LETTER, LETTER) as (_, client):
            command = f"STORE 1:2 +FLAGS.SILENT ({' '.join(words)})".encode()
            assert (await ask(client, command))[-1] == b"OK Stored"
            assert (await ask(client, b"STORE 1 +FLAGS one-more"))[-1].startswith(b"NO [LIMIT] ")
            assert (await ask(client, b"STORE 1 -FLAGS.SILENT k000"))[-1] == b"OK Stored"
            assert (await ask(client, b"STORE 1 +FLAGS.SILENT one-more"))[-1] == b"OK Stored"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("good", "stored"), [(0, 0), (1, IMAP_LETTERS_PER_CHANGE), (2, IMAP_LETTERS_PER_CHANGE + 1)]
)
def test_a_long_store_is_done_in_slices_and_says_when_one_failed(house: House, good: int, stored: int) -> None:
    house.wrap = failing(good)

    async def run() -> None:
        async with house.open() as opened:
            await opened.deliver(LETTER)
            inbox = await opened.mailbox()
            uid = Uid(1)
            while uid < IMAP_LETTERS_PER_CHANGE + 1:
                more = tuple(Uid(n) for n in range(1, min(uid, IMAP_LETTERS_PER_CHANGE + 1 - uid) + 1))
                await opened.store.commit(Copy(inbox.id, more, inbox.id))
                uid = Uid(uid + len(more))
            async with logged_in(opened) as client:
                answers = await ask(client, b"STORE 1:* +FLAGS \\Flagged")
                assert len(answers) == stored + 1
                assert answers[-1].startswith(b"OK" if good == 2 else b"NO [UNAVAILABLE] ")
                assert (b"nothing" in answers[-1]) is (good == 0)

    asyncio.run(run())
