"""How a connection ends, as a conversation hears of it."""

from __future__ import annotations

import enum


class EndOfStream(ConnectionError):
    """The peer closed or lost the connection."""


class Truncated(EndOfStream):
    """It ended without the peer's saying so: reset, or TLS without close_notify (RFC 8446 6.1). What came before
    may be the beginning of something longer."""


class Farewell(enum.Enum):
    """Why a session is asked to end at its next command."""

    SHUTDOWN = "shutdown"
    ACCOUNT = "account changed"
    ENDED = "ended by hand"
