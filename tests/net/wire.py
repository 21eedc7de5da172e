"""Streams over real loopback sockets, on both event loops; what the tests of the net are made with."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TypeVar

import uvloop

from postroom.net.connect import connect
from postroom.net.conversation import Tap
from postroom.net.listener import Door, Listener
from postroom.net.stream import Stream

T = TypeVar("T")
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
PATIENCE = 20.0


def run(loop: str, story: Coroutine[None, None, T]) -> T:
    """Play a story on one kind of loop."""

    async def bounded() -> T:
        async with asyncio.timeout(PATIENCE):
            return await story

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(bounded())


def listening(host: str = "127.0.0.1") -> socket.socket:
    """A non-blocking listening socket on a free port."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    sock.listen(128)
    sock.setblocking(False)
    return sock


def port(sock: socket.socket) -> int:
    number = sock.getsockname()[1]
    assert isinstance(number, int)
    return number


@contextlib.asynccontextmanager
async def opened(
    handler: Callable[[Stream], Awaitable[None]],
    *,
    tls: ssl.SSLContext | None = None,
    alpn: frozenset[bytes] = frozenset(),
    busy: bytes = b"421 busy\r\n",
    per_address: int = 0,
    most: int = 1000,
    tap: Tap | None = None,
    login_first: bool = True,
) -> AsyncIterator[tuple[Door, int]]:
    """A door with one listener; gives it and its port."""
    sock = listening()
    door = Door(tap or Tap("t"), per_address=per_address, most=most)
    door.open(Listener("test", sock, handler, tls, alpn, busy, login_first))
    try:
        yield door, port(sock)
    finally:
        await door.drain(0.0)
        sock.close()


@contextlib.asynccontextmanager
async def joined() -> AsyncIterator[tuple[Stream, Stream]]:
    """A server's and a client's stream over one loopback connection; each still belongs to the test."""
    loop = asyncio.get_running_loop()
    with listening() as sock:
        client = await connect("127.0.0.1", port(sock))
        accepted, _ = await loop.sock_accept(sock)
    server = Stream()
    await loop.connect_accepted_socket(lambda: server, accepted)
    try:
        yield server, client
    finally:
        for stream in (server, client):
            stream.abort()
            await stream.close()


async def raw(port_number: int) -> socket.socket:
    """A client's socket, non-blocking, for `loop.sock_*`."""
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port_number))
    return sock


async def heard(sock: socket.socket) -> bytes:
    """All that comes until the end or a reset."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while more := await asyncio.get_running_loop().sock_recv(sock, 65536):
            said += more
    return said


def trusting(context_alpn: list[str] | None = None) -> ssl.SSLContext:
    """A client's context that believes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if context_alpn:
        context.set_alpn_protocols(context_alpn)
    return context


async def until(true: Callable[[], bool]) -> None:
    """Let the loop turn until something holds."""
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
