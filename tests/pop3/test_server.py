from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroom.net import memory
from postroom.net.conversation import Tap
from postroom.net.limits import BAD_COMMANDS, POP3_AUTH_LINE_OCTETS, POP3_COMMAND_OCTETS
from postroom.net.stream import DeadlineExpired, Farewell
from postroom.pop3.server import ROWS, Row, Takes, mask, serve
from postroom.pop3.session import State
from postroom.store.values import MailboxId
from tests.pop3.post import ALICE, LETTER, LOGIN, Post
from tests.talk import session, talk

HELLO = "S: +OK *\n"


# --- the table


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.keyword.decode())
def test_every_command_comes_in_its_states_only(post: Post, row: Row) -> None:
    keyword = row.keyword.decode()
    if State.AUTHORIZATION not in row.states:
        talk(post.handler, HELLO + f"C: {keyword}\nS: -ERR Log in first")
    if State.TRANSACTION not in row.states:
        talk(post.handler, LOGIN + f"C: {keyword}\nS: -ERR Already logged in")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.keyword.decode())
def test_every_command_has_its_argument_checked(post: Post, row: Row) -> None:
    start = HELLO if State.AUTHORIZATION in row.states else LOGIN
    keyword = row.keyword.decode()
    if row.takes is Takes.NOTHING:
        talk(post.handler, start + f"C: {keyword} x\nS: -ERR This command takes no argument")
    elif row.takes is not Takes.MAYBE:
        talk(post.handler, start + f"C: {keyword}\nS: -ERR This command needs an argument")


def test_there_is_no_apop_and_nothing_else_unheard_of(post: Post) -> None:
    for command in ("APOP alice 0123456789abcdef0123456789abcdef", "XTND", "LAST", "RETRX 1"):
        talk(post.handler, HELLO + f"C: {command}\nS: -ERR Unknown command")


# --- lines


@pytest.mark.parametrize(
    "octets", ["NOOP\\n", "\\r\\n", " NOOP\\r\\n", "NO\\0OP\\r\\n", "NOOP\\0\\r\\n", "\\xff\\r\\n"]
)
def test_what_is_no_command_line_gets_one_error(post: Post, octets: str) -> None:
    talk(post.handler, LOGIN + f"C< {octets}\nS: -ERR *\nC: NOOP\nS: +OK *")


def test_a_line_of_the_limit_is_heard_and_one_more_octet_is_one_error(post: Post) -> None:
    most = "USER " + "x" * (POP3_COMMAND_OCTETS - 7)
    talk(post.handler, HELLO + f"C: {most}\nS: +OK *")
    talk(post.handler, HELLO + f"C: {most}x\nS: -ERR Line too long\nC: QUIT\nS: +OK *\nS! end")


def test_auth_may_bring_an_initial_response_of_the_length_of_an_answer_and_no_more(post: Post) -> None:
    most = "AUTH PLAIN " + "x" * (POP3_AUTH_LINE_OCTETS - 13)
    talk(post.handler, HELLO + f"C: {most}\nS: -ERR Malformed authentication exchange\nC: NOOP\nS: -ERR *")
    for more in (1, 99 * POP3_AUTH_LINE_OCTETS):
        talk(post.handler, HELLO + f"C: {most}{'x' * more}\nS: -ERR Line too long\nC: QUIT\nS: +OK *\nS! end")
    talk(post.handler, LOGIN + f"C: {most}\nS: -ERR Line too long\nC: STAT\nS: +OK *")


def test_the_tail_of_an_overlong_line_is_no_command(post: Post) -> None:
    post.shelf.put(LETTER)
    talk(post.handler, LOGIN + f"C: NOOP {'x' * 100_000} DELE 1\nS: -ERR Line too long\nC: STAT\nS: +OK 1 *")


def test_errors_never_repeat_what_was_sent(post: Post) -> None:
    for line in ("EVIL evil", "USER", "RETR evil", f"AUTH evil {ALICE}"):
        said = talk(post.handler, HELLO + f"C: {line}\nS: {{said}}").names["said"]
        assert "evil" not in said.lower()


def test_too_many_bad_commands_end_the_session(post: Post) -> None:
    bad = "C: EVIL\nS: -ERR Unknown command\n"
    last = "C: EVIL\nS: -ERR Too many errors, closing\nS! end"
    talk(post.handler, HELLO + bad * (BAD_COMMANDS - 1) + last)
    talk(post.handler, LOGIN + bad * (BAD_COMMANDS - 1) + "C: NOOP\nS: +OK *\n" + last)


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/1.1",
        "POST / HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "PRI * HTTP/2.0",
        "get /",
        "Host: mx",
        "GET /\u00e4",
    ],
)
def test_a_browser_is_hung_up_on_at_once(post: Post, line: str) -> None:
    talk(post.handler, HELLO + f"C: {line}\nS! end")
    talk(post.handler, HELLO + f"C< {line.split(' ')[0]} x\\nUSER x\\r\\n\nS! end")


def test_a_request_line_too_long_to_be_seen_is_followed_by_its_header(post: Post) -> None:
    talk(post.handler, HELLO + f"C: GET /{'x' * 300}\nS: -ERR Line too long\nC: Host: mx\nS! end")


# --- time


async def _idle(post: Post, *lines: str) -> None:
    """A session that says these lines, and then nothing until its deadline passes."""
    at_server, at_client = memory.pair()
    task = asyncio.create_task(serve(at_server, post.service))
    at_client.write("".join(line + "\r\n" for line in lines).encode())
    await at_client.flush()
    for _ in range(200):
        await asyncio.sleep(0)
    said = await at_client.some(10_000)
    at_server.deadline(0.001)
    with pytest.raises(DeadlineExpired):
        await task
    assert at_client.unread_octets == 0, said
    at_server.abort()
    at_client.abort()


def test_a_session_that_waits_too_long_ends_without_a_word_and_deletes_nothing(post: Post) -> None:
    post.shelf.put(LETTER)
    asyncio.run(_idle(post, f"USER {ALICE}", "PASS hunter2", "DELE 1"))
    assert len(post.shelf.inboxes[MailboxId(1)]) == 1
    talk(post.handler, LOGIN)


def test_before_login_the_whole_session_has_three_minutes(post: Post) -> None:
    async def converse() -> None:
        async with session(post.handler) as client:
            await client.line()
            post.now = 179.9
            await client.send("USER x")
            assert (await client.line()).startswith(b"+OK")
            post.now = 180.0
            await client.send("USER x")
            assert (await client.line()).startswith(b"+OK")
            assert await client.eof() == b""

    asyncio.run(converse())


def test_a_login_gives_more_time(post: Post) -> None:
    async def converse() -> None:
        async with session(post.handler) as client:
            await client.line()
            await client.send(f"USER {ALICE}", "PASS hunter2")
            await client.line()
            await client.line()
            post.now = 10_000.0
            await client.send("NOOP", "NOOP")
            assert (await client.line()).startswith(b"+OK")
            assert (await client.line()).startswith(b"+OK")

    asyncio.run(converse())


# --- parting


def test_a_shutdown_and_a_changed_account_end_the_session(post: Post) -> None:
    async def converse(why: Farewell) -> bytes:
        async with session(post.handler) as client:
            await client.line()
            client.server.part(why)
            return await client.eof()

    assert asyncio.run(converse(Farewell.SHUTDOWN)).startswith(b"-ERR [SYS/TEMP] ")
    assert asyncio.run(converse(Farewell.ACCOUNT)).startswith(b"-ERR [AUTH] ")


def test_a_fault_of_ours_is_told_without_its_words(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    post.shelf.fault = ZeroDivisionError("secret words")
    talk(post.handler, HELLO + f"C: USER {ALICE}\nS: +OK *\nC: PASS hunter2\nS: -ERR [SYS/TEMP] Internal *\nS! end")
    assert "pop3.fault" in caplog.text
    post.shelf.fault = None
    talk(post.handler, LOGIN)


def test_a_cancelled_session_gives_its_lock_back(post: Post) -> None:
    async def converse() -> None:
        at_server, at_client = memory.pair()
        task = asyncio.create_task(serve(at_server, post.service))
        at_client.write(f"USER {ALICE}\r\nPASS hunter2\r\n".encode())
        await at_client.flush()
        for _ in range(200):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        at_server.abort()
        at_client.abort()

    asyncio.run(converse())
    talk(post.handler, LOGIN)


# --- the tap


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"PASS secret\r\n", b"PASS ***"),
        (b"pass  secret \r\n", b"PASS ***"),
        (b"PASS\r\n", b"PASS\r\n"),
        (b"AUTH PLAIN c2VjcmV0\r\n", b"AUTH PLAIN ***"),
        (b"auth plain\r\n", b"AUTH plain"),
        (b"AUTH c2VjcmV0c2VjcmV0c2VjcmV0\r\n", b"AUTH ***"),
        (b"USER alice@example.test\r\n", b"USER alice@example.test\r\n"),
        (b"RETR 1\r\n", b"RETR 1\r\n"),
        (b"c2VjcmV0\r\n", b"***"),
        (b"APOP alice secret\r\n", b"***"),
        (b"XTND\r\n", b"XTND"),
        (b" PASS secret\r\n", b"***"),
        (b"PASS\tsecret\r\n", b"***"),
        (b"PASS secret\n", b"***"),
        (b"USER x\rPASS secret\r\n", b"***"),
    ],
)
def test_the_mask_lets_no_secret_through(line: bytes, shown: bytes) -> None:
    assert mask(line) == shown


def test_the_tap_shows_letters_as_a_count(post: Post) -> None:
    post.shelf.put(LETTER)
    tap = Tap("t")

    async def converse() -> None:
        async with session(post.handler, tap=tap) as client:
            await client.line()
            await client.send(f"USER {ALICE}", "PASS hunter2", "RETR 1")
            for _ in range(3):
                await client.line()
            while await client.line() != b".":
                pass
            assert client.server.conversation is not None
            kept = b"".join(row.data for row in client.server.conversation.rows)
            assert b"Hello" not in kept
            assert b"RETR 1" in kept

    asyncio.run(converse())


# --- hostile clients

WORDS = st.sampled_from(
    [row.keyword for row in ROWS]
    + [b" ", b"1", b"2", b"99999999999999999999", b"0", b"\r\n", b"\n", b"\0", b"x" * 300, b"PLAIN", b"=", b"\xff"]
)
HOSTILE = st.lists(WORDS | st.binary(max_size=4), max_size=40).map(b"".join)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=HOSTILE, login=st.booleans())
def test_whatever_is_said_is_answered_or_ended_and_never_our_fault(
    post: Post, caplog: pytest.LogCaptureFixture, octets: bytes, login: bool
) -> None:
    async def speak() -> bytes:
        async with session(post.handler) as client:
            await client.raw((f"USER {ALICE}\r\nPASS hunter2\r\n".encode() if login else b"") + octets)
            await client.raw(b"\r\nQUIT\r\nQUIT\r\n")
            client.stream.transport.write_eof()
            return await client.eof()

    if not post.shelf.octets:
        post.shelf.put(LETTER)
    said = asyncio.run(speak())
    assert said.startswith(b"+OK mx.example.test")
    assert said.endswith(b"\r\n")
    assert "fault" not in caplog.text
