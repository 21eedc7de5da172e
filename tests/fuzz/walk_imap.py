"""IMAP as its client sees it (RFC 3501 2.2, 7, 9; RFC 7888): one tagged answer a command, literals as asked for."""

from __future__ import annotations

import re
from typing import Final

from tests.fuzz.walk import Sent, Told, Walk, Wrong, shown
from tests.system.raw import parse

_LITERAL: Final = re.compile(rb"\{([0-9]+)(\+)?\}\r?\n\Z")
_TEXT: Final = re.compile(rb"(OK|NO|BAD|BYE|PREAUTH) (?:\[[^\]\r\n\x00-\x1f\x7f]+\] )?[\x20-\x7e\x80-\xff]*")
_GO_ON: Final = re.compile(rb"\+ [\x20-\x7e]*")
_HTTP: Final = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE PRI".split())


def _size(digits: bytes) -> int:
    """A literal's size; one beyond all numbers is as good as any that nobody sends."""
    digits = digits.lstrip(b"0")
    return int(digits or b"0") if len(digits) < 19 else 10**18


def _responses(heard: bytes, whole: bool) -> list[bytes]:
    """Each response with its literals in place, without its CRLF."""
    found, start, at = [], 0, 0
    while at < len(heard):
        end = heard.find(b"\n", at)
        if end < 0:
            break
        if heard[end - 1 : end] != b"\r":
            raise Wrong("malformed reply", f"a bare LF: {shown(heard[start : end + 1])}")
        literal = _LITERAL.search(heard, max(at, end - 30), end + 1)
        at = end + 1
        if literal is not None:
            at += int(literal[1])
            continue
        found.append(heard[start : end - 1])
        start = at
    if whole and start < len(heard):
        raise Wrong("reply without its end", shown(heard[start:]))
    return found


class _Walk:
    def __init__(self, told: Told) -> None:
        self.told = told
        self.sent = Sent(told.sent)
        self.responses = _responses(told.heard, whole=told.settled and not told.gone)
        self.at = 0
        self.over = False
        self.bye = False
        self.walk = Walk(replies=len(self.responses))

    def next(self, tag: bytes, line: bytes) -> bytes | None:
        """Pass over untagged data, up to what answers: a continuation, `* BAD`, or a tagged answer; None where none
        is owed any more."""
        while self.at < len(self.responses):
            response = self.responses[self.at]
            self.at += 1
            if response.startswith(b"+ "):
                if not _GO_ON.fullmatch(response):
                    raise Wrong("malformed reply", shown(response))
                return response
            if not response.startswith(b"* "):
                word, _, rest = response.partition(b" ")
                if word != tag:
                    raise Wrong("wrong tag", f"{shown(response)} to {shown(line)}")
                if not _TEXT.fullmatch(rest):
                    raise Wrong("malformed reply", shown(response))
                return response
            self.untagged(response)
            if response.startswith((b"* BAD ", b"* NO ")):
                return response
        self.over = True
        told = self.told
        if told.gone or not told.settled or (told.closed and (self.bye or tag.upper() in _HTTP)):
            return None
        raise Wrong("reply missing", f"to {shown(line)}{', the server has closed' if told.closed else ''}")

    def untagged(self, response: bytes) -> None:
        if re.match(rb"\* (?:OK|NO|BAD|BYE|PREAUTH)\b", response):
            if not _TEXT.fullmatch(response[2:]):
                raise Wrong("malformed reply", shown(response))
            self.bye = self.bye or response.startswith(b"* BYE ")
            return
        try:
            parse(response, nul=True)
        except AssertionError as fault:
            raise Wrong("malformed reply", f"{shown(response)} ({str(fault)[:80]})") from fault

    def go(self) -> Walk:
        if not self.responses or not self.responses[0].startswith(b"* OK "):
            self.over = True
            if not self.responses and self.told.settled and not self.told.gone:
                raise Wrong("reply missing", "there is no greeting")
        else:
            self.at = 1
        while not self.over:
            line = self.sent.line()
            if line is None:
                break
            self.command(line)
        ready = not self.over
        while self.at < len(self.responses):
            response = self.responses[self.at]
            self.at += 1
            if not response.startswith(b"* ") or response.startswith(b"* BAD "):
                raise Wrong("reply too many", shown(response))
            self.untagged(response)
        self.walk.ready = ready and not self.sent.left and not self.told.closed and not self.bye
        return self.walk

    def command(self, line: bytes) -> None:
        """One command with its literals, up to its answer."""
        whole, letter = line, b""
        tag = re.split(rb"[ \r\n]", line, maxsplit=1)[0]
        while True:
            literal = _LITERAL.search(line)
            response = None
            if literal is None or not literal[2]:
                response = self.next(tag, whole)
                if response is None:
                    return
            if literal is not None and (response is None or response.startswith(b"+ ")):
                octets = self.sent.exactly(_size(literal[1]))
                following = None if octets is None else self.sent.line()
                if octets is None or following is None:
                    self.unfinished(tag, whole)
                    return
                whole, line, letter = whole + octets + following, following, octets
                continue
            assert response is not None
            if not response.startswith(b"+ "):
                self.answered(whole, response, letter)
                return
            # IDLE or SASL: a line is wanted.
            following = self.sent.line()
            if following is None:
                self.over = True
                return
            whole, line = whole + following, following

    def unfinished(self, tag: bytes, line: bytes) -> None:
        """The client's octets end within a command: it may have been refused already."""
        self.over = True
        if self.at < len(self.responses):
            self.next(tag, line)

    def answered(self, command: bytes, response: bytes, literal: bytes) -> None:
        if response.split(b" ", 2)[1] != b"OK":
            return
        verb = command.split(b" ", 1)[1].strip().upper()
        if verb.startswith(b"APPEND "):
            self.walk.letters.append(literal)
        if verb == b"STARTTLS":
            if not self.sent.handshake():
                self.walk.go_ahead = self.over = True
        elif verb == b"LOGOUT":
            self.over = True


def walk_imap(told: Told) -> Walk:
    """IMAP. Raises Wrong."""
    return _Walk(told).go()
