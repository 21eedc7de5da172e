"""The smallest words of IMAP: atoms, strings, numbers, spaces (RFC 3501 9), read and written.

A reader takes (buffer, position) and gives (value, position after it); nothing is cut off the buffer. The buffer is
one whole command, its line end included, in which literals stand in place as `{n}CRLF<octets>`:

    >>> read_astring(b'a1 LOGIN {3}\\r\\nbob "pass word"\\r\\n', 9)
    (b'bob', 17)

Raises `SyntaxFault` and nothing else. A bare LF ends a line as CRLF does, as people who type at a server expect.
"""

from __future__ import annotations

import binascii
import re
from typing import Final, NamedTuple

from postroom.imap.grammar.faults import SyntaxFault
from postroom.net.limits import IMAP_BASE64_OCTETS, IMAP_TAG_OCTETS

NUMBER_MAX: Final = 2**32 - 1
"""RFC 3501 9: numbers are unsigned and of 32 bits."""
NUMBER64_MAX: Final = 2**63 - 1
"""RFC 9051 9: number64 is unsigned and of 63 bits."""
QUOTED_MAX: Final = 1000
"""A longer string is written as a literal: some clients read lines into buffers of fixed size."""

_ATOM_CHARS: Final = rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]'
_ATOM: Final = re.compile(_ATOM_CHARS + rb"++")
_ASTRING_CHARS: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]++')
_TAG: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]++')
_LIST_CHARS: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]++')
_QUOTED: Final = re.compile(rb'"([^\x00\r\n"\\\x80-\xff]*+(?:\\["\\][^\x00\r\n"\\\x80-\xff]*+)*+)"')
_QUOTED_UTF8: Final = re.compile(rb'"([^\x00\r\n"\\]*+(?:\\["\\][^\x00\r\n"\\]*+)*+)"')
_ESCAPED: Final = re.compile(rb'\\(["\\])')
_TO_ESCAPE: Final = re.compile(rb'["\\]')
_LITERAL: Final = re.compile(rb"\{([0-9]{1,20})\+?\}\r?\n")
_LITERAL_AT_END: Final = re.compile(rb"(~?)\{([0-9]+)(\+?)\}\r?\n\Z")
_DIGITS: Final = re.compile(rb"[0-9]{1,20}")
_END: Final = re.compile(rb"\r?\n\Z")
_BASE64: Final = re.compile(rb"(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_QUOTABLE: Final = re.compile(rb"[\x20-\x7e]*")


class LiteralHead(NamedTuple):
    """What announces a literal: `{310}`, `{310+}`, `~{310}` (RFC 3501 9, RFC 7888 4, RFC 4466 3)."""

    size: int
    """Octets that follow; never more than NUMBER64_MAX, whatever the peer wrote."""
    nonsync: bool
    """The octets follow at once, without a continuation request."""
    literal8: bool
    """The octets may hold NUL."""


def literal_at_end(line: bytes) -> LiteralHead | None:
    """The head of a literal at the end of a line, if it announces one.

    Any count of digits is understood, so that the octets of a non-synchronising literal are never taken for
    commands; a number beyond 63 bits is NUMBER64_MAX.
    """
    found = _LITERAL_AT_END.search(line, max(line.rfind(b"{") - 1, 0))
    return None if found is None else _literal_head(found)


def read_literal_head(buffer: bytes, position: int) -> LiteralHead:
    """The head of a literal with which the buffer ends."""
    found = _LITERAL_AT_END.match(buffer, position)
    if found is None:
        raise SyntaxFault("a literal is missing")
    return _literal_head(found)


def _literal_head(found: re.Match[bytes]) -> LiteralHead:
    tilde, digits, plus = found.groups()
    digits = digits.lstrip(b"0")
    size = int(digits or b"0") if len(digits) < 20 else NUMBER64_MAX
    return LiteralHead(min(size, NUMBER64_MAX), bool(plus), bool(tilde))


def read_space(buffer: bytes, position: int) -> int:
    """Pass exactly one space."""
    if buffer[position : position + 1] != b" ":
        raise SyntaxFault("a space is missing")
    return position + 1


def read_end(buffer: bytes, position: int) -> None:
    """Make sure that the command ends here."""
    if _END.match(buffer, position) is None:
        raise SyntaxFault("the command has a wrong end or too many arguments")


def at(buffer: bytes, position: int, octet: bytes) -> bool:
    """Whether `octet` stands here."""
    return buffer.startswith(octet, position)


def read_open(buffer: bytes, position: int) -> int:
    """Pass the "(" of a list."""
    if not buffer.startswith(b"(", position):
        raise SyntaxFault("a parenthesised list is missing")
    return position + 1


def read_next(buffer: bytes, position: int) -> tuple[bool, int]:
    """After a member of a list: True and the next member's position, or False and the position after ")"."""
    if buffer.startswith(b" ", position):
        return True, position + 1
    if buffer.startswith(b")", position):
        return False, position + 1
    raise SyntaxFault("a list has no end")


def read_tag(buffer: bytes, position: int) -> tuple[bytes, int]:
    """A command's tag, of at most IMAP_TAG_OCTETS."""
    found = _TAG.match(buffer, position)
    if found is None or found.end() - position > IMAP_TAG_OCTETS:
        raise SyntaxFault("the tag is not one")
    return found.group(), found.end()


def read_atom(buffer: bytes, position: int) -> tuple[bytes, int]:
    """An atom, as it stands."""
    found = _ATOM.match(buffer, position)
    if found is None:
        raise SyntaxFault("an atom is missing")
    return found.group(), found.end()


def read_word(buffer: bytes, position: int) -> tuple[bytes, int]:
    """An atom in upper case: the name of an item or option."""
    found = _ATOM.match(buffer, position)
    if found is None:
        raise SyntaxFault("a word is missing")
    return found.group().upper(), found.end()


def read_quoted(buffer: bytes, position: int, *, utf8: bool = False) -> tuple[bytes, int]:
    """A quoted string's octets, unescaped. NUL, CR and LF are refused, and 8-bit octets unless `utf8` is set, when
    they must be UTF-8 (RFC 9051 9)."""
    found = (_QUOTED_UTF8 if utf8 else _QUOTED).match(buffer, position)
    if found is None:
        raise SyntaxFault("a quoted string is malformed")
    value = found.group(1)
    if b"\\" in value:
        value = _ESCAPED.sub(rb"\1", value)
    if utf8 and not value.isascii():
        to_text(value)
    return value, found.end()


def read_literal(buffer: bytes, position: int) -> tuple[bytes, int]:
    """A literal's octets, which must all be in the buffer; NUL is refused (RFC 3501 9: CHAR8)."""
    found = _LITERAL.match(buffer, position)
    if found is None:
        raise SyntaxFault("a string is missing")
    end = found.end() + int(found.group(1))
    if end > len(buffer):
        raise SyntaxFault("a literal is not whole")
    value = buffer[found.end() : end]
    if b"\x00" in value:
        raise SyntaxFault("a literal has a NUL")
    return value, end


def read_string(buffer: bytes, position: int, *, utf8: bool = False) -> tuple[bytes, int]:
    """A quoted string or a literal."""
    if buffer.startswith(b'"', position):
        return read_quoted(buffer, position, utf8=utf8)
    return read_literal(buffer, position)


def read_astring(buffer: bytes, position: int, *, utf8: bool = False) -> tuple[bytes, int]:
    """An atom (which may hold "]" here) or a string."""
    found = _ASTRING_CHARS.match(buffer, position)
    if found is not None:
        return found.group(), found.end()
    return read_string(buffer, position, utf8=utf8)


def read_list_mailbox(buffer: bytes, position: int) -> tuple[bytes, int]:
    """LIST's pattern: as an astring, and "%" and "*" may stand bare."""
    found = _LIST_CHARS.match(buffer, position)
    if found is not None:
        return found.group(), found.end()
    return read_string(buffer, position)


def read_nstring(buffer: bytes, position: int) -> tuple[bytes | None, int]:
    """A string, or None for NIL."""
    found = _ATOM.match(buffer, position)
    if found is None:
        return read_string(buffer, position)
    if found.group().upper() != b"NIL":
        raise SyntaxFault("a string or NIL is missing")
    return None, found.end()


def read_number(buffer: bytes, position: int, maximum: int = NUMBER_MAX) -> tuple[int, int]:
    """A number of at most `maximum`; leading zeros are read as nothing."""
    found = _DIGITS.match(buffer, position)
    if found is None or (value := int(found.group())) > maximum:
        raise SyntaxFault("a number is missing or too large")
    return value, found.end()


def read_number64(buffer: bytes, position: int) -> tuple[int, int]:
    """A number of at most 63 bits."""
    return read_number(buffer, position, NUMBER64_MAX)


def read_base64(buffer: bytes, position: int) -> tuple[bytes, int]:
    """Octets that stand as base64 (RFC 3501 9), of at most IMAP_BASE64_OCTETS encoded."""
    found = _BASE64.match(buffer, position)
    if found is None or found.end() - position > IMAP_BASE64_OCTETS:
        raise SyntaxFault("base64 is too long")
    return binascii.a2b_base64(found.group()), found.end()


def to_text(octets: bytes) -> str:
    """Octets that must be UTF-8, as text."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise SyntaxFault("a string is not UTF-8") from None


def write_string(value: bytes) -> bytes:
    """A quoted string where it is printable ASCII and short, else a literal."""
    if len(value) > QUOTED_MAX or _QUOTABLE.fullmatch(value) is None:
        return b"{%d}\r\n%b" % (len(value), value)
    return b'"%b"' % _TO_ESCAPE.sub(rb"\\\g<0>", value)


def write_astring(value: bytes) -> bytes:
    """An atom where that is safe (NIL is not: readers of lists may take it for nothing), else a string."""
    if len(value) <= QUOTED_MAX and _ASTRING_CHARS.fullmatch(value) is not None and value.upper() != b"NIL":
        return value
    return write_string(value)
