"""Encoded words in header fields (RFC 2047), read leniently."""

from __future__ import annotations

import re

from postroom.message.charsets import decoded
from postroom.message.transfer import base64, q_word

_word = re.compile(rb"=\?([^? \t]{1,80})\?([bBqQ])\?([^?]*+)\?=")


def decode_words(value: bytes) -> str:
    """The text of an unfolded field: encoded words decoded, white space between two of them gone (RFC 2047 6.2).

    Neighbours of one charset are put together before they are decoded, since senders cut characters in two. What
    is no encoded word is read as UTF-8 (RFC 6532 3.1).
    """
    if b"=?" not in value:
        return value.decode("utf-8", "replace")
    texts: list[str] = []
    charset, at = b"", 0
    pending: list[bytes] = []
    for match in _word.finditer(value):
        between = value[at : match.start()]
        name, encoding, text = match.groups()
        octets = base64(text) if encoding in b"bB" else q_word(text)
        if pending and (name.lower() != charset or between.strip()):
            texts.append(decoded(b"".join(pending), charset))
            pending = []
        if between.strip() or at == 0:
            texts.append(between.decode("utf-8", "replace"))
        pending.append(octets)
        charset = name.lower()
        at = match.end()
    texts.append(decoded(b"".join(pending), charset))
    texts.append(value[at:].decode("utf-8", "replace"))
    return "".join(texts)
