"""OAuth tokens, verified by whoever the site trusts with it (RFC 7662, token introspection).

Asked over HTTP by the standard library in a bounded pool of threads; what an answer may cost in time and octets is
bounded. A token is never logged and never kept: what is remembered for a minute is its hash. Called by
`accounts.local`, in the auth role.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import http.client
import json
import ssl
import time
import urllib.parse
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from postroom.net.limits import (
    INTROSPECTION_OCTETS,
    INTROSPECTION_SECONDS,
    INTROSPECTION_THREADS,
    TOKEN_KEPT_SECONDS,
    TOKENS_KEPT,
)

__all__ = ["NoVerifier", "Verifier", "Verifying"]


class NoVerifier(Exception):
    """The verifier can't be reached, or doesn't answer as RFC 7662 has it; the text says what, without the
    token."""


@dataclass(frozen=True, slots=True)
class Verifying:
    """Where tokens are verified: `url` with http or https, the client's name and secret (RFC 7662 2.1, by HTTP's
    Basic scheme) where it wants one, and `claim`, the member of its answer that names the account."""

    url: str
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    claim: str = "username"

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an http:// or https:// address is wanted")
        if parts.username is not None or parts.password is not None:
            raise ValueError("name and secret have settings of their own, and no place in the address")
        _ = parts.port  # raises ValueError for what is none


class Verifier:
    """Asks, and remembers for a while what it heard. `clock` (seconds, never back) and `now` (seconds since 1970)
    are for tests."""

    def __init__(
        self,
        verifying: Verifying,
        *,
        seconds: float = INTROSPECTION_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._verifying = verifying
        self._seconds = seconds
        self._clock = clock
        self._now = now
        self._pool = ThreadPoolExecutor(INTROSPECTION_THREADS, thread_name_prefix="introspect")
        self._turn = asyncio.Semaphore(INTROSPECTION_THREADS)
        self._kept: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        url = urllib.parse.urlsplit(verifying.url)
        self._tls = ssl.create_default_context() if url.scheme == "https" else None

    async def account_of(self, token: bytes) -> str | None:
        """The name that a token stands for; None where it is no good. Raises NoVerifier."""
        key = hashlib.sha256(token).digest()
        name, until = self._kept.get(key, ("", 0.0))
        if self._clock() < until:
            return name
        self._kept.pop(key, None)
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._in_turn(token)
        except TimeoutError:
            raise NoVerifier("no answer in time") from None
        found = self._name(answer)
        if found is None:
            return None
        name, seconds = found
        if seconds > 0:
            self._kept[key] = (name, self._clock() + seconds)
            if len(self._kept) > TOKENS_KEPT:
                self._kept.popitem(last=False)
        return name

    def close(self) -> None:
        """Wait for nobody any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _in_turn(self, token: bytes) -> object:
        """One question in a thread. Its place is free again when the thread is, not when its answer is given up:
        a verifier that trickles can't make threads pile up."""
        await self._turn.acquire()
        asked = asyncio.get_running_loop().run_in_executor(self._pool, self._ask, token)
        asked.add_done_callback(self._asked)
        return await asyncio.shield(asked)

    def _asked(self, future: asyncio.Future[object]) -> None:
        self._turn.release()
        if not future.cancelled():
            future.exception()  # seen, also where nobody waits any more

    def _name(self, answer: object) -> tuple[str, float] | None:
        """The account's name, and how long the answer may be kept (RFC 7662 2.2). Raises NoVerifier."""
        if not isinstance(answer, dict) or not isinstance(answer.get("active"), bool):
            raise NoVerifier("the answer is not one of RFC 7662")
        if not answer["active"]:
            return None
        name, seconds = answer.get(self._verifying.claim), TOKEN_KEPT_SECONDS
        if not isinstance(name, str):
            raise NoVerifier("the answer names no account: see oauth.account_claim")
        expires = answer.get("exp")
        if isinstance(expires, int | float):
            seconds = min(seconds, expires - self._now())
            if seconds <= 0:
                return None
        return name, seconds

    def _ask(self, token: bytes) -> object:
        """In a thread. Raises NoVerifier; its text, and those of what lies below, have nothing of the question."""
        connection = self._connection()
        until = time.monotonic() + self._seconds
        url = urllib.parse.urlsplit(self._verifying.url)
        body = urllib.parse.urlencode(
            {"token": token.decode("ascii", "replace"), "token_type_hint": "access_token"}
        )
        try:
            connection.request(
                "POST", urllib.parse.urlunsplit(("", "", url.path or "/", url.query, "")), body, self._headers()
            )
            with contextlib.closing(connection.getresponse()) as response:
                if response.status != 200:
                    raise NoVerifier(f"it answers {response.status}")
                return json.loads(_read(response, until))
        except (OSError, http.client.HTTPException) as fault:
            raise NoVerifier(type(fault).__name__) from None
        except (ValueError, RecursionError):
            raise NoVerifier("the answer is no JSON") from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        url = urllib.parse.urlsplit(self._verifying.url)
        host = url.hostname or ""
        if self._tls is not None:
            return http.client.HTTPSConnection(host, url.port, timeout=self._seconds, context=self._tls)
        return http.client.HTTPConnection(host, url.port, timeout=self._seconds)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        if self._verifying.client_id:
            # RFC 6749 2.3.1: both are form-encoded before they are joined.
            pair = ":".join(
                map(urllib.parse.quote_plus, (self._verifying.client_id, self._verifying.client_secret))
            )
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return headers


def _read(response: http.client.HTTPResponse, until: float) -> bytes:
    """The body, bounded in octets and time: a socket's own timeout begins anew with each octet. Raises
    NoVerifier."""
    said = bytearray()
    while piece := response.read1(8192):
        said += piece
        if len(said) > INTROSPECTION_OCTETS:
            raise NoVerifier("the answer is too long")
        if time.monotonic() > until:
            raise NoVerifier("no answer in time")
    return bytes(said)
