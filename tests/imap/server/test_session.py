"""What a session knows, and how it takes its turns."""

from __future__ import annotations

import asyncio

import pytest

from postroom.imap.server.session import Session, State
from postroom.imap.server.table import EXTENSIONS
from postroom.net import limits, memory
from postroom.net.conversation import Kind, Tap
from postroom.net.stream import DeadlineExpired
from tests.imap.server.house import House


def test_the_state_follows_from_what_is_known(house: House) -> None:
    async def try_it() -> None:
        async with house.open() as opened:
            at_server, _ = memory.pair()
            one = Session(at_server, opened.service, EXTENSIONS)
            states = [one.state]
            assert one.command_octets == limits.IMAP_COMMAND_OCTETS_BEFORE_LOGIN
            one.account = await opened.account()
            states.append(one.state)
            assert states == [State.NOT_AUTHENTICATED, State.AUTHENTICATED]
            assert one.command_octets == limits.IMAP_COMMAND_OCTETS
            one.deselect()
            await one.catch_up()
            at_server.abort()

    asyncio.run(try_it())


@pytest.mark.parametrize("over", [0, 1])
def test_the_time_without_a_login_ends_for_who_never_waits_too(house: House, over: int) -> None:
    now = [0.0]
    house.clock = lambda: now[0]

    async def try_it() -> None:
        async with house.open() as opened:
            at_server, _ = memory.pair()
            one = Session(at_server, opened.service)
            now[0] = limits.UNAUTHENTICATED_SECONDS - 1 + over
            if over:
                with pytest.raises(DeadlineExpired):
                    one.rearm()
            else:
                one.rearm()
            at_server.abort()

    asyncio.run(try_it())


def test_a_loop_over_letters_waits_for_a_slow_reader_and_gives_others_their_turn(house: House) -> None:
    async def try_it() -> None:
        async with house.open() as opened:
            at_server, at_client = memory.pair()
            speaking = Session(at_server, opened.service)
            at_client.transport.pause_reading()
            said = 0

            async def speak() -> None:
                nonlocal said
                while True:
                    speaking.write_literal(b"* 1 FETCH (BODY[] {1000}\r\n", b"x" * 1000, after=b")\r\n")
                    said += 1
                    await speaking.breathe()

            task = asyncio.create_task(speak())
            before = -1
            while said != before:
                before = said
                for _ in range(100):
                    await asyncio.sleep(0)
            assert 0 < said * 1000 < 4 * limits.OUTPUT_HIGH_WATER
            at_client.transport.resume_reading()
            for _ in range(100):
                await asyncio.sleep(0)
            assert said > before
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            at_server.abort()

    asyncio.run(try_it())


def test_the_tap_counts_the_octets_of_letters(house: House) -> None:
    async def try_it() -> None:
        async with house.open() as opened:
            at_server, _ = memory.pair()
            at_server.conversation = conversation = Tap("t").begin("imap")
            speaking = Session(at_server, opened.service)
            speaking.write_literal(b"* 1 FETCH (BODY[] {6}\r\n", b"sec", b"ret", after=b")\r\n")
            shown = [(row.kind, row.data, row.octets) for row in conversation.rows]
            assert shown == [
                (Kind.LINE, b"* 1 FETCH (BODY[] {6}\r\n", 23),
                (Kind.BODY, b"", 6),
                (Kind.LINE, b")\r\n", 3),
            ]
            at_server.abort()

    asyncio.run(try_it())
