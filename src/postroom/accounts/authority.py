"""What the auth role is asked: it alone opens secrets.db, checks logins for all workers and counts their failures.

`accounts.local` does the work, `accounts.remote` asks it through a Unix socket. Passwords are asked of an
`Authority`, the other ways in (SCRAM's two steps, certificates, tokens) of `Exchanges`, and the command line
changes app passwords through `AppPasswords`; one object is all three."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

PROTOCOLS: Final = ("smtp", "pop3", "imap", "ftp")
"""What an app password can be kept to."""
_FAMILIES: Final = {"submission": "smtp", "submissions": "smtp", "pop3s": "pop3", "imaps": "imap", "ftps": "ftp"}


def family(protocol: str) -> str:
    """Which of PROTOCOLS a listener speaks, by its name."""
    return _FAMILIES.get(protocol, protocol)


class Outcome(enum.Enum):
    """How a login ended. A stranger can't tell an unknown account from a wrong password: both are DENIED, after
    the same work."""

    OK = "ok"
    DENIED = "denied"
    BLOCKED = "too many failures"
    UNAVAILABLE = "the authority does not answer"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody wants in by a password."""

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


@dataclass(frozen=True, slots=True)
class Opening:
    """SCRAM's first message (RFC 5802 5.1): `bare` is client-first-message-bare, `nonce` the client's part."""

    login: str
    bare: bytes
    nonce: bytes
    peer: str
    protocol: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """What follows: `nonce` is the whole one, by which the exchange is known from now on, `message` is
    server-first-message. Both are empty where the outcome isn't OK, which means no more here than "go on"."""

    outcome: Outcome
    nonce: bytes = b""
    message: bytes = b""


@dataclass(frozen=True, slots=True)
class Proof:
    """SCRAM's last message: `without` is client-final-message-without-proof. An empty proof is always wrong."""

    nonce: bytes
    without: bytes
    proof: bytes = field(repr=False)
    peer: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The authority's word about a proof, with the server's own signature where it is right."""

    outcome: Outcome
    address: str = ""
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class Voucher:
    """A worker saw, or did not see, that a client's certificate is an account's (SASL EXTERNAL)."""

    login: str
    right: bool
    peer: str
    protocol: str


@dataclass(frozen=True, slots=True)
class Token:
    """Somebody wants in by an OAuth token; `login` is who they say they are, empty where they don't."""

    login: str
    token: bytes = field(repr=False)
    peer: str
    protocol: str


@dataclass(frozen=True, slots=True)
class AppPassword:
    """One of an account's further passwords. `protocols` are some of PROTOCOLS, none for all of them; `created` is
    in seconds since 1970 UTC."""

    name: str
    protocols: tuple[str, ...]
    created: int


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


class Exchanges(Protocol):
    """The ways in that need more than a password, for `accounts.sasl`. All are slowed and counted as passwords
    are."""

    async def scram_for_all(self) -> bool | None:
        """Whether all passwords have SCRAM keys; None where that isn't known just now."""

    async def scram_first(self, opening: Opening) -> Challenge:
        """Begin a SCRAM exchange. An unknown account gets a salt too, always the same."""

    async def scram_final(self, proof: Proof) -> Verdict:
        """End one: each can be ended once."""

    async def vouch(self, voucher: Voucher) -> Login:
        """Count a certificate that was right or wrong; right ones may be BLOCKED."""

    async def token(self, token: Token) -> Login:
        """Ask the site's token verifier. `address` is the name that it gave, as it is."""


class AppPasswords(Protocol):
    """An account's further passwords."""

    async def add_app_password(self, address: str, name: str, protocols: Sequence[str]) -> str:
        """Make one, and give it: it is kept nowhere. Raises ValueError for a name that is taken or none, and for
        one too many."""

    async def app_passwords(self, address: str) -> list[AppPassword]:
        """All of an account, by name."""

    async def revoke_app_password(self, address: str, name: str) -> bool:
        """Take one away; False where there is none of that name."""
