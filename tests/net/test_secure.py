"""TLS over an open transport: half-closes, last words, spoiled records, and that nothing waits there."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from collections.abc import AsyncIterator

import pytest

from postroom.net import limits
from postroom.net.connect import connect
from postroom.net.secure import SecureTransport
from postroom.net.stream import EndOfStream, Stream, Truncated
from postroom.net.tls import KeyPair, server_context
from tests.net.wire import LOOPS, heard, joined, listening, opened, port, raw, run, trusting, until

both_loops = pytest.mark.parametrize("loop", LOOPS)
versions = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@contextlib.asynccontextmanager
async def wrapped(key_pair: KeyPair, version: ssl.TLSVersion | None = None) -> AsyncIterator[tuple[Stream, Stream]]:
    """A server's and a client's stream after STARTTLS."""
    context = trusting()
    if version is not None:
        context.minimum_version = context.maximum_version = version
    async with joined() as (server, client):
        for stream in (server, client):
            stream.deadline(10.0)
        await asyncio.gather(
            server.start_tls(server_context(key_pair)), client.start_tls_as_client(context, "mx.example.test")
        )
        yield server, client


@both_loops
@versions
def test_lines_and_bodies_pass_both_ways(loop: str, version: ssl.TLSVersion, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with wrapped(key_pair, version) as (server, client):
            letter = bytes(range(256)) * 5000
            for here, there in ((server, client), (client, server)):
                for size in (1, 16_383, 16_384, 16_385, len(letter)):
                    here.write_body(letter[:size])
                    sending = asyncio.create_task(here.flush())
                    assert await there.exactly(size) == letter[:size]
                    await sending

    run(loop, story())


@both_loops
def test_a_client_that_has_ended_its_half_is_still_answered(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async def session(stream: Stream) -> None:
            with contextlib.suppress(EndOfStream):
                while line := await stream.line(100):
                    stream.write(b"250 " + line)
            stream.write(b"221 bye\r\n")

        async with opened(session, tls=server_context(key_pair)) as (_, number):
            client = await raw(number)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = trusting().wrap_bio(incoming, outgoing)
            async_loop = asyncio.get_running_loop()
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await async_loop.sock_sendall(client, outgoing.read())
                    incoming.write(await async_loop.sock_recv(client, 65_536))
            tls.write(b"NOOP\r\nHELP\r\n")
            with pytest.raises(ssl.SSLError):
                tls.unwrap()  # close_notify is written, the server's isn't there
            await async_loop.sock_sendall(client, outgoing.read())
            incoming.write(await heard(client))
            said = b""
            with contextlib.suppress(ssl.SSLError):
                while more := tls.read(1000):
                    said += more
            assert said == b"250 NOOP\r\n250 HELP\r\n221 bye\r\n"
            client.close()

    run(loop, story())


@both_loops
def test_the_last_words_arrive_though_commands_lie_unread(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with wrapped(key_pair) as (server, client):
            client.write(b"NOOP\r\n" * 100_000)
            asking = asyncio.create_task(client.flush())
            await until(lambda: server.unread_octets > 0)
            server.write(b"421 too many errors\r\n")
            closing = asyncio.create_task(server.close())
            assert await client.line(100) == b"421 too many errors\r\n"
            with pytest.raises(EndOfStream) as end:
                await client.line(100)
            assert not isinstance(end.value, Truncated)
            await asking
            await client.close()
            await closing

    run(loop, story())


@both_loops
def test_a_close_waits_for_the_peer_a_bounded_time(
    loop: str, key_pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with wrapped(key_pair) as (server, client):
            client.transport.pause_reading()
            await server.close()
            with pytest.raises(EndOfStream):
                await server.flush()

    monkeypatch.setattr(limits, "LINGER_SECONDS", 0.02)
    run(loop, story())


@both_loops
def test_a_spoiled_record_drops_the_connection_and_is_no_data(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with wrapped(key_pair) as (server, client):
            secure = client.transport
            assert isinstance(secure, SecureTransport)
            secure._raw.write(b"\x17\x03\x03\x00\x20" + b"x" * 32)
            with pytest.raises(Truncated):
                await server.line(100)
            with pytest.raises(EndOfStream):
                await client.line(100)

    run(loop, story())


@both_loops
def test_what_is_not_asked_for_waits_at_the_sender(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with wrapped(key_pair) as (server, client):
            server.narrow()
            client.deadline(0.1)
            with pytest.raises(TimeoutError):
                while True:
                    client.write_body(b"x" * 100_000)
                    await client.flush()
            secure = server.transport
            assert isinstance(secure, SecureTransport)
            held = server.unread_octets + secure._incoming.pending + secure._tls.pending()
            assert held <= limits.INPUT_HIGH_WATER_BEFORE_LOGIN + 2 * limits.READ_OCTETS_BEFORE_LOGIN + 17_000
            octets = server.unread_octets
            assert await server.exactly(octets + 200_000) == b"x" * (octets + 200_000)

    run(loop, story())


@both_loops
def test_a_peer_without_tls_is_an_oserror_and_leaves_nothing_behind(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async def greet(stream: Stream) -> None:
            stream.write(b"220 plain\r\n")
            await stream.some(100)

        async with opened(greet) as (_, number):
            with pytest.raises(ssl.SSLError):
                await connect("127.0.0.1", number, context=trusting(), server_hostname="x")
        sock = listening()
        connecting = asyncio.create_task(connect("127.0.0.1", port(sock), context=trusting()))
        accepted, _ = await asyncio.get_running_loop().sock_accept(sock)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert (await heard(accepted))[:1] in (b"", b"\x16")
        accepted.close()
        sock.close()

    run(loop, story())
    gc.collect()
    assert not caplog.records


@both_loops
def test_the_sockets_facts_shine_through(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with wrapped(key_pair) as (server, client):
            assert server.peer == client.local and server.peer.host == "127.0.0.1"
            assert server.transport.get_extra_info("ssl_object") is server.tls
            assert server.transport.get_extra_info("nothing", 5) == 5
            assert not server.transport.can_write_eof() and not server.transport.is_closing()
            assert server.transport.is_reading()

    run(loop, story())
