"""The door: who gets in, who hears that it is full, how it closes; implicit TLS in the face of strangers."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import ssl
import struct
import subprocess
import sys

import pytest

from postroom.net import limits
from postroom.net.connect import connect
from postroom.net.conversation import Tap
from postroom.net.counts import Counts, Table
from postroom.net.hello import INTERNAL_ERROR
from postroom.net.listener import Door, Listener
from postroom.net.stream import DeadlineExpired, Farewell, Stream
from postroom.net.tls import KeyPair, server_context
from postroom.net.turnstile import Turnstile
from tests.net.wire import LOOPS, heard, listening, opened, port, raw, run, trusting, until
from tests.scale import scaled

both_loops = pytest.mark.parametrize("loop", LOOPS)


async def echo(stream: Stream) -> None:
    """Greets, then repeats lines until QUIT or a farewell."""
    stream.write(b"* hello\r\n")
    while True:
        line = await stream.line(1000, wakeable=True)
        if stream.farewell is not None:
            stream.write(b"* bye\r\n")
            return
        if line is not None:
            stream.write(line)
            if line == b"QUIT\r\n":
                return


async def greeted(port_number: int, context: ssl.SSLContext | None = None) -> Stream:
    stream = await connect("127.0.0.1", port_number, context=context, server_hostname="x" if context else None)
    stream.deadline(10.0)
    assert await stream.line(100) == b"* hello\r\n"
    return stream


@both_loops
def test_a_client_is_greeted_and_answered(loop: str) -> None:
    async def story() -> None:
        tap = Tap("t")
        async with opened(echo, tap=tap) as (door, number):
            client = await greeted(number)
            assert len(door) == 1
            client.write(b"one\r\nQUIT\r\n")
            assert [await client.line(100), await client.line(100)] == [b"one\r\n", b"QUIT\r\n"]
            await client.close()
            await until(lambda: len(door) == 0)
        (kept,) = tap.recent
        assert (kept.protocol, kept.peer, tap.live) == ("test", "127.0.0.1", {})
        assert [row.data for row in kept.rows][:2] == [b"* hello\r\n", b"one\r\n"]

    run(loop, story())


@both_loops
def test_a_burst_of_connections_is_taken_in_few_turns_of_the_loop(loop: str) -> None:
    async def story() -> None:
        waiting = asyncio.Event()

        async def stay(stream: Stream) -> None:
            await waiting.wait()

        sock = listening()
        clients = [await raw(port(sock)) for _ in range(limits.ACCEPTS_PER_TURN)]
        door = Door(Tap("t"), per_address=0)
        door.open(Listener("test", sock, stay))
        turns = 0
        while len(door) < len(clients):
            await asyncio.sleep(0)
            turns += 1
        assert turns < 10
        waiting.set()
        await door.drain(5.0)
        for one in (*clients, sock):
            one.close()

    run(loop, story())


@both_loops
def test_small_replies_leave_at_once(loop: str) -> None:
    async def story() -> None:
        seen: list[int] = []

        async def look(stream: Stream) -> None:
            sock = stream.transport.get_extra_info("socket")
            seen.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        async with opened(look) as (_, number):
            client = await raw(number)
            assert await heard(client) == b""
            client.close()
        assert seen == [1]

    run(loop, story())


@both_loops
def test_one_too_many_in_all_hears_busy_and_is_closed(loop: str) -> None:
    async def story() -> None:
        async with opened(echo, most=2) as (door, number):
            kept = [await greeted(number) for _ in range(2)]
            for _ in range(3):
                third = await raw(number)
                assert await heard(third) == b"421 busy\r\n"
                third.close()
            assert len(door) == 2
            await kept[0].close()
            await until(lambda: len(door) == 1)
            await (await greeted(number)).close()
            await kept[1].close()

    run(loop, story())


@both_loops
def test_one_too_many_who_speaks_first_hears_busy_all_the_same(loop: str) -> None:
    async def story() -> None:
        sock = listening()
        client = await raw(port(sock))
        client.send(b"EHLO impatient\r\n" * 100)
        door = Door(Tap("t"), per_address=0, most=0)
        door.open(Listener("test", sock, echo, busy=b"421 busy\r\n"))
        assert await heard(client) == b"421 busy\r\n"
        client.close()
        await door.drain(0.0)
        sock.close()

    run(loop, story())


def test_one_too_many_from_one_address_hears_busy() -> None:
    async def story() -> None:
        async with opened(echo, per_address=1) as (door, number):
            first = await greeted(number)
            second = await raw(number)
            assert await heard(second) == b"421 busy\r\n"
            second.close()
            await first.close()
            await until(lambda: len(door) == 0)
            await (await greeted(number)).close()

    run("asyncio", story())


def test_one_too_many_where_tls_comes_first_hears_an_alert(key_pair: KeyPair) -> None:
    async def story() -> None:
        async with opened(echo, most=0, tls=server_context(key_pair)) as (_, number):
            client = await raw(number)
            assert await heard(client) == INTERNAL_ERROR
            client.close()

    run("asyncio", story())


def test_addresses_count_by_what_one_subscriber_has() -> None:
    exempt = [ipaddress.ip_network("10.0.0.0/8")]
    key = Turnstile(Counts.alone(), per_address=1, in_all=0, exempt=exempt).counted
    assert key("192.0.2.1") == key("::ffff:192.0.2.1") != key("192.0.2.2")
    assert key("2001:db8::1") == key("2001:db8::ffff") != key("2001:db8:0:1::1")
    assert key("10.1.2.3") is None and key("") is None


def test_exempt_networks_are_not_counted() -> None:
    async def story() -> None:
        sock = listening()
        door = Door(Tap("t"), per_address=1, exempt=[ipaddress.ip_network("127.0.0.0/8")])
        door.open(Listener("test", sock, echo))
        clients = [await greeted(port(sock)) for _ in range(3)]
        for client in clients:
            await client.close()
        await door.drain(0.0)
        sock.close()

    run("asyncio", story())


@pytest.mark.parametrize(("seconds", "lines"), [(60.0, 1), (0.0, 5)])
def test_refusals_are_one_log_line_a_while(
    seconds: float, lines: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with opened(echo, most=0) as (_, number):
            for _ in range(5):
                client = await raw(number)
                await heard(client)
                client.close()

    monkeypatch.setattr(limits, "REFUSE_SECONDS", seconds)
    with caplog.at_level(logging.INFO, "postroom.net.listener"):
        run("asyncio", story())
    told = [record.message for record in caplog.records]
    assert len(told) == lines
    assert all(line.startswith("connection-refused protocol=test peer=127.0.0.1 ") for line in told)


@both_loops
def test_a_broken_handler_costs_one_connection_and_one_log_line(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks(stream: Stream) -> None:
        if await stream.line(100) == b"break\r\n":
            raise ZeroDivisionError
        stream.write(b"fine\r\n")

    async def story() -> None:
        async with opened(breaks) as (_, number):
            first, second = await raw(number), await raw(number)
            first.send(b"break\r\n")
            assert await heard(first) == b""
            second.send(b"go on\r\n")
            assert await heard(second) == b"fine\r\n"
            first.close()
            second.close()

    run(loop, story())
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and record.exc_info is not None
    assert record.message.startswith("session-broke session=t0")


@both_loops
def test_a_deadline_is_an_ordinary_end(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def waits(stream: Stream) -> None:
        stream.deadline(0.01)
        try:
            await stream.line(100)
        except DeadlineExpired:
            stream.write(b"421 too slow\r\n")
            raise

    async def story() -> None:
        tap = Tap("t")
        async with opened(waits, tap=tap) as (_, number):
            client = await raw(number)
            assert await heard(client) == b"421 too slow\r\n"
            client.close()
        assert tap.recent[0].rows[-1].data == b"the deadline passed"

    run(loop, story())
    assert not caplog.records


@both_loops
def test_a_shutdown_asks_everybody_to_part_and_waits(loop: str) -> None:
    async def story() -> None:
        async with opened(echo) as (door, number):
            clients = [await greeted(number) for _ in range(3)]
            draining = asyncio.create_task(door.drain(10.0))
            for client in clients:
                assert await client.line(100) == b"* bye\r\n"
                await client.close()
            await draining
            assert len(door) == 0

    run(loop, story())


@both_loops
def test_a_shutdown_cuts_off_who_does_not_part(loop: str) -> None:
    async def story() -> None:
        started = asyncio.Event()

        async def stubborn(stream: Stream) -> None:
            started.set()
            await asyncio.Event().wait()

        async with opened(stubborn) as (door, number):
            client = await raw(number)
            await started.wait()
            await door.drain(0.01)
            assert len(door) == 0
            assert await heard(client) == b""
            client.close()

    run(loop, story())


@both_loops
def test_a_shutdown_does_not_wait_for_handshakes(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with opened(echo, tls=server_context(key_pair)) as (door, number):
            client = await raw(number)
            await until(lambda: len(door) == 1)
            await door.drain(10.0)
            assert await heard(client) == b""
            client.close()

    run(loop, story())


def test_the_sessions_of_one_account_part_alone() -> None:
    async def named(stream: Stream) -> None:
        assert stream.conversation is not None
        stream.conversation.account = (await stream.line(100)).decode().strip()
        stream.write(b"* hello\r\n")
        await stream.line(100, wakeable=True)
        assert stream.farewell is Farewell.ACCOUNT
        stream.write(b"* bye\r\n")

    async def story() -> None:
        async with opened(named) as (door, number):
            clients = [await connect("127.0.0.1", number) for _ in range(3)]
            for client, name in zip(clients, (b"a@x", b"b@x", b"a@x"), strict=True):
                client.write(name + b"\r\n")
                assert await client.line(100) == b"* hello\r\n"
            assert door.part_account("a@x") == 2
            assert await clients[0].line(100) == await clients[2].line(100) == b"* bye\r\n"
            await until(lambda: len(door) == 1)
            assert door.part_account("nobody@x") == 0
            for client in clients:
                client.abort()

    run("asyncio", story())


# --- counted with others


@both_loops
def test_limits_hold_over_all_who_share_a_table(loop: str) -> None:
    async def story() -> None:
        table, descriptor = Table.make(2)
        os.close(descriptor)
        socks = [listening() for _ in range(4)]
        doors = [Door(Tap("t"), per_address=0, in_all=4, counts=Counts(table, n)) for n in range(2)]
        # The same two listeners, of which the second may have two connections, in either process.
        for number, sock in enumerate(socks):
            group = number % 2
            doors[number // 2].open(Listener("test", sock, echo, busy=b"421 busy\r\n", group=group, most=2 * group))
        kept = [await greeted(port(socks[1])), await greeted(port(socks[3]))]
        for full in (socks[1], socks[3]):
            client = await raw(port(full))
            assert await heard(client) == b"421 busy\r\n"
            client.close()
        kept += [await greeted(port(socks[0])), await greeted(port(socks[2]))]
        client = await raw(port(socks[0]))
        assert await heard(client) == b"421 busy\r\n"
        client.close()
        await kept[1].close()
        await until(lambda: table.total(0) == 3)
        await (await greeted(port(socks[1]))).close()
        for one in kept:
            one.abort()
        for door in doors:
            await door.drain(1.0)
        assert table.total(0) == 0
        for sock in socks:
            sock.close()

    run(loop, story())


def test_connections_of_a_64_count_together_over_processes() -> None:
    async def story() -> None:
        table, descriptor = Table.make(2)
        os.close(descriptor)
        socks = [listening("::1") for _ in range(2)]
        doors = [Door(Tap("t"), per_address=1, counts=Counts(table, n)) for n in range(2)]
        for door, sock in zip(doors, socks, strict=True):
            door.open(Listener("test", sock, echo, busy=b"421 busy\r\n"))
        first = await connect("::1", port(socks[0]))
        assert await first.line(100) == b"* hello\r\n"
        second = await connect("::1", port(socks[1]))
        assert await second.line(100) == b"421 busy\r\n"
        for one in (first, second):
            one.abort()
        for door, sock in zip(doors, socks, strict=True):
            await door.drain(1.0)
            sock.close()

    run("uvloop", story())


@both_loops
def test_whom_another_worker_leaves_standing_is_let_in(loop: str) -> None:
    """Its worker was killed, or is held up."""

    async def story() -> None:
        own, anothers = listening(), listening()
        door = Door(Tap("t"), per_address=0)
        door.open(Listener("test", own, echo))
        door.open(Listener("test", anothers, echo, spare=True))
        for _ in range(2):
            await (await greeted(port(anothers))).close()
        await (await greeted(port(own))).close()
        await door.drain(1.0)
        for sock in (own, anothers):
            sock.close()

    run(loop, story())


@both_loops
def test_whom_its_own_worker_lets_in_nobody_else_takes(loop: str) -> None:
    async def story() -> None:
        sock = listening()
        twin = sock.dup()
        twin.setblocking(False)
        owner, other = (Door(Tap("t"), per_address=0) for _ in range(2))
        owner.open(Listener("test", sock, echo))
        other.open(Listener("test", twin, echo, spare=True))
        clients = [await greeted(port(sock)) for _ in range(20)]
        assert (len(owner), len(other)) == (20, 0)
        for client in clients:
            client.abort()
        for door in (owner, other):
            await door.drain(1.0)
        await asyncio.sleep(2 * limits.RESCUE_SECONDS)  # nothing is woken any more
        sock.close()
        twin.close()

    run(loop, story())


# --- sessions that end


@both_loops
def test_one_that_retires_lets_its_sessions_go_on_and_its_successor_accept(loop: str) -> None:
    async def story() -> None:
        sock = listening()
        twin = sock.dup()  # as another process has it
        twin.setblocking(False)
        old, new = (Door(Tap("t"), per_address=0) for _ in range(2))
        old.open(Listener("test", sock, echo))
        client = await greeted(port(sock))
        new.open(Listener("test", twin, echo))
        retiring = asyncio.create_task(old.retire(30.0))
        await asyncio.sleep(0)
        await (await greeted(port(sock))).close()
        client.write(b"still here\r\n")
        assert await client.line(100) == b"still here\r\n"
        assert len(old) == 1 and not retiring.done()
        client.write(b"QUIT\r\n")
        assert await client.line(100) == b"QUIT\r\n"
        await client.close()
        await retiring
        for door in (old, new):
            await door.drain(1.0)
        sock.close()
        twin.close()

    run(loop, story())


def test_one_that_retires_waits_for_its_sessions_only_so_long() -> None:
    async def story() -> None:
        async with opened(echo) as (door, number):
            client = await greeted(number)
            await door.retire(0.01)
            assert len(door) == 1
            draining = asyncio.create_task(door.drain(10.0))
            assert await client.line(100) == b"* bye\r\n"
            await client.close()
            await draining

    run("uvloop", story())


@both_loops
def test_a_session_that_is_ended_hears_so_or_is_cut_off(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(stream: Stream) -> None:
        stream.write(b"* hello\r\n")
        await stream.flush()
        await asyncio.Event().wait()

    async def story() -> None:
        for handler, said in ((echo, b"* hello\r\n* bye\r\n"), (deaf, b"* hello\r\n")):
            async with opened(handler) as (door, number):
                client = await raw(number)
                await until(lambda: bool(door.sessions()))
                ((stream, conversation),) = door.sessions()
                assert conversation.peer == "127.0.0.1"
                door.end(stream)
                assert await heard(client) == said
                client.close()

    monkeypatch.setattr(limits, "PARTING_SECONDS", 0.05)
    run(loop, story())


def test_a_storm_of_resets_leaves_nothing_behind() -> None:
    async def story() -> None:
        table, descriptor = Table.make(1)
        os.close(descriptor)
        sock = listening()
        door = Door(Tap("t"), per_address=1000, counts=Counts(table, 0))
        door.open(Listener("test", sock, echo))
        for _ in range(scaled(200, 20_000)):
            client = await raw(port(sock))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        await (await greeted(port(sock))).close()
        await until(lambda: not len(door))
        assert table.total(0) == 0
        await door.drain(0.0)
        sock.close()

    run("uvloop", story())


# --- implicit TLS


@both_loops
def test_implicit_tls_converses(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        tap = Tap("t")
        async with opened(echo, tls=server_context(key_pair), tap=tap) as (_, number):
            client = await greeted(number, trusting())
            client.write(b"QUIT\r\n")
            assert await client.line(100) == b"QUIT\r\n"
            await client.close()
        assert tap.recent[0].rows[0].data == b"TLS began: TLSv1.3"

    run(loop, story())


@both_loops
@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"EHLO me\r\n", b"\x16\x03\x01\x00\x00", b"\x00"])
def test_what_is_no_tls_is_closed_at_once(loop: str, said: bytes, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with opened(echo, tls=server_context(key_pair)) as (door, number):
            client = await raw(number)
            client.send(said)
            assert await heard(client) == b""
            client.close()
            await until(lambda: len(door) == 0)

    run(loop, story())


@both_loops
def test_a_browser_is_refused_with_an_alert_and_mail_programs_are_not(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        context = server_context(key_pair, protocols=["imap"])
        async with opened(echo, tls=context, alpn=frozenset({b"imap"})) as (_, number):
            with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
                await connect("127.0.0.1", number, context=trusting(["h2", "http/1.1"]), server_hostname="x")
            client = await greeted(number, trusting(["http/1.1", "imap"]))
            assert client.tls is not None and client.tls.selected_alpn_protocol() == "imap"
            await client.close()
            await (await greeted(number, trusting())).close()

    run(loop, story())


@both_loops
def test_a_hello_octet_by_octet_is_understood(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with opened(echo, tls=server_context(key_pair)) as (_, number):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = trusting().wrap_bio(incoming, outgoing)
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            client = await raw(number)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for octet in outgoing.read():
                client.send(bytes([octet]))
                await asyncio.sleep(0)
            incoming.write(await asyncio.get_running_loop().sock_recv(client, 65536))
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                incoming.write(await asyncio.get_running_loop().sock_recv(client, 65536))
                tls.do_handshake()
            assert tls.version() == "TLSv1.3"
            client.close()

    run(loop, story())


def test_a_hello_in_too_many_pieces_is_refused(key_pair: KeyPair) -> None:
    async def story() -> None:
        async with opened(echo, tls=server_context(key_pair)) as (door, number):
            client = await raw(number)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ending = asyncio.create_task(heard(client))
            for octet in b"\x01\x00\x10\x00" + bytes(4096):
                try:
                    client.send(b"\x16\x03\x01\x00\x01" + bytes([octet]))
                except OSError:
                    break
                await asyncio.sleep(0.0005)
            else:
                pytest.fail("it listened to all of it")
            assert await ending == b""
            client.close()
            await until(lambda: len(door) == 0)

    run("asyncio", story())


@both_loops
def test_a_stalled_handshake_ends_at_its_deadline_and_holds_up_nobody(
    loop: str, key_pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with opened(echo, tls=server_context(key_pair)) as (door, number):
            silent, halting, mute = await raw(number), await raw(number), await raw(number)
            halting.send(b"\x16\x03\x01\x02")
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            with pytest.raises(ssl.SSLWantReadError):
                trusting().wrap_bio(incoming, outgoing).do_handshake()
            mute.send(outgoing.read())
            await until(lambda: len(door) == 3)
            monkeypatch.setattr(limits, "GREETING_SECONDS", 10.0)
            await (await greeted(number, trusting())).close()
            for client in (silent, halting, mute):
                await heard(client)
                client.close()
            await until(lambda: len(door) == 0)

    monkeypatch.setattr(limits, "GREETING_SECONDS", 0.2)
    run(loop, story())


# --- out of descriptors

STARVING = """
import asyncio, os, resource, sys, time
import uvloop
from postroom.net.conversation import Tap
from postroom.net.counts import Counts, Table
from postroom.net.listener import Door, Listener
from tests.net.wire import listening, port

async def echo(stream):
    stream.write(b"* hello\\r\\n")
    while await stream.line(100) != b"QUIT\\r\\n":
        pass

async def main():
    sock = listening()
    door = Door(Tap("t"), per_address=0, most=1000)
    door.open(Listener("test", sock, echo, busy=b"421 busy\\r\\n"))
    os.write(1, f"{port(sock)}\\n".encode())
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    hoard = []
    while order := await reader.readline():
        if order == b"hoard\\n":
            try:
                while True:
                    hoard.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                pass
        if order == b"share\\n":
            while hoard:
                os.close(hoard.pop())
        os.write(1, f"{time.process_time()}\\n".encode())
    await door.drain(0)

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
with asyncio.Runner(loop_factory=uvloop.new_event_loop if sys.argv[1] == "uvloop" else None) as runner:
    runner.run(main())
"""


@both_loops
def test_out_of_descriptors_one_hears_busy_and_the_loop_does_not_spin(loop: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STARVING, loop],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(("src", "."))},
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None

    def order(words: bytes) -> float:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(words + b"\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    try:
        number = int(process.stdout.readline())
        before = order(b"hoard")
        with socket.create_connection(("127.0.0.1", number)) as first:
            first.settimeout(10.0)
            assert first.recv(100) == b"421 busy\r\n"
        # The next one is waited for during the rest, in which the process does nothing; then it is its turn.
        with socket.create_connection(("127.0.0.1", number)) as second:
            second.settimeout(10.0)
            assert second.recv(100) == b"421 busy\r\n"
        assert order(b"share") - before < 0.5
        with socket.create_connection(("127.0.0.1", number)) as third:
            third.settimeout(10.0)
            assert third.recv(100) == b"* hello\r\n"
        process.stdin.close()
        log = process.stderr.read().decode()
        assert process.wait(10.0) == 0, log
        assert log.count("accepting-rests") == 2 and "Traceback" not in log, log
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def test_connections_leave_descriptors_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def limit(soft: int) -> int:
        monkeypatch.setattr("resource.getrlimit", lambda _: (soft, soft))
        return Door(Tap("t"), per_address=0)._most

    assert limit(64) == 64 - limits.DESCRIPTORS_KEPT
    assert limit(10) == 1
    assert limit(-1) == limit(10**6) == limits.CONNECTIONS_PER_WORKER
