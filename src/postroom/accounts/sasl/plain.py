"""PLAIN (RFC 4616) and LOGIN: a password in so many words."""

from __future__ import annotations

from postroom.accounts.authority import Login
from postroom.accounts.sasl.claims import acts_for, credentials
from postroom.accounts.sasl.exchange import Ask, Circumstances, Door, Malformed
from postroom.net.limits import LOGIN_OCTETS, PASSWORD_OCTETS

__all__ = ["login", "plain"]


async def plain(initial: bytes | None, ask: Ask, door: Door, _: Circumstances) -> Login:
    """RFC 4616 2: [authzid] NUL authcid NUL passwd. Raises Malformed, Cancelled."""
    message = await ask(b"") if initial is None else initial
    if len(message) > 2 * LOGIN_OCTETS + PASSWORD_OCTETS + 2:
        raise Malformed("the message is too long")
    parts = message.split(b"\x00")
    if len(parts) != 3:
        raise Malformed("the message is not authzid, NUL, authcid, NUL, password")
    authzid, authcid, password = parts
    acts_for(authzid, authcid)
    return await door.password(credentials(authcid, password))


async def login(initial: bytes | None, ask: Ask, door: Door, _: Circumstances) -> Login:
    """The old mechanism of draft-murchison-sasl-login: a name and a password, each asked for. Raises Malformed,
    Cancelled."""
    name = await ask(b"Username:") if initial is None else initial
    return await door.password(credentials(name, await ask(b"Password:")))
