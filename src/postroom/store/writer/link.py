"""The way between a writer and the keeper: a socket data/run/keeper.sock (0600), frames on it, the keeper's lock.

The lock, a flock on data/run/keeper.lock, is held by the living keeper and taken before it listens: who speaks to a
keeper knows that every other one is gone and commits nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, cast

from postroom.net.log import event
from postroom.store.writer.wire import HEADER_OCTETS, WireFault, read_header

__all__ = ["KeeperLock", "Link", "connect", "listen"]

_log = logging.getLogger("postroom.store")
_READ_OCTETS: Final = 256 * 1024
"""Taken from the kernel at a time, where no larger frame is under way; so much a Unix socket holds."""
_BACKLOG: Final = 128


class KeeperLock:
    """One process's hand on the lock."""

    def __init__(self, run: Path) -> None:
        """Open the lock below data/run. Raises OSError."""
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(run / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> bool:
        """Take it if it is free. Raises OSError."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Give it back for good."""
        os.close(self._descriptor)


class Link(asyncio.BufferedProtocol):
    """One end of a connection. `heard` is called with each frame's text and octets, views that end with the call; a
    `WireFault` of it, or a frame of more than `limit` octets, ends the connection. `lost` is called at its end."""

    def __init__(
        self, heard: Callable[[Link, memoryview, memoryview], None], lost: Callable[[Link], None], limit: int
    ) -> None:
        self._heard = heard
        self._lost = lost
        self._limit = limit
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(_READ_OCTETS)
        self._filled = 0
        self.lost = False

    def send(self, frame: bytes) -> None:
        """Send a frame; where the connection has ended it is nothing."""
        if self._transport is not None and not self.lost:
            self._transport.write(frame)

    def close(self) -> None:
        """End it once what was sent is gone."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it now."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection is there."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _: Exception | None) -> None:
        """It has ended."""
        self.lost = True
        self._lost(self)

    def get_buffer(self, _: int) -> memoryview:
        """Where the next octets go."""
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, count: int) -> None:
        """Octets have come."""
        self._filled += count
        try:
            self._take_frames()
        except WireFault as fault:
            event(_log, logging.ERROR, "keeper.garbage", why=fault)
            self._filled = 0
            self.abort()

    def _take_frames(self) -> None:
        at, whole = 0, HEADER_OCTETS
        with memoryview(self._buffer) as view:
            while self._filled - at >= HEADER_OCTETS and not self.lost:
                text, octets = read_header(view[at : at + HEADER_OCTETS])
                whole = HEADER_OCTETS + text + octets
                if whole > self._limit:
                    raise WireFault(f"a message of {whole} octets")
                if self._filled - at < whole:
                    break
                behind = at + HEADER_OCTETS + text
                self._heard(self, view[at + HEADER_OCTETS : behind], view[behind : at + whole])
                at, whole = at + whole, HEADER_OCTETS
        self._keep_rest(at, whole)

    def _keep_rest(self, at: int, whole: int) -> None:
        """Move what is left to the front of a buffer that its frame fits into."""
        size = max(whole, _READ_OCTETS)
        rest = self._filled - at
        if size != len(self._buffer):
            buffer = bytearray(size)
            buffer[:rest] = memoryview(self._buffer)[at : self._filled]
            self._buffer = buffer
        elif at and rest:
            self._buffer[:rest] = self._buffer[at : self._filled]
        self._filled = rest


async def connect(run: Path, make: Callable[[], Link]) -> Link:
    """A connection to the keeper. Raises OSError."""
    loop = asyncio.get_running_loop()
    sock = _socket()
    try:
        with _short(run) as path:
            await loop.sock_connect(sock, path)
        _, link = await loop.create_unix_connection(make, sock=sock)
    except BaseException:
        sock.close()
        raise
    return link


async def listen(run: Path, make: Callable[[], Link]) -> asyncio.Server:
    """Be the keeper that writers find; what a dead one has left is replaced. Raises OSError."""
    sock = _socket()
    try:
        # The socket's own mode is the mode that bind gives to the name (Linux).
        os.fchmod(sock.fileno(), 0o600)
        with _short(run) as path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            sock.bind(path)
        return await asyncio.get_running_loop().create_unix_server(make, sock=sock, backlog=_BACKLOG)
    except BaseException:
        sock.close()
        raise


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


@contextlib.contextmanager
def _short(run: Path) -> Iterator[str]:
    """The socket's name in the 108 octets of an address, however deep the data directory lies."""
    folder = os.open(run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/keeper.sock"
    finally:
        os.close(folder)
