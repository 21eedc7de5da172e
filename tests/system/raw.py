"""A client that says whatever it is told to, over real sockets, and reads with a parser that is not Postroom's."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from types import TracebackType

from tests.house import ALICE, PASSWORDS, House

PATIENCE = 30.0
IMPLICIT = ("submissions", "pop3s", "imaps")
Node = bytes | None | list["Node"]
"""A value of an IMAP response: a string, NIL, or a list. Atoms are octets too."""


def trusting(**settings: object) -> ssl.SSLContext:
    """A client's context that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in settings.items():
        setattr(context, name, value)
    return context


class Raw:
    """One connection. `line`, `reply`, `answer` and `listing` read; all fail where the server has closed."""

    def __init__(
        self,
        house: House,
        protocol: str,
        *,
        greeted: bool = True,
        tls: bool | None = None,
        sock: socket.socket | None = None,
    ) -> None:
        """`tls`: whether TLS comes first, as it does by itself where the protocol has it. `sock`: a connection that
        was made already."""
        place = ("127.0.0.1", house.port(protocol))
        self.sock: socket.socket = sock or socket.create_connection(place, timeout=PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._kept = b""
        try:
            if protocol in IMPLICIT if tls is None else tls:
                self.shake()
            self.greeting = self.line() if greeted else b""
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Raw:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    def shake(self, context: ssl.SSLContext | None = None) -> None:
        """Begin TLS. What the server said before and nobody read would be lost: there must be none."""
        assert not self._kept, self._kept
        self.sock = (context or trusting()).wrap_socket(
            self.sock, server_hostname="mx.example.test", suppress_ragged_eofs=False
        )

    def cut(self) -> None:
        """End the TCP connection in order, without TLS's close_notify."""
        plain = socket.socket(fileno=self.sock.detach())
        plain.shutdown(socket.SHUT_WR)
        plain.close()

    def say(self, *pieces: bytes) -> None:
        """Send each piece on its own."""
        for piece in pieces:
            self.sock.sendall(piece)

    def _more(self) -> None:
        octets = self.sock.recv(65536)
        assert octets, f"the server closed behind {self._kept!r}"
        self._kept += octets

    def line(self) -> bytes:
        """The next line, without its CRLF, which must be one."""
        while b"\n" not in self._kept:
            self._more()
        line, _, self._kept = self._kept.partition(b"\n")
        assert line.endswith(b"\r"), line
        return line[:-1]

    def octets(self, count: int) -> bytes:
        """So many octets."""
        pieces = [self._kept]
        left = count - len(self._kept)
        self._kept = b""
        while left > 0:
            octets = self.sock.recv(1 << 20)
            assert octets, "the server closed in the middle"
            pieces.append(octets)
            left -= len(octets)
        whole = b"".join(pieces)
        self._kept = whole[count:]
        return whole[:count]

    def rest(self) -> bytes:
        """All that comes until the server closes."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            while octets := self.sock.recv(65536):
                self._kept += octets
        rest, self._kept = self._kept, b""
        return rest

    # --- SMTP

    def reply(self) -> bytes:
        """One reply of SMTP; its lines, joined by "|"."""
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
            assert lines[-1][:3] == lines[0][:3]
        return b"|".join(lines)

    def ask(self, *commands: bytes) -> bytes:
        """Say commands one by one, CRLF added; the last one's reply."""
        reply = b""
        for command in commands:
            self.say(command + b"\r\n")
            reply = self.reply()
        return reply

    # --- POP3

    def listing(self) -> list[bytes]:
        """The lines of a multi-line response behind its status line, dots taken away."""
        lines = []
        while (line := self.line()) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
        return lines

    # --- IMAP

    def response(self) -> bytes:
        """One response: a line with its literals in place."""
        whole = self.line() + b"\r\n"
        while found := re.search(rb"\{([0-9]+)\}\r\n\Z", whole):
            whole += self.octets(int(found[1]))
            whole += self.line() + b"\r\n"
        return whole[:-2]

    def answer(self, command: bytes) -> tuple[bytes, list[bytes]]:
        """Say a command (tag and CRLF added): its tagged answer without the tag, and the untagged responses."""
        self.say(b"t " + command + b"\r\n")
        return self.tagged()

    def tagged(self, tag: bytes = b"t") -> tuple[bytes, list[bytes]]:
        """What comes up to a tagged answer. A continuation request counts as untagged."""
        untagged = []
        while not (response := self.response()).startswith(tag + b" "):
            assert response.startswith((b"* ", b"+ ")), response
            untagged.append(response)
        return response[len(tag) + 1 :], untagged


# --- logins

AUTH_PLAIN = {
    address: base64.b64encode(f"\0{address}\0{password}".encode()) for address, password in PASSWORDS.items()
}


def smtp(house: House, protocol: str = "smtp") -> Raw:
    """A connection that has said EHLO, and has logged in where that is wanted."""
    raw = Raw(house, protocol)
    assert raw.ask(b"EHLO client.test").startswith(b"250")
    if protocol != "smtp":
        assert raw.ask(b"AUTH PLAIN " + AUTH_PLAIN[ALICE]).startswith(b"235")
    return raw


def pop3(house: House, address: str = ALICE, protocol: str = "pop3") -> Raw:
    """A connection that has the maildrop."""
    raw = Raw(house, protocol)
    raw.say(b"USER %b\r\n" % address.encode())
    assert raw.line().startswith(b"+OK")
    raw.say(b"PASS %b\r\n" % PASSWORDS[address].encode())
    status = raw.line()
    assert status.startswith(b"+OK"), status
    return raw


def imap(house: House, address: str = ALICE, protocol: str = "imap", mailbox: str = "") -> Raw:
    """A connection that has logged in, and selected a mailbox if one is named."""
    raw = Raw(house, protocol)
    assert raw.answer(b"LOGIN %b %b" % (address.encode(), PASSWORDS[address].encode()))[0].startswith(b"OK")
    if mailbox:
        assert raw.answer(b"SELECT " + mailbox.encode())[0].startswith(b"OK")
    return raw


def append(raw: Raw, letter: bytes, mailbox: bytes = b"INBOX") -> int:
    """APPEND; the letter's UID."""
    raw.say(b"a APPEND %b {%d}\r\n" % (mailbox, len(letter)))
    assert raw.line().startswith(b"+ ")
    raw.say(letter + b"\r\n")
    answer, _ = raw.tagged(b"a")
    found = re.match(rb"OK \[APPENDUID [0-9]+ ([0-9]+)\]", answer)
    assert found, answer
    return int(found[1])


def letters(house: House, address: str = ALICE, mailbox: str = "INBOX") -> list[bytes]:
    """The octets of all letters of a mailbox."""
    with imap(house, address) as raw:
        status, untagged = raw.answer(b"EXAMINE " + mailbox.encode())
        assert status.startswith(b"OK"), status
        if b"* 0 EXISTS" in untagged:
            return []
        status, untagged = raw.answer(b"FETCH 1:* BODY.PEEK[]")
        assert status.startswith(b"OK"), status
        found = [parse(line, nul=True)[-1] for line in untagged]
    return [items[-1] for items in found if isinstance(items, list) and isinstance(items[-1], bytes)]


def clear(house: House, address: str = ALICE, mailbox: str = "INBOX") -> None:
    """Take every letter out of a mailbox."""
    with imap(house, address, mailbox=mailbox) as raw:
        raw.answer(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        assert raw.answer(b"EXPUNGE")[0].startswith(b"OK")


def alive(house: House) -> None:
    """Others are served, at every plain port, and nothing broke."""
    for protocol, word in (("smtp", b"220 "), ("pop3", b"+OK "), ("imap", b"* OK ")):
        with Raw(house, protocol) as raw:
            assert raw.greeting.startswith(word)
    with imap(house, mailbox="INBOX") as raw:
        assert raw.answer(b"NOOP")[0].startswith(b"OK")
    assert "Traceback" not in house.log(), house.log()


# --- an IMAP response, read by the letter of RFC 3501 9

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){"]+')
_SECTION = re.compile(rb'BODY\[(?:[^]"{]|"(?:[^"\\]|\\.)*")*+\](?:<[0-9]+>)?')
_QUOTED = re.compile(rb'"((?:[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]|\\["\\])*)"')
_LITERAL = re.compile(rb"\{([0-9]+)\}\r\n")


def parse(response: bytes, *, nul: bool = False) -> list[Node]:
    """The values of one untagged response that holds data. Fails where it isn't well-formed. With `nul` a literal
    may hold NUL: letters are given as they came."""
    assert response.startswith(b"* ")
    assert nul or b"\x00" not in response
    return _values(response, 2)


def _values(octets: bytes, position: int) -> list[Node]:
    found: list[Node] = []
    stack: list[list[Node]] = [found]
    between = True
    while position < len(octets):
        if octets.startswith(b" ", position):
            assert not between, (position, octets[:200])
            between, position = True, position + 1
            continue
        if octets.startswith(b")", position):
            assert len(stack) > 1
            assert not between or not stack[-1]
            stack.pop()
            between, position = False, position + 1
            continue
        # Bodies of a multipart stand side by side without a space (RFC 3501 9, body-type-mpart).
        assert between or octets.startswith(b"(", position), (
            position,
            octets[max(position - 50, 0) : position + 50],
        )
        if octets.startswith(b"(", position):
            fresh: list[Node] = []
            stack[-1].append(fresh)
            stack.append(fresh)
            between, position = True, position + 1
            continue
        value, position = _value(octets, position)
        stack[-1].append(value)
        between = False
    assert len(stack) == 1, "a list has no end"
    return found


def _value(octets: bytes, position: int) -> tuple[bytes | None, int]:
    if found := _QUOTED.match(octets, position):
        return re.sub(rb"\\(.)", rb"\1", found[1]), found.end()
    if found := _LITERAL.match(octets, position):
        end = found.end() + int(found[1])
        assert end <= len(octets)
        return octets[found.end() : end], end
    if found := _SECTION.match(octets, position):
        return found[0], found.end()
    found = _ATOM.match(octets, position)
    assert found, (position, octets[position : position + 80])
    return (None if found[0] == b"NIL" else found[0]), found.end()


def every_cut(octets: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Both halves, for each place between two octets."""
    return ((octets[:at], octets[at:]) for at in range(1, len(octets)))


def joined(lines: Iterable[bytes]) -> bytes:
    """Lines with CRLF behind each."""
    return b"".join(line + b"\r\n" for line in lines)
