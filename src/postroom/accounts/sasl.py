"""SASL for all protocols: the exchanges PLAIN (RFC 4616) and LOGIN, and the strict base64 that carries them.

A protocol gives the mechanism's name, the initial response if there was one, and a way to ask; it gets a
login and a password, which `accounts.directory` judges. No I/O of its own. Called by the servers; a secret is
never logged.
"""

from __future__ import annotations

import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from postroom.net.limits import LOGIN_OCTETS, PASSWORD_OCTETS

Ask = Callable[[bytes], Awaitable[bytes]]
"""Send a challenge (plain octets), give the decoded answer. May raise `Malformed` or `Cancelled`."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody claims; not yet believed."""

    login: str
    password: bytes = field(repr=False)


class Malformed(ValueError):
    """The exchange broke the mechanism's grammar or a limit."""


class Cancelled(Exception):
    """The client gave up with "*" (RFC 4954 4)."""


class NoSuchMechanism(ValueError):
    """A mechanism that is not offered."""


async def authenticate(mechanism: str, initial: bytes | None, ask: Ask) -> Credentials:
    """Run one exchange. `initial` is the decoded initial response, None where there was none.

    Raises Malformed, Cancelled, NoSuchMechanism.
    """
    exchange = _MECHANISMS.get(mechanism.upper())
    if exchange is None:
        raise NoSuchMechanism("no such mechanism")
    return await exchange(initial, ask)


async def _plain(initial: bytes | None, ask: Ask) -> Credentials:
    """RFC 4616 2: [authzid] NUL authcid NUL passwd."""
    message = await ask(b"") if initial is None else initial
    if len(message) > 2 * LOGIN_OCTETS + PASSWORD_OCTETS + 2:
        raise Malformed("the message is too long")
    parts = message.split(b"\x00")
    if len(parts) != 3:
        raise Malformed("the message is not authzid, NUL, authcid, NUL, password")
    authzid, authcid, password = parts
    if authzid.lower() not in (b"", authcid.lower()):
        raise Malformed("nobody may act for another")
    return credentials(authcid, password)


async def _login(initial: bytes | None, ask: Ask) -> Credentials:
    """The old mechanism of draft-murchison-sasl-login: a name and a password, each asked for."""
    login = await ask(b"Username:") if initial is None else initial
    return credentials(login, await ask(b"Password:"))


_MECHANISMS: Final = {"PLAIN": _plain, "LOGIN": _login}
MECHANISMS: Final = tuple(_MECHANISMS)
"""What is offered where passwords may be said, in the order of preference."""


def credentials(login: bytes, password: bytes) -> Credentials:
    """A login and a password as any command carries them, checked for what no login can be.

    Raises Malformed for an empty or overlong one, NUL, or a login that is no UTF-8 or has control characters.
    """
    if not 0 < len(login) <= LOGIN_OCTETS:
        raise Malformed(f"a login has 1 to {LOGIN_OCTETS} octets")
    if not 0 < len(password) <= PASSWORD_OCTETS:
        raise Malformed(f"a password has 1 to {PASSWORD_OCTETS} octets")
    if 0 in password:
        raise Malformed("NUL in a password")
    try:
        name = login.decode()
    except UnicodeDecodeError as error:
        raise Malformed("the login is not UTF-8") from error
    if any(char < " " or char == "\x7f" for char in name):
        raise Malformed("control characters in a login")
    return Credentials(name, password)


def decode_base64(text: bytes) -> bytes:
    """What a client's line of base64 means (without its line end). Strict (RFC 4648 3): whole groups, only the
    alphabet, padding only at the end, no spare bits.

    Raises Cancelled for "*", Malformed.
    """
    if text == b"*":
        raise Cancelled
    try:
        octets = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise Malformed("not base64") from error
    if binascii.b2a_base64(octets, newline=False) != text:
        raise Malformed("not base64 in its one canonical form")
    return octets


def decode_initial(text: bytes) -> bytes:
    """An initial response on the command's own line: "=" stands for the empty one (RFC 4954 4). Raises
    Malformed."""
    if text == b"*":
        raise Malformed("not base64")
    return b"" if text == b"=" else decode_base64(text)
