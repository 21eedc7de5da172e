from __future__ import annotations

import asyncio
import logging

import pytest

from postroom.net import memory
from postroom.net.conversation import Kind
from postroom.pop3.maildrop import CHUNK
from postroom.store.values import MailboxId
from tests.pop3.binaries import part
from tests.pop3.post import ALICE, LETTER, LOGIN, PREFIX, Post
from tests.talk import Client, session, talk

SENT = len(PREFIX) + len(LETTER)


def test_stat_and_list_count_what_is_sent(post: Post) -> None:
    post.shelf.put(LETTER)
    post.shelf.put(b"a\nb\r\rc", prefix=b"")
    talk(
        post.handler,
        LOGIN
        + f"""
        C: STAT
        S: +OK 2 {SENT + 11}
        C: LIST
        S: +OK 2 messages ({SENT + 11} octets)
        S: 1 {SENT}
        S: 2 11
        S: .
        C: LIST 2
        S: +OK 2 11
        C: RETR 2
        S: +OK 11 octets
        S: a
        S: b
        S:
        S: c
        S: .
        """,
    )


def test_an_empty_maildrop(post: Post) -> None:
    talk(
        post.handler,
        LOGIN
        + """
        C: STAT
        S: +OK 0 0
        C: LIST
        S: +OK 0 messages (0 octets)
        S: .
        C: UIDL
        S: +OK *
        S: .
        C: RETR 1
        S: -ERR No such message
        """,
    )


def test_marked_messages_are_left_out_and_refused(post: Post) -> None:
    for _ in range(3):
        post.shelf.put(LETTER)
    talk(
        post.handler,
        LOGIN
        + f"""
        C: DELE 2
        S: +OK *
        C: STAT
        S: +OK 2 {2 * SENT}
        C: LIST
        S: +OK 2 *
        S: 1 {SENT}
        S: 3 {SENT}
        S: .
        C: UIDL
        S: +OK *
        S: 1 M1.1
        S: 3 M3.1
        S: .
        C: DELE 2
        S: -ERR Message is marked for deletion
        C: LIST 2
        S: -ERR Message is marked for deletion
        C: UIDL 2
        S: -ERR Message is marked for deletion
        C: RETR 2
        S: -ERR Message is marked for deletion
        C: TOP 2 0
        S: -ERR Message is marked for deletion
        C: RSET
        S: +OK 3 messages
        C: STAT
        S: +OK 3 {3 * SENT}
        C: UIDL 2
        S: +OK 2 M2.1
        """,
    )
    assert len(post.shelf.inboxes[MailboxId(1)]) == 3


@pytest.mark.parametrize("command", ["LIST {}", "UIDL {}", "RETR {}", "DELE {}", "TOP {} 0"])
@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("0", "No such message"),
        ("2", "No such message"),
        ("99999999999999999999", "No such message"),
        ("999999999999999999999", "Bad argument"),
        ("9" * 200, "Bad argument"),
        ("-1", "Bad argument"),
        ("+1", "Bad argument"),
        ("1_0", "Bad argument"),
        ("\N{ARABIC-INDIC DIGIT ONE}", "Bad argument"),
        ("one", "Bad argument"),
        ("1 1 1", "Bad argument"),
    ],
)
def test_numbers_that_name_no_message_are_refused(post: Post, command: str, number: str, answer: str) -> None:
    post.shelf.put(LETTER)
    talk(post.handler, LOGIN + f"C: {command.format(number)}\nS: -ERR {answer}")


def test_retr_stuffs_dots_and_ends_the_last_line(post: Post) -> None:
    post.shelf.put(b".a\r\n.\r\n..\r\nb", prefix=b"")
    talk(post.handler, LOGIN + "C: RETR 1\nS: +OK 14 octets\nS< ..a\\r\\n..\\r\\n...\\r\\nb\\r\\n.\\r\\n")


def test_a_letter_without_octets(post: Post) -> None:
    post.shelf.put(b"", prefix=b"")
    talk(post.handler, LOGIN + "C: RETR 1\nS: +OK 0 octets\nS: .\nC: TOP 1 5\nS: +OK *\nS: .\nC: STAT\nS: +OK 1 0")


def test_top_gives_header_and_lines_and_the_whole_where_more_is_asked(post: Post) -> None:
    post.shelf.put(LETTER)
    head = "S: Return-Path: <>\nS: Subject: one\nS:\n"
    rest = "S: Hello\nS: ..\nS: ...dots\n"
    talk(
        post.handler,
        LOGIN
        + f"C: TOP 1 0\nS: +OK *\n{head}S: .\n"
        + f"C: TOP 1 1\nS: +OK *\n{head}S: Hello\nS: .\n"
        + f"C: TOP 1 3\nS: +OK *\n{head}{rest}S: .\n"
        + f"C: TOP 1 99999999999999999999\nS: +OK *\n{head}{rest}S: .\n"
        + "C: TOP 1 999999999999999999999\nS: -ERR Bad argument\nC: TOP 1\nS: -ERR Bad argument\n",
    )


def test_a_big_letter_comes_whole_in_bounded_pieces(post: Post) -> None:
    body = b"".join(b".line %d\n" % number for number in range(200_000))
    post.shelf.put(body, prefix=b"")

    async def stuffed(client: Client) -> bytes:
        lines = []
        while (line := await client.line()) != b".":
            lines.append(line)
        return b"".join(line[1:] + b"\n" for line in lines)

    async def converse() -> None:
        async with session(post.handler) as client:
            await client.line()
            await client.send(f"USER {ALICE}", "PASS hunter2", "RETR 1", "TOP 1 0", "QUIT")
            assert [(await client.line())[:3] for _ in range(2)] == [b"+OK", b"+OK"]
            assert await client.line() == b"+OK %d octets" % (len(body) + 200_000)
            assert await stuffed(client) == body
            assert (await client.line())[:3] == b"+OK"
            assert await stuffed(client) == body
            conversation = client.server.conversation
            assert conversation is not None
            assert next(row.octets for row in conversation.rows if row.kind is Kind.BODY) == len(body) + 400_000

    asyncio.run(converse())
    # Once for RETR and once for TOP, which finds no empty line to end at; none to find the size.
    assert post.shelf.reads == 2 * -(-len(body) // CHUNK)


def test_top_reads_no_further_than_it_needs(post: Post) -> None:
    post.shelf.put(b"Subject: x\r\n\r\n" + b"line\r\n" * 100_000)
    talk(post.handler, LOGIN + "C: TOP 1 1\nS: +OK *\nS: Return-Path: <>\nS: Subject: x\nS:\nS: line\nS: .")
    assert post.shelf.reads <= 2


def test_pipelined_commands_are_answered_in_order_and_in_one_write(post: Post) -> None:
    for _ in range(50):
        post.shelf.put(LETTER)

    async def converse() -> None:
        async with session(post.handler) as client:
            await client.line()
            await client.send(f"USER {ALICE}", "PASS hunter2")
            await client.line()
            await client.line()
            before = memory.writes(client.server)
            await client.send(*(f"RETR {number}" for number in range(1, 51)), "DELE 1", "NOOP")
            for _ in range(50):
                assert await client.line() == b"+OK %d octets" % SENT
                while await client.line() != b".":
                    pass
            assert (await client.line()).startswith(b"+OK Marked")
            assert (await client.line()).startswith(b"+OK")
            assert memory.writes(client.server) - before == 1

    asyncio.run(converse())


# --- letters that go away


def test_a_letter_that_imap_expunged_is_still_there_in_this_session(post: Post) -> None:
    post.shelf.put(LETTER)
    post.shelf.put(b"kept\r\n", prefix=b"")

    async def converse() -> None:
        async with session(post.handler) as client:
            await client.line()
            await client.send(f"USER {ALICE}", "PASS hunter2", "STAT")
            await client.line()
            assert await client.line() == b"+OK 2 messages"
            assert await client.line() == b"+OK 2 %d" % (SENT + 6)
            post.shelf.graves.append(post.shelf.inboxes[MailboxId(1)].pop())
            post.shelf.put(b"new\r\n")
            await client.send("STAT", "UIDL 2", "RETR 2", "DELE 2", "RETR 3", "QUIT")
            assert await client.line() == b"+OK 2 %d" % (SENT + 6)
            assert await client.line() == b"+OK 2 M2.1"
            assert await client.lines(b".") == [b"+OK 6 octets", b"kept", b"."]
            assert [(await client.line())[:4] for _ in range(3)] == [b"+OK ", b"-ERR", b"+OK "]

    asyncio.run(converse())
    assert [letter.email_id for letter in post.shelf.inboxes[MailboxId(1)]] == ["M1", "M3"]


def test_a_letter_that_is_not_kept_any_more_is_refused_and_never_another_is_sent(post: Post) -> None:
    for body in (b"one\r\n", b"two\r\n", b"three\r\n"):
        post.shelf.put(body, prefix=b"")

    async def converse() -> None:
        async with session(post.handler) as client:
            await client.line()
            await client.send(f"USER {ALICE}", "PASS hunter2", "STAT")
            assert [await client.line() for _ in range(3)][1:] == [b"+OK 3 messages", b"+OK 3 17"]
            del post.shelf.inboxes[MailboxId(1)][1]
            post.shelf.put(b"new\r\n", prefix=b"")
            await client.send("RETR 2", "TOP 2 0", "RETR 3", "RETR 1", "DELE 2", "QUIT")
            gone = b"-ERR [SYS/TEMP] Message was deleted by another session"
            assert [await client.line() for _ in range(2)] == [gone, gone]
            assert await client.lines(b".") == [b"+OK 7 octets", b"three", b"."]
            assert await client.lines(b".") == [b"+OK 5 octets", b"one", b"."]
            assert [(await client.line())[:3] for _ in range(2)] == [b"+OK", b"+OK"]

    asyncio.run(converse())
    assert [letter.email_id for letter in post.shelf.inboxes[MailboxId(1)]] == ["M1", "M3", "M4"]


@pytest.mark.parametrize("order", [range(1, 121), range(120, 0, -1), range(1, 121, 7), [5, 5, 5, 1, 120, 60, 61]])
def test_letters_come_right_in_whatever_order_they_are_taken(post: Post, order: list[int]) -> None:
    for number in range(1, 121):
        post.shelf.put(b"%d\r\n" % number, prefix=b"")
    text = "".join(f"C: RETR {number}\nS: +OK *\nS: {number}\nS: .\n" for number in order)
    talk(post.handler, LOGIN + text)


def test_binary_parts_come_as_base64_by_retr_and_top_alike_and_sizes_say_so(post: Post) -> None:
    post.shelf.put(b"Subject: b\r\n" + part(b"\0" * 100))
    post.shelf.put(LETTER)
    head = "S: Return-Path: <>\nS: Subject: b\nS: Content-Type: *\nS: Content-Transfer-Encoding: base64\nS:\n"
    first, second = f"S: {'A' * 76}\n", f"S: {'A' * 58}==\n"
    size = len(PREFIX) + len(b"Subject: b\r\n" + part(b"")) + 136 + 4
    talk(
        post.handler,
        LOGIN
        + f"C: STAT\nS: +OK 2 {size + SENT}\nC: LIST 1\nS: +OK 1 {size}\nC: LIST\nS: +OK *\nS: 1 {size}\n"
        + f"S: 2 {SENT}\nS: .\nC: RETR 1\nS: +OK {size} octets\n{head}{first}{second}S: .\n"
        + f"C: TOP 1 0\nS: +OK *\n{head}S: .\nC: TOP 1 1\nS: +OK *\n{head}{first}S: .\n"
        + f"C: TOP 1 99\nS: +OK *\n{head}{first}{second}S: .\nC: DELE 1\nS: +OK *\nC: STAT\nS: +OK 1 {SENT}\n"
        + f"C: RSET\nS: +OK *\nC: STAT\nS: +OK 2 {size + SENT}",
    )


def test_a_binary_letter_that_goes_meanwhile_is_read_or_refused(post: Post) -> None:
    for _ in range(2):
        post.shelf.put(part(b"\0"), prefix=b"")

    async def converse() -> None:
        async with session(post.handler) as client:
            await client.line()
            await client.send(f"USER {ALICE}", "PASS hunter2", "STAT")
            assert [await client.line() for _ in range(3)][1:] == [b"+OK 2 messages", b"+OK 2 166"]
            post.shelf.graves.append(post.shelf.inboxes[MailboxId(1)].pop())
            post.shelf.inboxes[MailboxId(1)].clear()
            await client.send("RETR 1", "RETR 2")
            assert await client.line() == b"-ERR [SYS/TEMP] Message was deleted by another session"
            assert (await client.lines(b"."))[-2:] == [b"AA==", b"."]

    asyncio.run(converse())


def test_a_letter_that_cannot_be_read_is_refused_and_the_session_goes_on(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    post.shelf.put(LETTER)
    post.shelf.put(LETTER, prefix=b"")
    post.shelf.readable = 0
    talk(
        post.handler,
        LOGIN
        + f"""
        C: STAT
        S: +OK 2 {SENT + len(LETTER)}
        C: RETR 1
        S: -ERR [SYS/PERM] *
        C: TOP 2 0
        S: -ERR [SYS/PERM] *
        C: UIDL 2
        S: +OK 2 M2.1
        """,
    )
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_a_letter_that_breaks_off_is_never_ended_as_if_it_were_whole(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    post.shelf.put(b"x" * (3 * CHUNK))
    post.shelf.readable = 2

    async def converse() -> None:
        async with session(post.handler) as client:
            await client.line()
            await client.send(f"USER {ALICE}", "PASS hunter2", "RETR 1", "NOOP")
            said = await client.eof()
            assert not said.endswith(b".\r\n")
            assert said.count(b"-ERR") == 0
            assert said.count(b"+OK") <= 3

    asyncio.run(converse())
    assert "pop3.fault" in caplog.text
    talk(post.handler, LOGIN)
