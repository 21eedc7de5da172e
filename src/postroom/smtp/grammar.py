"""SMTP's words: command lines, paths, parameters, host names, xtext, reply lines; read and write stand together.

Pure: bytes to values and back, for the server and the client; imports no I/O. A reader takes (buffer, position)
and gives (value, position); it raises `SyntaxFault` and nothing else. A writer raises ValueError for a value that
would not read back, so that no CR, LF or NUL ever slips into a line.

    read_path(b"<@relay.example:jo@example.org> SIZE=5", 0)  ->  Address("jo", "example.org"), 31
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from postroom.net.limits import (
    SMTP_DOMAIN_OCTETS,
    SMTP_LOCAL_PART_OCTETS,
    SMTP_PATH_OCTETS,
    SMTP_REPLY_LINE_OCTETS,
)


class SyntaxFault(ValueError):
    """The peer broke the grammar. The text is ours, short, and repeats nothing of what the peer sent."""


class AddressFault(SyntaxFault):
    """A path that is none: it has replies of its own (RFC 3463 3.2: X.1.3, X.1.7)."""


class LineEndFault(SyntaxFault):
    """A command line that doesn't end with CR LF (RFC 5321 2.3.8)."""


class ControlFault(SyntaxFault):
    """A control character in a command line."""


# --- addresses and paths (RFC 5321 4.1.2)

_ATEXT: Final = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_STRING: Final = _ATEXT + rb"(?:\." + _ATEXT + rb")*"
_QUOTED: Final = rb'"(?:[ !#-\[\]-~]|\\[ -~])*"'
# Underscores are no part of a host name, but live in the names of many that send mail.
_LABEL: Final = rb"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN: Final = _LABEL + rb"(?:\." + _LABEL + rb")*"
_LITERAL: Final = rb"\[[!-Z^-~]{1,64}\]"

_PATH = re.compile(
    rb"<(?:@" + _DOMAIN + rb"(?:,@" + _DOMAIN + rb")*:)?"
    rb"(?P<local>" + _DOT_STRING + rb"|" + _QUOTED + rb")@(?P<domain>" + _DOMAIN + rb"|" + _LITERAL + rb")>"
)
_BARE_POSTMASTER = re.compile(rb"<postmaster>", re.IGNORECASE)
_PLAIN_LOCAL = re.compile(_DOT_STRING)
_PLAIN_DOMAIN = re.compile(_DOMAIN)
_UNQUOTE = re.compile(r"\\(.)")
_QUOTE = re.compile(r'([\\"])')


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox's address: the local part as it is meant, without quoting; the domain as it was written.

    `<postmaster>`, the one path without a domain (RFC 5321 4.1.1.3), has an empty `domain`.
    """

    local: str
    domain: str

    def __str__(self) -> str:
        """As people and aliases write it: quoted only where it must be."""
        local = self.local
        if not _PLAIN_LOCAL.fullmatch(local.encode("utf-8", "replace")):
            local = '"' + _QUOTE.sub(r"\\\1", local) + '"'
        return f"{local}@{self.domain}" if self.domain else local


def read_path(buffer: bytes, position: int) -> tuple[Address, int]:
    """A forward-path (RFC 5321 4.1.1.3). Its source route is dropped (RFC 5321 F.2); `%` and `!` mean nothing.

    Raises AddressFault.
    """
    found = _PATH.match(buffer, position)
    if found is None:
        bare = _BARE_POSTMASTER.match(buffer, position)
        if bare is None:
            raise AddressFault("bad address syntax")
        return Address("postmaster", ""), bare.end()
    local, domain = found.group("local", "domain")
    # The source route counts for nothing, so it doesn't count for the length either.
    if len(local) > SMTP_LOCAL_PART_OCTETS:
        raise AddressFault("local part too long")
    if len(domain) > SMTP_DOMAIN_OCTETS or len(local) + len(domain) + 3 > SMTP_PATH_OCTETS:
        raise AddressFault("path too long")
    if domain[0] == 0x5B:
        check_literal(domain)
    name = local.decode("ascii")
    if name[0] == '"':
        name = _UNQUOTE.sub(r"\1", name[1:-1])
    return Address(name, domain.decode("ascii")), found.end()


def read_reverse_path(buffer: bytes, position: int) -> tuple[Address | None, int]:
    """A reverse-path (RFC 5321 4.1.1.2); None for `<>`, the sender of reports. Raises AddressFault."""
    if buffer.startswith(b"<>", position):
        return None, position + 2
    address, end = read_path(buffer, position)
    if not address.domain:
        raise AddressFault("sender address without a domain")
    return address, end


@functools.lru_cache(maxsize=1024)
def write_path(address: Address | None) -> bytes:
    """The path of an address, `<>` for None. Raises ValueError for one that would not read back.

    Remembers what it wrote: a site's letters go to the same addresses over and over.
    """
    if address is None:
        return b"<>"
    try:
        path = f"<{address}>".encode("ascii")
        if read_path(path, 0) == (address, len(path)):
            return path
    except (UnicodeEncodeError, AddressFault) as fault:
        raise ValueError("not an address that SMTP can carry") from fault
    raise ValueError("not an address that SMTP can carry")


def read_address(text: str) -> Address:
    """An address as people write it, without angle brackets; "postmaster" alone is one. Raises AddressFault."""
    try:
        path = f"<{text}>".encode("ascii")
    except UnicodeEncodeError as fault:
        raise AddressFault("bad address syntax") from fault
    address, end = read_path(path, 0)
    if end != len(path) or path[1:2] == b"@":
        raise AddressFault("bad address syntax")
    return address


def check_literal(literal: bytes) -> None:
    """An address literal, brackets included (RFC 5321 4.1.3). Raises AddressFault where it names no address."""
    inner = literal[1:-1].decode("ascii", "replace")
    try:
        if inner[:5].upper() == "IPV6:":
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError as fault:
        raise AddressFault("bad address literal") from fault


# --- host names (RFC 5321 4.1.1.1)

_GREETED_AS = re.compile(rb"[!-~]+")


def read_client_name(argument: bytes) -> str:
    """The argument of HELO and EHLO: a domain or an address literal, but what clients say instead is taken too (RFC
    5321 4.1.4 forbids to refuse mail for a wrong name) as long as it is one word of printable ASCII.

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
        if re.fullmatch(_LITERAL, octets):
            check_literal(octets)
            return octets
    raise ValueError("not a host name")


# --- ESMTP parameters (RFC 5321 4.1.1.11)

_PARAMETER = re.compile(rb" +([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?(?= |\Z)")
_TRAILING = re.compile(rb" *\Z")
_NUMBER = re.compile(rb"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One ESMTP parameter; the keyword in upper case, `value` None where there is none."""

    keyword: str
    value: bytes | None = None


def read_parameters(buffer: bytes, position: int) -> tuple[Parameter, ...]:
    """All parameters up to the buffer's end. Raises SyntaxFault for a keyword that comes twice."""
    found: dict[str, Parameter] = {}
    while not _TRAILING.match(buffer, position):
        match = _PARAMETER.match(buffer, position)
        if match is None:
            raise SyntaxFault("bad parameter syntax")
        keyword = match[1].decode("ascii").upper()
        if keyword in found:
            raise SyntaxFault("parameter given twice")
        found[keyword] = Parameter(keyword, match[2])
        position = match.end()
    return tuple(found.values())


def write_parameters(parameters: Iterable[Parameter]) -> bytes:
    """Parameters with a space before each. Raises ValueError for one that would not read back."""
    pieces = [
        b" " + each.keyword.encode("ascii", "replace") + (b"" if each.value is None else b"=" + each.value)
        for each in parameters
    ]
    for piece in pieces:
        if not _PARAMETER.fullmatch(piece):
            raise ValueError("not a parameter that SMTP can carry")
    return b"".join(pieces)


def read_number(octets: bytes) -> int:
    """1 to 20 digits, and nothing that `int` takes beside them (RFC 1870 3)."""
    if not _NUMBER.fullmatch(octets):
        raise SyntaxFault("bad number")
    return int(octets)


# --- MAIL and RCPT (RFC 5321 4.1.1.2, 4.1.1.3)

_FROM = re.compile(rb"FROM: *", re.IGNORECASE)
_TO = re.compile(rb"TO: *", re.IGNORECASE)


def read_mail(argument: bytes) -> tuple[Address | None, tuple[Parameter, ...]]:
    """MAIL's argument: reverse-path and parameters."""
    sender, end = read_reverse_path(argument, _after(_FROM, argument))
    return sender, read_parameters(argument, end)


def write_mail(sender: Address | None, parameters: Sequence[Parameter] = ()) -> bytes:
    """A MAIL command line, CRLF included."""
    return b"MAIL FROM:" + write_path(sender) + write_parameters(parameters) + b"\r\n"


def read_rcpt(argument: bytes) -> tuple[Address, tuple[Parameter, ...]]:
    """RCPT's argument: forward-path and parameters."""
    recipient, end = read_path(argument, _after(_TO, argument))
    return recipient, read_parameters(argument, end)


def write_rcpt(recipient: Address, parameters: Sequence[Parameter] = ()) -> bytes:
    """A RCPT command line, CRLF included."""
    return b"RCPT TO:" + write_path(recipient) + write_parameters(parameters) + b"\r\n"


def _after(word: re.Pattern[bytes], argument: bytes) -> int:
    found = word.match(argument)
    if found is None:
        raise SyntaxFault("FROM: or TO: expected")
    return found.end()


# --- command lines (RFC 5321 4.1.1, 2.3.8)

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def read_command(line: bytes) -> tuple[bytes, bytes]:
    """The verb in upper case, and its argument without the spaces around it; `line` is ended by CRLF.

    A line that ends otherwise is no line (RFC 5321 2.3.8), and controls stand in none; a tab counts as a space.
    Raises LineEndFault, ControlFault.
    """
    if not line.endswith(b"\r\n"):
        raise LineEndFault("lines end with CR LF")
    body = line[:-2]
    if _CONTROL.search(body):
        raise ControlFault("control character")
    verb, _, argument = body.replace(b"\t", b" ").partition(b" ")
    return verb.upper(), argument.strip(b" ")


# --- xtext (RFC 3461 4)

_XTEXT = re.compile(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR = re.compile(rb"\+([0-9A-F]{2})")
_NOT_XCHAR = re.compile(rb"[^!-*,-<>-~]")


def read_xtext(octets: bytes) -> bytes:
    """What an xtext stands for."""
    if not _XTEXT.fullmatch(octets):
        raise SyntaxFault("bad xtext")
    return _HEXCHAR.sub(lambda found: bytes((int(found[1], 16),)), octets)


def write_xtext(octets: bytes) -> bytes:
    """Any octets as xtext."""
    return _NOT_XCHAR.sub(lambda found: b"+%02X" % ord(found[0]), octets)


# --- replies (RFC 5321 4.2, RFC 2034 4)

_UNPRINTABLE = re.compile(r"[^ -~]")
_REPLY_LINE = re.compile(
    rb"(?P<code>[2-5][0-5][0-9])(?:(?P<mark>[ -])(?:(?P<enhanced>[245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |(?=\r?\n)))?"
    rb"(?P<text>[^\r\n]*))?\r?\n"
)


@dataclass(frozen=True, slots=True)
class ReplyLine:
    """One line of a reply. `enhanced` is empty where there is no enhanced status code."""

    code: int
    enhanced: str
    text: str
    last: bool = True


def read_reply_line(line: bytes) -> ReplyLine:
    """One line of a server's reply, line end included; text that isn't ASCII comes with replacement characters."""
    found = _REPLY_LINE.fullmatch(line)
    if found is None or len(line) > SMTP_REPLY_LINE_OCTETS:
        raise SyntaxFault("not a reply")
    code, mark, enhanced, text = found.group("code", "mark", "enhanced", "text")
    return ReplyLine(
        int(code), (enhanced or b"").decode("ascii"), (text or b"").decode("ascii", "replace"), mark != b"-"
    )


def write_reply(code: int, enhanced: str, lines: Sequence[str]) -> bytes:
    """A whole reply of at least one line, each with the enhanced code where there is one (RFC 2034 4).

    What isn't printable ASCII becomes `?`: no text can begin a line of its own.
    """
    prefix = f"{enhanced} " if enhanced else ""
    *above, end = (prefix + _UNPRINTABLE.sub("?", line) for line in lines)
    return "".join([*(f"{code}-{line}\r\n" for line in above), f"{code} {end}\r\n"]).encode("ascii")
