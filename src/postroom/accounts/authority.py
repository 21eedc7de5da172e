"""What the auth role is asked: it alone opens secrets.db, checks logins for all workers and counts their failures.

`accounts.local` does the work, `accounts.remote` asks it through a Unix socket.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Protocol


class Outcome(enum.Enum):
    """How a login ended. A stranger can't tell an unknown account from a wrong password: both are DENIED, after
    the same work."""

    OK = "ok"
    DENIED = "denied"
    BLOCKED = "too many failures"
    UNAVAILABLE = "the authority does not answer"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody wants in."""

    login: str
    password: bytes = field(repr=False)
    peer: str
    """The client's IP address."""
    protocol: str


@dataclass(frozen=True, slots=True)
class Login:
    """The authority's word. `address` is the account's name where the outcome is OK, else empty."""

    outcome: Outcome
    address: str = ""


class Authority(Protocol):
    """What workers and the command line may ask; a plain object in one process, a Unix socket between several."""

    async def login(self, attempt: Attempt) -> Login:
        """Check a password. Slow on purpose for a network that has failed lately."""

    async def set_password(self, address: str, password: bytes, *, ready_hash: bool = False) -> None:
        """Make and keep hash and SCRAM keys (with `ready_hash` the given hash as it is; no SCRAM then).
        Raises ValueError for a hash of no known form."""

    async def remove(self, address: str) -> None:
        """Forget an account's secrets."""

    async def close(self) -> None:
        """Let go."""
