"""EXTERNAL (RFC 4422 A): who the client's certificate says it is."""

from __future__ import annotations

from postroom.accounts.authority import Login
from postroom.accounts.sasl.claims import login_name
from postroom.accounts.sasl.exchange import Ask, Circumstances, Door, Malformed
from postroom.net.limits import CERTIFICATE_NAMES, LOGIN_OCTETS

__all__ = ["certified", "external"]


async def external(initial: bytes | None, ask: Ask, door: Door, circumstances: Circumstances) -> Login:
    """RFC 4422 A.1: the only message is an authorization identity, or empty. Raises Malformed, Cancelled."""
    message = await ask(b"") if initial is None else initial
    return await door.certificate(login_name(message) if message else "", circumstances.certified)


def certified(certificate: object) -> tuple[str, ...]:
    """The e-mail addresses of a verified certificate, as `ssl` shows it (`getpeercert`): rfc822Name among its
    alternative names (RFC 5280 4.2.1.6), and, in a certificate that has none, emailAddress in its subject."""
    if not isinstance(certificate, dict):
        return ()
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "email"]
    if not names:
        parts = [part for several in certificate.get("subject", ()) for part in several]
        names = [value for kind, value in parts if kind == "emailAddress"]
    return tuple(
        name for name in names[:CERTIFICATE_NAMES] if 0 < len(name.encode("utf-8", "replace")) <= LOGIN_OCTETS
    )


def one_of(wanted: str, certified: tuple[str, ...]) -> tuple[str, ...]:
    """The names to look for: all, or the one that is wanted where the certificate has it. Raises Malformed."""
    if not wanted:
        return certified
    if wanted.lower() not in [name.lower() for name in certified]:
        raise Malformed("nobody may act for another")
    return (wanted,)
