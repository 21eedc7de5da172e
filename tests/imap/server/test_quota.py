"""NO [OVERQUOTA] (RFC 9208 4.3.1): what has no room is refused whole, and the session goes on."""

from __future__ import annotations

import logging

import pytest

from postroom.store.changes import Done, LimitAccount
from tests.imap.server.house import ALICE, LETTER, House, Open, login, select

SIZE = len(LETTER)
NO = "NO [OVERQUOTA] No room is left in the quota"


async def limit(opened: Open, octets: int | None = None, letters: int | None = None) -> None:
    assert await opened.store.commit(LimitAccount(ALICE, octets, letters)) == Done()


async def one_and_no_more(opened: Open) -> None:
    await opened.deliver(LETTER)
    await limit(opened, letters=1)


async def still_one(opened: Open) -> None:
    assert await opened.contents() == [LETTER]
    assert await opened.contents("Archive") == []


def test_a_letter_without_room_is_not_even_asked_for(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a APPEND INBOX {{{SIZE}}}
        S: a {NO}
        C: b NOOP
        S: b OK *
        """,
        before=one_and_no_more,
        after=still_one,
    )


def test_a_letter_without_room_that_comes_unasked_is_dropped_and_never_run(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C< a APPEND INBOX {{10+}}\\r\\nz LOGOUT\\r\\n\\r\\n
        S: a {NO}
        C: b NOOP
        S: b OK *
        """,
        before=one_and_no_more,
        after=still_one,
    )


@pytest.mark.parametrize(("size", "fits"), [(100, True), (101, False)])
def test_a_letter_fills_what_is_left_to_the_last_octet(house: House, size: int, fits: bool) -> None:
    async def before(opened: Open) -> None:
        await opened.deliver(LETTER)
        await limit(opened, octets=SIZE + 100)

    house.talk(
        f"""
        {login()}
        C< a APPEND INBOX {{{size}+}}\\r\\n{"x" * size}\\r\\n
        S: a {"OK *" if fits else NO}
        """,
        before=before,
    )


def test_room_that_goes_while_the_letter_comes_is_told_of_at_its_end(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def before(opened: Open) -> None:
        await limit(opened, letters=1)

    caplog.set_level(logging.INFO, "postroom")
    house.talk(
        f"""
        {login("1")}
        {login("2")}
        C1: a APPEND INBOX {{5}}
        S1: + *
        C2< a APPEND INBOX {{5+}}\\r\\nhello\\r\\n
        S2: a OK *
        C1: HELLO
        S1: a {NO}
        C1: b NOOP
        S1: b OK *
        """,
        before=before,
    )
    (told,) = [each for each in caplog.records if "imap.over-quota" in each.getMessage()]
    assert told.levelno == logging.INFO
    assert ALICE in told.getMessage()


def test_copies_need_room_and_moves_do_not(house: House) -> None:
    async def before(opened: Open) -> None:
        await opened.deliver(LETTER, LETTER)
        await limit(opened, letters=3)

    house.talk(
        f"""
        {login()}
        {select(letters=2)}
        C: a COPY 1:2 Archive
        S: a {NO}
        C: b UID COPY 1:2 Archive
        S: b {NO}
        C: c COPY 2 Archive
        S: c OK *
        C: d MOVE 1:2 Archive
        S: * OK [COPYUID *
        S: * 1 EXPUNGE
        S: * 1 EXPUNGE
        S* * 0 RECENT
        S: d OK *
        C: e RENAME Archive Old
        S: e OK *
        C: f RENAME INBOX More
        S: f OK *
        C: g STATUS Old (MESSAGES)
        S: * STATUS Old (MESSAGES 3)
        S: g OK *
        """,
        before=before,
    )


def test_who_has_no_room_still_reads_marks_and_makes_room(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=1)}
        C: a COPY 1 Archive
        S: a {NO}
        C: b STORE 1 +FLAGS.SILENT (\\Deleted)
        S: b OK *
        C: c EXPUNGE
        S: * 1 EXPUNGE
        S* * 0 RECENT
        S: c OK *
        C< d APPEND Archive {{5+}}\\r\\nhello\\r\\n
        S: d OK *
        """,
        before=one_and_no_more,
    )
