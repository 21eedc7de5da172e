"""Clients that send an octet a second (slowloris), wherever they may: each is held to the time that its kind has.

The doors are real, on loopback sockets; only time isn't: the loop's clock jumps to the next timer whenever nothing
else happens, so that minutes pass in a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import selectors
import socket
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import pytest

from postroom.net.conversation import Tap
from postroom.net.limits import (
    GREETING_SECONDS,
    LINGER_SECONDS,
    LOGIN_SECONDS,
    SMTP_COMMAND_SECONDS,
    SMTP_DATA_RATE_SECONDS,
    SMTP_DATA_SECONDS,
    UNAUTHENTICATED_SECONDS,
)
from postroom.net.listener import Door
from tests.fuzz.room import room
from tests.system.raw import IMPLICIT

_GRACE = LINGER_SECONDS + 3
"""Seconds of closing, and of the loop's turns."""


class _Leaping(selectors.DefaultSelector):
    """Waits for nothing but what has happened already: else the clock goes on."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0) or super().select(0.0005)
        if not ready and timeout is not None:
            self.now += max(timeout, 0.0)
        return ready


def at_once(work: Coroutine[Any, Any, float]) -> float:
    """Run it on a loop whose time is `_Leaping`'s."""
    selector = _Leaping()

    def loop() -> asyncio.AbstractEventLoop:
        made = asyncio.SelectorEventLoop(selector)
        made.time = lambda: selector.now  # type: ignore[method-assign]
        return made

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(work)


@contextlib.asynccontextmanager
async def _port(protocol: str) -> AsyncIterator[int]:
    """Where a protocol is served, by the loop's clock."""
    loop = asyncio.get_running_loop()
    async with room((protocol,)) as house:
        listener = house.doors[protocol]
        handler = listener.handler
        assert isinstance(handler, functools.partial)
        service = replace(handler.keywords["service"], clock=loop.time)
        with socket.create_server(("127.0.0.1", 0)) as sock:
            sock.setblocking(False)
            door = Door(Tap("s"), per_address=0)
            door.open(replace(listener, sock=sock, handler=functools.partial(handler.func, service=service)))
            yield sock.getsockname()[1]
            await door.drain(1.0)


async def _seconds(protocol: str, before: bytes, slowly: bytes) -> float:
    """How long the server bears a client that says something at once, and then an octet each second."""
    loop = asyncio.get_running_loop()
    async with _port(protocol) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = loop.time()
        if protocol not in IMPLICIT:
            await reader.readuntil(b"\r\n")
        for line in before.splitlines(keepends=True):
            writer.write(line)
            await reader.readuntil(b"\r\n")
        ended = loop.create_task(_ended(reader))
        for at in range(4000):
            if ended.done():
                break
            writer.write(slowly[at % len(slowly) :][:1])
            await asyncio.wait([ended], timeout=1.0)
        else:
            raise AssertionError("it is borne for ever")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return loop.time() - began


async def _ended(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(65536):
            pass


@dataclass(frozen=True, slots=True)
class Slow:
    """A client: what it says at once (a line for each of the server's), what it says an octet each second, over and
    over, and the seconds that it has."""

    protocol: str
    where: str
    before: bytes
    slowly: bytes
    least: float
    most: float


_MAIL = b"EHLO a\r\nMAIL FROM:<>\r\n"
_IN_DATA = b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
_HELLO = b"\x16\x03\x01\x3f\x00\x01\x00\x3e\xfc" + b"\x03" * 60
_SLOW = (
    Slow("smtp", "a command", b"", b"a", SMTP_COMMAND_SECONDS, SMTP_COMMAND_SECONDS),
    Slow("smtp", "the next one", b"HELO a\r\n", b"NOOP ", SMTP_COMMAND_SECONDS, SMTP_COMMAND_SECONDS),
    Slow(
        "smtp", "a letter", _IN_DATA, b"a\r\n", SMTP_DATA_RATE_SECONDS, SMTP_DATA_RATE_SECONDS + SMTP_DATA_SECONDS
    ),
    Slow("smtp", "the handshake", b"HELO a\r\nSTARTTLS\r\n", _HELLO, 1, GREETING_SECONDS),
    Slow("lmtp", "a command", b"", b"a", SMTP_COMMAND_SECONDS, SMTP_COMMAND_SECONDS),
    Slow("submission", "a command", b"", b"a", LOGIN_SECONDS, LOGIN_SECONDS),
    Slow("submission", "whole commands", b"", b"NOOP\r\n", LOGIN_SECONDS, UNAUTHENTICATED_SECONDS),
    Slow("submission", "a login", b"HELO a\r\nAUTH PLAIN\r\n", b"A", LOGIN_SECONDS, LOGIN_SECONDS),
    Slow("submission", "the handshake", b"HELO a\r\nSTARTTLS\r\n", _HELLO, 1, GREETING_SECONDS),
    Slow("submissions", "the handshake", b"", _HELLO, 1, GREETING_SECONDS),
    Slow("pop3", "a command", b"", b"a", LOGIN_SECONDS, LOGIN_SECONDS),
    Slow("pop3", "whole commands", b"", b"CAPA\r\n", LOGIN_SECONDS, UNAUTHENTICATED_SECONDS),
    Slow("pop3", "a login", b"AUTH PLAIN\r\n", b"A", LOGIN_SECONDS, LOGIN_SECONDS),
    Slow("pop3", "the handshake", b"STLS\r\n", _HELLO, 1, GREETING_SECONDS),
    Slow("pop3s", "the handshake", b"", _HELLO, 1, GREETING_SECONDS),
    Slow("imap", "a command", b"", b"a", LOGIN_SECONDS, LOGIN_SECONDS),
    Slow("imap", "whole commands", b"", b"a NOOP\r\n", LOGIN_SECONDS, UNAUTHENTICATED_SECONDS),
    Slow("imap", "a login", b"a LOGIN {200}\r\n", b"A", LOGIN_SECONDS, LOGIN_SECONDS),
    Slow("imap", "the handshake", b"a STARTTLS\r\n", _HELLO, 1, GREETING_SECONDS),
    Slow("imaps", "the handshake", b"", _HELLO, 1, GREETING_SECONDS),
)


@pytest.mark.parametrize("slow", _SLOW, ids=lambda slow: f"{slow.protocol}-{slow.where}".replace(" ", "-"))
def test_an_octet_a_second_is_not_borne_for_long(slow: Slow) -> None:
    seconds = at_once(_seconds(slow.protocol, slow.before, slow.slowly))
    if slow.protocol in IMPLICIT or slow.where == "the handshake":
        # What is no TLS may be refused at once.
        assert seconds <= slow.most + _GRACE
    else:
        assert slow.least <= seconds <= slow.most + _GRACE
