"""What a worker tells the command line: conversations kept, and conversations as they go on."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from postroom.net import ipc
from postroom.net.connect import connect
from postroom.net.conversation import Record, Tap
from postroom.net.stream import Stream
from postroom.site.control import handlers, session_handlers
from tests.net.wire import opened, until


def _tap() -> Tap:
    tap = Tap("t")
    for protocol in ("smtp", "imap"):
        conversation = tap.begin(protocol, "192.0.2.1")
        conversation.client_line(b"NOOP\r\n")
        tap.end(conversation)
    return tap


def test_conversations_are_told_by_protocol_and_by_id(tmp_path: Path) -> None:
    async def story() -> None:
        tap = _tap()
        server = await ipc.serve(tmp_path / "control", handlers(tap))
        peer = ipc.Peer(tmp_path / "control")
        records = [Record.from_json(row) async for row in peer.stream("conversations")]
        assert [record.protocol for record in records] == ["smtp", "imap"]
        by_protocol = [row async for row in peer.stream("conversations", protocol="imap", session=None)]
        assert [row["protocol"] for row in by_protocol] == ["imap"]
        by_id = [row async for row in peer.stream("conversations", session=records[0].id)]
        assert [row["id"] for row in by_id] == [records[0].id]
        assert [row async for row in peer.stream("conversations", session="nosuch")] == []
        await peer.close()
        await server.close()

    asyncio.run(story())


def test_a_follower_hears_what_is_said_from_then_on_and_no_secret(tmp_path: Path) -> None:
    async def story() -> None:
        tap = _tap()
        server = await ipc.serve(tmp_path / "control", handlers(tap))
        peer = ipc.Peer(tmp_path / "control")
        async with aclosing(peer.stream("follow", protocol="pop3", session=None)) as rows:
            heard = asyncio.create_task(anext(rows))
            await until(lambda: bool(tap.followers))
            unwanted, wanted = tap.begin("smtp"), tap.begin("pop3")
            wanted.mask = lambda line: b"PASS ***\r\n"
            unwanted.client_line(b"NOOP\r\n")
            wanted.client_line(b"PASS secret\r\n")
            record = Record.from_json(await heard)
        assert record.id == wanted.id
        assert [row.data for row in record.rows] == [b"PASS ***\r\n"]
        await peer.close()
        await server.close()
        assert not tap.followers

    asyncio.run(story())


async def _talk(stream: Stream) -> None:
    """The first line is a login; a farewell ends it."""
    assert stream.conversation is not None
    stream.conversation.mask = lambda line: line.replace(b"secret", b"***")
    while stream.farewell is None:
        line = await stream.line(100, wakeable=True)
        if line is not None and line.startswith(b"LOGIN "):
            stream.conversation.account = line.split()[1].decode()
        stream.write(b"+\r\n" if line else b"bye\r\n")


def test_sessions_are_listed_and_ended_by_id_account_and_peer(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(_talk) as (door, number):
            server = await ipc.serve(tmp_path / "control", session_handlers(door))
            peer = ipc.Peer(tmp_path / "control")
            streams = [await connect("127.0.0.1", number) for _ in range(3)]
            for stream, name in zip(streams, (b"a@x", b"b@x", b"a@x"), strict=True):
                stream.write(b"LOGIN %b secret\r\n" % name)
                assert await stream.line(100) == b"+\r\n"

            async def listed(**asked: ipc.Json) -> list[ipc.Values]:
                return [row async for row in peer.stream("sessions", **asked)]

            rows = await listed()
            assert [row["account"] for row in rows] == ["a@x", "b@x", "a@x"]
            assert rows[0] | {"id": "", "since": 0} == {
                "id": "",
                "protocol": "test",
                "peer": "127.0.0.1",
                "account": "a@x",
                "since": 0,
                "command": "LOGIN a@x ***",
                "tls": None,
            }
            assert abs(float(str(rows[0]["since"])) - time.time()) < 60
            assert await listed(account="b@x", protocol="test", peer="127.0.0.0/8") == rows[1:2]
            assert await listed(peer="127.0.0.1", session=rows[2]["id"]) == rows[2:]
            assert await listed(protocol="imap") == await listed(peer="192.0.2.0/24") == []
            with pytest.raises(ipc.Refused, match="no address"):
                await peer.call("end", peer="nonsense")

            assert await peer.call("end", session=rows[1]["id"]) == {"sessions": 1}
            assert await streams[1].line(100) == b"bye\r\n"
            assert await peer.call("end", account="a@x") == {"sessions": 2}
            for stream in (streams[0], streams[2]):
                assert await stream.line(100) == b"bye\r\n"
            await until(lambda: not len(door))
            assert await peer.call("end", peer="127.0.0.1") == {"sessions": 0}
            for stream in streams:
                stream.abort()
            await peer.close()
            await server.close()

    asyncio.run(story())
