"""Replies, line by line (RFC 5321 4.2, RFC 2034 4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postroom.net.limits import SMTP_REPLY_LINE_OCTETS
from postroom.smtp.grammar.faults import SyntaxFault

_UNPRINTABLE = re.compile(r"[^ -~]")
_JOINERS: Final = frozenset("\u200c\u200d")
"""Not printed, and part of words all the same."""
_REPLY_LINE = re.compile(
    rb"(?P<code>[2-5][0-5][0-9])(?:(?P<mark>[ -])(?:(?P<enhanced>[245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |(?=\r?\n)))?"
    rb"(?P<text>[^\r\n]*))?\r?\n"
)


@dataclass(frozen=True, slots=True)
class ReplyLine:
    """One line of a reply. `enhanced` is empty where there is no enhanced status code."""

    code: int
    enhanced: str
    text: str
    last: bool = True


def read_reply_line(line: bytes) -> ReplyLine:
    """One line of a server's reply, line end included; text that isn't ASCII comes with replacement characters."""
    found = _REPLY_LINE.fullmatch(line)
    if found is None or len(line) > SMTP_REPLY_LINE_OCTETS:
        raise SyntaxFault("not a reply")
    code, mark, enhanced, text = found.group("code", "mark", "enhanced", "text")
    return ReplyLine(
        int(code), (enhanced or b"").decode("ascii"), (text or b"").decode("ascii", "replace"), mark != b"-"
    )


def write_reply(code: int, enhanced: str, lines: Sequence[str], *, utf8: bool = False) -> bytes:
    """A whole reply of at least one line, each with the enhanced code where there is one (RFC 2034 4).

    What isn't printable becomes `?`, and so does what isn't ASCII but where the client has asked for `utf8` (RFC
    6531 3.7.4): no text can begin a line of its own.
    """
    prefix = f"{enhanced} " if enhanced else ""
    shown = _shown if utf8 else _shown_in_ascii
    *above, end = (prefix + shown(line) for line in lines)
    return "".join([*(f"{code}-{line}\r\n" for line in above), f"{code} {end}\r\n"]).encode()


def _shown_in_ascii(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)


def _shown(text: str) -> str:
    """Without what ends a line or turns it round."""
    return "".join([char if char.isprintable() or char in _JOINERS else "?" for char in text])
