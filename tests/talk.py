r"""Conversation files: what a client says and what the server must answer, as text.

    S: 220 mx.example.test *
    C: EHLO client.example
    S: 250-{name}
    S* 250-DSN
    S: 250 SIZE {limit}
    C: MAIL FROM:<a@example.test>
    S: 250 *

`talk(handler, text)` runs `handler(stream)` over a pair of streams in memory and holds it to the text. A line is
an actor (`C` the client, `S` the server; `C2`, `S2` and so on are further sessions of the same handler), a mark and
the rest:

    C: text      the client sends the text (UTF-8, as it stands) and CRLF
    C< text      the client sends octets and no CRLF; escapes: \r \n \t \0 \\ \xNN
    C! close     the client closes; `abort` drops the connection; `tls` shakes hands after a go-ahead;
                 `open` only connects (as the first line of a further session does by itself)
    S: text      the server's next line is the text and CRLF. `*` as the last letter stands for any rest (also
                 none); `{name}` (letters and _) for one or more octets, which a later `{name}` in an S line must
                 equal and in a C line is replaced by
    S* text      the same, but the line may be missing
    S< text      the server's next octets are these, escapes as above
    S! end       the server closes, and says nothing more before that; `part` asks the session to end, as a
                 shutdown does
    # text       a comment; empty lines mean nothing

A session that starts with C2 or S2 begins there. At the end of the text every client closes, what the server has
said without being expected is an error, and each handler must return (or raise EndOfStream or DeadlineExpired, as
the listener allows). Any wait that takes over `patience` seconds fails with the conversation so far.

Below it stands `session(handler)`, an async context manager that gives a `Client`, for a closer look:

    async with session(handler) as client:
        await client.send("NOOP")
        assert await client.line() == b"250 2.0.0 OK"
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from postroom.net import memory
from postroom.net.conversation import Conversation, Tap
from postroom.net.stream import DeadlineExpired, EndOfStream, Farewell, Stream

Handler = Callable[[Stream], Awaitable[None]]

_LINE = re.compile(r"([CS])([0-9]*)([:<*!])(?: (.*))?")
_NAME = re.compile(r"\{([A-Za-z_]+)\}")
_ESCAPE = re.compile(rb"\\(r|n|t|0|\\|x[0-9A-Fa-f]{2})")
_ESCAPED = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
_OCTETS = 64 * 1024 * 1024
_SETTLE_TURNS = 20
"""Turns of the loop that a server gets at the end to say what nobody expected."""
_WHY: dict[type[Exception], str] = {
    EndOfStream: "the server had closed",
    DeadlineExpired: "the server said nothing",
}


class Client:
    """The client's end of a session. Lines come and go without their CRLF."""

    def __init__(self, stream: Stream, server: Stream, patience: float = 10.0) -> None:
        self.stream = stream
        self.server = server
        """The handler's stream, for `part` and for `memory.writes`."""
        self.patience = patience

    async def send(self, *lines: str | bytes) -> None:
        """Send lines, in one write."""
        await self.raw(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\r\n" for line in lines))

    async def raw(self, octets: bytes) -> None:
        """Send octets."""
        self.stream.write(octets)
        self.stream.deadline(self.patience)
        await self.stream.flush()

    async def line(self) -> bytes:
        """The server's next line. Raises AssertionError when it doesn't end in CRLF, EndOfStream."""
        self.stream.deadline(self.patience)
        line = await self.stream.line(_OCTETS)
        assert line.endswith(b"\r\n"), f"bare LF: {line!r}"
        return line[:-2]

    async def lines(self, until: bytes) -> list[bytes]:
        """The server's lines up to and with the first one that starts so."""
        lines = [await self.line()]
        while not lines[-1].startswith(until):
            lines.append(await self.line())
        return lines

    async def exactly(self, count: int) -> bytes:
        """The server's next octets."""
        self.stream.deadline(self.patience)
        return await self.stream.exactly(count)

    async def eof(self) -> bytes:
        """Wait until the server has closed; gives what it said before."""
        said = bytearray()
        self.stream.deadline(self.patience)
        with contextlib.suppress(EndOfStream):
            while True:
                said += await self.stream.some(_OCTETS)
        return bytes(said)

    async def start_tls(self) -> None:
        """Shake hands, after the go-ahead."""
        self.stream.deadline(self.patience)
        await self.stream.start_tls_as_client(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "server.test")

    async def close(self) -> None:
        """Close the client's end."""
        self.stream.deadline(self.patience)
        await self.stream.close()


async def _serve(handler: Handler, stream: Stream) -> None:
    """What the listener does around a handler."""
    try:
        await handler(stream)
    except (EndOfStream, DeadlineExpired):
        pass
    finally:
        await stream.close()


def _connect(
    handler: Handler, tap: Tap, tls: bool, peer: str, patience: float
) -> tuple[Client, asyncio.Task[None]]:
    at_server, at_client = memory.pair(peer=peer)
    if tls:
        memory.mark_tls(at_server, at_client)
    at_server.conversation = tap.begin("test", peer)
    return Client(at_client, at_server, patience), asyncio.create_task(_serve(handler, at_server))


@contextlib.asynccontextmanager
async def session(
    handler: Handler, *, tls: bool = False, peer: str = "127.0.0.1", patience: float = 10.0, tap: Tap | None = None
) -> AsyncIterator[Client]:
    """A client of a new session of `handler`. At the end the client closes and the handler must return."""
    client, task = _connect(handler, tap or Tap("t"), tls, peer, patience)
    try:
        yield client
        await client.close()
        async with asyncio.timeout(patience):
            await task
    finally:
        client.stream.abort()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@dataclass
class Talked:
    """What came of a conversation: the values of the placeholders, and what the tap kept, by session number."""

    names: dict[str, str] = field(default_factory=dict)
    conversations: dict[int, Conversation] = field(default_factory=dict)


def talk(
    handler: Handler, text: str, *, tls: bool = False, peer: str = "127.0.0.1", patience: float = 10.0
) -> Talked:
    """Hold a handler to a conversation, in a loop of its own: see the module. Raises AssertionError."""
    return asyncio.run(converse(handler, text, tls=tls, peer=peer, patience=patience))


async def converse(
    handler: Handler, text: str, *, tls: bool = False, peer: str = "127.0.0.1", patience: float = 10.0
) -> Talked:
    """`talk` inside a running loop."""
    return await _Talk(handler, tls, peer, patience).run(text)


class _Talk:
    """One conversation file on its way."""

    def __init__(self, handler: Handler, tls: bool, peer: str, patience: float) -> None:
        self._handler = handler
        self._tls = tls
        self._peer = peer
        self._patience = patience
        self._tap = Tap("t")
        self._clients: dict[int, Client] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ahead: dict[int, bytes] = {}
        """A line that was read where an optional one was expected."""
        self._talked = Talked()
        self._so_far: list[str] = []

    async def run(self, text: str) -> Talked:
        try:
            for number, row in enumerate(text.split("\n"), 1):
                row = row.strip("\r").lstrip()
                if row and not row.startswith("#"):
                    await self._row(number, row)
            await self._end()
        finally:
            for client in self._clients.values():
                client.stream.abort()
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        return self._talked

    async def _row(self, number: int, row: str) -> None:
        found = _LINE.fullmatch(row)
        assert found is not None, f"line {number} is not one of a conversation: {row!r}"
        actor, session, mark, rest = found[1], int(found[2] or 1), found[3], found[4] or ""
        if session not in self._clients:
            self._open(session)
        client = self._clients[session]
        try:
            match actor + mark:
                case "C:":
                    await client.send(self._fill(rest))
                case "C<":
                    await client.raw(_octets(rest))
                case "C!":
                    await self._client_does(client, rest)
                case "S:" | "S*":
                    await self._expect(session, rest, optional=mark == "*")
                case "S<":
                    assert await self._exactly(session, octets := _octets(rest)) == octets
                case "S!":
                    await self._server_does(session, rest)
                case _:
                    raise AssertionError(f"no such mark: {row!r}")
        except (EndOfStream, DeadlineExpired, AssertionError) as fault:
            await self._fail(number, row, session, fault)
        self._so_far.append(row)

    def _open(self, session: int) -> None:
        client, task = _connect(self._handler, self._tap, self._tls, self._peer, self._patience)
        self._clients[session], self._tasks[session] = client, task
        assert client.server.conversation is not None
        self._talked.conversations[session] = client.server.conversation

    def _fill(self, text: str) -> str:
        return _NAME.sub(lambda name: self._talked.names.get(name[1], name[0]), text)

    async def _client_does(self, client: Client, what: str) -> None:
        match what:
            case "open":
                pass
            case "close":
                await client.close()
            case "abort":
                client.stream.abort()
            case "tls":
                await client.start_tls()
            case _:
                raise AssertionError(f"a client can't {what!r}")

    async def _server_does(self, session: int, what: str) -> None:
        match what:
            case "end":
                said = self._ahead.pop(session, b"") + await self._clients[session].eof()
                assert not said, f"the server said {said!r} first"
            case "part":
                self._clients[session].server.part(Farewell.SHUTDOWN)
            case _:
                raise AssertionError(f"a server can't {what!r}")

    async def _line(self, session: int) -> bytes:
        ahead = self._ahead.pop(session, None)
        return await self._clients[session].line() if ahead is None else ahead

    async def _exactly(self, session: int, octets: bytes) -> bytes:
        ahead = self._ahead.pop(session, None)
        if ahead is not None:
            self._clients[session].stream.unread(ahead + b"\r\n")
        return await self._clients[session].exactly(len(octets))

    async def _expect(self, session: int, pattern: str, *, optional: bool) -> None:
        line = await self._line(session)
        if self._matches(pattern, line):
            return
        if not optional:
            raise AssertionError(f"the server said {line!r}")
        self._ahead[session] = line

    def _matches(self, pattern: str, line: bytes) -> bool:
        rest = pattern.endswith("*")
        pieces = _NAME.split(pattern[:-1] if rest else pattern)
        regex, fresh = "", set[str]()
        for index, piece in enumerate(pieces):
            if index % 2 == 0:
                regex += re.escape(piece)
            elif piece in self._talked.names:
                regex += re.escape(self._talked.names[piece])
            elif piece in fresh:
                regex += f"(?P={piece})"
            else:
                fresh.add(piece)
                regex += f"(?P<{piece}>.+?)"
        found = re.fullmatch(regex + (".*" if rest else ""), line.decode("utf-8", "surrogateescape"), re.DOTALL)
        if found is not None:
            self._talked.names.update(found.groupdict())
        return found is not None

    async def _end(self) -> None:
        for _ in range(_SETTLE_TURNS):
            await asyncio.sleep(0)
        for session, client in self._clients.items():
            left = self._ahead.pop(session, None)
            if left is None and client.stream.unread_octets:
                left = await client.stream.some(_OCTETS)
            assert not left, f"session {session}: the server also said {left!r}"
            await client.close()
        for session, task in self._tasks.items():
            done, _ = await asyncio.wait([task], timeout=self._patience)
            assert done, f"session {session}: the handler did not return after the client had closed"
            task.result()

    async def _fail(self, number: int, row: str, session: int, fault: Exception) -> None:
        """Tell what went wrong where; the handler's own exception first, when it has one."""
        task = self._tasks[session]
        if isinstance(fault, EndOfStream):
            await asyncio.wait([task], timeout=self._patience)
        if task.done() and not task.cancelled() and task.exception() is not None:
            task.result()
        why = _WHY.get(type(fault))
        so_far = "\n    ".join(self._so_far[-20:])
        raise AssertionError(f"line {number}: {row}\n  {why or fault}; before it:\n    {so_far}") from fault


def _octets(text: str) -> bytes:
    def one(escape: re.Match[bytes]) -> bytes:
        return _ESCAPED.get(escape[1]) or bytes([int(escape[1][1:], 16)])

    return _ESCAPE.sub(one, text.encode())
