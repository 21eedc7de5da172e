"""Flags and keywords (RFC 3501 2.3.2), read and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.tokens import at, read_atom, read_next, read_open
from postroom.net.limits import IMAP_ELEMENTS, IMAP_KEYWORD_OCTETS, IMAP_KEYWORDS
from postroom.store.values import Flag

RECENT: Final = 32
"""Bit of \\Recent beside those of `Flag`, for a session's own use: no letter in the store has it."""

SYSTEM_FLAGS: Final = {
    b"\\ANSWERED": Flag.ANSWERED,
    b"\\FLAGGED": Flag.FLAGGED,
    b"\\DELETED": Flag.DELETED,
    b"\\SEEN": Flag.SEEN,
    b"\\DRAFT": Flag.DRAFT,
}
SYSTEM_NAMES: Final = b"\\Answered \\Flagged \\Deleted \\Seen \\Draft"
"""All system flags, as FLAGS responses list them."""


_NO_FLAG: Final = Flag(0)


@dataclass(frozen=True, slots=True)
class FlagList:
    """System flags and keywords, these as the client spells them, each once, in its order."""

    flags: Flag = _NO_FLAG
    keywords: tuple[str, ...] = ()


def read_flag_list(buffer: bytes, position: int) -> tuple[FlagList, int]:
    """Flags in parentheses, none of them too: `(\\Seen $Forwarded)`.

    A flag with a backslash that isn't a system flag is passed over: it isn't in PERMANENTFLAGS, and a server may
    ignore it (RFC 3501 6.4.6). \\Recent can't be set by clients and is refused.
    """
    position = read_open(buffer, position)
    if at(buffer, position, b")"):
        return FlagList(), position + 1
    return _read_flags(buffer, position, listed=True)


def read_store_flags(buffer: bytes, position: int) -> tuple[FlagList, int]:
    """Flags as STORE has them: a list in parentheses, or one or more without."""
    if at(buffer, position, b"("):
        return read_flag_list(buffer, position)
    return _read_flags(buffer, position, listed=False)


def _read_flags(buffer: bytes, position: int, *, listed: bool) -> tuple[FlagList, int]:
    flags = Flag(0)
    keywords: dict[bytes, str] = {}
    for _ in range(IMAP_ELEMENTS):
        if at(buffer, position, b"\\"):
            flag, position = _read_system_flag(buffer, position)
            flags |= flag
        else:
            keyword, position = read_keyword(buffer, position)
            keywords.setdefault(keyword.upper().encode(), keyword)
        if listed:
            more, position = read_next(buffer, position)
        elif more := at(buffer, position, b" "):
            position += 1
        if not more:
            break
    else:
        raise SyntaxFault("too many flags")
    if len(keywords) > IMAP_KEYWORDS:
        raise SyntaxFault("too many keywords")
    return FlagList(flags, tuple(keywords.values())), position


def _read_system_flag(buffer: bytes, position: int) -> tuple[Flag, int]:
    atom, position = read_atom(buffer, position + 1)
    name = b"\\" + atom.upper()
    if name == b"\\RECENT":
        raise SyntaxFault("\\Recent can't be set")
    return SYSTEM_FLAGS.get(name, Flag(0)), position


def read_keyword(buffer: bytes, position: int) -> tuple[str, int]:
    """One keyword, of at most IMAP_KEYWORD_OCTETS."""
    atom, position = read_atom(buffer, position)
    if len(atom) > IMAP_KEYWORD_OCTETS:
        raise SyntaxFault("a keyword is too long")
    return atom.decode("ascii"), position


def write_flags(flags: int, keywords: str, recent: bool = False) -> bytes:
    """A letter's flags in parentheses. `flags` are bits of `Flag` (and may be `RECENT`), `keywords` those of
    store.values.Entry: single spaces between, empty for none."""
    names = _WRITTEN[flags & 31 | (RECENT if recent else flags & RECENT)]
    if not keywords:
        return b"(%b)" % names
    if not names:
        return b"(%b)" % keywords.encode()
    return b"(%b %b)" % (names, keywords.encode())


def _names(bits: int) -> bytes:
    pairs = zip(SYSTEM_FLAGS.values(), SYSTEM_NAMES.split(b" "), strict=True)
    names = [name for flag, name in pairs if bits & flag]
    return b" ".join([*names, b"\\Recent"] if bits & RECENT else names)


_WRITTEN: Final = tuple(_names(bits) for bits in range(64))
