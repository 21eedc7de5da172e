"""Submission's header repairs (RFC 6409 8): a missing Date or Message-ID is added, Bcc goes. Pure.

Only the header is touched. It is held back until its end is seen, at most HEADER_OCTETS of it; a longer one passes
as it is. Then everything streams through.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from postroom.intake.received import write_date
from postroom.net.limits import HEADER_OCTETS

_BCC: Final = re.compile(rb"^(?:resent-)?bcc[ \t]*:.*\r\n(?:[ \t].*\r\n)*", re.IGNORECASE | re.MULTILINE)
_DATE: Final = re.compile(rb"^date[ \t]*:", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID: Final = re.compile(rb"^message-id[ \t]*:", re.IGNORECASE | re.MULTILINE)
_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")


class HeaderRepair:
    """Takes a letter's octets in chunks (lines ended by CRLF) and gives those to be kept."""

    __slots__ = ("_held", "_hostname", "_passing", "_seconds")

    def __init__(self, hostname: str, seconds: int) -> None:
        """What a Message-ID's right side and a Date are made from; `seconds` since 1970 UTC."""
        self._hostname = hostname
        self._seconds = seconds
        self._held = bytearray()
        self._passing = False

    def feed(self, chunk: bytes) -> bytes:
        """The octets that can go on now."""
        if self._passing:
            return chunk
        held = self._held
        searched = max(0, len(held) - 3)
        held += chunk
        end = 2 if held.startswith(b"\r\n") else held.find(b"\r\n\r\n", searched) + 4
        if end == 2 or end >= 4:
            given = self._repair(bytes(held[:end])) + held[end:]
        elif len(held) > HEADER_OCTETS:
            given = bytes(held)
        else:
            return b""
        self._passing = True
        held.clear()
        return given

    def finish(self) -> bytes:
        """What is still held when the letter has ended within its header."""
        given = b"" if self._passing else self._repair(bytes(self._held))
        self._held.clear()
        self._passing = True
        return given

    def _repair(self, header: bytes) -> bytes:
        """The header as it is to be kept; new fields stand on top."""
        headless = header[:2] not in (b"", b"\r\n") and not _FIELD.match(header)
        added = b""
        if headless or not _MESSAGE_ID.search(header):
            added += b"Message-ID: <%x.%b@%b>\r\n" % (
                self._seconds,
                secrets.token_hex(8).encode("ascii"),
                self._hostname.encode("ascii"),
            )
        if headless or not _DATE.search(header):
            added += b"Date: %b\r\n" % write_date(self._seconds).encode("ascii")
        if headless:
            # What came is all body.
            return added + b"\r\n" + header
        return added + _BCC.sub(b"", header)
