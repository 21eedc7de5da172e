"""EXPUNGE, UID EXPUNGE and CLOSE against the real store, with two sessions on one mailbox."""

from __future__ import annotations

import asyncio

import pytest

from postroom.store.values import Flag
from tests.imap.server.asking import ask, logged_in
from tests.imap.server.house import LETTER, House, Open, login, select
from tests.imap.server.stores import suspending


async def five(opened: Open) -> None:
    """The second and the fourth are \\Deleted."""
    for number in range(1, 6):
        await opened.deliver(b"Subject: %d\r\n\r\n" % number, flags=Flag.DELETED if number % 2 == 0 else Flag(0))


def left(*numbers: int) -> list[bytes]:
    return [b"Subject: %d\r\n\r\n" % number for number in numbers]


async def remain_three(opened: Open) -> None:
    assert await opened.contents() == left(1, 3, 5)


async def remain_all(opened: Open) -> None:
    assert await opened.contents() == left(1, 2, 3, 4, 5)


def test_deleted_letters_go_and_the_others_get_their_numbers(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=5)}
        C: a EXPUNGE
        S: * 2 EXPUNGE
        S: * 3 EXPUNGE
        S: * 3 RECENT
        S: a OK *
        C: b EXPUNGE
        S: b OK *
        C: c FETCH 3 UID
        S: * 3 FETCH (UID 5)
        S: c OK *
        """,
        before=five,
        after=remain_three,
    )


def test_uid_expunge_takes_of_the_named_ones_those_that_are_deleted(house: House) -> None:
    async def after(opened: Open) -> None:
        assert await opened.contents() == left(1, 2, 3, 5)

    house.talk(
        f"""
        {login()}
        {select(letters=5)}
        C: a UID EXPUNGE 3:9
        S: * 4 EXPUNGE
        S: * 4 RECENT
        S: a OK *
        C: b UID EXPUNGE 4,100:200
        S: b OK *
        """,
        before=five,
        after=after,
    )


def test_close_expunges_without_a_word(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=5)}
        C: a CLOSE
        S: a OK *
        C: b FETCH 1 FLAGS
        S: b BAD *
        """,
        before=five,
        after=remain_three,
    )


def test_a_mailbox_that_is_only_looked_at_keeps_its_letters(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=5, verb="EXAMINE")}
        C: a EXPUNGE
        S: a NO [READ-ONLY] *
        C: b UID EXPUNGE 1:*
        S: b NO [READ-ONLY] *
        C: c CLOSE
        S: c OK *
        """,
        before=five,
        after=remain_all,
    )


def test_another_session_is_told_when_it_may_be_and_not_before(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=5)}
        {login("2")}
        {select("2", letters=5)}
        C: a EXPUNGE
        S: * 2 EXPUNGE
        S: * 3 EXPUNGE
        S: * 3 RECENT
        S: a OK *
        # Numbers stay what they were until an EXPUNGE is told.
        C2: a FETCH 1,5 UID
        S2: * 1 FETCH (UID 1)
        S2: * 5 FETCH (UID 5)
        S2: a OK *
        C2: b STORE 5 +FLAGS \\Flagged
        S2: * 5 FETCH (FLAGS (\\Flagged))
        S2: b OK *
        C2: c SEARCH ALL
        S2: * SEARCH 1 3 5
        S2: c OK *
        C2: d FETCH 2:3 (UID RFC822.SIZE)
        S2: * 3 FETCH (UID 3 RFC822.SIZE {{size}})
        S2: d NO [EXPUNGEISSUED] *
        C2: e NOOP
        S2: * 2 EXPUNGE
        S2: * 3 EXPUNGE
        S2: e OK *
        C2: f FETCH 3 (UID FLAGS)
        S2: * 3 FETCH (UID 5 FLAGS (\\Flagged))
        S2: f OK *
        """,
        before=five,
    )


def test_two_sessions_that_expunge_at_once_take_each_letter_once(house: House) -> None:
    async def run() -> None:
        async with house.open() as opened:
            await five(opened)
            async with logged_in(opened) as one, logged_in(opened) as two:
                both = await asyncio.gather(ask(one, b"EXPUNGE"), ask(two, b"UID EXPUNGE 1:*"))
                for client, answers in zip((one, two), both, strict=True):
                    answers += await ask(client, b"NOOP")
                    assert sum(line.endswith(b" EXPUNGE") for line in answers) == 2
                    assert all(line.startswith((b"*", b"OK")) for line in answers)
                await opened.deliver(LETTER)
                assert (await ask(one, b"UID FETCH 6 UID"))[-1].startswith(b"OK")
                assert await opened.contents() == [*left(1, 3, 5), LETTER]

    asyncio.run(run())


@pytest.mark.parametrize("slow", [False, True])
def test_letters_fetched_and_expunged_at_once_come_whole_or_not_at_all(house: House, slow: bool) -> None:
    if slow:
        house.wrap = suspending

    async def run() -> None:
        async with house.open() as opened:
            letters = [b"Subject: %d\r\n\r\n%b\r\n" % (number, b"x" * 3000) for number in range(300)]
            await opened.deliver(*letters)
            async with logged_in(opened) as reader, logged_in(opened) as other:
                fetching = asyncio.create_task(ask(reader, b"UID FETCH 1:* (FLAGS BODY.PEEK[])"))
                for first in range(1, 300, 10):
                    await ask(other, b"UID STORE %d:%d +FLAGS.SILENT \\Deleted" % (first, first + 4))
                    await ask(other, b"EXPUNGE")
                answers = await fetching
                assert answers[-1].startswith(b"OK")
                bodies = [line for line in answers if b" FETCH (UID " in line and b"BODY[]" in line]
                assert len(bodies) >= 150
                for line in bodies:
                    uid = int(line.split(b" ")[4])
                    assert line.endswith(b"{%d}\r\n%b)" % (len(letters[uid - 1]), letters[uid - 1]))
                await ask(reader, b"NOOP")
                assert len(await ask(reader, b"FETCH 1:* UID")) == 151

    asyncio.run(run())
