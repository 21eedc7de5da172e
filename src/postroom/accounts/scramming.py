"""The authority's half of SCRAM (RFC 5802): salt and nonce out, proof in, and never a key.

An unknown account gets a salt, always the same one, made from its name by the site's own key; so does a new
password, which is why all of an account's passwords have one salt, and one exchange can prove any of them. Each
nonce is ours, is good for one proof, and is forgotten after SCRAM_EXCHANGE_SECONDS. Every proof costs the same
work, whoever the account and however many its passwords. No I/O but `Secrets`. Called by `accounts.local`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from postroom.accounts.authority import Opening, Proof
from postroom.accounts.passwords import SCRAM_SALT_OCTETS, ScramKeys
from postroom.accounts.secrets import Secrets
from postroom.net.limits import (
    APP_PASSWORDS,
    SCRAM_EXCHANGE_SECONDS,
    SCRAM_EXCHANGES,
    SCRAM_EXCHANGES_PER_NETWORK,
)
from postroom.net.networks import network_of

__all__ = ["Begun", "Scrams", "draw", "proves", "salt_of"]

_NONCE_OCTETS: Final = 18


def salt_of(site_key: bytes, login: str) -> bytes:
    """The salt of an account, or of a name that is none."""
    return _keyed(site_key, b"salt", login)[:SCRAM_SALT_OCTETS]


def draw(site_key: bytes, login: str) -> int:
    """A number of 32 bits that a stranger can't tell from the login."""
    return int.from_bytes(_keyed(site_key, b"draw", login)[:4])


def _keyed(site_key: bytes, purpose: bytes, login: str) -> bytes:
    return hmac.digest(site_key, purpose + b"\0" + login.encode("utf-8", "surrogatepass"), "sha256")


@dataclass(frozen=True, slots=True)
class Begun:
    """An exchange of which the first half is done. `keys` are the account's, and made-up ones up to a fixed
    number: the first `real` of them can be proved."""

    login: str
    peer: str
    message: bytes
    """server-first-message."""
    bare: bytes
    keys: tuple[ScramKeys, ...]
    real: int
    until: float


class Scrams:
    """The exchanges under way. `clock` gives seconds and never goes back; `iterations` is the count of new
    passwords."""

    def __init__(self, secrets: Secrets, iterations: int, clock: Callable[[], float]) -> None:
        self._secrets = secrets
        self._iterations = iterations
        self._clock = clock
        self._site_key = secrets.site_key()
        self._begun: OrderedDict[bytes, Begun] = OrderedDict()
        self._by_network: dict[str, OrderedDict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._begun)

    def begin(self, opening: Opening, protocol: str) -> tuple[bytes, bytes]:
        """The whole nonce and server-first-message. Raises SecretsFault."""
        keys, real = self._keys(opening.login, protocol)
        nonce = opening.nonce + base64.b64encode(os.urandom(_NONCE_OCTETS))
        salt = base64.b64encode(keys[0].salt)
        message = b"r=%b,s=%b,i=%d" % (nonce, salt, keys[0].iterations)
        padded = (*keys, *[_made_up(keys[0])] * (APP_PASSWORDS + 1 - len(keys)))
        until = self._clock() + SCRAM_EXCHANGE_SECONDS
        self._keep(nonce, Begun(opening.login, opening.peer, message, opening.bare, padded, real, until))
        return nonce, message

    def _keys(self, login: str, protocol: str) -> tuple[Sequence[ScramKeys], int]:
        """An account's keys of one salt and count, and how many of them are real: none where there is no
        account."""
        found = self._secrets.scram_of(login, protocol)
        if found:
            ours = (found[0].salt, found[0].iterations)
            real = [keys for keys in found if (keys.salt, keys.iterations) == ours][: APP_PASSWORDS + 1]
            return real, len(real)
        count = self._secrets.any_iterations(draw(self._site_key, login)) or self._iterations
        return [ScramKeys(salt_of(self._site_key, login), count, bytes(32), bytes(32))], 0

    def _keep(self, nonce: bytes, begun: Begun) -> None:
        network = _network(begun.peer)
        own = self._by_network.setdefault(network, OrderedDict())
        if len(own) >= SCRAM_EXCHANGES_PER_NETWORK:
            self.end(next(iter(own)))
        elif len(self._begun) >= SCRAM_EXCHANGES:
            self.end(next(iter(self._begun)))
        self._by_network.setdefault(network, own)[nonce] = None
        self._begun[nonce] = begun

    def end(self, nonce: bytes) -> Begun | None:
        """Take an exchange out; None where it isn't there, is over or took too long."""
        begun = self._begun.pop(nonce, None)
        if begun is None:
            return None
        network = _network(begun.peer)
        own = self._by_network[network]
        del own[nonce]
        if not own:
            del self._by_network[network]
        return begun if self._clock() < begun.until else None


def _network(peer: str) -> str:
    return str(network_of(peer) or peer)


def _made_up(like: ScramKeys) -> ScramKeys:
    """Keys that nothing proves: nobody knows what hashes to zero."""
    return ScramKeys(like.salt, like.iterations, bytes(32), bytes(32))


def proves(begun: Begun, proof: Proof) -> bytes | None:
    """The server's signature where the proof is that of one of the passwords (RFC 5802 3), else None."""
    message = b"%b,%b,%b" % (begun.bare, begun.message, proof.without)
    given = proof.proof if len(proof.proof) == 32 else bytes(32)
    right: ScramKeys | None = None
    for number, keys in enumerate(begun.keys):
        signature = hmac.digest(keys.stored_key, message, "sha256")
        client_key = int.to_bytes(int.from_bytes(given) ^ int.from_bytes(signature), 32)
        same = hmac.compare_digest(hashlib.sha256(client_key).digest(), keys.stored_key)
        if same and number < begun.real and len(proof.proof) == 32:
            right = keys
    signature = hmac.digest(right.server_key if right else bytes(32), message, "sha256")
    return signature if right else None
