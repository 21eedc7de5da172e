"""What somebody claims to be, as any command carries it, checked for what no login can be."""

from __future__ import annotations

from dataclasses import dataclass, field

from postroom.accounts.sasl.exchange import Malformed
from postroom.net.limits import LOGIN_OCTETS, PASSWORD_OCTETS

__all__ = ["Credentials", "acts_for", "credentials", "login_name"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody claims; not yet believed."""

    login: str
    password: bytes = field(repr=False)


def credentials(login: bytes, password: bytes) -> Credentials:
    """A login and a password. Raises Malformed for an empty or overlong one, NUL, or a login that is no UTF-8 or
    has control characters."""
    name = login_name(login)
    if not 0 < len(password) <= PASSWORD_OCTETS:
        raise Malformed(f"a password has 1 to {PASSWORD_OCTETS} octets")
    if 0 in password:
        raise Malformed("NUL in a password")
    return Credentials(name, password)


def login_name(login: bytes) -> str:
    """A login as text. Raises Malformed for an empty or overlong one, and for one that is no UTF-8 or has control
    characters."""
    if not 0 < len(login) <= LOGIN_OCTETS:
        raise Malformed(f"a login has 1 to {LOGIN_OCTETS} octets")
    try:
        name = login.decode()
    except UnicodeDecodeError as error:
        raise Malformed("the login is not UTF-8") from error
    if any(char < " " or char == "\x7f" for char in name):
        raise Malformed("control characters in a login")
    return name


def acts_for(authzid: bytes, authcid: bytes) -> None:
    """Raises Malformed where somebody wants to act for another (RFC 4422 3.4.1): nobody may."""
    if authzid and authzid.lower() != authcid.lower():
        raise Malformed("nobody may act for another")
