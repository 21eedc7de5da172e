"""The authority itself: secrets.db, a bounded pool of threads that hash, and the counts of failed logins.

Invariants: an unknown account gets the same answer after the same work as a wrong password; a password is looked
at only after its network was found free a second time, when its turn to be hashed has come (so that a burst gets
at most one guess per thread more than a sequence would); every way in is counted alike; nothing here logs or shows
a secret."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from postroom.accounts.apppasswords import (
    check_name,
    check_protocols,
    hash_app_password,
    is_one_of,
    make_app_password,
)
from postroom.accounts.attempts import Attempts, Network
from postroom.accounts.authority import (
    AppPassword,
    Attempt,
    Challenge,
    Login,
    Opening,
    Outcome,
    Proof,
    Token,
    Verdict,
    Voucher,
    family,
)
from postroom.accounts.directory import account_name
from postroom.accounts.passwords import (
    SCRAM_ITERATIONS,
    NoLibcrypt,
    ScramKeys,
    check_password,
    hash_password,
    ready_hash,
    scram_keys,
    verify,
)
from postroom.accounts.scramming import Scrams, draw, proves, salt_of
from postroom.accounts.secrets import FILE, Secrets, SecretsFault
from postroom.accounts.tokens import NoVerifier, Verifier
from postroom.net.limits import APP_PASSWORDS, LOGIN_OCTETS, LOGINS_WAITING
from postroom.net.log import event

logger = logging.getLogger(__name__)
T = TypeVar("T")


class LocalAuthority:
    """`Authority`, `Exchanges` and `AppPasswords` over the secrets.db in the directory `data`.

    `login_failures` and `exempt_networks` are the configuration's; `threads` hash at the same time; new passwords
    get SCRAM keys of `scram_iterations` (0: none). `clock` (seconds, never back) and `sleep` are for tests. Raises
    SecretsFault where the file can't be used."""

    def __init__(
        self,
        data: Path,
        *,
        login_failures: int = 10,
        exempt_networks: Sequence[Network] = (),
        threads: int = 2,
        scram_iterations: int = SCRAM_ITERATIONS,
        verifier: Verifier | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._secrets = Secrets(data / FILE)
        self._attempts = Attempts(login_failures, exempt_networks, clock)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hash")
        self._turn = asyncio.Semaphore(threads)
        self._sleep = sleep
        self._waiting = 0
        self._iterations = scram_iterations
        self._verifier = verifier
        self._site_key = self._secrets.site_key()
        self._scrams = Scrams(self._secrets, scram_iterations or SCRAM_ITERATIONS, clock)
        self._nobody = hash_password(os.urandom(16))

    # --- passwords

    async def login(self, attempt: Attempt) -> Login:
        """Check a password; see `Authority`."""
        return await self._bounded(lambda: self._login(attempt)) or Login(Outcome.UNAVAILABLE)

    async def _login(self, attempt: Attempt) -> Login:
        peer, login = attempt.peer, _short(attempt.login)
        delay = self._attempts.delay(peer, login)
        if delay:
            await self._sleep(delay)
        async with self._turn:
            if delay is None or self._attempts.delay(peer, login) is None:
                return Login(Outcome.BLOCKED)
            right = is_one_of(attempt.password, self._secrets.app_hashes(login, family(attempt.protocol)))
            right = right or await self._is_own(login, attempt.password)
        return Login(self._count(peer, login, right), login if right else "")

    async def _is_own(self, login: str, password: bytes) -> bool:
        """Whether it is the account's own password; where there is no account, the work is the same."""
        known = self._secrets.hash_of(login)
        checked = known or self._secrets.any_hash(draw(self._site_key, login)) or self._nobody
        return await self._in_pool(lambda: verify(checked, password)) and known is not None

    # --- the other ways in

    async def scram_for_all(self) -> bool | None:
        """Whether all passwords have SCRAM keys; see `Exchanges`."""
        try:
            return self._secrets.all_have_scram()
        except SecretsFault:
            return None

    async def scram_first(self, opening: Opening) -> Challenge:
        """Begin a SCRAM exchange; see `Exchanges`. Costs nothing worth a delay: that comes with the proof."""
        try:
            nonce, message = self._scrams.begin(opening, family(opening.protocol))
        except SecretsFault as fault:
            event(logger, logging.ERROR, "authority-fault", reason=fault)
            return Challenge(Outcome.UNAVAILABLE)
        return Challenge(Outcome.OK, nonce, message)

    async def scram_final(self, proof: Proof) -> Verdict:
        """End one; see `Exchanges`. UNAVAILABLE where it is not known: this process may have begun anew."""
        return await self._bounded(lambda: self._scram_final(proof)) or Verdict(Outcome.UNAVAILABLE)

    async def _scram_final(self, proof: Proof) -> Verdict:
        begun = self._scrams.end(proof.nonce)
        if begun is None or begun.peer != proof.peer:
            return Verdict(Outcome.UNAVAILABLE)
        login = _short(begun.login)
        if not await self._admitted(proof.peer, login):
            return Verdict(Outcome.BLOCKED)
        signature = proves(begun, proof)
        outcome = self._count(proof.peer, login, signature is not None)
        return Verdict(outcome, login, signature) if signature is not None else Verdict(outcome)

    async def vouch(self, voucher: Voucher) -> Login:
        """Count a certificate; see `Exchanges`."""
        return await self._bounded(lambda: self._vouch(voucher)) or Login(Outcome.UNAVAILABLE)

    async def _vouch(self, voucher: Voucher) -> Login:
        login = _short(voucher.login)
        if not await self._admitted(voucher.peer, login):
            return Login(Outcome.BLOCKED)
        outcome = self._count(voucher.peer, login, voucher.right)
        return Login(outcome, login if voucher.right else "")

    async def token(self, token: Token) -> Login:
        """Have a token verified; see `Exchanges`."""
        return await self._bounded(lambda: self._token(token)) or Login(Outcome.UNAVAILABLE)

    async def _token(self, token: Token) -> Login:
        # One who doesn't say who they are is counted by where they come from alone.
        login = _short(token.login) or token.peer
        if self._verifier is None:
            return Login(Outcome.UNAVAILABLE)
        if not await self._admitted(token.peer, login):
            return Login(Outcome.BLOCKED)
        try:
            name = await self._verifier.account_of(token.token)
        except NoVerifier as fault:
            event(logger, logging.ERROR, "token-verifier-fault", reason=fault)
            return Login(Outcome.UNAVAILABLE)
        return Login(self._count(token.peer, login, name is not None), name or "")

    # --- what all of them share

    async def _bounded(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Do it unless too many wait already; None for that, and where secrets.db or libcrypt fails."""
        if self._waiting >= LOGINS_WAITING:
            return None
        self._waiting += 1
        try:
            return await work()
        except (SecretsFault, NoLibcrypt) as fault:
            event(logger, logging.ERROR, "authority-fault", reason=fault)
            return None
        finally:
            self._waiting -= 1

    async def _admitted(self, peer: str, login: str) -> bool:
        """Be slow where that is due; whether the network, or the pair, is free of a block before and after."""
        delay = self._attempts.delay(peer, login)
        if delay:
            await self._sleep(delay)
        return delay is not None and self._attempts.delay(peer, login) is not None

    def _count(self, peer: str, login: str, right: bool) -> Outcome:
        if right:
            self._attempts.succeeded(peer, login)
            return Outcome.OK
        self._attempts.failed(peer, login)
        return Outcome.DENIED

    # --- changes

    async def set_password(self, address: str, password: bytes, *, ready_hash: bool = False) -> None:
        """Make and keep an account's hash and SCRAM keys; see `Authority`. Raises ValueError, SecretsFault."""
        name = account_name(address)
        if ready_hash:
            # Nobody knows its password, so no SCRAM keys.
            hashed, keys = await self._in_pool(lambda: (_take_hash(password), None))
        else:
            check_password(password)
            hashed, keys = await self._in_pool(lambda: (hash_password(password), self._keys(name, password)))
        self._secrets.keep(name, hashed, keys)

    async def add_app_password(self, address: str, name: str, protocols: Sequence[str]) -> str:
        """Make an app password, and give it; see `AppPasswords`. Raises ValueError, SecretsFault."""
        address, name, kept_to = account_name(address), check_name(name), check_protocols(protocols)
        made = make_app_password()
        keys = await self._in_pool(lambda: self._keys(address, made.encode()))
        self._secrets.keep_app(address, name, kept_to, hash_app_password(made.encode()), keys, APP_PASSWORDS)
        return made

    async def app_passwords(self, address: str) -> list[AppPassword]:
        """All of an account. Raises SecretsFault."""
        return [AppPassword(*row) for row in self._secrets.apps(address)]

    async def revoke_app_password(self, address: str, name: str) -> bool:
        """Take one away; see `AppPasswords`. Raises SecretsFault."""
        return self._secrets.remove_app(address, name)

    async def remove(self, address: str) -> None:
        """Forget an account's secrets. Raises SecretsFault."""
        self._secrets.remove(address)

    async def close(self) -> None:
        """Let the running hashes end, and close the file."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._verifier is not None:
            self._verifier.close()
        self._secrets.close()

    def _keys(self, address: str, password: bytes) -> ScramKeys | None:
        """New keys, under the salt that all of an account's passwords have. Costly."""
        if not self._iterations:
            return None
        return scram_keys(password, salt_of(self._site_key, address), self._iterations)

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _short(login: str) -> str:
    """No name is longer; what somebody sends may be."""
    return login[: LOGIN_OCTETS + 1]


def _take_hash(text: bytes) -> str:
    """A ready hash as it is."""
    try:
        return ready_hash(text.decode("ascii"))
    except UnicodeDecodeError as error:
        raise ValueError("a password hash is ASCII text") from error
