"""The pair in memory behaves as sockets do: later turns, back-pressure, half-closes, aborts."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from postroom.net import memory
from postroom.net.stream import DeadlineExpired, EndOfStream, Truncated
from tests.net.wire import run


def test_what_is_written_arrives_in_a_later_turn() -> None:
    async def story() -> None:
        server, client = memory.pair()
        client.write(b"NOOP\r\n")
        await client.flush()
        assert server.unread_octets == 0
        await asyncio.sleep(0)
        assert server.unread_octets == 6

    run("asyncio", story())


def test_the_server_sees_its_client_where_the_test_says() -> None:
    async def story() -> None:
        server, client = memory.pair(peer="192.0.2.7", local="198.51.100.1")
        assert (server.peer.host, client.peer.host) == ("192.0.2.7", "198.51.100.1")
        assert (server.local.host, client.local.host) == ("198.51.100.1", "192.0.2.7")

    run("asyncio", story())


def test_a_fast_writer_is_held_back_until_the_reader_reads() -> None:
    async def story() -> None:
        server, client = memory.pair()
        server.deadline(10.0)
        client.transport.pause_reading()
        server.write_body(b"x" * 10**6)
        flushing = asyncio.create_task(server.flush())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not flushing.done()
        client.transport.resume_reading()
        await flushing
        assert await client.exactly(10**6) == b"x" * 10**6

    run("asyncio", story())


def test_a_half_closed_peer_is_still_answered() -> None:
    async def story() -> None:
        server, client = memory.pair()
        client.write(b"QUIT\r\n")
        await client.flush()
        assert client.transport.can_write_eof()
        client.transport.write_eof()
        assert await server.line(100) == b"QUIT\r\n"
        with pytest.raises(EndOfStream):
            await server.line(100)
        server.write(b"221 bye\r\n")
        await server.close()
        assert await client.line(100) == b"221 bye\r\n"
        assert client.transport.is_closing()

    run("asyncio", story())


def test_an_abort_drops_what_was_on_its_way() -> None:
    async def story() -> None:
        server, client = memory.pair()
        client.write(b"lost\r\n")
        await client.flush()
        client.abort()
        with pytest.raises(Truncated):
            await server.line(100)
        client.write(b"into nowhere\r\n")

    run("asyncio", story())


def test_a_handshake_meets_in_either_order_or_ends() -> None:
    async def story() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        server, client = memory.pair()
        await asyncio.gather(client.start_tls_as_client(context, "x"), server.start_tls(context))
        assert server.tls is not None and client.tls is not None

        server, client = memory.pair()
        server.deadline(0.01)
        with pytest.raises(DeadlineExpired):
            await server.start_tls(context)

        server, client = memory.pair()
        shaking = asyncio.create_task(server.start_tls(context))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(EndOfStream):
            await shaking

    run("asyncio", story())


def test_a_write_is_counted_as_a_system_call() -> None:
    async def story() -> None:
        server, _ = memory.pair()
        server.write(b"a\r\n")
        server.write(b"b\r\n")
        assert memory.writes(server) == 0
        await server.flush()
        assert memory.writes(server) == 1

    run("asyncio", story())


def test_marked_streams_count_as_tls() -> None:
    async def story() -> None:
        server, client = memory.pair()
        memory.mark_tls(server, client)
        assert server.tls is not None and client.tls is not None

    run("asyncio", story())
