"""What a connection leaves behind when it is over: nothing that only the collector of cycles would find. A worker's
collector looks seldom (site.role), so that such things would stay for thousands of connections."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace

import pytest
import uvloop

from postroom.net.conversation import Tap
from postroom.net.listener import Door
from tests.fuzz.room import DOORS, room
from tests.system.raw import IMPLICIT, trusting

_CONNECTIONS = 40
_ENDS = {
    "greeted": (),
    "logged in": (b"a LOGIN alice@example.test Secret-pw-1\r\n",),
    "parted": (b"QUIT\r\n", b"a LOGOUT\r\n"),
    "refused": (b"NOSUCH\r\n",),
}


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def _visit(port: int, said: tuple[bytes, ...], tls: ssl.SSLContext | None) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    await reader.readline()
    for line in said:
        writer.write(line)
        await reader.readline()
    writer.close()
    await writer.wait_closed()


async def _garbage(protocol: str) -> dict[str, int]:
    """By how they end: objects that the collector finds after so many connections."""
    found = {}
    async with room((protocol,)) as house:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            sock.setblocking(False)
            door = Door(Tap("l"), per_address=0)
            door.open(replace(house.doors[protocol], sock=sock))
            tls = trusting() if protocol in IMPLICIT else None
            # The first round is imports and caches, too.
            for end in ("greeted", *_ENDS):
                gc.collect()
                for _ in range(_CONNECTIONS):
                    await _visit(sock.getsockname()[1], _ENDS[end], tls)
                # Sessions end in the turns of the loop that follow.
                for _ in range(100):
                    await asyncio.sleep(0.001 if tls else 0)
                assert not len(door)
                found[end] = gc.collect()
            await door.drain(1.0)
    return found


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("protocol", [*DOORS, *IMPLICIT])
def test_a_connection_that_is_over_leaves_nothing_for_the_collector(protocol: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(_garbage(protocol))
    assert max(found.values()) < _CONNECTIONS, found
