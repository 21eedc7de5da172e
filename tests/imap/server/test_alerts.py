"""ALERT (RFC 9051 7.1): told to live sessions from outside, at once, safely, boundedly."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.imap.server.alerts import Alerts, alert_line
from postroom.net.limits import ALERT_CHARACTERS, TERMINAL_WAITING
from postroom.net.memory import pair
from postroom.net.stream import Stream
from tests.imap.server.house import ALICE, BOB, House, Open, login
from tests.talk import Client, session

Story = Callable[[Open, Client], Awaitable[None]]


def with_alice(house: House, story: Story, *commands: str) -> None:
    """A session of Alice that has said these commands."""

    async def run() -> None:
        async with house.open() as opened, session(opened.handler) as client:
            await client.line()
            await client.send(f"in LOGIN {ALICE} secret", *commands)
            await client.lines(b"in OK")
            await story(opened, client)

    asyncio.run(run())


async def said(told: list[asyncio.Future[bool]]) -> list[bool]:
    return list(await asyncio.wait_for(asyncio.gather(*told), 10))


# --- when


def test_an_idling_session_says_it_at_once(house: House) -> None:
    async def story(opened: Open, client: Client) -> None:
        await client.lines(b"+ ")
        told = opened.service.alerts.tell(ALICE, "Message from jo@other.test: Lunch")
        assert await client.line() == b"* OK [ALERT] Message from jo@other.test: Lunch"
        assert await said(told) == [True]
        await client.send("DONE")
        assert (await client.line()).startswith(b"i OK ")

    with_alice(house, story, "i IDLE")


def test_a_session_that_waits_for_a_command_says_it_at_once(house: House) -> None:
    async def story(opened: Open, client: Client) -> None:
        told = opened.service.alerts.tell(ALICE, "one")
        assert await said(told) == [True]
        await client.send("n NOOP")
        assert await client.line() == b"* OK [ALERT] one"
        assert (await client.line()).startswith(b"n OK ")

    with_alice(house, story)


def test_a_session_within_a_command_says_it_behind_the_answer(house: House) -> None:
    async def story(opened: Open, client: Client) -> None:
        await client.send("a APPEND INBOX {5}")
        await client.line()
        (told,) = opened.service.alerts.tell(ALICE, "one")
        await asyncio.sleep(0)
        assert not told.done()
        await client.send("hello")
        assert (await client.line()).startswith(b"a OK ")
        assert await client.line() == b"* OK [ALERT] one"
        assert await said([told]) == [True]

    with_alice(house, story)


def test_a_session_with_a_mailbox_says_it_too(house: House) -> None:
    async def story(opened: Open, client: Client) -> None:
        await client.lines(b"s OK")
        opened.service.alerts.tell(ALICE, "one")
        opened.service.alerts.tell(ALICE, "two")
        assert [await client.line(), await client.line()] == [b"* OK [ALERT] one", b"* OK [ALERT] two"]

    with_alice(house, story, "s SELECT INBOX")


# --- to whom


def test_only_the_accounts_sessions_are_told(house: House) -> None:
    async def story(opened: Open, client: Client) -> None:
        alerts = opened.service.alerts
        assert alerts.present([ALICE, BOB]) == {ALICE}
        assert alerts.tell(BOB, "not for you") == []
        async with session(opened.handler) as other:
            await other.line()
            assert len(alerts.tell(ALICE, "before the login")) == 1
            await other.send(f"in LOGIN {ALICE} secret")
            await other.lines(b"in OK")
            assert await said(alerts.tell(ALICE, "both")) == [True, True]
            assert await other.line() == b"* OK [ALERT] both"
        assert await client.line() == b"* OK [ALERT] before the login"
        assert await client.line() == b"* OK [ALERT] both"

    with_alice(house, story)


def test_nobody_is_there_behind_a_logout(house: House) -> None:
    async def story(opened: Open, client: Client) -> None:
        await client.send("o LOGOUT")
        await client.eof()
        assert opened.service.alerts.present([ALICE]) == set()
        assert opened.service.alerts.tell(ALICE, "gone") == []

    with_alice(house, story)


def test_what_a_lost_session_has_not_said_was_not_said(house: House) -> None:
    async def story(opened: Open, client: Client) -> None:
        await client.send("a APPEND INBOX {5}")
        await client.line()
        told = opened.service.alerts.tell(ALICE, "one")
        client.stream.abort()
        assert await said(told) == [False]

    with_alice(house, story)


def test_what_was_taken_back_is_not_said(house: House) -> None:
    async def story(opened: Open, client: Client) -> None:
        await client.send("a APPEND INBOX {5}")
        await client.line()
        (told,) = opened.service.alerts.tell(ALICE, "one")
        told.cancel()
        await client.send("hello", "n NOOP")
        assert (await client.line()).startswith(b"a OK ")
        assert (await client.line()).startswith(b"n OK ")

    with_alice(house, story)


# --- how much


@pytest.mark.parametrize("over", [0, 1, TERMINAL_WAITING * 99])
def test_so_many_wait_and_of_more_the_oldest_are_dropped(over: int) -> None:
    async def story() -> None:
        stream, _ = pair()
        ear = Alerts().enter(ALICE, stream)
        told = [ear.tell(b"%d" % number) for number in range(TERMINAL_WAITING + over)]
        lines: list[bytes] = []
        await ear.say(lines.append)
        assert lines == [b"%d" % number for number in range(over, TERMINAL_WAITING + over)]
        assert await said(told) == [False] * over + [True] * TERMINAL_WAITING

    asyncio.run(story())


@pytest.mark.parametrize("over", [0, 1, ALERT_CHARACTERS * 99])
def test_an_alert_is_bounded(over: int) -> None:
    text = alert_line("x" * (ALERT_CHARACTERS + over)).removeprefix(b"* OK [ALERT] ").removesuffix(b"\r\n")
    assert len(text) == ALERT_CHARACTERS
    assert text.endswith(b"..." if over else b"xxx")


# --- what


@given(st.text())
def test_whatever_the_text_an_alert_is_one_line_of_printable_ascii(text: str) -> None:
    assert re.fullmatch(rb"\* OK \[ALERT\] [ -~]{0,%d}\r\n" % ALERT_CHARACTERS, alert_line(text))


def test_no_character_breaks_the_line() -> None:
    for number in range(0, 0x110000, 97):
        line = alert_line("".join(map(chr, range(number, min(number + 97, 0x110000)))))
        assert re.fullmatch(rb"\* OK \[ALERT\] [ -~]*\r\n", line)


def test_a_letter_without_its_accent_can_still_be_read() -> None:
    assert alert_line("Grüße, señor") == b"* OK [ALERT] Gru?e, senor\r\n"


def test_an_injected_response_stays_text(house: House) -> None:
    async def story(opened: Open, client: Client) -> None:
        opened.service.alerts.tell(ALICE, "x\r\n* BYE gone\r\nn OK [READ-ONLY] \x00\x1b[2J\x85\u2028")
        await client.send("n NOOP")
        assert await client.line() == b"* OK [ALERT] x??* BYE gone??n OK [READ-ONLY] ??[2J??"
        assert (await client.line()).startswith(b"n OK Nothing")

    with_alice(house, story)


# --- and whether it came


def test_it_counts_when_the_clients_machine_has_it() -> None:
    async def story() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            _, stream = await loop.create_connection(Stream, sock=ours)
            ear = Alerts().enter(ALICE, stream)
            told = ear.tell(alert_line("one"))
            await ear.say(stream.write)
            # Of this kind of socket the kernel counts what the other end has not read.
            assert not told.done()
            assert theirs.recv(100) == alert_line("one")
            assert await said([told]) == [True]
            lost = ear.tell(alert_line("two"))
            await ear.say(stream.write)
            stream.abort()
            assert await said([lost]) == [False]

    asyncio.run(story())


def test_an_alert_comes_before_the_farewell_or_not_at_all(house: House) -> None:
    house.talk(f"{login()}\nC: a IDLE\nS: + *\nS! part\nS: * BYE [UNAVAILABLE] *\nS! end")
