"""UTF8 and LANG (RFC 6856): which letters may come, and which language the texts of replies have.

**Letters with UTF-8 in their headers** (RFC 6532) come as they are, in UTF-8 mode or out of it. RFC 6856 2.1 would
have them refused, or a surrogate sent, where the client has not said UTF8. Of today's clients hardly any says it,
and all take such headers, which stood in ordinary letters long before SMTPUTF8; a refused letter would lie in the
maildrop for ever, unseen, and a surrogate could be neither answered nor held against its signature. So what was
accepted comes back octet for octet (docs/security.md, promise 7), as from other servers too.

**Texts** are English and ASCII in every language that there is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from postroom.pop3 import login
from postroom.pop3.grammar import END, SyntaxFault, write_ok
from postroom.pop3.replies import LANGUAGE, OK_LANGUAGES, OK_UTF8, TLS_BEFORE_UTF8
from postroom.pop3.session import Refusal, Session

_RANGE: Final = re.compile(rb"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
"""RFC 4647 2.1."""
LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "i-default": "English"}
"""Language tags and what they are, the preferred one first."""


async def utf8(session: Session, argument: bytes) -> bytes:
    """RFC 6856 2.1: UTF-8 mode. Strings in UTF-8 are taken, and sent, without it too."""
    session.utf8 = True
    return OK_UTF8


async def stls(session: Session, argument: bytes) -> bytes:
    """RFC 6856 2.1: UTF8 comes after STLS: nothing that was agreed on in the clear is to live on under TLS."""
    if session.utf8:
        raise Refusal(TLS_BEFORE_UTF8)
    return await login.stls(session, argument)


async def lang(session: Session, argument: bytes) -> bytes:
    """RFC 6856 3: list the languages, or choose one by a basic language range."""
    if not argument:
        lines = "".join(f"{tag} {name}\r\n" for tag, name in LANGUAGES.items())
        return OK_LANGUAGES + lines.encode("ascii") + END
    tag = _found(argument)
    if tag is None:
        raise Refusal(LANGUAGE)
    return write_ok(f"{tag} Language changed")


def _found(argument: bytes) -> str | None:
    """The language that a range asks for; a narrower one than we have gets the wider (RFC 4647 3.4)."""
    if argument == b"*":
        return next(iter(LANGUAGES))
    if not _RANGE.fullmatch(argument):
        raise SyntaxFault("not a language range")
    wanted = argument.decode("ascii").lower()
    while wanted and wanted not in LANGUAGES:
        wanted = wanted.rpartition("-")[0]
    return wanted or None
