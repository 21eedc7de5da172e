"""The authority itself: secrets.db, a bounded pool of threads that hash, and the counts of failed logins.

Invariants: an unknown account gets the same answer after the same work as a wrong password; a password is
looked at only after its network was found free a second time, when its turn to be hashed has come (so that a
burst gets at most one guess per thread more than a sequence would); nothing here logs or shows a secret.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from postroom.accounts.attempts import Attempts, Network
from postroom.accounts.authority import Attempt, Login, Outcome
from postroom.accounts.directory import account_name
from postroom.accounts.passwords import (
    NoLibcrypt,
    ScramKeys,
    check_password,
    hash_password,
    ready_hash,
    scram_keys,
    verify,
)
from postroom.accounts.secrets import FILE, Secrets, SecretsFault
from postroom.net.limits import LOGIN_OCTETS, LOGINS_WAITING
from postroom.net.log import event

logger = logging.getLogger(__name__)
T = TypeVar("T")


class LocalAuthority:
    """`Authority` over the secrets.db in the directory `data`.

    `login_failures` and `exempt_networks` are the configuration's; `threads` hash at the same time. `clock`
    (seconds, never back) and `sleep` are for tests. Raises SecretsFault where the file can't be used.
    """

    def __init__(
        self,
        data: Path,
        *,
        login_failures: int = 10,
        exempt_networks: Sequence[Network] = (),
        threads: int = 2,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._secrets = Secrets(data / FILE)
        self._attempts = Attempts(login_failures, exempt_networks, clock)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hash")
        self._turn = asyncio.Semaphore(threads)
        self._sleep = sleep
        self._waiting = 0
        self._draw_key = os.urandom(32)
        self._nobody = hash_password(os.urandom(16))

    async def login(self, attempt: Attempt) -> Login:
        """Check a password; see `Authority`."""
        if self._waiting >= LOGINS_WAITING:
            return Login(Outcome.UNAVAILABLE)
        self._waiting += 1
        try:
            return await self._login(attempt)
        except (SecretsFault, NoLibcrypt) as fault:
            event(logger, logging.ERROR, "authority-fault", reason=fault)
            return Login(Outcome.UNAVAILABLE)
        finally:
            self._waiting -= 1

    async def _login(self, attempt: Attempt) -> Login:
        peer, login = attempt.peer, attempt.login[: LOGIN_OCTETS + 1]
        delay = self._attempts.delay(peer, login)
        if delay:
            await self._sleep(delay)
        async with self._turn:
            if delay is None or self._attempts.delay(peer, login) is None:
                return Login(Outcome.BLOCKED)
            known = self._secrets.hash_of(login)
            checked = known or self._secrets.any_hash(self._draw(login)) or self._nobody
            right = await self._in_pool(lambda: verify(checked, attempt.password))
        if known is None or not right:
            self._attempts.failed(peer, login)
            return Login(Outcome.DENIED)
        self._attempts.succeeded(peer, login)
        return Login(Outcome.OK, login)

    async def set_password(self, address: str, password: bytes, *, ready_hash: bool = False) -> None:
        """Make and keep an account's hash and SCRAM keys; see `Authority`. Raises ValueError, SecretsFault."""
        name = account_name(address)
        make = _take_hash if ready_hash else _make_hash
        hashed, keys = await self._in_pool(lambda: make(password))
        self._secrets.keep(name, hashed, keys)

    async def remove(self, address: str) -> None:
        """Forget an account's secrets. Raises SecretsFault."""
        self._secrets.remove(address)

    async def close(self) -> None:
        """Let the running hashes end, and close the file."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._secrets.close()

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _draw(self, login: str) -> int:
        """A number of 32 bits that a stranger can't tell from the login."""
        return int.from_bytes(hmac.digest(self._draw_key, login.encode("utf-8", "surrogatepass"), "sha256")[:4])


def _make_hash(password: bytes) -> tuple[str, ScramKeys | None]:
    check_password(password)
    return hash_password(password), scram_keys(password)


def _take_hash(text: bytes) -> tuple[str, ScramKeys | None]:
    """A ready hash as it is; nobody knows its password, so no SCRAM keys."""
    try:
        return ready_hash(text.decode("ascii")), None
    except UnicodeDecodeError as error:
        raise ValueError("a password hash is ASCII text") from error
