"""ALERT: a line that the user must see (RFC 9051 7.1), said to live sessions from outside of their conversations.

`Alerts` knows the sessions of one worker by their account. Who has something to say gives it to an account, and
gets for each of its sessions a future that tells whether it was said. A session says it at once where it waits for
a command or idles, else behind the answer of the command under way: untagged lines other than EXPUNGE may be sent
at any time (RFC 9051 5.3).

"Said" means that the client's machine has acknowledged the octets: into a connection whose far end has gone, a
server can write for half an hour without hearing of it.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from postroom.net.limits import ALERT_CHARACTERS, TERMINAL_SHOW_SECONDS, TERMINAL_WAITING
from postroom.net.stream import Stream

__all__ = ["Alerts", "Ear", "alert_line"]

_LOOK_SECONDS: Final = 0.01
"""Between two looks whether the client's machine has what was sent; its acknowledgement may take 40 ms."""
_INT: Final = struct.Struct("i")


def alert_line(text: str) -> bytes:
    """The response that carries a text: one line, whatever the text, of printable ASCII (before ENABLE IMAP4rev2 a
    client need not understand more), at most ALERT_CHARACTERS of it. Accents are taken off, other letters are `?`.

    >>> alert_line("Grüezi\\r\\n* BYE")
    b'* OK [ALERT] Gruezi??* BYE\\r\\n'
    """
    if len(text) > ALERT_CHARACTERS:
        text = text[: ALERT_CHARACTERS - 3] + "..."
    plain = "".join(
        [
            each if " " <= each <= "~" else "?"
            for each in unicodedata.normalize("NFKD", text.replace("\t", " "))
            if not unicodedata.combining(each)
        ]
    )
    # A letter may come apart into several (U+FDFA into eighteen).
    return b"* OK [ALERT] %b\r\n" % plain[:ALERT_CHARACTERS].encode("ascii")


@dataclass(frozen=True, slots=True)
class _Notice:
    line: bytes
    said: asyncio.Future[bool]


class Ear:
    """What one session is still to say: at most TERMINAL_WAITING lines, of more the oldest are dropped."""

    __slots__ = ("_saying", "_stream", "_waiting")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        # Lists: of all kinds the one that costs an idle session least.
        self._waiting: list[_Notice] = []
        self._saying: list[asyncio.Future[bool]] = []
        """Of lines that are sent, and not acknowledged yet."""

    def tell(self, line: bytes) -> asyncio.Future[bool]:
        """A line to say; the future tells whether it was said. One that is cancelled before is not said."""
        if len(self._waiting) >= TERMINAL_WAITING:
            _settle(self._waiting.pop(0).said, False)
        notice = _Notice(line, asyncio.get_running_loop().create_future())
        self._waiting.append(notice)
        self._stream.wake()
        return notice.said

    async def say(self, write: Callable[[bytes], None]) -> None:
        """Say all that waits; the session calls it where it may. Raises EndOfStream, DeadlineExpired."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        saying = []
        for notice in waiting:
            if not notice.said.cancelled():
                write(notice.line)
                saying.append(notice.said)
        self._saying += saying
        await self._stream.flush()
        self._confirm(saying, asyncio.get_running_loop().time() + TERMINAL_SHOW_SECONDS)

    def _confirm(self, saying: list[asyncio.Future[bool]], until: float) -> None:
        loop = asyncio.get_running_loop()
        arrived = _arrived(self._stream)
        if not (arrived or self._stream.transport.is_closing()) and loop.time() < until:
            loop.call_later(_LOOK_SECONDS, self._confirm, saying, until)
            return
        for each in saying:
            _settle(each, arrived)
        self._saying = [each for each in self._saying if not each.done()]

    def close(self) -> None:
        """The session ends: what was not said never will be."""
        for each in (*(notice.said for notice in self._waiting), *self._saying):
            _settle(each, False)
        self._waiting.clear()
        self._saying.clear()


class Alerts:
    """The live sessions of one worker, by the account that is logged in."""

    def __init__(self) -> None:
        self._ears: dict[str, set[Ear]] = {}

    def enter(self, account: str, stream: Stream) -> Ear:
        """A session of that account (its address) begins; `leave` ends it."""
        ear = Ear(stream)
        self._ears.setdefault(account, set()).add(ear)
        return ear

    def leave(self, account: str, ear: Ear) -> None:
        """The session, or its login, has ended."""
        ear.close()
        ears = self._ears.get(account)
        if ears is not None:
            ears.discard(ear)
            if not ears:
                del self._ears[account]

    def present(self, accounts: Iterable[str]) -> set[str]:
        """Those of the accounts that have a session here."""
        return {account for account in accounts if account in self._ears}

    def tell(self, account: str, text: str) -> list[asyncio.Future[bool]]:
        """Let every session of an account say a text; for each whether it was said."""
        ears = self._ears.get(account)
        if not ears:
            return []
        line = alert_line(text)
        return [ear.tell(line) for ear in ears]


def _settle(future: asyncio.Future[bool], said: bool) -> None:
    if not future.done():
        future.set_result(said)


def _arrived(stream: Stream) -> bool:
    """Whether the peer's machine has acknowledged every octet that was sent (tcp(7), SIOCOUTQ)."""
    transport = stream.transport
    sock = transport.get_extra_info("socket")
    if sock is None:
        return True
    # Behind the close its descriptor may be another's.
    if transport.is_closing() or transport.get_write_buffer_size():
        return False
    try:
        unsent = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, _INT.pack(0))
    except OSError:
        return False
    return not _INT.unpack(unsent)[0]
