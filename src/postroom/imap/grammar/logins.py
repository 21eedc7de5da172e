"""The arguments of commands that need no mailbox: the logins, ENABLE, ID (RFC 3501 6.1, 6.2)."""

from __future__ import annotations

from dataclasses import dataclass

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.tokens import (
    at,
    read_astring,
    read_base64,
    read_end,
    read_next,
    read_nstring,
    read_space,
    read_string,
    read_word,
    to_text,
)
from postroom.net.limits import (
    IMAP_BASE64_OCTETS,
    IMAP_ELEMENTS,
    IMAP_ID_FIELD_OCTETS,
    IMAP_ID_FIELDS,
    IMAP_ID_VALUE_OCTETS,
    LOGIN_OCTETS,
    PASSWORD_OCTETS,
)


@dataclass(frozen=True, slots=True)
class Nothing:
    """The arguments of CAPABILITY, NOOP, LOGOUT, STARTTLS, CHECK, CLOSE, UNSELECT, EXPUNGE, IDLE, NAMESPACE."""


@dataclass(frozen=True, slots=True)
class Login:
    """LOGIN (RFC 3501 6.2.3)."""

    user: str
    password: bytes


@dataclass(frozen=True, slots=True)
class Authenticate:
    """AUTHENTICATE (RFC 3501 6.2.2) with an initial response (RFC 4959)."""

    mechanism: bytes
    """In upper case."""
    initial: bytes | None
    """Decoded; empty for "=", None where the client waits for a challenge."""


@dataclass(frozen=True, slots=True)
class Enable:
    """ENABLE (RFC 5161 3.1)."""

    capabilities: tuple[bytes, ...]
    """In upper case."""


@dataclass(frozen=True, slots=True)
class Id:
    """ID (RFC 2971 3.1): field and value; nothing for NIL."""

    fields: tuple[tuple[bytes, bytes | None], ...]


def read_nothing(buffer: bytes, position: int) -> Nothing:
    """No arguments at all."""
    read_end(buffer, position)
    return Nothing()


def read_login(buffer: bytes, position: int) -> Login:
    """User name, of at most LOGIN_OCTETS of UTF-8, and password, of at most PASSWORD_OCTETS."""
    user, position = read_astring(buffer, read_space(buffer, position))
    password, position = read_astring(buffer, read_space(buffer, position))
    read_end(buffer, position)
    if len(user) > LOGIN_OCTETS or len(password) > PASSWORD_OCTETS:
        raise SyntaxFault("user name or password is too long")
    return Login(to_text(user), password)


def read_authenticate(buffer: bytes, position: int) -> Authenticate:
    """Mechanism and perhaps the initial response (RFC 4959 3)."""
    mechanism, position = read_word(buffer, read_space(buffer, position))
    initial: bytes | None = None
    if at(buffer, position, b" "):
        position += 1
        if at(buffer, position, b"="):
            initial, position = b"", position + 1
        else:
            initial, position = read_base64(buffer, position)
            if not initial:
                raise SyntaxFault("an empty initial response is written as =")
    read_end(buffer, position)
    return Authenticate(mechanism, initial)


def read_sasl_response(line: bytes) -> bytes | None:
    """A line that answers a SASL challenge, decoded; None where the client cancels with "*" (RFC 3501 6.2.2)."""
    if len(line) > IMAP_BASE64_OCTETS + 2:
        raise SyntaxFault("base64 is too long")
    if line.rstrip(b"\r\n") == b"*":
        return None
    response, position = read_base64(line, 0)
    read_end(line, position)
    return response


def read_enable(buffer: bytes, position: int) -> Enable:
    """One capability or more."""
    capabilities: list[bytes] = []
    while at(buffer, position, b" ") and len(capabilities) < IMAP_ELEMENTS:
        capability, position = read_word(buffer, position + 1)
        capabilities.append(capability)
    read_end(buffer, position)
    if not capabilities:
        raise SyntaxFault("a capability is missing")
    return Enable(tuple(capabilities))


def read_id(buffer: bytes, position: int) -> Id:
    """NIL or a list of field-value pairs, within the limits of RFC 2971 3.3."""
    position = read_space(buffer, position)
    fields: list[tuple[bytes, bytes | None]] = []
    if not at(buffer, position, b"("):
        nil, position = read_nstring(buffer, position)
        if nil is not None:
            raise SyntaxFault("a list or NIL is missing")
    elif at(buffer, position, b"()"):
        position += 2
    else:
        position, more = position + 1, True
        while more:
            field, position = read_string(buffer, position)
            value, position = read_nstring(buffer, read_space(buffer, position))
            fields.append((field, value))
            if len(field) > IMAP_ID_FIELD_OCTETS or len(value or b"") > IMAP_ID_VALUE_OCTETS:
                raise SyntaxFault("a field of ID is too long")
            if len(fields) > IMAP_ID_FIELDS:
                raise SyntaxFault("ID has too many fields")
            more, position = read_next(buffer, position)
    read_end(buffer, position)
    return Id(tuple(fields))
