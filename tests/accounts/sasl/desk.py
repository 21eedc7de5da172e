"""A client of SASL's exchanges, and a door that knows one account: what tests of mechanisms have in common."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable

from postroom.accounts.authority import Challenge, Login, Outcome, Proof, Verdict
from postroom.accounts.passwords import ScramKeys, scram_keys
from postroom.accounts.sasl import Credentials, run
from postroom.accounts.sasl.exchange import Circumstances
from postroom.accounts.scramming import Begun, proves

ALICE, PASSWORD = "alice@example.test", b"pencil"
BINDING = bytes(range(32))
Answer = Callable[[bytes], bytes]


class Desk:
    """A `Door` at which `ALICE` may pass with `PASSWORD`, her certificate, or the token "good". Keeps what it was
    asked. Its nonces are `ours` behind the client's."""

    def __init__(self, outcome: Outcome | None = None, ours: bytes = b"ours") -> None:
        self.outcome = outcome
        self.ours = ours
        self.claims: list[Credentials] = []
        self.proofs: list[bytes] = []
        self.certificates: list[tuple[str, tuple[str, ...]]] = []
        self.tokens: list[tuple[str, bytes]] = []
        self.keys: ScramKeys = scram_keys(PASSWORD, b"salt" * 4, 4096) or ScramKeys(b"", 0, b"", b"")
        self._begun: dict[bytes, Begun] = {}

    def word(self, right: bool, name: str = ALICE) -> Login:
        if self.outcome is not None:
            return Login(self.outcome)
        return Login(Outcome.OK, name) if right else Login(Outcome.DENIED)

    async def password(self, claim: Credentials) -> Login:
        self.claims.append(claim)
        return self.word((claim.login, claim.password) == (ALICE, PASSWORD))

    async def scram_first(self, login: str, bare: bytes, nonce: bytes) -> Challenge:
        if self.outcome is not None:
            return Challenge(self.outcome)
        whole = nonce + self.ours
        message = b"r=%b,s=%b,i=%d" % (whole, base64.b64encode(self.keys.salt), self.keys.iterations)
        self._begun[whole] = Begun(login, "", message, bare, (self.keys,), int(login == ALICE), 0)
        return Challenge(Outcome.OK, whole, message)

    async def scram_final(self, nonce: bytes, without: bytes, proof: bytes) -> Verdict:
        self.proofs.append(proof)
        signature = proves(self._begun.pop(nonce), Proof(nonce, without, proof, ""))
        return Verdict(Outcome.OK, ALICE, signature) if signature else Verdict(Outcome.DENIED)

    async def certificate(self, wanted: str, certified: tuple[str, ...]) -> Login:
        self.certificates.append((wanted, certified))
        return self.word(ALICE in certified)

    async def token(self, login: str, token: bytes) -> Login:
        self.tokens.append((login, token))
        return self.word(token == b"good")


def exchange(
    mechanism: str,
    initial: bytes | None,
    answers: Iterable[bytes | Answer | Exception] = (),
    desk: Desk | None = None,
    circumstances: Circumstances | None = None,
) -> tuple[Login, list[bytes]]:
    """What an exchange comes to, and the challenges it made. An answer may be made out of the challenge, or be what
    `ask` raises."""
    asked: list[bytes] = []
    rest = iter(answers)

    async def ask(challenge: bytes) -> bytes:
        asked.append(challenge)
        answer = next(rest)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else answer(challenge)

    everything = Circumstances(BINDING, (ALICE,), scram=True, tokens=True)
    word = asyncio.run(run(mechanism, initial, ask, desk or Desk(), circumstances or everything))
    return word, asked


class Scram:
    """A client's half of SCRAM-SHA-256 (RFC 5802 3), by its own arithmetic."""

    def __init__(
        self,
        password: bytes = PASSWORD,
        *,
        login: bytes = ALICE.encode(),
        header: bytes = b"n,,",
        bound: bytes = b"",
    ) -> None:
        self.password = password
        self.header = header
        self.bound = bound
        self.bare = b"n=%b,r=client" % login
        self.first = header + self.bare
        self.signature = b""

    def final(self, challenge: bytes) -> bytes:
        """client-final-message for a server-first-message."""
        fields = dict(field.split(b"=", 1) for field in challenge.split(b","))
        binding = base64.b64encode(self.header + self.bound)
        return self.proof(challenge, b"c=%b,r=%b" % (binding, fields[b"r"]), fields)

    def proof(self, challenge: bytes, without: bytes, fields: dict[bytes, bytes]) -> bytes:
        """The same with this beginning."""
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(fields[b"s"]), int(fields[b"i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        message = b",".join([self.bare, challenge, without])
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.signature = base64.b64encode(hmac.digest(server_key, message, "sha256"))
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return b"%b,p=%b" % (without, base64.b64encode(proof))
