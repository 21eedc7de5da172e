"""Questions and answers between our own processes: JSON lines over a Unix socket.

A question is `{"n": number, "ask": name, "with": {…}}`. Its answer carries the number: `{"n": 1, "answer": {…}}`,
or rows without end `{"n": 1, "row": {…}}` and then an answer, or `{"n": 1, "refused": "why"}`, or `{"n": 1,
"failed": "what"}`. Calls of one peer share a connection, and many may be under way on it; each stream has a
connection of its own, so that a slow reader holds up nobody, and closing it ends the stream.

The socket has mode 0600: who may open it is trusted, and still bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from typing import TypeAlias

from postroom.net import limits
from postroom.net.log import event
from postroom.net.stream import EndOfStream, Stream

_log = logging.getLogger("postroom.ipc")

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Values: TypeAlias = dict[str, Json]
Handler = Callable[[Values], Awaitable[Values] | AsyncGenerator[Values, None]]
"""Answers one kind of question: a coroutine function, or an async generator function for a streamed answer."""


class Unreachable(ConnectionError):
    """Nobody listens there, or the connection ended before the answer."""


class Refused(Exception):
    """The other process will not do it: raised by a handler, and again by `call` and `stream` with its text."""


class Failed(Exception):
    """The other process broke on it; its log says how."""


class Server:
    """A Unix socket that answers. Made by `serve`."""

    def __init__(self, path: str, handlers: Mapping[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers
        self._conversing: dict[asyncio.Task[None], Stream] = {}
        self._listening: asyncio.Server

    async def listen(self, sock: socket.socket) -> None:
        """Begin to answer at a bound socket."""
        self._listening = await asyncio.get_running_loop().create_unix_server(self._connected, sock=sock)

    def _connected(self) -> Stream:
        stream = Stream()
        task = asyncio.get_running_loop().create_task(self._converse(stream))
        self._conversing[task] = stream
        task.add_done_callback(self._conversing.pop)
        return stream

    async def _converse(self, stream: Stream) -> None:
        calls = set[asyncio.Task[None]]()
        try:
            while True:
                n, name, values = _read_question(await stream.line(limits.IPC_LINE_OCTETS))
                call = asyncio.create_task(self._answer(stream, n, name, values))
                calls.add(call)
                call.add_done_callback(calls.discard)
                while len(calls) >= limits.IPC_CALLS:
                    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        except EndOfStream:
            pass
        except ValueError as fault:
            event(_log, logging.ERROR, "ipc.garbage", path=self._path, why=fault)
        finally:
            for call in calls:
                call.cancel()
            stream.abort()

    async def _answer(self, stream: Stream, n: int, name: str, values: Values) -> None:
        try:
            handler = self._handlers.get(name)
            if handler is None:
                raise Refused(f"no such question: {name}")
            answer = handler(values)
            if isinstance(answer, AsyncGenerator):
                async with contextlib.aclosing(answer) as rows:
                    async for row in rows:
                        stream.write(_line({"n": n, "row": row}))
                        await stream.flush()
                said: Values = {"n": n, "answer": {}}
            else:
                said = {"n": n, "answer": await answer}
            line = _line(said)
        except EndOfStream:
            return
        except Refused as why:
            line = _line({"n": n, "refused": str(why)})
        except Exception as fault:
            event(_log, logging.ERROR, "ipc.failed", trace=fault, path=self._path, question=name)
            line = _line({"n": n, "failed": type(fault).__name__})
        stream.write(line)
        with contextlib.suppress(EndOfStream):
            await stream.flush()

    async def close(self) -> None:
        """Stop listening, remove the socket and drop the connections."""
        self._listening.close()
        with contextlib.suppress(FileNotFoundError), short_name(self._path) as path:
            os.unlink(path)
        tasks = list(self._conversing)
        for task, stream in list(self._conversing.items()):
            stream.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(path: str | os.PathLike[str], handlers: Mapping[str, Handler]) -> Server:
    """Answer at `path`, which may be of any length; a socket left there by a dead process is replaced.

    Raises OSError.
    """
    server = Server(os.fspath(path), handlers)
    await server.listen(bind_unix(os.fspath(path)))
    return server


def bind_unix(path: str) -> socket.socket:
    """A non-blocking socket that listens there, for its owner alone. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        # The socket's own mode is the mode that bind gives to the name (Linux): there is no moment before a chmod.
        os.fchmod(sock.fileno(), 0o600)
        with short_name(path) as short:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(short)
            sock.bind(short)
        sock.listen(128)
    except BaseException:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def short_name(path: str) -> Iterator[str]:
    """A name for `path` that fits into the 108 octets of a socket address: through its folder's descriptor."""
    folder = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(path)}"
    finally:
        os.close(folder)


class Peer:
    """Another process of ours, as one that may be asked. It connects when it must, and again after a loss."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._numbers = itertools.count(1)
        self._connecting = asyncio.Lock()
        self._stream: Stream | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Values]] = {}

    async def call(self, name: str, **values: Json) -> Values:
        """Ask, and wait for the answer (without end: put a timeout around it).

        Raises Unreachable, Refused, Failed; ValueError for a question that is too long.
        """
        n = next(self._numbers)
        line = _line({"n": n, "ask": name, "with": values})
        stream = await self._connected()
        answer: asyncio.Future[Values] = asyncio.get_running_loop().create_future()
        self._waiting[n] = answer
        try:
            stream.write(line)
            await stream.flush()
            return await answer
        except EndOfStream as lost:
            raise Unreachable(self._path) from lost
        finally:
            del self._waiting[n]
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, also where the flush has told already

    async def stream(self, name: str, **values: Json) -> AsyncGenerator[Values, None]:
        """Ask for rows, and take them as they come; closing the iteration ends it on the other side too.

        Raises Unreachable, Refused, Failed; ValueError for a question that is too long.
        """
        line = _line({"n": 0, "ask": name, "with": values})
        stream = await self._connect()
        try:
            stream.write(line)
            while True:
                _, kind, value = _read_answer(await stream.line(limits.IPC_LINE_OCTETS))
                if kind != "row":
                    _result(kind, value)
                    return
                yield _object(value)
        except (EndOfStream, ValueError) as lost:
            raise Unreachable(self._path) from lost
        finally:
            stream.abort()

    async def close(self) -> None:
        """Let go of the connection; calls under way raise Unreachable."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _connected(self) -> Stream:
        async with self._connecting:
            if self._stream is None:
                self._stream = await self._connect()
                self._reader = asyncio.create_task(self._read(self._stream))
            return self._stream

    async def _connect(self) -> Stream:
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            with short_name(self._path) as short:
                await loop.sock_connect(sock, short)
            _, stream = await loop.create_unix_connection(Stream, sock=sock)
        except OSError as fault:
            sock.close()
            raise Unreachable(f"{self._path}: {fault}") from fault
        return stream

    async def _read(self, stream: Stream) -> None:
        """Give each answer to the call that waits for it, until the connection ends."""
        try:
            while True:
                n, kind, value = _read_answer(await stream.line(limits.IPC_LINE_OCTETS))
                waiting = self._waiting.get(n)
                if waiting is None or waiting.done():
                    continue
                try:
                    waiting.set_result(_result(kind, value))
                except (Refused, Failed) as fault:
                    waiting.set_exception(fault)
        except (EndOfStream, ValueError):
            pass
        finally:
            self._stream = self._reader = None
            stream.abort()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(Unreachable(self._path))


def _line(value: Values) -> bytes:
    line = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
    if len(line) > limits.IPC_LINE_OCTETS:
        raise ValueError(f"a message of {len(line)} octets")
    return line


def _read(line: bytes) -> Values:
    try:
        return _object(json.loads(line.decode("utf-8", "surrogatepass")))
    except RecursionError as fault:
        raise ValueError("nested too deeply") from fault


def _object(value: object) -> Values:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _read_question(line: bytes) -> tuple[int, str, Values]:
    match _read(line):
        case {"n": int(n), "ask": str(name), "with": dict(values)}:
            return n, name, values
        case _:
            raise ValueError("not a question")


def _read_answer(line: bytes) -> tuple[int, str, Json]:
    answer = _read(line)
    n = answer.pop("n", None)
    if not isinstance(n, int) or len(answer) != 1:
        raise ValueError("not an answer")
    return n, *answer.popitem()


def _result(kind: str, value: Json) -> Values:
    """What an answer says. Raises Refused, Failed."""
    match kind:
        case "answer":
            return _object(value)
        case "refused":
            raise Refused(str(value))
        case _:
            raise Failed(str(value))
