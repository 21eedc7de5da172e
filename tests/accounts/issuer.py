"""Somebody who verifies OAuth tokens (RFC 7662), on loopback, for tests."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

ACTIVE = {"active": True, "username": "alice@example.test"}


@dataclass
class Issuer:
    """A verifier on loopback that answers with `answer`, and keeps what it was asked."""

    url: str = ""
    answer: object = field(default_factory=lambda: dict(ACTIVE))
    status: int = 200
    raw: bytes | None = None
    hold: threading.Event | None = None
    """The answer waits for it, after its first octet."""
    asked: list[tuple[dict[str, list[str]], dict[str, str], str]] = field(default_factory=list)


@contextlib.contextmanager
def issuing() -> Iterator[Issuer]:
    """One that answers until the end of the context."""
    made = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            made.asked.append((parse_qs(body), dict(self.headers), self.path))
            octets = json.dumps(made.answer).encode() if made.raw is None else made.raw
            self.send_response(made.status)
            if made.status in (301, 307):
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            try:
                if made.hold is not None:
                    self.wfile.write(octets[:1])
                    made.hold.wait(30)
                    octets = octets[1:]
                self.wfile.write(octets)
            except OSError:
                pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/introspect?site=1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        if made.hold is not None:
            made.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
