"""One line per thing that happened: `name key=value …`, whoever wrote the values.

A peer's mistake is logged at info, ours at error with its traceback. No secret is ever handed in.
"""

from __future__ import annotations

import logging
import re
import time
from typing import Final, TextIO

_PLAIN: Final = re.compile(r"[!#-<>-\[\]-~]+")
"""What needs no quotes: printable ASCII without space, quote, backslash and equals sign."""


def event(
    logger: logging.Logger, level: int, name: str, *, trace: BaseException | None = None, **fields: object
) -> None:
    """Log one event; `trace` adds an exception's traceback (on further lines)."""
    if logger.isEnabledFor(level):
        logger.log(level, "%s", sentence(name, fields), exc_info=trace)


def sentence(name: str, fields: dict[str, object]) -> str:
    """`name key=value …`: one line of printable characters. A field that is None is left out."""
    words = [f"{key}={value(one)}" for key, one in fields.items() if one is not None]
    return " ".join([name, *words])


def value(one: object) -> str:
    """A field's value: quoted where it isn't plain, anything unprintable escaped; octets as text where they are."""
    text = one.decode("utf-8", "backslashreplace") if isinstance(one, bytes) else str(one)
    if _PLAIN.fullmatch(text):
        return text
    return '"' + "".join(map(_escape, text)) + '"'


def printable(octets: bytes) -> str:
    """Octets for people: UTF-8 text, with everything that could steer a terminal escaped."""
    text = octets.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    if letter.isprintable():
        return letter
    return letter.encode("unicode-escape", "surrogatepass").decode("ascii")


class _Formatter(logging.Formatter):
    """Time in UTC with milliseconds, level, logger, message."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


def setup(stream: TextIO, level: int | str) -> None:
    """Let the root logger write to `stream` from `level` on, as `time level logger message`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
