from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.net import memory
from postroom.net.conversation import Kind
from postroom.net.limits import BAD_COMMANDS, SMTP_COMMAND_OCTETS, UNAUTHENTICATED_SECONDS
from postroom.net.stream import Farewell
from postroom.smtp.grammar import read_reply_line
from postroom.smtp.session import Role
from postroom.store.interface import StorageFull, StoreFault
from tests.smtp.office import BEGUN, HELLO, IN_DATA, OFFERED, Office

GREETING = "S: 220 mx.example.test ESMTP Postroom"


# --- who talks first, and what isn't SMTP


@pytest.mark.parametrize("words", ["EHLO client.test", "GET / HTTP/1.1", "x"])
def test_who_talks_before_the_greeting_is_sent_away(words: str) -> None:
    office = Office()
    office.talk(f"C: {words}\nS: 554 5.5.1 You talked before the greeting\nS! end")


def test_who_talks_before_the_greeting_gets_no_letter_in() -> None:
    office = Office()

    async def go() -> bytes:
        async with office.session() as client:
            await client.send(
                "EHLO x", "MAIL FROM:<a@b.test>", "RCPT TO:<alice@example.test>", "DATA", "", "x", ".", "QUIT"
            )
            return await client.eof()

    assert asyncio.run(go()) == b"554 5.5.1 You talked before the greeting\r\n"
    assert office.empty


# --- the pause before the greeting


def test_a_stranger_that_waits_through_the_pause_is_greeted() -> None:
    office = Office(greeting_pause=0.01)
    office.talk(f"{GREETING}\nC: NOOP\nS: 250 *")


@pytest.mark.parametrize("words", ["EHLO x\\r\\n", "x", "\\r\\n", "y" * 3000])
def test_who_talks_in_the_pause_is_sent_away(words: str) -> None:
    office = Office(greeting_pause=0.05)

    async def go() -> bytes:
        async with office.session() as client:
            for _ in range(20):
                await asyncio.sleep(0)
            await client.raw(words.encode().replace(b"\\r\\n", b"\r\n"))
            return await client.eof()

    assert asyncio.run(go()) == b"554 5.5.1 You talked before the greeting\r\n"


def test_who_talks_a_whole_line_is_sent_away_at_once() -> None:
    # A pause that the test would not outlive.
    Office(greeting_pause=1000.0).talk("C! open\nC: EHLO x\nS: 554 5.5.1 *\nS! end")


def test_a_shutdown_cuts_the_pause_short() -> None:
    office = Office(greeting_pause=1000.0)
    office.talk(f"C! open\nS! part\n{GREETING}\nS: 421 4.3.2 *\nS! end")


def test_a_client_may_vanish_in_the_pause() -> None:
    Office(greeting_pause=1000.0).talk("C! open\nC! close")


@pytest.mark.parametrize("role", [Role.SUBMISSION, Role.SUBMISSIONS, Role.LMTP])
def test_who_is_no_stranger_is_not_kept_waiting(role: Role) -> None:
    Office(greeting_pause=1000.0).talk("S: 220 *", role, tls=role is Role.SUBMISSIONS)


@pytest.mark.parametrize(
    "line", ["GET / HTTP/1.1", "POST /x HTTP/1.0", "get /", "PRI * HTTP/2.0", "OPTIONS *", "Host: mx.example.test"]
)
@pytest.mark.parametrize("before", [GREETING, HELLO, BEGUN])
def test_a_browser_is_cut_off_at_once(before: str, line: str) -> None:
    # ALPACA, CVE-2021-3618: what it sends further is never a command
    Office().talk(f"{before}\nC< {line}\\r\\nNOOP\\r\\n\nS! end")
    Office().talk(f"{before}\nC< {line}\\nNOOP\\r\\n\nS! end")


def test_a_request_with_a_long_address_is_cut_off_by_its_headers() -> None:
    path = "x" * SMTP_COMMAND_OCTETS
    Office().talk(f"""
        {GREETING}
        C< POST /{path} HTTP/1.1\\r\\nHost: mx.example.test\\r\\n\\r\\nEHLO x\\r\\nMAIL FROM:<evil@other.test>\\r\\n
        S: 500 5.5.2 Line too long
        S! end
    """)


# --- lines


def test_a_line_of_the_limit_is_read_and_one_more_is_not() -> None:
    room = SMTP_COMMAND_OCTETS - len("NOOP \r\n")
    Office().talk(f"""
        {GREETING}
        C: NOOP {"x" * room}
        S: 250 2.0.0 Ok
        C: NOOP {"x" * (room + 1)}
        S: 500 5.5.2 Line too long
        C: NOOP
        S: 250 2.0.0 Ok
    """)


def test_the_tail_of_a_long_line_is_no_command() -> None:
    tail = "x" * SMTP_COMMAND_OCTETS + "\rQUIT"
    Office().talk(f"""
        {GREETING}
        C< NOOP {tail}\\r\\nNOOP\\r\\n
        S: 500 5.5.2 Line too long
        S: 250 2.0.0 Ok
    """)


def test_a_long_line_costs_no_memory() -> None:
    async def go() -> None:
        async with Office().session() as client:
            await client.line()
            for _ in range(100):
                await client.raw(b"x" * 65536)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert client.server.unread_octets <= 2 * 65536
            await client.raw(b"\r\nNOOP\r\n")
            assert await client.line() == b"500 5.5.2 Line too long"
            assert await client.line() == b"250 2.0.0 Ok"

    asyncio.run(go())


def test_a_line_ends_with_crlf() -> None:
    Office().talk(f"""
        {HELLO}
        C< MAIL FROM:<a@b.test>\\nRCPT TO:<alice@example.test>\\r\\n
        S: 500 5.5.2 Lines end with CR LF
        S: 503 5.5.1 Send MAIL first
    """)


@pytest.mark.parametrize("octet", ["\\0", "\\x01", "\\r", "\\x1b", "\\x7f"])
def test_no_control_character_stands_in_a_command(octet: str) -> None:
    Office().talk(f"""
        {HELLO}
        C< MAIL FROM:<a{octet}@b.test>\\r\\n
        S: 501 5.5.2 Control character in a command
        C< NOOP {octet}\\r\\n
        S: 501 5.5.2 Control character in a command
        C: DATA
        S: 503 *
    """)


def test_verbs_in_any_case_and_gaps_of_any_width() -> None:
    Office().talk(f"""
        {GREETING}
        C: eHlO  client.test
        {OFFERED}
        C< mail\\tfrom: <a@b.test>  \\r\\n
        S: 250 *
    """)


# --- order


def test_replies_come_in_order_and_in_one_write() -> None:
    async def go() -> None:
        office = Office()
        async with office.session() as client:
            await client.line()
            before = memory.writes(client.server)
            await client.send(
                "EHLO client.test",
                "MAIL FROM:<jo@other.test>",
                "RCPT TO:<alice@example.test>",
                "RCPT TO:<nobody@example.test>",
                "XYZZY",
                "RCPT TO:<bob@example.test>",
                "DATA",
            )
            lines = await client.lines(b"354")
            assert [line[:3] for line in lines[-7:]] == [b"250", b"250", b"250", b"550", b"500", b"250", b"354"]
            assert memory.writes(client.server) == before + 1
            await client.send("Subject: x", "", "x", ".", "MAIL FROM:<>", "QUIT")
            assert [(await client.line())[:3] for _ in range(3)] == [b"250", b"250", b"221"]
            assert memory.writes(client.server) <= before + 3
        assert len(office.inbox("alice")) == len(office.inbox("bob")) == 1

    asyncio.run(go())


def test_data_without_a_recipient_is_refused_and_its_lines_are_commands() -> None:
    # RFC 2920 3.1: a client that pipelined DATA behind refused recipients waits for 354
    office = Office()
    office.talk(f"""
        {HELLO}
        C< MAIL FROM:<jo@other.test>\\r\\nRCPT TO:<nobody@example.test>\\r\\nDATA\\r\\n
        S: 250 *
        S: 550 5.1.1 *
        S: 554 5.5.1 No valid recipients
        C: RSET
        S: 250 *
    """)
    assert office.empty


# --- limits of patience


def test_twenty_bad_commands_are_enough() -> None:
    bad = ["XYZZY", "ETRN x", "MAIL", "RCPT TO:<a@b>", "NOOP \x01"]
    asked = [bad[each % len(bad)] for each in range(BAD_COMMANDS)]

    async def go() -> list[bytes]:
        async with Office().session() as client:
            await client.line()
            await client.send(*asked[:-1], "NOOP", asked[-1], "NOOP", "NOOP")
            return (await client.eof()).splitlines()

    replies = asyncio.run(go())
    assert len(replies) == BAD_COMMANDS + 2
    assert all(reply.startswith(b"50") for reply in replies[:-3])
    assert replies[-3] == b"250 2.0.0 Ok"
    assert replies[-1] == b"421 4.7.0 Too many errors, closing"


def test_letters_that_cannot_be_taken_are_no_bad_commands() -> None:
    refused = "C: RCPT TO:<alice@elsewhere.test>\nS: 550 5.7.1 Relaying denied\n" * (2 * BAD_COMMANDS)
    Office().talk(f"{BEGUN}\n{refused}\nC: NOOP\nS: 250 *")


def test_who_says_nothing_for_long_is_told_and_left() -> None:
    async def go() -> bytes:
        async with Office().session() as client:
            await client.line()
            await client.send("EHLO client.test")
            await client.lines(b"250 ")
            client.server.deadline(0.001)
            return await client.eof()

    assert asyncio.run(go()) == b"421 4.4.2 Waited too long, closing\r\n"


def test_who_does_not_log_in_has_three_minutes_whatever_is_said() -> None:
    office = Office()

    async def go() -> bytes:
        async with office.session(Role.SUBMISSION) as client:
            await client.line()
            await client.send("NOOP")
            assert await client.line() == b"250 2.0.0 Ok"
            office.clock.seconds = UNAUTHENTICATED_SECONDS
            await client.send(*["NOOP"] * 10)
            return await client.eof()

    assert asyncio.run(go()) == b"250 2.0.0 Ok\r\n421 4.4.2 Waited too long, closing\r\n"


# --- parting


@pytest.mark.parametrize("before", [GREETING, HELLO, BEGUN])
def test_a_shutdown_ends_the_session_between_two_commands(before: str) -> None:
    Office().talk(f"{before}\nS! part\nS: 421 4.3.2 Service closing, try again soon\nS! end")


def test_a_shutdown_lets_a_letter_come_to_its_end() -> None:
    office = Office()
    office.talk(f"""
        {IN_DATA}
        S! part
        C: Subject: x
        C:
        C: x
        C: .
        S: 250 2.6.0 *
        S: 421 4.3.2 *
        S! end
    """)
    assert len(office.inbox("alice")) == 1


def test_an_account_that_was_changed_ends_its_sessions() -> None:
    async def go() -> bytes:
        async with Office().session() as client:
            await client.line()
            client.server.part(Farewell.ACCOUNT)
            return await client.eof()

    assert asyncio.run(go()) == b"421 4.7.0 The account was changed, log in again\r\n"


@pytest.mark.parametrize("before", [GREETING, HELLO, BEGUN, IN_DATA])
def test_a_client_may_vanish(before: str) -> None:
    office = Office()
    office.talk(f"{before}\nC! abort")
    assert office.empty
    assert all(blob.discarded for blob in office.store.blobs)


# --- our own faults


@pytest.mark.parametrize(
    ("fault", "reply"),
    [
        (StoreFault("index locked"), "451 4.3.0 Internal fault, try again later"),
        (StorageFull("no space left"), "452 4.3.1 No room in the mail system"),
    ],
)
def test_what_the_store_cannot_do_now_is_tried_again_later(
    fault: Exception, reply: str, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office()
    office.store.lookup_fault = fault
    with caplog.at_level(logging.INFO):
        office.talk(f"""
            {HELLO}
            C: MAIL FROM:<jo@other.test>
            S: 250 *
            C: RCPT TO:<alice@example.test>
            S: {reply}
            C: RCPT TO:<alice@example.test>
            S: {reply}
            C: NOOP
            S: 250 *
        """)
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR]
    assert not any(record.exc_info for record in caplog.records)


def test_a_bug_ends_the_session_and_is_logged_once_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.store.lookup_fault = RuntimeError("the details")
    with caplog.at_level(logging.INFO):
        office.talk(f"""
            {HELLO}
            C: MAIL FROM:<jo@other.test>
            S: 250 *
            C: RCPT TO:<alice@example.test>
            S: 421 4.3.0 Internal fault, closing
            S! end
        """)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and record.exc_info is not None
    assert "the details" not in record.getMessage()


# --- hostile octets

PIECES = [
    b"EHLO x",
    b"MAIL FROM:<",
    b"RCPT TO:<alice@example.test>",
    b"DATA",
    b"RSET",
    b"HELP ",
    b"VRFY ",
    b"AUTH PLAIN ",
    b"BDAT 3",
    b"BDAT 5 LAST\r\nab",
    b" SMTPUTF8",
    b"<\xc3\xb6@\xc3\xb6.test>",
    b"XCLIENT ADDR=",
    b"LHLO x",
    b"EXPN ",
    b"TURN",
    b"MAIL FROM:<> BODY=BINARYMIME",
    b"NOOP",
    b"STARTTLS x",
    b"\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b".",
    b">",
    b" ",
    b"=",
    b"x" * 3000,
]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=40).map(b"".join), st.sampled_from(Role))
def test_whatever_comes_the_replies_are_replies_and_nothing_breaks(octets: bytes, role: Role) -> None:
    office = Office()

    async def go() -> bytes:
        async with office.session(role) as client:
            said = await client.line() + b"\r\n"
            await client.raw(octets)
            client.stream.transport.write_eof()
            return said + await client.eof()

    lines = asyncio.run(go()).splitlines(keepends=True)
    replies = [read_reply_line(line) for line in lines]
    assert all(reply.code not in (421, 451) or reply.enhanced != "4.3.0" for reply in replies)


# --- the tap


def test_the_tap_shows_commands_and_replies_and_no_body() -> None:
    talked = Office().talk(f"{IN_DATA}\nC: Subject: hush\nC:\nC: hush\nC: .\nS: 250 *\nC: QUIT\nS: 221 *\nS! end")
    rows = talked.conversations[1].rows
    said = b"".join(row.data for row in rows)
    assert b"RCPT TO:<alice@example.test>" in said and b"354 " in said and b"221 2.0.0" in said
    assert b"hush" not in said
    assert [row.octets for row in rows if row.kind is Kind.BODY] == [len("Subject: hush\r\n\r\nhush\r\n.\r\n")]
