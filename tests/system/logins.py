"""A client that only logs in, over TLS, by whatever mechanism, in the three protocols; for tests of logins."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final

from tests.house import House

Answer = bytes | Callable[[bytes], bytes]
SPOKEN: Final = {"submissions": "smtp", "pop3s": "pop3", "imaps": "imap"}
"""The listeners that begin with TLS."""
_CHALLENGE: Final = {"smtp": b"334 ", "pop3": b"+ ", "imap": b"+ "}
_GOOD: Final = {"smtp": b"235 ", "pop3": b"+OK", "imap": b"a OK"}
PATIENCE: Final = 30.0


class Caller:
    """One connection. `certificate` is a PEM file with a certificate and its key."""

    def __init__(self, house: House, listener: str, certificate: str = "") -> None:
        self.protocol = SPOKEN[listener]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if certificate:
            context.load_cert_chain(certificate)
        raw = socket.create_connection(("127.0.0.1", house.port(listener)), PATIENCE)
        self.sock = context.wrap_socket(raw)
        self.file = self.sock.makefile("rwb")
        try:
            assert self.line()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        if self.protocol == "smtp":
            self.say(b"EHLO client.example")
            self.capabilities = self.lines(b"250 ")

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.file.close()
        self.sock.close()

    @property
    def binding(self) -> bytes:
        """tls-server-end-point of the certificate that the server showed, which SHA-256 has signed."""
        return hashlib.sha256(self.sock.getpeercert(True) or b"").digest()

    def say(self, line: bytes) -> None:
        """Send a line."""
        self.file.write(line + b"\r\n")
        self.file.flush()

    def line(self) -> bytes:
        """The server's next line; empty at the end."""
        return self.file.readline().rstrip(b"\r\n")

    def lines(self, last: bytes) -> list[bytes]:
        """Up to the line that begins so."""
        lines = [self.line()]
        while lines[-1] and not lines[-1].startswith(last):
            lines.append(self.line())
        return lines

    def offered(self) -> set[str]:
        """The mechanisms that are offered now."""
        if self.protocol == "smtp":
            (line,) = [line for line in self.capabilities if line[4:].startswith(b"AUTH ")]
            return set(line[9:].decode().split())
        if self.protocol == "pop3":
            self.say(b"CAPA")
            (line,) = [line for line in self.lines(b".") if line.startswith(b"SASL ")]
            return set(line[5:].decode().split())
        self.say(b"c CAPABILITY")
        words = self.lines(b"c ")[0].decode().split()
        return {word[5:] for word in words if word.startswith("AUTH=")}

    def authenticate(self, mechanism: str, *answers: Answer, initial: bytes | None = None) -> bool:
        """Run an exchange; whether it ended well."""
        words = b"AUTH %b" if self.protocol != "imap" else b"a AUTHENTICATE %b"
        said = words % mechanism.encode()
        if initial is not None:
            said += b" " + (base64.b64encode(initial) or b"=")
        self.say(said)
        return self._go_on(answers).startswith(_GOOD[self.protocol])

    def _go_on(self, answers: Iterable[Answer]) -> bytes:
        rest = iter(answers)
        challenge = _CHALLENGE[self.protocol]
        while (line := self.line()).startswith(challenge) or line == challenge.strip():
            answer = next(rest)
            asked = base64.b64decode(line[len(challenge) :])
            self.say(base64.b64encode(answer if isinstance(answer, bytes) else answer(asked)))
        return line

    def plain(self, login: str, password: str) -> bool:
        """Log in by PLAIN."""
        return self.authenticate("PLAIN", initial=f"\0{login}\0{password}".encode())

    def ended(self) -> bool:
        """Wait until the server has ended the session, whatever it says before."""
        try:
            while self.line():
                pass
        except ConnectionError:
            pass
        return True
