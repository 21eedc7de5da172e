"""The trace that one recipient's copy gets in front: Return-Path, Delivered-To, Received (RFC 5321 4.4). Pure.

Values that a stranger chose are written only after what could end a line, a comment or a word was replaced. A
prefix is at most MAX_PREFIX octets by the lengths of its parts: names 255, addresses 256.
"""

from __future__ import annotations

import functools
import re
import time
from typing import Final

from postroom.intake.envelope import Envelope, Origin
from postroom.smtp.grammar import write_path

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9.:_\[\]-]")


@functools.lru_cache(maxsize=8)
def write_date(seconds: int) -> str:
    """A date-time of a header, in UTC (RFC 5322 3.3). `seconds` since 1970 UTC."""
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(seconds)
    return f"{_DAYS[weekday]}, {day} {_MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} +0000"


def write_prefixes(envelope: Envelope, origin: Origin, hostname: str, seconds: int) -> list[bytes]:
    """A prefix for each recipient, in order; each line ended by CRLF. `seconds` since 1970 UTC."""
    top = b"Return-Path: %b\r\nDelivered-To: " % write_path(envelope.sender)
    middle = b"\r\n" + _received(origin, hostname).encode("ascii")
    end = f">;\r\n\t{write_date(seconds)}\r\n".encode("ascii")
    return [
        b"".join((top, each.account.address.encode(), middle, write_path(each.address)[:-1], end))
        for each in envelope.recipients
    ]


def _received(origin: Origin, hostname: str) -> str:
    """The Received field up to and with "for "."""
    if origin.peer:
        literal = f"[IPv6:{_name(origin.peer)}]" if ":" in origin.peer else f"[{_name(origin.peer)}]"
        source = f"from {_name(origin.hello) or literal} ({literal})\r\n\t"
    else:
        source = ""
    return f"Received: {source}by {hostname} with {origin.protocol} id {_name(origin.id)}\r\n\tfor "


def _name(text: str) -> str:
    return _NOT_NAME.sub("?", text)
