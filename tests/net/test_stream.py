"""The stream: lines, batches, deadlines, wakes, the end; in memory and over sockets, on both loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from postroom.net import limits, memory
from postroom.net.connect import connect
from postroom.net.conversation import Kind, Tap
from postroom.net.stream import (
    DeadlineExpired,
    EndOfStream,
    Farewell,
    LineTooLong,
    Stream,
    Truncated,
)
from postroom.net.transport import address
from tests.net.wire import LOOPS, joined, listening, port, run, until

Joined = Callable[[], AbstractAsyncContextManager[tuple[Stream, Stream]]]


@contextlib.asynccontextmanager
async def in_memory() -> AsyncIterator[tuple[Stream, Stream]]:
    yield memory.pair()


KINDS: dict[str, tuple[str, Joined]] = {
    "memory": ("asyncio", in_memory),
    "memory-uvloop": ("uvloop", in_memory),
    "sockets": ("asyncio", joined),
    "sockets-uvloop": ("uvloop", joined),
}
everywhere = pytest.mark.parametrize("kind", KINDS)
on_sockets = pytest.mark.parametrize("loop", LOOPS)


def play(kind: str, story: Callable[[Stream, Stream], object]) -> None:
    """Run `async story(server, client)` over one kind of connection."""
    loop, join = KINDS[kind]

    async def whole() -> None:
        async with join() as (server, client):
            for stream in (server, client):
                stream.deadline(10.0)
            told = story(server, client)
            assert asyncio.iscoroutine(told)
            await told

    run(loop, whole())


async def sent(stream: Stream, data: bytes) -> None:
    stream.write(data)
    await stream.flush()


# --- reading


@everywhere
def test_lines_come_whole_at_every_cut(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        text = b"EHLO a\r\nNOOP\n"
        for cut in range(len(text) + 1):
            await sent(client, text[:cut])
            await asyncio.sleep(0)
            await sent(client, text[cut:])
            assert [await server.line(100), await server.line(100)] == [b"EHLO a\r\n", b"NOOP\n"]

    play(kind, story)


@everywhere
def test_a_long_line_is_refused_in_constant_memory_and_its_tail_is_no_command(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        async def talk() -> None:
            for _ in range(200):
                await sent(client, b"x" * 50_000)
            await sent(client, b" STARTTLS\r\nNOOP\r\n")

        talking = asyncio.create_task(talk())
        tracemalloc.start()
        try:
            with pytest.raises(LineTooLong):
                await server.line(1000)
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()
        assert await server.line(1000) == b"NOOP\r\n"
        await talking

    play(kind, story)


@everywhere
def test_octets_are_counted_out_and_can_be_put_back(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        await sent(client, b"12345678rest\r\n")
        assert await server.exactly(8) == b"12345678"
        got = await server.some(100)
        while not got.endswith(b"\n"):
            got += await server.some(100)
        server.unread(got[2:])
        assert server.unread_octets == 4
        assert await server.line(100) == b"st\r\n"
        server.unread(b"")
        assert server.unread_octets == 0

    play(kind, story)


@everywhere
def test_a_body_much_larger_than_the_buffers_passes(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        async def talk() -> None:
            for _ in range(100):
                client.write_body(b"x" * 40_000, b"y" * 10_000)
                await client.flush()

        talking = asyncio.create_task(talk())
        octets = 0
        while octets < 5_000_000:
            octets += len(await server.some(65_536))
            assert server.unread_octets <= limits.INPUT_HIGH_WATER + limits.READ_OCTETS
        await talking
        assert octets == 5_000_000

    play(kind, story)


def test_two_readers_are_a_bug_that_shows() -> None:
    async def story(server: Stream, client: Stream) -> None:
        first = asyncio.create_task(server.line(100))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await server.line(100)
        await sent(client, b"x\n")
        assert await first == b"x\n"

    play("memory", story)


# --- batches


def test_a_pipelined_batch_costs_one_write() -> None:
    async def story(server: Stream, client: Stream) -> None:
        await sent(client, b"NOOP\r\n" * 100)
        before = memory.writes(server)
        for _ in range(100):
            assert await server.line(100) == b"NOOP\r\n"
            server.write(b"250 OK\r\n")
        assert memory.writes(server) == before
        waiting = asyncio.create_task(server.line(100))
        assert await client.exactly(800) == b"250 OK\r\n" * 100
        assert memory.writes(server) == before + 1
        await sent(client, b"QUIT\r\n")
        await waiting

    play("memory", story)


def test_a_buffered_line_is_had_without_suspending() -> None:
    async def story(server: Stream, client: Stream) -> None:
        await sent(client, b"one\r\ntwo\r\n")
        assert await server.line(100) == b"one\r\n"
        second = server.line(100)
        with pytest.raises(StopIteration) as end:
            second.send(None)
        assert end.value.value == b"two\r\n"

    play("memory", story)


def test_one_busy_pipeline_lets_others_have_their_turn() -> None:
    async def story(server: Stream, client: Stream) -> None:
        await sent(client, b"x\n" * 2 * limits.LINES_PER_TURN)
        await server.line(100)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        for _ in range(limits.LINES_PER_TURN):
            await server.line(100)
        assert turns >= 1
        counting.cancel()

    play("memory", story)


def test_much_output_does_not_wait_for_the_batch_to_end() -> None:
    async def story(server: Stream, client: Stream) -> None:
        before = memory.writes(server)
        server.write(b"x" * limits.OUTPUT_HIGH_WATER)
        assert memory.writes(server) == before
        server.write(b"x")
        assert memory.writes(server) == before + 1

    play("memory", story)


# --- deadlines, wakes, farewells


@everywhere
def test_a_deadline_ends_a_wait_and_can_be_moved_both_ways(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        server.deadline(0.01)
        server.deadline(20.0)
        waiting = asyncio.create_task(server.line(100))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        server.deadline(0.01)
        with pytest.raises(DeadlineExpired):
            await waiting
        with pytest.raises(DeadlineExpired):
            await server.some(1)
        server.deadline(None)
        await sent(client, b"late\r\n")
        assert await server.line(100) == b"late\r\n"

    play(kind, story)


@everywhere
def test_a_deadline_that_only_moves_away_rings_once_and_late(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        began = asyncio.get_running_loop().time()
        server.deadline(0.02)
        waiting = asyncio.create_task(server.line(100))
        await asyncio.sleep(0)
        server.deadline(0.06)
        with pytest.raises(DeadlineExpired):
            await waiting
        assert asyncio.get_running_loop().time() - began >= 0.055

    play(kind, story)


@everywhere
def test_a_deadline_ends_a_flush_that_the_peer_does_not_take(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        client.transport.pause_reading()
        server.deadline(0.05)
        with pytest.raises(DeadlineExpired):
            while True:
                server.write_body(b"x" * 100_000)
                await server.flush()

    play(kind, story)


@everywhere
def test_a_wake_is_seen_once_by_a_wakeable_line_alone(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        server.wake()
        server.wake()
        assert await server.line(100, wakeable=True) is None
        waiting = asyncio.create_task(server.line(100, wakeable=True))
        await asyncio.sleep(0)
        server.wake()
        assert await waiting is None
        plain = asyncio.create_task(server.line(100))
        await asyncio.sleep(0)
        server.wake()
        await sent(client, b"NOOP\r\n")
        assert await plain == b"NOOP\r\n"
        await sent(client, b"DONE\r\n")
        await until(lambda: server.unread_octets == 6)
        assert await server.line(100, wakeable=True) == b"DONE\r\n"
        assert await server.line(100, wakeable=True) is None

    play(kind, story)


def test_part_tells_why_and_wakes() -> None:
    async def story(server: Stream, client: Stream) -> None:
        waiting = asyncio.create_task(server.line(100, wakeable=True))
        await asyncio.sleep(0)
        server.part(Farewell.ACCOUNT)
        assert await waiting is None and server.farewell is Farewell.ACCOUNT

    play("memory", story)


# --- slow readers, and strangers


@everywhere
def test_a_slow_reader_costs_no_more_than_the_high_water_mark(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        client.transport.pause_reading()
        server.deadline(0.05)
        most = 0
        with pytest.raises(DeadlineExpired):
            while True:
                server.write_body(b"x" * 10_000)
                most = max(most, server.transport.get_write_buffer_size())
                await server.flush()
        most = max(most, server.transport.get_write_buffer_size())
        assert most <= 2 * limits.OUTPUT_HIGH_WATER + 10_000

    play(kind, story)


@everywhere
def test_a_slow_readers_commands_wait_unread(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        server.narrow()
        server.connection_made(server.transport)
        client.transport.pause_reading()
        answered = 0

        async def serve() -> None:
            nonlocal answered
            with pytest.raises((DeadlineExpired, EndOfStream)):
                while await server.line(100):
                    server.write(b"y" * 1000 + b"\r\n")
                    answered += 1

        async def ask() -> None:
            with contextlib.suppress(DeadlineExpired, EndOfStream):
                while True:
                    await sent(client, b"CAPABILITY\r\n" * 100)

        for stream in (server, client):
            stream.deadline(0.1)
        await asyncio.gather(serve(), ask())
        # What the transport may hold without objecting, a batch that was pushed, and the reply that made it full.
        assert server.transport.get_write_buffer_size() <= 2 * limits.OUTPUT_HIGH_WATER_BEFORE_LOGIN + 1002
        if kind.startswith("sockets"):
            held = limits.INPUT_HIGH_WATER_BEFORE_LOGIN + limits.READ_OCTETS_BEFORE_LOGIN
            assert server.unread_octets <= held

    play(kind, story)


@on_sockets
def test_a_login_widens_a_narrow_stream(loop: str) -> None:
    async def story() -> None:
        async with joined() as (server, client):
            server.narrow()
            server.conversation = Tap("t").begin("imap")
            assert len(server.get_buffer(-1)) == limits.READ_OCTETS_BEFORE_LOGIN
            client.write(b"LOGIN\r\nNOOP\r\n")
            await client.flush()
            await server.line(100)
            assert len(server.get_buffer(-1)) == limits.READ_OCTETS_BEFORE_LOGIN
            server.conversation.account = "a@x"
            await server.line(100)
            assert len(server.get_buffer(-1)) == limits.READ_OCTETS

    run(loop, story())


@everywhere
def test_a_flood_is_not_read_while_nobody_asks_for_it(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        client.deadline(0.05)
        with pytest.raises(DeadlineExpired):
            while True:
                client.write_body(b"x" * 100_000)
                await client.flush()
        assert server.unread_octets > limits.INPUT_HIGH_WATER
        if kind.startswith("sockets"):
            assert server.unread_octets <= limits.INPUT_HIGH_WATER + limits.READ_OCTETS
        octets = server.unread_octets
        await server.exactly(octets)
        assert await server.some(1) == b"x"

    play(kind, story)


# --- the end


@everywhere
def test_what_came_before_the_end_is_read_before_the_end_is_told(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        client.write(b"last\r\nhalf")
        await client.close()
        assert await server.line(100) == b"last\r\n"
        with pytest.raises(EndOfStream) as end:
            await server.line(100)
        assert not isinstance(end.value, Truncated)
        with pytest.raises(EndOfStream):
            await server.exactly(5)

    play(kind, story)


@everywhere
def test_a_reset_is_told_apart_from_an_end(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        if (sock := client.transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.abort()
        with pytest.raises(Truncated):
            await server.line(100)
        with pytest.raises(EndOfStream):
            await server.flush()
        server.write(b"into nowhere\r\n")
        await server.close()

    play(kind, story)


@everywhere
def test_a_close_sends_what_is_queued(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        server.write(b"221 bye\r\n")
        closing = asyncio.create_task(server.close())
        assert await client.line(100) == b"221 bye\r\n"
        with pytest.raises(EndOfStream):
            await client.line(100)
        await client.close()
        await closing
        await server.close()

    play(kind, story)


@everywhere
def test_the_last_words_arrive_though_commands_lie_unread(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        await sent(client, b"NOOP\r\n" * 1000)
        await until(lambda: server.unread_octets > 0)
        server.write(b"421 too many errors\r\n")
        closing = asyncio.create_task(server.close())
        assert await client.line(100) == b"421 too many errors\r\n"
        await client.close()
        await closing

    play(kind, story)


@everywhere
def test_a_close_does_not_wait_for_ever(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        client.transport.pause_reading()
        server.deadline(0.03)
        with pytest.raises(DeadlineExpired):
            while True:
                server.write_body(b"x" * 100_000)
                await server.flush()
        server.deadline(0.01)
        await server.close()
        server.deadline(10.0)
        with pytest.raises(EndOfStream):
            await server.line(100)

    play(kind, story)


@everywhere
def test_after_an_abort_everything_is_quiet(kind: str) -> None:
    async def story(server: Stream, client: Stream) -> None:
        await sent(client, b"unread\r\n")
        await until(lambda: server.unread_octets > 0)
        waiting = asyncio.create_task(client.line(100))
        await asyncio.sleep(0)
        server.abort()
        server.write(b"lost\r\n")
        server.wake()
        await server.close()
        with pytest.raises(EndOfStream):
            await waiting

    play(kind, story)


# --- the tap, addresses


def test_the_tap_sees_lines_and_counts_bodies_and_secrets() -> None:
    async def story(server: Stream, client: Stream) -> None:
        kept = server.conversation = Tap("t").begin("smtp")
        await sent(client, b"DATA\r\n0123456789QUIT\r\nc2VjcmV0\r\n" + b"x" * 50 + b"\r\n")
        await server.line(40)
        server.write(b"354 go\r\n")
        body = await server.some(10**6)
        server.unread(body[10:])
        await server.line(40)
        await server.line(40, secret=True)
        with pytest.raises(LineTooLong):
            await server.line(40)
        server.write_body(b"abc", b"de")
        assert [(row.who.value, row.kind, row.data, row.octets) for row in kept.rows] == [
            ("C", Kind.LINE, b"DATA\r\n", 6),
            ("S", Kind.LINE, b"354 go\r\n", 8),
            ("C", Kind.BODY, b"", 10),
            ("C", Kind.LINE, b"QUIT\r\n", 6),
            ("C", Kind.SECRET, b"", 10),
            ("-", Kind.NOTE, b"a line of over 40 octets", 24),
            ("S", Kind.BODY, b"", 5),
        ]

    play("memory", story)


@pytest.mark.parametrize(
    ("name", "host", "number"),
    [
        (("192.0.2.1", 25), "192.0.2.1", 25),
        (("2001:db8::1", 25, 0, 0), "2001:db8::1", 25),
        (("::ffff:192.0.2.1", 25, 0, 0), "192.0.2.1", 25),
        ("", "", 0),
        (None, "", 0),
    ],
)
def test_addresses_as_people_write_them(name: object, host: str, number: int) -> None:
    assert (address(name).host, address(name).port) == (host, number)


@on_sockets
def test_both_ends_know_their_addresses(loop: str) -> None:
    async def story() -> None:
        async with joined() as (server, client):
            assert server.peer == client.local and server.local == client.peer
            assert server.peer.host == "127.0.0.1"

    run(loop, story())


@on_sockets
def test_nobody_there_is_an_oserror(loop: str) -> None:
    async def story() -> None:
        with listening() as sock:
            number = port(sock)
        with pytest.raises(OSError):
            await connect("127.0.0.1", number)

    run(loop, story())
