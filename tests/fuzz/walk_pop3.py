"""POP3 as its client sees it (RFC 1939 3, RFC 2449 3 and 8, RFC 5034 4, RFC 6856 3)."""

from __future__ import annotations

import re
from typing import Final

from tests.fuzz.walk import Sent, Told, Walk, Wrong, shown

_STATUS: Final = re.compile(rb"(?:\+OK|-ERR)(?: [\x20-\x7e\x80-\xff]*)?")
_GO_ON: Final = re.compile(rb"\+ [A-Za-z0-9+/]*={0,2}")
_COMMAND_OCTETS: Final = 255
_HTTP: Final = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE PRI".split())


class _Walk:
    def __init__(self, told: Told) -> None:
        self.told = told
        self.sent = Sent(told.sent)
        self.heard = told.heard
        self.at = 0
        self.over = False
        self.refused = False
        self.walk = Walk()

    def line(self) -> bytes | None:
        """The server's next line, without its CRLF."""
        end = self.heard.find(b"\n", self.at)
        if end < 0:
            if self.at < len(self.heard) and self.told.settled and not self.told.gone:
                raise Wrong("reply without its end", shown(self.heard[self.at :]))
            return None
        line = self.heard[self.at : end]
        self.at = end + 1
        if not line.endswith(b"\r"):
            raise Wrong("malformed reply", f"a bare LF: {shown(line)}")
        return line[:-1]

    def status(self, command: bytes) -> bytes | None:
        """The status line that answers a command; None where none is owed any more."""
        line = self.line()
        if line is not None:
            if not (_STATUS.fullmatch(line) or _GO_ON.fullmatch(line)):
                raise Wrong("malformed reply", shown(line))
            self.walk.replies += 1
            self.refused = line.startswith(b"-")
            return line
        self.over = True
        told = self.told
        if told.gone or not told.settled or (told.closed and (self.refused or _foreign(command))):
            return None
        raise Wrong("reply missing", f"to {shown(command)}{', the server has closed' if told.closed else ''}")

    def listing(self) -> list[bytes] | None:
        """The lines of a multi-line response, dots taken away."""
        lines: list[bytes] = []
        while True:
            line = self.line()
            if line is None:
                if self.told.settled and not self.told.gone:
                    raise Wrong("reply without its end", "a listing has no last line")
                return None
            if line == b".":
                return lines
            lines.append(line[1:] if line.startswith(b".") else line)

    def go(self) -> Walk:
        if self.status(b"") is None or self.refused:
            self.over = True
        while not self.over:
            line = self.sent.line()
            if line is None:
                self.walk.ready = not self.sent.left and not self.told.closed
                break
            self.command(line)
        if self.at < len(self.heard) and not self.told.gone:
            raise Wrong("reply too many", shown(self.heard[self.at :]))
        return self.walk

    def command(self, line: bytes) -> None:
        verb, argument = _words(line)
        status = self.status(line)
        while status is not None and status.startswith(b"+ "):
            answer = self.sent.line()
            if answer is None:
                self.over = True
                return
            status = self.status(answer)
        if status is None or not status.startswith(b"+OK"):
            return
        if verb == b"QUIT":
            self.over = True
        elif verb == b"STLS":
            if not self.sent.handshake():
                self.walk.go_ahead = self.over = True
        elif verb in (b"CAPA", b"RETR", b"TOP") or (verb in (b"LIST", b"UIDL", b"LANG") and not argument):
            lines = self.listing()
            if lines is not None and verb == b"RETR":
                letter = b"".join(each + b"\r\n" for each in lines)
                told = re.match(rb"\+OK ([0-9]+) octets", status)
                if told is not None and int(told[1]) != len(letter):
                    raise Wrong("wrong size", f"{shown(status)}, but {len(letter)} octets came")
                self.walk.known.append(letter)


def _words(line: bytes) -> tuple[bytes, bytes]:
    """What a line commands, and with what; empty where it is no line of POP3."""
    if (
        not line.endswith(b"\r\n")
        or len(line) > _COMMAND_OCTETS
        or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line[:-2])
    ):
        return b"", b""
    verb, _, argument = line[:-2].partition(b" ")
    return verb.upper(), argument.strip(b" ")


def _foreign(line: bytes) -> bool:
    """Whether another protocol is spoken: such a client is left without a word."""
    word = line.partition(b" ")[0].strip().upper()
    return word in _HTTP or word.endswith(b":")


def walk_pop3(told: Told) -> Walk:
    """POP3. Raises Wrong."""
    return _Walk(told).go()
