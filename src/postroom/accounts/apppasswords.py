"""App passwords: made here, never chosen, and so checked by a fast hash.

A password that people choose needs argon2id, which makes each guess dear. One of 130 random bits needs nothing: no
guessing comes anywhere near, at any speed. Its SHA-256 is kept, and compared before the account's own password is
looked at; all of an account's together cost microseconds beside the 22 ms of an argon2id. So their number shows in
no time that a stranger could measure, and whoever knows none of them pays the whole price. Pure."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from typing import Final

from postroom.accounts.authority import PROTOCOLS
from postroom.net.limits import APP_PASSWORD_NAME_CHARACTERS

__all__ = ["check_name", "check_protocols", "hash_app_password", "is_one_of", "make_app_password"]

_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 that nobody takes for one another: no l, no o, no 0, no 1."""
_GROUPS: Final = (5, 5, 5, 5, 6)
"""26 letters of 5 bits each; read out and typed in groups."""
_MARK: Final = "{SHA256}"


def make_app_password() -> str:
    """A new one, as it is shown: 130 bits in five groups."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(size)) for size in _GROUPS)


def hash_app_password(password: bytes) -> str:
    """What is kept of it. Case, and what stands between the groups, count for nothing."""
    plain = password.lower().replace(b"-", b"").replace(b" ", b"")
    return _MARK + hashlib.sha256(plain).hexdigest()


def is_one_of(password: bytes, hashes: Iterable[str]) -> bool:
    """Whether a password is one of those; all are compared, whichever fits."""
    own = hash_app_password(password)
    return sum([hmac.compare_digest(own, each) for each in hashes]) > 0


def check_name(name: str) -> str:
    """A name that people can tell apart. Raises ValueError."""
    if not 0 < len(name) <= APP_PASSWORD_NAME_CHARACTERS:
        raise ValueError(f"an app password's name has 1 to {APP_PASSWORD_NAME_CHARACTERS} characters")
    if not name.isprintable() or name != name.strip():
        raise ValueError("an app password's name is printable, without a space at its ends")
    return name


def check_protocols(protocols: Sequence[str]) -> tuple[str, ...]:
    """The protocols of an app password in their order, each once; none stands for all. Raises ValueError."""
    for each in protocols:
        if each not in PROTOCOLS:
            raise ValueError(f"{each!r} is none of the protocols {', '.join(PROTOCOLS)}")
    return tuple(each for each in PROTOCOLS if each in protocols)
