"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677): a password proved, and not said.

The messages are read and held together here; salt, keys, nonce and signatures are the authority's. The channel
binding is tls-server-end-point (RFC 5929 4), the only one that Python's TLS can give for TLS 1.3.
"""

from __future__ import annotations

import binascii
import hmac
import re
from dataclasses import dataclass
from typing import Final

from postroom.accounts.authority import Login, Outcome
from postroom.accounts.sasl.claims import acts_for, login_name
from postroom.accounts.sasl.exchange import Ask, Circumstances, Door, Malformed, decode_base64
from postroom.net.limits import SCRAM_MESSAGE_OCTETS, SCRAM_NONCE_OCTETS

__all__ = ["First", "Last", "read_final", "read_first", "scram", "scram_plus"]

BINDING: Final = b"tls-server-end-point"
_FIRST: Final = re.compile(
    rb"(?P<header>(?P<flag>n|y|p=[A-Za-z0-9.-]+),(?:a=(?P<authzid>[^,\x00]+))?,)"
    rb"(?P<bare>n=(?P<name>[^,\x00]+),r=(?P<nonce>[!-+\x2d-~]+)(?:,[A-Za-z]=[^,\x00]+)*)"
)
"""RFC 5802 7, client-first-message; a mandatory extension (m=) before the name doesn't fit, as it should."""
_FINAL: Final = re.compile(
    rb"(?P<without>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[!-+\x2d-~]+)(?:,[A-Za-z]=[^,\x00]+)*?)"
    rb",p=(?P<proof>[A-Za-z0-9+/=]+)"
)
"""RFC 5802 7, client-final-message."""


@dataclass(frozen=True, slots=True)
class First:
    """client-first-message: `header` is the GS2 header, `flag` its first part, `bare` all behind the header."""

    header: bytes
    flag: bytes
    login: str
    nonce: bytes
    bare: bytes


@dataclass(frozen=True, slots=True)
class Last:
    """client-final-message: `without` is all but the proof, `binding` decoded."""

    without: bytes
    binding: bytes
    nonce: bytes
    proof: bytes


def read_first(message: bytes) -> First:
    """Raises Malformed, also for an authorization identity that is another's."""
    found = _bounded(_FIRST, message)
    login = _name(found["name"])
    if len(found["nonce"]) > SCRAM_NONCE_OCTETS:
        raise Malformed("the nonce is too long")
    if found["authzid"] is not None:
        acts_for(_name(found["authzid"]).encode(), login.encode())
    return First(found["header"], found["flag"], login, found["nonce"], found["bare"])


def read_final(message: bytes) -> Last:
    """Raises Malformed."""
    found = _bounded(_FINAL, message)
    return Last(found["without"], decode_base64(found["binding"]), found["nonce"], decode_base64(found["proof"]))


def _bounded(form: re.Pattern[bytes], message: bytes) -> re.Match[bytes]:
    found = form.fullmatch(message) if len(message) <= SCRAM_MESSAGE_OCTETS else None
    if found is None:
        raise Malformed("not a SCRAM message")
    return found


def _name(written: bytes) -> str:
    """RFC 5802 5.1: "," and "=" are written as =2C and =3D, and no other "=" may stand there."""
    pieces = written.split(b"=")
    if any(piece[:2] not in (b"2C", b"3D") for piece in pieces[1:]):
        raise Malformed("not a SCRAM name")
    return login_name(written.replace(b"=2C", b",").replace(b"=3D", b"="))


def _binding_of(flag: bytes, plus: bool, circumstances: Circumstances) -> bytes:
    """What c= must hold behind the GS2 header. Raises Malformed where flag and mechanism don't fit (RFC 5802 6):
    a client that says "y" thinks that we have no -PLUS; where we do, somebody took it out of our offer."""
    if plus:
        if flag != b"p=" + BINDING or circumstances.binding is None:
            raise Malformed("not the channel binding that is offered")
        return circumstances.binding
    if flag.startswith(b"p="):
        raise Malformed("a channel binding without -PLUS")
    if flag == b"y" and circumstances.binding is not None:
        raise Malformed("channel binding is offered here: the list of mechanisms was changed on its way")
    return b""


async def _exchange(initial: bytes | None, ask: Ask, door: Door, circumstances: Circumstances, plus: bool) -> Login:
    first = read_first(await ask(b"") if initial is None else initial)
    wanted = first.header + _binding_of(first.flag, plus, circumstances)
    challenge = await door.scram_first(first.login, first.bare, first.nonce)
    if challenge.outcome is not Outcome.OK:
        return Login(challenge.outcome)
    final = read_final(await ask(challenge.message))
    # What is bound to another channel, or answers another nonce, is a wrong proof: it ends this one, and counts.
    bound = hmac.compare_digest(final.binding, wanted) and hmac.compare_digest(final.nonce, challenge.nonce)
    verdict = await door.scram_final(challenge.nonce, final.without, final.proof if bound else b"")
    if verdict.outcome is not Outcome.OK:
        return Login(verdict.outcome)
    if await ask(b"v=" + binascii.b2a_base64(verdict.signature, newline=False)):
        raise Malformed("nothing more was asked")
    return Login(Outcome.OK, verdict.address)


async def scram(initial: bytes | None, ask: Ask, door: Door, circumstances: Circumstances) -> Login:
    """RFC 5802 5, without channel binding. Raises Malformed, Cancelled."""
    return await _exchange(initial, ask, door, circumstances, plus=False)


async def scram_plus(initial: bytes | None, ask: Ask, door: Door, circumstances: Circumstances) -> Login:
    """The same, bound to the TLS channel. Raises Malformed, Cancelled."""
    return await _exchange(initial, ask, door, circumstances, plus=True)
