"""The base subject of SORT and THREAD (RFC 5256 2.1)."""

from __future__ import annotations

import re
from typing import NamedTuple

from postroom.message.words import decode_words

_white = re.compile(r"[ \t\r\n]+")
_blobs = re.compile(r"(?:\[[^\[\]]*+\] *+)*+").match
_last_blob = re.compile(r"\[[^\[\]]*+\] *+\Z").search
_refwd = re.compile(r"(?:re|fwd?+) *+(?:\[[^\[\]]*+\] *+)?+:", re.IGNORECASE | re.ASCII).match
_FWD_HEADER = "[fwd:"
_FWD_TRAILER = "]"
_TRAILER = "(fwd)"


class BaseSubject(NamedTuple):
    """A subject without the marks of replies and forwards, and whether any was there."""

    text: str
    is_reply: bool


def base_subject(value: bytes) -> BaseSubject:
    """The base subject of an unfolded Subject field; the steps are numbered as in RFC 5256 2.1."""
    text = _white.sub(" ", decode_words(value))  # (1)
    start, end, is_reply = 0, len(text), False
    while True:
        while True:  # (2)
            while end > start and text[end - 1] == " ":
                end -= 1
            if end - start < len(_TRAILER) or text[end - len(_TRAILER) : end].lower() != _TRAILER:
                break
            end -= len(_TRAILER)
            is_reply = True
        while True:  # (5)
            while start < end and text[start] == " ":  # (3)
                start += 1
            match = _blobs(text, start, end)
            behind = match.end() if match else start
            mark = _refwd(text, behind, end)
            if mark is None:
                break
            start, is_reply = mark.end(), True
        start = _without_blobs(text, start, behind, end)  # (4)
        if text[start : start + len(_FWD_HEADER)].lower() != _FWD_HEADER or text[end - 1 : end] != _FWD_TRAILER:
            break
        start, end, is_reply = start + len(_FWD_HEADER), end - len(_FWD_TRAILER), True  # (6)
    return BaseSubject(text[start:end], is_reply)


def _without_blobs(text: str, start: int, behind: int, end: int) -> int:
    """Where the base begins: behind the blobs, but before the last of them where nothing else would remain."""
    if behind < end or start == behind:
        return behind
    match = _last_blob(text, start, end)
    return match.start() if match else start
