"""POP3's words: command lines, numbers, reply lines, and letters as the lines of a multi-line response (RFC 1939 3,
RFC 2449 3); read and write stand together.

Pure: bytes to values and back; imports no I/O. A reader raises `SyntaxFault` and nothing else. A letter goes
through `Lines` in chunks: every line ends in CRLF on the wire, whatever it ended in when it was stored, and a line
that begins with a dot gets one more. Each chunk costs a handful of searches in C, whatever stands in it.

    read_command(b"top 1 10\\r\\n")                            ->  b"TOP", b"1 10"
    lines = Lines(); lines.feed(b".a\\nb") + lines.finish()   ->  b"..a\\r\\nb\\r\\n"
"""

from __future__ import annotations

import re
from typing import Final

from postroom.message.octets import only_crlf

END: Final = b".\r\n"
"""What ends a multi-line response."""


class SyntaxFault(ValueError):
    """The peer broke the grammar. The text is ours, short, and repeats nothing of what the peer sent."""


# --- commands (RFC 1939 3, RFC 2449 3)

_COMMAND: Final = re.compile(rb"([!-~]+)(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")
_NUMBER: Final = re.compile(rb"[0-9]{1,20}")


def read_command(line: bytes) -> tuple[bytes, bytes]:
    """The keyword in upper case, and all that follows the space behind it (spaces too: a password may begin with
    one); `line` is ended by CRLF."""
    if not line.endswith(b"\r\n"):
        raise SyntaxFault("lines end with CR LF")
    found = _COMMAND.fullmatch(line, 0, len(line) - 2)
    if found is None:
        raise SyntaxFault("not a command")
    return found[1].upper(), found[2] or b""


def read_number(word: bytes) -> int:
    """A message-number or a number of lines: 1 to 20 digits, and nothing that `int` takes beside them."""
    if not _NUMBER.fullmatch(word):
        raise SyntaxFault("bad number")
    return int(word)


def read_top(argument: bytes) -> tuple[int, int]:
    """TOP's argument (RFC 1939 7): a message-number and a number of lines."""
    words = argument.split()
    if len(words) != 2:
        raise SyntaxFault("a message and a number of lines expected")
    return read_number(words[0]), read_number(words[1])


# --- responses (RFC 1939 3, RFC 2449 3 and 8)

_UNPRINTABLE: Final = re.compile(r"[^ -~]")


def write_ok(text: str) -> bytes:
    """A positive status line. What isn't printable ASCII becomes `?`: no text can begin a line of its own."""
    return f"+OK {_UNPRINTABLE.sub('?', text)}\r\n".encode("ascii")


def write_error(code: str, text: str) -> bytes:
    """A negative status line, with a response code (RFC 2449 8) where `code` isn't empty."""
    return f"-ERR {f'[{code}] ' if code else ''}{_UNPRINTABLE.sub('?', text)}\r\n".encode("ascii")


# --- letters


class LineEnds:
    """A letter's chunks with every line end as CRLF: a CR or an LF that stands alone ends a line as well (IMAP can
    store one, SMTP can't). A CRLF is never cut by what comes out.

    `message.octets.crlf_size` counts what this gives; LIST and STAT tell its answer: the two must stay in step.
    """

    __slots__ = ("_ended", "_held")

    def __init__(self) -> None:
        self._held = False
        self._ended = True

    def feed(self, chunk: bytes) -> bytes:
        """What this chunk gives. A CR at its end is kept for the next one, which tells whether an LF follows."""
        if self._held:
            chunk = b"\r" + chunk
        self._held = chunk.endswith(b"\r")
        if self._held:
            chunk = chunk[:-1]
        if not only_crlf(chunk):
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        if chunk:
            self._ended = chunk.endswith(b"\n")
        return chunk

    def finish(self) -> bytes:
        """The line end that the letter's last line lacks; nothing where it has one, or where there is no line."""
        if self._ended and not self._held:
            return b""
        self._held = False
        self._ended = True
        return b"\r\n"


class Top:
    """Lets a letter's header, the empty line behind it and so many lines of the body pass, of what `LineEnds` gives
    (RFC 1939 7)."""

    __slots__ = ("_in_header", "_left", "_line_start", "finished")

    finished: bool
    """All that was asked for has passed."""

    def __init__(self, lines: int) -> None:
        self.finished = False
        self._left = lines
        self._in_header = True
        self._line_start = True

    def cut(self, chunk: bytes) -> bytes:
        """What of this chunk belongs to the top."""
        if self.finished:
            return b""
        body = 0
        if self._in_header:
            body = self._header_end(chunk)
            if body < 0:
                self._line_start = chunk.endswith(b"\n") if chunk else self._line_start
                return chunk
            self._in_header = False
        return self._lines(chunk, body)

    def _header_end(self, chunk: bytes) -> int:
        """Offset behind the empty line, or -1."""
        if self._line_start and chunk.startswith(b"\r\n"):
            return 2
        at = chunk.find(b"\r\n\r\n")
        return -1 if at < 0 else at + 4

    def _lines(self, chunk: bytes, body: int) -> bytes:
        ends = chunk.count(b"\n", body)
        if ends < self._left:
            self._left -= ends
            return chunk
        self.finished = True
        if self._left == 0:
            return chunk[:body]
        # The split leaves whatever stands behind the last wanted line in one piece.
        rest = chunk[body:].split(b"\n", self._left)[self._left]
        return chunk[: len(chunk) - len(rest)]


class Lines:
    """A letter's chunks as the lines of a multi-line response, dots stuffed; `END` is the caller's. With `top`, its
    header and so many lines only."""

    __slots__ = ("_ends", "_line_start", "_top")

    def __init__(self, top: int | None = None) -> None:
        self._ends = LineEnds()
        self._top = None if top is None else Top(top)
        self._line_start = True

    @property
    def finished(self) -> bool:
        """Whether nothing further would pass: the rest of the letter needn't be read."""
        return self._top is not None and self._top.finished

    def feed(self, chunk: bytes) -> bytes:
        """What this chunk gives."""
        return self._stuffed(self._ends.feed(chunk))

    def finish(self) -> bytes:
        """What the letter's end gives."""
        return self._stuffed(self._ends.finish())

    def _stuffed(self, chunk: bytes) -> bytes:
        if self._top is not None:
            chunk = self._top.cut(chunk)
        if not chunk:
            return chunk
        stuffed = chunk.replace(b"\r\n.", b"\r\n..")
        if self._line_start and chunk.startswith(b"."):
            stuffed = b"." + stuffed
        self._line_start = chunk.endswith(b"\n")
        return stuffed
