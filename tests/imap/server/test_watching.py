"""IDLE: news at once, without polling, until DONE."""

from __future__ import annotations

import asyncio

import pytest

from postroom.net.limits import BAD_COMMANDS
from postroom.net.stream import Farewell
from postroom.store.values import Flag
from tests.imap.server.house import ALICE, LETTER, House, Open, login, select
from tests.talk import session


async def two_letters(opened: Open) -> None:
    await opened.deliver(LETTER, LETTER)


def test_idle_tells_of_new_letters_at_once(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {login("2")}
        {select(letters=0)}
        C: a IDLE
        S: + *
        C2: b APPEND INBOX {{5}}
        S2: + *
        C2: hello
        S2: b OK *
        S: * 1 EXISTS
        S: * 1 RECENT
        C2: c APPEND INBOX {{5}}
        S2: + *
        C2: hello
        S2: c OK *
        S: * 2 EXISTS
        S: * 2 RECENT
        C: DONE
        S: a OK *
        C: d NOOP
        S: d OK *
        """
    )


def test_idle_tells_of_flags_and_expunges_too(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {login("2")}
        {select(letters=2)}
        {select("2", letters=2)}
        C: a IDLE
        S: + *
        C2: b STORE 1 +FLAGS.SILENT (\\Deleted)
        S2: b OK *
        S: * 1 FETCH (FLAGS (*
        C2: c EXPUNGE
        S2: * 1 EXPUNGE
        S2: c OK *
        S: * 1 EXPUNGE
        S* * 1 RECENT
        C: done
        S: a OK *
        """,
        before=two_letters,
    )


def test_idle_tells_what_happened_before_it_began(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {login("2")}
        {select(letters=0)}
        C2: b APPEND INBOX {{5}}
        S2: + *
        C2: hello
        S2: b OK *
        C: a IDLE
        S: + *
        S: * 1 EXISTS
        S: * 1 RECENT
        C: DONE
        S: a OK *
        """
    )


def test_idle_hears_of_smtp_deliveries(house: House) -> None:
    async def try_it() -> None:
        async with house.open() as opened, session(opened.handler) as client:
            await client.line()
            await client.send(f"in LOGIN {ALICE} secret", "s SELECT INBOX", "i IDLE")
            await client.lines(b"+ ")
            await opened.deliver(LETTER, flags=Flag.SEEN)
            assert await client.line() == b"* 1 EXISTS"
            assert await client.line() == b"* 1 RECENT"
            await client.send("DONE")
            assert (await client.line()).startswith(b"i OK ")

    asyncio.run(try_it())


def test_idle_without_a_mailbox_just_waits(house: House) -> None:
    house.talk(f"{login()}\nC: a IDLE\nS: + *\nC: DONE\nS: a OK *")


@pytest.mark.parametrize("line", ["b NOOP", "", "DONE NOW", "x" * 2000])
def test_anything_but_done_is_bad_and_ends_it(house: House, line: str) -> None:
    house.talk(f"{login()}\nC: a IDLE\nS: + *\nC: {line}\nS: a BAD *\nC: c NOOP\nS: c OK *")


@pytest.mark.parametrize("line", ["b LOGIN {6+}", "x" * 2000 + "{6+}"])
def test_octets_announced_while_idle_never_run(house: House, line: str) -> None:
    house.talk(f"{login()}\nC: a IDLE\nS: + *\nC< {line}\\r\\nc LOGOUT\\r\\n\nS: * BYE *\nS! end")


def test_errors_while_idle_are_counted(house: House) -> None:
    error = "C: a IDLE\nS: + *\nC: x\nS: a BAD *\n"
    house.talk(f"{login()}\n{error * BAD_COMMANDS}S: * BYE Too many errors\nS! end")


def test_idle_needs_a_login(house: House) -> None:
    house.talk("S: * OK *\nC: a IDLE\nS: a BAD Log in first")


def test_a_shutdown_ends_idle(house: House) -> None:
    house.talk(f"{login()}\nC: a IDLE\nS: + *\nS! part\nS: * BYE [UNAVAILABLE] *\nS! end")


def test_a_changed_account_ends_idle(house: House) -> None:
    async def try_it() -> None:
        async with house.open() as opened, session(opened.handler) as client:
            await client.send(f"in LOGIN {ALICE} secret", "i IDLE")
            await client.lines(b"+ ")
            client.server.part(Farewell.ACCOUNT)
            assert (await client.eof()).startswith(b"* BYE [UNAVAILABLE] The account was changed")

    asyncio.run(try_it())


def test_a_deleted_mailbox_ends_idle(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {login("2")}
        {select(mailbox="Archive", letters=0)}
        C: a IDLE
        S: + *
        C2: b DELETE Archive
        S2: b OK *
        S: * BYE [UNAVAILABLE] The mailbox was deleted
        S! end
        """
    )


def test_silence_ends_idle(house: House) -> None:
    async def try_it() -> None:
        async with house.open() as opened, session(opened.handler) as client:
            await client.send(f"in LOGIN {ALICE} secret", "i IDLE")
            await client.lines(b"+ ")
            client.server.deadline(0.001)
            assert b"* BYE [UNAVAILABLE] You were silent" in await client.eof()

    asyncio.run(try_it())


def test_a_session_that_left_is_no_longer_told(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {login("2")}
        {select(letters=0)}
        C: u UNSELECT
        S: u OK *
        C: a IDLE
        S: + *
        C2: b APPEND INBOX {{5}}
        S2: + *
        C2: hello
        S2: b OK *
        C: DONE
        S: a OK *
        """
    )
