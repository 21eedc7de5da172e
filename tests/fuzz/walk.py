"""What all walks have in common: a client that knows its protocol goes along what was sent and what was heard.

A walk takes the whole of both sides, whenever, and tells whether each command has had its one answer, in order and
well-formed; it knows nothing of how the server is made. What it doesn't like is a `Wrong`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final


class Wrong(Exception):
    """The server did what no server may. `kind` is short and the same for the same mistake."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Told:
    """Both sides of a conversation, up to now.

    `sent` has one piece for each time between two handshakes. `settled`: the server has nothing more to say until
    it hears more. `closed`: it has closed; `gone`: the client has (a server that couldn't know what would follow
    owes nothing then).
    """

    sent: Sequence[bytes]
    heard: bytes
    settled: bool = True
    closed: bool = False
    gone: bool = False


@dataclass(slots=True)
class Walk:
    """How a conversation stands. `ready`: the server waits for a command; `go_ahead`: for a handshake."""

    ready: bool = False
    go_ahead: bool = False
    replies: int = 0
    letters: list[bytes] = field(default_factory=list)
    """Those that were sent and acknowledged, as they were meant (dots unstuffed)."""
    terminal: set[int] = field(default_factory=set)
    """Which of them may have been shown on a terminal, and not been filed (SEND and SOML)."""
    known: list[bytes] = field(default_factory=list)
    """Those that the server has shown whole, as it showed them (dots unstuffed)."""


Walker = Callable[[Told], Walk]


class Sent:
    """What the client has sent, to be read as the server must read it."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._piece = 0
        self._at = 0

    @property
    def left(self) -> int:
        """Octets of this piece that nobody has read."""
        return len(self._pieces[self._piece]) - self._at

    def line(self) -> bytes | None:
        """The next line with its LF; None where there is no whole one."""
        octets = self._pieces[self._piece]
        end = octets.find(b"\n", self._at) + 1
        if not end:
            return None
        line = octets[self._at : end]
        self._at = end
        return line

    def exactly(self, count: int) -> bytes | None:
        """The next so many octets; None where there are fewer, which are passed over."""
        octets = self._pieces[self._piece]
        found = octets[self._at : self._at + count]
        self._at += len(found)
        return found if len(found) == count else None

    def data(self) -> bytes | None:
        """What DATA carries, stuffed, up to the dot's line; None where that doesn't come."""
        octets = self._pieces[self._piece]
        if octets.startswith(b".\r\n", self._at):
            self._at += 3
            return b""
        end = octets.find(_END, self._at)
        if end < 0:
            self._at = len(octets)
            return None
        body = octets[self._at : end + 2]
        self._at = end + len(_END)
        return body

    def handshake(self) -> bool:
        """Go on behind the next handshake, if there was one."""
        if self._piece + 1 == len(self._pieces):
            return False
        self._piece += 1
        self._at = 0
        return True


_END: Final = b"\r\n.\r\n"


def unstuffed(body: bytes) -> bytes:
    """DATA's octets without the stuffing, line by line."""
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in body.split(b"\r\n"))


def shown(octets: bytes) -> str:
    """Octets for a report."""
    return repr(octets if len(octets) <= 200 else octets[:150] + b"..." + octets[-40:])
