"""Letters with parts that lines can't carry, and what a client makes of them that isn't Postroom's."""

from __future__ import annotations

import email
import email.policy
from email.message import Message

ALL_OCTETS = bytes(range(256)) * 5


def part(body: bytes, encoding: bytes | None = b"binary", kind: bytes = b"application/octet-stream") -> bytes:
    """A part of a multipart, or a letter of one part without its first fields."""
    field = b"" if encoding is None else b"Content-Transfer-Encoding: %b\r\n" % encoding
    return b"Content-Type: %b\r\n%b\r\n%b" % (kind, field, body)


def multipart(*parts: bytes, mark: bytes = b"=_mark", end: bytes = b"\r\n") -> bytes:
    """A letter of these parts."""
    head = b'Subject: parts\r\nContent-Type: multipart/mixed; boundary="%b"\r\n\r\nprologue\r\n' % mark
    return head + b"".join(b"--%b\r\n%b\r\n" % (mark, each) for each in parts) + b"--%b--%b" % (mark, end)


def leaves(letter: bytes) -> list[bytes]:
    """The decoded bodies of a letter's leaves, by the standard library's parser."""
    parsed: Message = email.message_from_bytes(letter, policy=email.policy.compat32)
    found = []
    for each in parsed.walk():
        if not each.is_multipart():
            body = each.get_payload(decode=True)
            assert isinstance(body, bytes)
            found.append(body)
    return found
