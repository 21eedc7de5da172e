"""What all mechanisms share: how one asks its client, whom it asks about the answers, how an exchange can end, and
the base64 that carries it."""

from __future__ import annotations

import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from postroom.accounts.authority import Challenge, Login, Verdict

if TYPE_CHECKING:
    from postroom.accounts.sasl.claims import Credentials

__all__ = [
    "Ask",
    "Cancelled",
    "Circumstances",
    "Door",
    "Malformed",
    "Mechanism",
    "NoSuchMechanism",
    "decode_base64",
    "decode_initial",
]

Ask = Callable[[bytes], Awaitable[bytes]]
"""Send a challenge (plain octets), give the decoded answer. May raise `Malformed` or `Cancelled`."""


class Malformed(ValueError):
    """The exchange broke the mechanism's grammar or a limit."""


class Cancelled(Exception):
    """The client gave up with "*" (RFC 4954 4)."""


class NoSuchMechanism(ValueError):
    """A mechanism that is not offered."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the connection, and the site, give to mechanisms that want more than a password."""

    binding: bytes | None = None
    """The channel binding of type tls-server-end-point (RFC 5929 4); None without TLS."""
    certified: tuple[str, ...] = ()
    """The e-mail addresses in the client's certificate, where it has shown one that was verified."""
    scram: bool = False
    """Whether SCRAM is switched on."""
    tokens: bool = False
    """Whether the site has somebody who verifies OAuth tokens."""


class Door(Protocol):
    """Whom a mechanism asks; it knows who is at the door, and from where."""

    async def password(self, claim: Credentials) -> Login:
        """Whether a password is right."""

    async def scram_first(self, login: str, bare: bytes, nonce: bytes) -> Challenge:
        """SCRAM's first half; see `accounts.authority.Exchanges`."""

    async def scram_final(self, nonce: bytes, without: bytes, proof: bytes) -> Verdict:
        """SCRAM's second half."""

    async def certificate(self, wanted: str, certified: tuple[str, ...]) -> Login:
        """Whose account a certificate is, `wanted` or (where that is empty) the first one's that has one."""

    async def token(self, login: str, token: bytes) -> Login:
        """Whose token it is, and whether it is `login`'s, where that isn't empty."""


Mechanism = Callable[[bytes | None, Ask, Door, Circumstances], Awaitable[Login]]
"""Runs one exchange. The first argument is the decoded initial response, None where there was none. Raises
Malformed, Cancelled."""


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
