"""What a worker tells the command line: conversations kept, and conversations as they go on."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

from postroom.net import ipc
from postroom.net.conversation import Record, Tap
from postroom.site.control import handlers
from tests.net.wire import until


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
