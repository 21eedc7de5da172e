"""What [listen] can name and this version serves: the table that doors are opened by. It knows none of the servers,
so that the supervisor and the command line need not load them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["SERVED", "Served"]


@dataclass(frozen=True, slots=True)
class Served:
    """One protocol of [listen]. `busy` is what a connection hears that is one too many."""

    implicit_tls: bool
    alpn: str
    busy: bytes
    login_first: bool = True
    """Nothing is done here for strangers."""


_SMTP_BUSY: Final = b"421 4.7.0 Too many connections, try again later\r\n"
_POP3_BUSY: Final = b"-ERR [SYS/TEMP] Too many connections, try again later\r\n"
_IMAP_BUSY: Final = b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n"

SERVED: Final[Mapping[str, Served]] = {
    "smtp": Served(False, "smtp", _SMTP_BUSY, login_first=False),
    "submission": Served(False, "smtp", _SMTP_BUSY),
    "submissions": Served(True, "smtp", _SMTP_BUSY),
    "lmtp": Served(False, "lmtp", _SMTP_BUSY, login_first=False),
    "pop3": Served(False, "pop3", _POP3_BUSY),
    "pop3s": Served(True, "pop3", _POP3_BUSY),
    "imap": Served(False, "imap", _IMAP_BUSY),
    "imaps": Served(True, "imap", _IMAP_BUSY),
}
"""By [listen]'s names, in the order of the settings card. Other names of `config.Listen` are accepted, and
told of at the start, but this version does not serve it."""
