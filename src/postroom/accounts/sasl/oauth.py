"""OAUTHBEARER (RFC 7628) and XOAUTH2 (its forerunner, as Google and Microsoft have it): a token instead of a
password."""

from __future__ import annotations

import contextlib
import re
from typing import Final

from postroom.accounts.authority import Login, Outcome
from postroom.accounts.sasl.claims import login_name
from postroom.accounts.sasl.exchange import Ask, Cancelled, Circumstances, Door, Malformed
from postroom.net.limits import LOGIN_OCTETS, TOKEN_OCTETS

__all__ = ["bearer", "read_bearer", "read_xoauth2", "xoauth2"]

_TOKEN: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")
"""RFC 6750 2.1: credentials."""
_GS2: Final = re.compile(rb"[ny],(?:a=([^,\x00\x01]+))?,")
"""RFC 7628 3.1: the header; no channel binding."""
_FIELD: Final = re.compile(rb"([A-Za-z]+)=([\x20-\x7e\t\r\n]*)")
_FIELDS: Final = 8
"""RFC 7628 3.1 names host, port, auth, mthd, path, post and qs."""
_FAILED: Final = b'{"status":"invalid_token","schemes":"bearer","scope":""}'
"""RFC 7628 3.2.2. It says no more than that: not whether there is such an account."""
_FAILED_2: Final = b'{"status":"401","schemes":"bearer","scope":""}'


def read_bearer(message: bytes) -> tuple[str, bytes]:
    """RFC 7628 3.1: the login, empty where none is said, and the token. Raises Malformed."""
    header = _GS2.match(message) if len(message) <= TOKEN_OCTETS + 2 * LOGIN_OCTETS + 256 else None
    if header is None:
        raise Malformed("not an OAUTHBEARER message")
    rest = message[header.end() :]
    if not (rest.startswith(b"\x01") and rest.endswith(b"\x01\x01")):
        raise Malformed("not an OAUTHBEARER message")
    return _name(header[1]), _token(rest[1:-2].split(b"\x01"))


def _name(written: bytes | None) -> str:
    if written is None:
        return ""
    if any(piece[:2] not in (b"2C", b"3D") for piece in written.split(b"=")[1:]):
        raise Malformed("not a GS2 name")
    return login_name(written.replace(b"=2C", b",").replace(b"=3D", b"="))


def read_xoauth2(message: bytes) -> tuple[str, bytes]:
    """`user=LOGIN ^A auth=Bearer TOKEN ^A ^A`. Raises Malformed."""
    if len(message) > TOKEN_OCTETS + LOGIN_OCTETS + 64 or not message.endswith(b"\x01\x01"):
        raise Malformed("not an XOAUTH2 message")
    user, _, rest = message[:-2].partition(b"\x01")
    if not user.startswith(b"user="):
        raise Malformed("not an XOAUTH2 message")
    return login_name(user[5:]), _token(rest.split(b"\x01"))


def _token(pairs: list[bytes]) -> bytes:
    """The token among key-value pairs. Raises Malformed."""
    fields: dict[bytes, bytes] = {}
    if len(pairs) > _FIELDS:
        raise Malformed("too many fields")
    for pair in pairs:
        found = _FIELD.fullmatch(pair)
        if found is None or found[1] in fields:
            raise Malformed("not a key and a value")
        fields[found[1]] = found[2]
    token = _TOKEN.fullmatch(fields.get(b"auth", b""))
    if token is None or len(token[1]) > TOKEN_OCTETS:
        raise Malformed("no bearer token")
    return token[1]


async def bearer(initial: bytes | None, ask: Ask, door: Door, _: Circumstances) -> Login:
    """RFC 7628 3. After a failure the client is told why, and answers with one octet (3.2.3), or gives up: it has
    failed in any case. Raises Malformed, Cancelled."""
    word = await door.token(*read_bearer(await ask(b"") if initial is None else initial))
    return await _told(word, ask, _FAILED)


async def xoauth2(initial: bytes | None, ask: Ask, door: Door, _: Circumstances) -> Login:
    """The same in its older form; here the client's answer is empty. Raises Malformed, Cancelled."""
    word = await door.token(*read_xoauth2(await ask(b"") if initial is None else initial))
    return await _told(word, ask, _FAILED_2)


async def _told(word: Login, ask: Ask, failed: bytes) -> Login:
    if word.outcome in (Outcome.DENIED, Outcome.BLOCKED):
        with contextlib.suppress(Malformed, Cancelled):
            await ask(failed)
    return word
