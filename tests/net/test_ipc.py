"""Questions and answers between our own processes, over real Unix sockets."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from postroom.net import ipc, limits
from postroom.net.ipc import Failed, Handler, Peer, Refused, Unreachable, Values, serve
from tests.net.wire import LOOPS, run

both_loops = pytest.mark.parametrize("loop", LOOPS)


async def echo(values: Values) -> Values:
    return values


async def refuse(values: Values) -> Values:
    raise Refused("not you")


async def break_(values: Values) -> Values:
    raise ZeroDivisionError("secret words")


async def never(values: Values) -> Values:
    await asyncio.Event().wait()
    return {}


async def count(values: Values) -> AsyncGenerator[Values, None]:
    number = values["to"]
    assert isinstance(number, int)
    for one in range(number):
        yield {"one": one}


HANDLERS: dict[str, Handler] = {"echo": echo, "refuse": refuse, "break": break_, "never": never, "count": count}


@both_loops
def test_an_answer_carries_what_was_asked(loop: str, tmp_path: Path) -> None:
    async def story() -> None:
        server, peer = await serve(tmp_path / "s", HANDLERS), Peer(tmp_path / "s")
        values: Values = {"text": "ü\udcff\n\x00", "number": -1, "list": [None, True, 1.5], "map": {"a": {}}}
        assert await peer.call("echo", **values) == values
        await peer.close()
        await server.close()

    run(loop, story())


@both_loops
def test_a_thousand_calls_at_once_share_a_connection(loop: str, tmp_path: Path) -> None:
    async def story() -> None:
        server, peer = await serve(tmp_path / "s", HANDLERS), Peer(tmp_path / "s")
        calls = [peer.call("echo", n=n) for n in range(limits.IPC_CALLS)]
        assert await asyncio.gather(*calls) == [{"n": n} for n in range(limits.IPC_CALLS)]
        assert len(server._conversing) == 1
        await peer.close()
        await server.close()

    run(loop, story())


def test_limit_of_calls_under_way_and_one_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        going, most, gate = 0, 0, asyncio.Event()

        async def wait(values: Values) -> Values:
            nonlocal going, most
            going += 1
            most = max(most, going)
            await gate.wait()
            going -= 1
            return {}

        server, peer = await serve(tmp_path / "s", {"wait": wait}), Peer(tmp_path / "s")
        calls = asyncio.gather(*(peer.call("wait") for _ in range(6)))
        while going < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        gate.set()
        await calls
        assert most == 5
        await peer.close()
        await server.close()

    monkeypatch.setattr(limits, "IPC_CALLS", 5)
    run("asyncio", story())


@both_loops
def test_refused_and_broken_are_told_apart(loop: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        server, peer = await serve(tmp_path / "s", HANDLERS), Peer(tmp_path / "s")
        with pytest.raises(Refused, match="not you"):
            await peer.call("refuse")
        with pytest.raises(Failed, match=r"^ZeroDivisionError$"):
            await peer.call("break")
        with pytest.raises(Refused, match="no such question"):
            await peer.call("unheard-of")
        assert await peer.call("echo", still="there") == {"still": "there"}
        await peer.close()
        await server.close()

    run(loop, story())
    (record,) = caplog.records
    assert record.message.startswith("ipc.failed ") and record.exc_info is not None


@both_loops
def test_rows_come_as_they_are_made_and_a_close_ends_them(loop: str, tmp_path: Path) -> None:
    async def story() -> None:
        ended = asyncio.Event()

        async def rows(values: Values) -> AsyncGenerator[Values, None]:
            try:
                while True:
                    yield {"row": "x" * 1000}
                    await asyncio.sleep(0)
            finally:
                ended.set()

        server, peer = await serve(tmp_path / "s", {"count": count, "rows": rows}), Peer(tmp_path / "s")
        assert [row async for row in peer.stream("count", to=500)] == [{"one": one} for one in range(500)]
        endless = peer.stream("rows")
        for _ in range(10):
            await anext(endless)
        await endless.aclose()
        await ended.wait()
        with pytest.raises(Refused):
            await anext(peer.stream("unheard-of"))
        await peer.close()
        await server.close()

    run(loop, story())


@both_loops
def test_a_socket_may_lie_deep_and_is_the_owners_only(loop: str, tmp_path: Path) -> None:
    async def story() -> None:
        folder = tmp_path / ("d" * 100) / ("e" * 100)
        folder.mkdir(parents=True)
        path = folder / ("s" * 50)
        server, peer = await serve(path, HANDLERS), Peer(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await peer.call("echo") == {}
        await peer.close()
        await server.close()
        assert not path.exists()

    run(loop, story())


@both_loops
def test_nobody_there_is_unreachable(loop: str, tmp_path: Path) -> None:
    async def story() -> None:
        for path in (tmp_path / "s", tmp_path / "none" / "s"):
            with pytest.raises((Unreachable, FileNotFoundError)):
                await Peer(path).call("echo")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "dead"))
        with pytest.raises(Unreachable):
            await Peer(tmp_path / "dead").call("echo")

    run(loop, story())


@both_loops
def test_a_server_that_goes_ends_the_calls_and_its_successor_is_found(loop: str, tmp_path: Path) -> None:
    async def story() -> None:
        server, peer = await serve(tmp_path / "s", HANDLERS), Peer(tmp_path / "s")
        assert await peer.call("echo") == {}
        calls = [asyncio.create_task(peer.call("never")) for _ in range(3)]
        while sum(len(stream.peer.host) >= 0 for stream in server._conversing.values()) < 1:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await server.close()
        for call in calls:
            with pytest.raises(Unreachable):
                await call
        server = await serve(tmp_path / "s", HANDLERS)
        assert await peer.call("echo", again=1) == {"again": 1}
        await peer.close()
        await server.close()

    run(loop, story())


SERVER = """
import asyncio, sys
from postroom.net.ipc import serve
async def never(values):
    print("asked", flush=True)
    await asyncio.Event().wait()
async def echo(values):
    return values
async def main():
    await serve(sys.argv[1], {"never": never, "echo": echo})
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def spawn(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, path],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "src"},
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def buried(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_server_killed_in_the_middle_of_a_call_is_noticed_and_replaced(tmp_path: Path) -> None:
    async def story() -> None:
        process = spawn(tmp_path / "s")
        peer = Peer(tmp_path / "s")
        try:
            call = asyncio.create_task(peer.call("never"))
            await asyncio.sleep(0)
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == "asked\n"
        finally:
            buried(process)
        with pytest.raises(Unreachable):
            await call
        with pytest.raises(Unreachable):
            await peer.call("echo")
        process = spawn(tmp_path / "s")  # the dead one's socket is replaced
        try:
            assert await peer.call("echo", n=1) == {"n": 1}
        finally:
            await peer.close()
            buried(process)

    run("asyncio", story())


@pytest.mark.parametrize(
    "said",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n",
        b"[1]\n",
        b'{"n": 1}\n',
        b'{"n": "1", "ask": "echo", "with": {}}\n',
        b'{"n": 1, "ask": "echo", "with": []}\n',
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b'{"n": ' + b"1" * 5000 + b"}\n",
        b"x" * (limits.IPC_LINE_OCTETS + 1) + b"\n",
    ],
)
def test_garbage_ends_its_own_connection_alone(
    said: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        server, peer = await serve(tmp_path / "s", HANDLERS), Peer(tmp_path / "s")
        assert await peer.call("echo") == {}
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        await loop.sock_connect(sock, str(tmp_path / "s"))
        await loop.sock_sendall(sock, said)
        try:
            assert await loop.sock_recv(sock, 100) == b""
        except ConnectionResetError:
            pass
        sock.close()
        assert await peer.call("echo") == {}
        await peer.close()
        await server.close()

    run("asyncio", story())
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and record.message.startswith("ipc.garbage ")
    assert "HTTP" not in record.message


@pytest.mark.parametrize(
    "said", [b"nonsense\n", b"[]\n", b'{"n": 1, "answer": 5}\n', b'{"n": 1}\n', b'{"m": 1, "answer": {}}\n']
)
def test_a_garbled_answer_is_unreachable(said: bytes, tmp_path: Path) -> None:
    async def story() -> None:
        class Garbler(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = transport
                transports.append(transport)

            def data_received(self, data: bytes) -> None:
                assert isinstance(self.transport, asyncio.Transport)
                self.transport.write(said)

        transports: list[asyncio.BaseTransport] = []
        server = await asyncio.get_running_loop().create_unix_server(Garbler, tmp_path / "s")
        peer = Peer(tmp_path / "s")
        with pytest.raises(Unreachable):
            await peer.call("echo")
        with pytest.raises(Unreachable):
            await anext(peer.stream("echo"))
        await peer.close()
        server.close()
        for transport in transports:
            transport.close()
        await asyncio.sleep(0.001)

    run("asyncio", story())


def test_limit_of_a_message_and_one_more(tmp_path: Path) -> None:
    async def story() -> None:
        server, peer = await serve(tmp_path / "s", HANDLERS), Peer(tmp_path / "s")
        room = limits.IPC_LINE_OCTETS - len(ipc._line({"n": 1, "ask": "echo", "with": {"x": ""}}))
        assert await peer.call("echo", x="y" * room) == {"x": "y" * room}
        with pytest.raises(ValueError, match="octets"):
            await peer.call("echo", x="y" * (room + 1))
        with pytest.raises(ValueError, match="octets"):
            await anext(peer.stream("count", x="y" * (room + 1)))
        await peer.close()
        await server.close()

    run("asyncio", story())


def test_an_answer_that_is_too_long_fails_and_the_next_is_had(tmp_path: Path) -> None:
    async def story() -> None:
        async def long(values: Values) -> Values:
            return {"x": "y" * limits.IPC_LINE_OCTETS}

        server, peer = await serve(tmp_path / "s", {"long": long, "echo": echo}), Peer(tmp_path / "s")
        with pytest.raises(Failed, match="ValueError"):
            await peer.call("long")
        assert await peer.call("echo") == {}
        await peer.close()
        await server.close()

    run("asyncio", story())


def test_a_given_up_call_does_not_disturb_the_next(tmp_path: Path) -> None:
    async def story() -> None:
        server, peer = await serve(tmp_path / "s", HANDLERS), Peer(tmp_path / "s")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await peer.call("never")
        assert await peer.call("echo", n=1) == {"n": 1}
        assert not peer._waiting
        await peer.close()
        await server.close()

    run("asyncio", story())
