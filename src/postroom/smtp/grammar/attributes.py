"""XCLIENT's and XFORWARD's arguments: what a proxy tells of the client behind it (Postfix's XCLIENT_README and
XFORWARD_README)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from postroom.net.limits import SMTP_DOMAIN_OCTETS
from postroom.smtp.grammar.faults import SyntaxFault
from postroom.smtp.grammar.parameters import read_xtext, write_xtext
from postroom.smtp.grammar.paths import read_client_name

XCLIENT: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
XFORWARD: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
"""The attributes, in the order in which EHLO announces them."""

_ATTRIBUTE = re.compile(rb"([A-Za-z]+)=([!-~]+)")
_UNKNOWN: Final = frozenset((b"[UNAVAILABLE]", b"[TEMPUNAVAIL]"))
_TEXT = re.compile(rb"[!-~]+")
_PORT = re.compile(rb"[0-9]{1,5}")


def read_attributes(argument: bytes, known: Iterable[str]) -> dict[str, str]:
    """The attributes of one command by their names, of which only those that are `known` may come, each once; a
    value that isn't to be had is empty. Raises SyntaxFault."""
    found: dict[str, str] = {}
    for word in argument.split():
        match = _ATTRIBUTE.fullmatch(word)
        if match is None:
            raise SyntaxFault("name=value expected")
        name = match[1].decode("ascii").upper()
        if name not in known or name in found:
            raise SyntaxFault("unknown attribute, or one given twice")
        found[name] = _value(name, match[2])
    return found


def write_attributes(attributes: Mapping[str, str]) -> bytes:
    """Attributes with a space before each; an empty value isn't to be had. Raises ValueError for what would not
    read back."""
    line = b"".join(
        b" %b=%b" % (name.encode("ascii", "replace"), _written(name, value)) for name, value in attributes.items()
    )
    if read_attributes(line, attributes) != attributes:
        raise ValueError("not attributes that SMTP can carry")
    return line


def _written(name: str, value: str) -> bytes:
    if not value:
        return b"[UNAVAILABLE]"
    prefix = "IPV6:" if name in ("ADDR", "DESTADDR") and ":" in value else ""
    return write_xtext((prefix + value).encode())


def _value(name: str, written: bytes) -> str:
    if written.upper() in _UNKNOWN:
        return ""
    value = read_xtext(written)
    if len(value) > SMTP_DOMAIN_OCTETS:
        raise SyntaxFault("value too long")
    return _READERS.get(name, _text)(value)


def _text(value: bytes) -> str:
    if not _TEXT.fullmatch(value):
        raise SyntaxFault("one word of ASCII expected")
    return value.decode("ascii")


def _login(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise SyntaxFault("not UTF-8") from fault
    if not text.isprintable():
        raise SyntaxFault("control character")
    return text


def _address(value: bytes) -> str:
    """An IP address; IPv6 has its prefix (RFC 5321 4.1.3)."""
    text = value.decode("ascii", "replace")
    try:
        if text[:5].upper() == "IPV6:":
            return str(ipaddress.IPv6Address(text[5:]))
        return str(ipaddress.IPv4Address(text))
    except ValueError as fault:
        raise SyntaxFault("bad address") from fault


def _port(value: bytes) -> str:
    if not _PORT.fullmatch(value) or int(value) > 65535:
        raise SyntaxFault("bad port")
    return str(int(value))


def _protocol(value: bytes) -> str:
    text = _text(value).upper()
    if text not in ("SMTP", "ESMTP", "LMTP"):
        raise SyntaxFault("SMTP or ESMTP expected")
    return text


def _source(value: bytes) -> str:
    text = _text(value).upper()
    if text not in ("LOCAL", "REMOTE"):
        raise SyntaxFault("LOCAL or REMOTE expected")
    return text


_READERS: Final[dict[str, Callable[[bytes], str]]] = {
    "ADDR": _address,
    "DESTADDR": _address,
    "PORT": _port,
    "DESTPORT": _port,
    "PROTO": _protocol,
    "HELO": read_client_name,
    "LOGIN": _login,
    "SOURCE": _source,
}
