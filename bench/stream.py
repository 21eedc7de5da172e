"""What a connection costs: memory of an idle one, of a hostile one before its login, and lines a second.

    .venv/bin/python bench/stream.py [--connections 1000] [--seconds 2] [--only memory|lines]

Each figure is one server process of its own. Memory is the growth of its resident set over so many connections.
Lines are counted against the server's processor time, so that a busy machine does not change them much: "lines a
second of one core". Peers: asyncio.StreamReader on the same loop, and the standard library's loop.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))


# --- the server, in a process of its own


async def stream_server(sock: socket.socket, context: ssl.SSLContext | None, login_first: bool) -> None:
    """Postroom's own: the door and `Stream`."""
    from postroom.net.conversation import Tap
    from postroom.net.listener import Door, Listener
    from postroom.net.stream import Stream

    async def echo(stream: Stream) -> None:
        stream.write(b"* hello\r\n")
        while True:
            stream.deadline(1000.0)
            line = await stream.line(8192)
            # A question of three octets is answered at length: what a hostile client would ask for.
            stream.write(line if line != b"?\r\n" else b"* " + b"x" * 500 + b"\r\n")

    door = Door(Tap("b"), per_address=0)
    door.open(Listener("bench", sock, echo, context, login_first=login_first))
    await asyncio.Event().wait()


async def reader_server(sock: socket.socket, context: ssl.SSLContext | None) -> None:
    """The standard library's: `asyncio.start_server`."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* hello\r\n")
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()

    server = await asyncio.start_server(echo, sock=sock, ssl=context)
    await server.serve_forever()


def serve(kind: str, loop: str, tls: str, descriptor: int) -> None:
    """Run one server on an inherited listening socket."""
    import uvloop

    context = None
    if tls:
        from postroom.net.tls import KeyPair, server_context

        context = server_context(KeyPair(Path(tls) / "cert.pem", Path(tls) / "key.pem"))
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    main = reader_server(sock, context) if kind == "reader" else stream_server(sock, context, kind == "narrow")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(main)


class Server:
    """The process, seen from outside."""

    def __init__(self, kind: str, loop: str, tls: str) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as sock:
            self.port = sock.getsockname()[1]
            self.process = subprocess.Popen(
                [sys.executable, __file__, "--serve", kind, loop, tls, str(sock.fileno())],
                pass_fds=[sock.fileno()],
            )
        self.tls = bool(tls)
        self.connect().close()

    def connect(self) -> socket.socket:
        """A client that has been greeted."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            sock = context.wrap_socket(sock)
        assert sock.recv(100).startswith(b"* hello")
        return sock

    def resident(self) -> int:
        """Octets of memory that it has."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def processor(self) -> float:
        """Seconds of processor time that it took."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


# --- the measurements


def idle(kind: str, loop: str, tls: str, connections: int) -> float:
    """KiB that one idle connection costs."""
    server = Server(kind, loop, tls)
    warm = [server.connect() for _ in range(50)]
    before = server.resident()
    clients = [server.connect() for _ in range(connections)]
    time.sleep(0.3)
    cost = (server.resident() - before) / connections / 1024
    for sock in warm + clients:
        sock.close()
    server.close()
    return cost


def hostile(kind: str, loop: str, tls: str, connections: int) -> float:
    """KiB that a connection costs whose client asks without end and never reads."""
    server = Server(kind, loop, tls)
    warm = [pester(server) for _ in range(20)]
    before = server.resident()
    clients = [pester(server) for _ in range(connections)]
    time.sleep(0.5)
    cost = (server.resident() - before) / connections / 1024
    for sock in warm + clients:
        sock.close()
    server.close()
    return cost


def pester(server: Server) -> socket.socket:
    """A client that has asked for as much as the server would hear."""
    sock = server.connect()
    sock.settimeout(0.05)
    try:
        for _ in range(100):
            sock.sendall(b"?\r\n" * 20_000)
    except TimeoutError:
        pass
    return sock


def lines(kind: str, loop: str, tls: str, batch: int, clients: int, seconds: float) -> float:
    """Lines that the server echoes in a second of its processor time."""
    server = Server(kind, loop, tls)
    text = b"a0001 NOOP with some words\r\n" * batch
    counts = [0] * clients
    until = time.monotonic() + seconds

    def talk(number: int) -> None:
        sock = server.connect()
        while time.monotonic() < until:
            sock.sendall(text)
            left = len(text)
            while left:
                left -= len(sock.recv(left))
            counts[number] += batch
        sock.close()

    before = server.processor()
    threads = [threading.Thread(target=talk, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = server.processor() - before
    server.close()
    return sum(counts) / spent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", choices=("memory", "lines"))
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    if wanted.serve:
        serve(wanted.serve[0], wanted.serve[1], wanted.serve[2], int(wanted.serve[3]))
        return
    from postroom.net.tls import KeyPair, make_self_signed

    servers = [("stream", "uvloop"), ("reader", "uvloop"), ("stream", "asyncio"), ("reader", "asyncio")]
    with tempfile.TemporaryDirectory() as tls:
        make_self_signed(KeyPair(Path(tls) / "cert.pem", Path(tls) / "key.pem"), "bench.test")
        if wanted.only != "lines":
            print(f"{'memory of a connection, KiB':<40}{'plain':>10}{'TLS':>10}")
            for kind, loop in servers:
                plain, secure = (idle(kind, loop, how, wanted.connections) for how in ("", tls))
                print(f"{f'idle, {kind} on {loop}':<40}{plain:>10.1f}{secure:>10.1f}", flush=True)
            for kind, name in (("narrow", "before a login"), ("stream", "after it")):
                plain, secure = (hostile(kind, "uvloop", how, 100) for how in ("", tls))
                print(f"{f'asks and never reads, {name}':<40}{plain:>10.1f}{secure:>10.1f}", flush=True)
        if wanted.only != "memory":
            print(f"{'lines a second of one core':<40}{'one by one':>12}{'by 100':>12}{'TLS by 100':>12}")
            for kind, loop in servers:
                single = lines(kind, loop, "", 1, 8, wanted.seconds)
                batch = lines(kind, loop, "", 100, 4, wanted.seconds)
                secure = lines(kind, loop, tls, 100, 4, wanted.seconds)
                print(f"{f'{kind} on {loop}':<40}{single:>12,.0f}{batch:>12,.0f}{secure:>12,.0f}", flush=True)


if __name__ == "__main__":
    main()
