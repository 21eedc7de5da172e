"""Addresses and paths (RFC 5321 4.1.2; beyond ASCII RFC 6531 3.3)."""

from __future__ import annotations

import functools
import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from postroom.net.limits import SMTP_DOMAIN_OCTETS, SMTP_LOCAL_PART_OCTETS, SMTP_PATH_OCTETS
from postroom.smtp.grammar.domains import to_ascii
from postroom.smtp.grammar.faults import AddressFault, SyntaxFault, Utf8Fault

_ATEXT: Final = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_STRING: Final = _ATEXT + rb"(?:\." + _ATEXT + rb")*"
_QUOTED: Final = rb'"(?:[ !#-\[\]-~]|\\[ -~])*"'
# Underscores are no part of a host name, but live in the names of many that send mail.
_LABEL: Final = rb"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
DOMAIN: Final = _LABEL + rb"(?:\." + _LABEL + rb")*"
LITERAL: Final = rb"\[[!-Z^-~]{1,64}\]"

_PATH = re.compile(
    rb"<(?:@" + DOMAIN + rb"(?:,@" + DOMAIN + rb")*:)?"
    rb"(?P<local>" + _DOT_STRING + rb"|" + _QUOTED + rb")@(?P<domain>" + DOMAIN + rb"|" + LITERAL + rb")>"
)
_BARE_POSTMASTER = re.compile(rb"<postmaster>", re.IGNORECASE)
_PLAIN_LOCAL = re.compile(_DOT_STRING)
_UNQUOTE = re.compile(r"\\(.)")
_QUOTE = re.compile(r'([\\"])')

# The same with characters beyond ASCII (RFC 6531 3.3): they may stand where a letter may, but for the controls of
# ISO 6429 (U+0080 to U+009F). Said by what may not stand there: such classes are small.
_WIDE_ATEXT: Final = r"[^\x00- \"(),.:;<>@\[\\\]\x7f-\x9f]+"
_WIDE_DOT_STRING: Final = rf"{_WIDE_ATEXT}(?:\.{_WIDE_ATEXT})*"
_WIDE_QUOTED: Final = r'"(?:[^\x00-\x1f"\\\x7f-\x9f]|\\[ -~])*"'
_WIDE_LETTER: Final = r"[^\x00-/:-@\[-^`{-\x9f]"
_WIDE_LABEL: Final = rf"{_WIDE_LETTER}(?:[^\x00-,./:-@\[-^`{{-\x9f]{{0,61}}{_WIDE_LETTER})?"
_WIDE_DOMAIN: Final = rf"{_WIDE_LABEL}(?:\.{_WIDE_LABEL})*"
_WIDE_PATH = re.compile(
    rf"<(?:@{_WIDE_DOMAIN}(?:,@{_WIDE_DOMAIN})*:)?(?P<local>{_WIDE_DOT_STRING}|{_WIDE_QUOTED})"
    rf"@(?P<domain>{_WIDE_DOMAIN}|{LITERAL.decode('ascii')})>"
)
_WIDE_PLAIN_LOCAL = re.compile(_WIDE_DOT_STRING)
_INVISIBLE: Final = frozenset(
    "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ufffe\uffff"
)
"""Ends of lines, and what would make an address look like another one."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox's address: the local part as it is meant, without quoting, composed (NFC); the domain as it was
    written, but for U-labels, which are A-labels here.

    `<postmaster>`, the one path without a domain (RFC 5321 4.1.1.3), has an empty `domain`.
    """

    local: str
    domain: str

    def __str__(self) -> str:
        """As people and aliases write it: quoted only where it must be."""
        local = self.local
        if not _WIDE_PLAIN_LOCAL.fullmatch(local):
            local = '"' + _QUOTE.sub(r"\\\1", local) + '"'
        return f"{local}@{self.domain}" if self.domain else local


def read_path(buffer: bytes, position: int) -> tuple[Address, int]:
    """A forward-path (RFC 5321 4.1.1.3). Its source route is dropped (RFC 5321 F.2); `%` and `!` mean nothing.

    One beyond ASCII is read too: whether it may be said is the caller's to ask. Raises AddressFault, and of octets
    that are no UTF-8 Utf8Fault.
    """
    found = _PATH.match(buffer, position)
    if found is None:
        bare = _BARE_POSTMASTER.match(buffer, position)
        if bare is not None:
            return Address("postmaster", ""), bare.end()
        if buffer.isascii():
            raise AddressFault("bad address syntax")
        return _read_wide_path(buffer, position)
    local, domain = found.group("local", "domain")
    # The source route counts for nothing, so it doesn't count for the length either.
    _check_lengths(len(local), len(domain))
    if domain[0] == 0x5B:
        check_literal(domain)
    name = local.decode("ascii")
    if name[0] == '"':
        name = _UNQUOTE.sub(r"\1", name[1:-1])
    return Address(name, domain.decode("ascii")), found.end()


def _read_wide_path(buffer: bytes, position: int) -> tuple[Address, int]:
    """The same beyond ASCII (RFC 6531 3.3)."""
    try:
        text = buffer[position:].decode("utf-8")
    except UnicodeDecodeError as fault:
        raise Utf8Fault("not UTF-8") from fault
    found = _WIDE_PATH.match(text)
    if found is None or not _INVISIBLE.isdisjoint(found[0]):
        raise AddressFault("bad address syntax")
    local = unicodedata.normalize("NFC", found["local"])
    domain = to_ascii(found["domain"])
    _check_lengths(len(local.encode("utf-8")), len(domain))
    if domain[0] == "[":
        check_literal(domain.encode("ascii"))
    if local[0] == '"':
        local = _UNQUOTE.sub(r"\1", local[1:-1])
    return Address(local, domain), position + len(found[0].encode("utf-8"))


def _check_lengths(local: int, domain: int) -> None:
    """RFC 5321 4.5.3.1.1 to 4.5.3.1.3, in octets."""
    if local > SMTP_LOCAL_PART_OCTETS:
        raise AddressFault("local part too long")
    if domain > SMTP_DOMAIN_OCTETS or local + domain + 3 > SMTP_PATH_OCTETS:
        raise AddressFault("path too long")


def read_reverse_path(buffer: bytes, position: int) -> tuple[Address | None, int]:
    """A reverse-path (RFC 5321 4.1.1.2); None for `<>`, the sender of reports. Raises as `read_path`."""
    if buffer.startswith(b"<>", position):
        return None, position + 2
    address, end = read_path(buffer, position)
    if not address.domain:
        raise AddressFault("sender address without a domain")
    return address, end


@functools.lru_cache(maxsize=1024)
def write_path(address: Address | None) -> bytes:
    """The path of an address, `<>` for None; in UTF-8 where it goes beyond ASCII, which may be said only where
    SMTPUTF8 was agreed. Raises ValueError for one that would not read back.

    Remembers what it wrote: a site's letters go to the same addresses over and over.
    """
    if address is None:
        return b"<>"
    try:
        path = f"<{address}>".encode()
        if read_path(path, 0) == (address, len(path)):
            return path
    except (UnicodeEncodeError, AddressFault) as fault:
        raise ValueError("not an address that SMTP can carry") from fault
    raise ValueError("not an address that SMTP can carry")


def read_address(text: str) -> Address:
    """An address as people write it, without angle brackets; "postmaster" alone is one. Raises AddressFault."""
    try:
        path = f"<{text}>".encode()
    except UnicodeEncodeError as fault:
        raise AddressFault("bad address syntax") from fault
    address, end = read_path(path, 0)
    if end != len(path) or path[1:2] == b"@":
        raise AddressFault("bad address syntax")
    return address


def read_local_part(text: str) -> str:
    """A local part alone, as VRFY may name it (RFC 5321 3.5.1). Raises AddressFault."""
    # The path's own rules, with the shortest domain there is.
    return read_address(f"{text}@x").local


def check_literal(literal: bytes) -> None:
    """An address literal, brackets included (RFC 5321 4.1.3). Raises AddressFault where it names no address."""
    read_literal(literal.decode("ascii", "replace"))


def read_literal(literal: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that a literal names. Raises AddressFault."""
    inner = literal[1:-1]
    try:
        if inner[:5].upper() == "IPV6:":
            return ipaddress.IPv6Address(inner[5:])
        return ipaddress.IPv4Address(inner)
    except ValueError as fault:
        raise AddressFault("bad address literal") from fault


_GREETED_AS = re.compile(rb"[!-~]+")
_PLAIN_DOMAIN = re.compile(DOMAIN)


def read_client_name(argument: bytes) -> str:
    """The argument of HELO and EHLO (RFC 5321 4.1.1.1): a domain or an address literal, but what clients say
    instead is taken too (RFC 5321 4.1.4 forbids to refuse mail for a wrong name) as long as it is one word of
    printable ASCII.

    Raises SyntaxFault.
    """
    if len(argument) > SMTP_DOMAIN_OCTETS or not _GREETED_AS.fullmatch(argument):
        raise SyntaxFault("bad host name")
    return argument.decode("ascii")


def write_client_name(name: str) -> bytes:
    """A client's own name for EHLO. Raises ValueError for what is neither a domain nor an address literal."""
    octets = name.encode("ascii", "replace")
    if len(octets) <= SMTP_DOMAIN_OCTETS:
        if _PLAIN_DOMAIN.fullmatch(octets):
            return octets
        if re.fullmatch(LITERAL, octets):
            check_literal(octets)
            return octets
    raise ValueError("not a host name")
