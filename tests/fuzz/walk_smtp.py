"""SMTP, submission and LMTP as their client sees them (RFC 5321 4.2, 4.5.3.1.5; RFC 3030 2; RFC 2033 4.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.fuzz.walk import Sent, Told, Walk, Wrong, shown, unstuffed

_LINE: Final = re.compile(rb"([2-5][0-5][0-9])([ -])([\x20-\x7e\x80-\xff]*)")
_ENHANCED: Final = re.compile(rb"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?: |\Z)")
_BDAT: Final = re.compile(rb"BDAT[ \t]+([0-9]{1,20})([ \t]+LAST)?[ \t]*\r\n", re.IGNORECASE)
_LINE_OCTETS: Final = 512
"""RFC 5321 4.5.3.1.5, CRLF included."""
_COMMAND_OCTETS: Final = 2048
_HTTP: Final = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE PRI".split())


@dataclass(frozen=True, slots=True)
class _Reply:
    code: int
    text: bytes


def _replies(heard: bytes, whole: bool) -> list[_Reply]:
    *lines, rest = heard.split(b"\r\n")
    if rest and whole:
        raise Wrong("reply without its end", shown(rest))
    found: list[_Reply] = []
    above: bytes | None = None
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise Wrong("malformed reply", shown(line))
        if len(line) + 2 > _LINE_OCTETS:
            raise Wrong("reply line too long", shown(line))
        code, mark, text = match.groups()
        if above is not None and code != above:
            raise Wrong("malformed reply", f"another code within one reply: {shown(line)}")
        enhanced = _ENHANCED.match(text)
        if enhanced is not None and enhanced[1] != code[:1]:
            raise Wrong("malformed reply", f"an enhanced code of another class: {shown(line)}")
        above = code if mark == b"-" else None
        if mark == b" ":
            found.append(_Reply(int(code), text))
    if above is not None and whole:
        raise Wrong("reply without its end", shown(heard[-200:]))
    return found


class _Walk:
    def __init__(self, told: Told, lmtp: bool) -> None:
        self.told = told
        self.lmtp = lmtp
        self.sent = Sent(told.sent)
        self.replies = _replies(told.heard, whole=told.settled and not told.gone)
        self.at = 0
        self.recipients = 0
        self.terminal = False
        """This letter is for a terminal, if there is one."""
        self.chunks: list[bytes] | None = []
        """Of BDAT; None where a letter of this transaction was refused."""
        self.over = False
        self.walk = Walk(replies=len(self.replies))

    def take(self, line: bytes) -> _Reply | None:
        """The reply to a line; None where none is owed any more."""
        if self.at < len(self.replies):
            reply = self.replies[self.at]
            self.at += 1
            following = self.replies[self.at] if self.at < len(self.replies) else None
            if following is not None and following.code == 421 and self.at == len(self.replies) - 1:
                # The last words behind the reply to the last command.
                self.at += 1
                self.over = True
            self.over = self.over or reply.code in (221, 421)
            return reply
        self.over = True
        told = self.told
        if told.gone or not told.settled or (told.closed and (self.last_words or _foreign(line))):
            return None
        raise Wrong("reply missing", f"to {shown(line)}{', the server has closed' if told.closed else ''}")

    @property
    def last_words(self) -> bool:
        """Whether the last reply was one after which a server may close."""
        last = self.replies[-1] if self.replies else None
        return last is not None and (last.code in (221, 421, 554) or (last.code in (500, 501, 503) and self.bdat))

    bdat = False

    def go(self) -> Walk:
        greeting = self.take(b"")
        if greeting is None or greeting.code != 220:
            self.over = True
        while not self.over:
            line = self.sent.line()
            if line is None:
                self.walk.ready = not self.sent.left and not self.told.closed
                break
            self.command(line)
        if self.at < len(self.replies):
            raise Wrong("reply too many", shown(self.replies[self.at].text))
        return self.walk

    def command(self, line: bytes) -> None:
        verb = _verb(line)
        chunk = _BDAT.fullmatch(line) if verb == b"BDAT" else None
        if chunk is not None:
            self.bdat = True
            self.chunk(line, int(chunk[1]), chunk[2] is not None)
            return
        reply = self.take(line)
        if reply is None:
            return
        if verb == b"BDAT":
            self.bdat = True
        elif verb == b"DATA" and reply.code == 354:
            self.data(line)
        elif verb == b"STARTTLS" and reply.code == 220:
            if not self.sent.handshake():
                self.walk.go_ahead = self.over = True
            self.forget()
        elif verb == b"XCLIENT" and reply.code == 220:
            self.forget()
        elif verb in (b"MAIL", b"SEND", b"SOML", b"SAML", b"RSET", b"EHLO", b"HELO", b"LHLO") and reply.code == 250:
            self.forget()
            self.terminal = verb in (b"SEND", b"SOML")
        elif verb == b"RCPT" and reply.code in (250, 251):
            self.recipients += 1
        while reply is not None and reply.code == 334 and not self.over:
            answer = self.sent.line()
            if answer is None:
                self.over = True
                return
            reply = self.take(answer)

    def forget(self) -> None:
        self.recipients = 0
        self.chunks = []

    def data(self, line: bytes) -> None:
        body = self.sent.data()
        if body is None:
            self.over = True
            if self.at < len(self.replies):
                self.take(line)
            return
        self.ends(line, unstuffed(body))

    def ends(self, line: bytes, letter: bytes) -> None:
        """A letter is whole: one reply, or with LMTP one for each recipient."""
        accepted = False
        for _ in range(self.recipients if self.lmtp else 1):
            reply = self.take(line)
            if reply is None or self.over:
                break
            accepted = accepted or reply.code == 250
        if accepted:
            self.accepted(letter)
        self.forget()

    def accepted(self, letter: bytes) -> None:
        if self.terminal:
            self.walk.terminal.add(len(self.walk.letters))
        self.walk.letters.append(letter)

    def chunk(self, line: bytes, size: int, last: bool) -> None:
        octets = self.sent.exactly(size)
        if octets is None:
            # An early refusal may have come, or not.
            self.over = True
            if self.at < len(self.replies):
                self.take(line)
            return
        if last and self.chunks is not None and self.recipients and self.lmtp:
            self.ends(line, b"".join(self.chunks) + octets)
            return
        reply = self.take(line)
        if reply is None:
            return
        if reply.code != 250:
            self.chunks = None
        elif self.chunks is not None:
            self.chunks.append(octets)
            if last:
                self.accepted(b"".join(self.chunks))
        if last:
            self.forget()


def _verb(line: bytes) -> bytes:
    """What a line commands; empty where it is no line of SMTP."""
    if (
        not line.endswith(b"\r\n")
        or len(line) > _COMMAND_OCTETS
        or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line[:-2])
    ):
        return b""
    return line[:-2].replace(b"\t", b" ").partition(b" ")[0].upper()


def _foreign(line: bytes) -> bool:
    """Whether another protocol is spoken: such a client is left without a word."""
    word = line.partition(b" ")[0].strip().upper()
    return word in _HTTP or word.endswith(b":")


def walk_smtp(told: Told) -> Walk:
    """SMTP and submission. Raises Wrong."""
    return _Walk(told, lmtp=False).go()


def walk_lmtp(told: Told) -> Walk:
    """LMTP. Raises Wrong."""
    return _Walk(told, lmtp=True).go()
