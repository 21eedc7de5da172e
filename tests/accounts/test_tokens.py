"""Tokens verified over HTTP (RFC 7662): what is asked, what is believed, and what a verifier's answer may cost."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from postroom.accounts.tokens import NoVerifier, Verifier, Verifying
from postroom.net.limits import INTROSPECTION_OCTETS, TOKEN_KEPT_SECONDS, TOKENS_KEPT
from tests.accounts.issuer import ACTIVE, Issuer, issuing


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        yield made


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(
    issuer: Issuer,
    story: Callable[[Verifier], Awaitable[None]],
    *,
    seconds: float = 30.0,
    clock: Clock | None = None,
    **settings: str,
) -> None:
    async def play() -> None:
        own = clock or Clock()
        verifier = Verifier(Verifying(issuer.url, **settings), seconds=seconds, clock=own, now=own)
        try:
            await story(verifier)
        finally:
            verifier.close()

    asyncio.run(play())


def ask(issuer: Issuer, **settings: Any) -> str | None:
    """Whose token it is."""
    found: list[str | None] = []

    async def story(verifier: Verifier) -> None:
        found.append(await verifier.account_of(b"a.good-token+/="))

    run(issuer, story, **settings)
    return found[0]


def test_a_token_is_asked_about_as_rfc_7662_has_it(issuer: Issuer) -> None:
    assert ask(issuer, client_id="post room", client_secret="s:e&cret") == "alice@example.test"
    ((form, headers, path),) = issuer.asked
    assert form == {"token": ["a.good-token+/="], "token_type_hint": ["access_token"]}
    assert path == "/introspect?site=1" and headers["Accept"] == "application/json"
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"post+room:s%3Ae%26cret"


def test_without_a_client_there_is_no_authorization(issuer: Issuer) -> None:
    ask(issuer)
    assert "Authorization" not in issuer.asked[0][1]


def test_the_account_is_named_by_the_claim(issuer: Issuer) -> None:
    issuer.answer = {**ACTIVE, "email": "bob@example.test"}
    assert ask(issuer, claim="email") == "bob@example.test"
    with pytest.raises(NoVerifier, match="account_claim"):
        ask(issuer, claim="nickname")


@pytest.mark.parametrize("answer", [{"active": False}, {**ACTIVE, "active": False}, {**ACTIVE, "exp": 1000}])
def test_an_inactive_or_expired_token_is_nobodys(issuer: Issuer, answer: object) -> None:
    issuer.answer = answer
    assert ask(issuer) is None


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (200, b""),
        (200, b"[]"),
        (200, b'"active"'),
        (200, b"{}"),
        (200, b'{"active": "true", "username": "alice@example.test"}'),
        (200, b'{"active": 1, "username": "alice@example.test"}'),
        (200, b'{"active": true}'),
        (200, b'{"active": true, "username": 7}'),
        (200, b"\xff\xfe"),
        (200, b"[" * 20_000),
        (401, b'{"active": true, "username": "alice@example.test"}'),
        (307, b'{"active": true, "username": "alice@example.test"}'),
        (500, b""),
    ],
)
def test_any_other_answer_is_none(issuer: Issuer, status: int, raw: bytes) -> None:
    issuer.status, issuer.raw = status, raw
    with pytest.raises(NoVerifier) as fault:
        ask(issuer)
    assert "good-token" not in str(fault.value)
    assert len(issuer.asked) == 1


def test_limit_of_an_answer_and_one_more(issuer: Issuer) -> None:
    whole = json.dumps(ACTIVE).encode()
    issuer.raw = whole.ljust(INTROSPECTION_OCTETS)
    assert ask(issuer) == "alice@example.test"
    for octets in (INTROSPECTION_OCTETS + 1, 100 * INTROSPECTION_OCTETS):
        issuer.raw = whole.ljust(octets)
        with pytest.raises(NoVerifier, match="too long"):
            ask(issuer)


def test_a_verifier_that_is_away_or_silent_is_not_waited_for(issuer: Issuer) -> None:
    issuer.hold = threading.Event()

    async def story(verifier: Verifier) -> None:
        with pytest.raises(NoVerifier, match=r"TimeoutError|in time"):
            await verifier.account_of(b"token")

    run(issuer, story, seconds=0.05)
    with pytest.raises(NoVerifier, match="ConnectionRefusedError"):
        ask(Issuer("http://127.0.0.1:1/"))


def test_an_answer_is_remembered_for_a_while(issuer: Issuer) -> None:
    clock = Clock()

    async def story(verifier: Verifier) -> None:
        for _ in range(3):
            assert await verifier.account_of(b"token") == "alice@example.test"
        assert len(issuer.asked) == 1
        await verifier.account_of(b"another")
        assert len(issuer.asked) == 2
        clock.now += TOKEN_KEPT_SECONDS
        issuer.answer = {"active": False}
        assert await verifier.account_of(b"token") is None
        # What is no good is asked about each time.
        issuer.answer = {**ACTIVE, "exp": clock.now + 5}
        assert await verifier.account_of(b"token") == "alice@example.test"
        clock.now += 5
        assert await verifier.account_of(b"token") is None

    run(issuer, story, clock=clock)


def test_memory_of_tokens_is_bounded(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verifier, "_ask", lambda self, token: dict(ACTIVE))

    async def story(verifier: Verifier) -> None:
        for number in range(TOKENS_KEPT + 5):
            await verifier.account_of(b"%d" % number)
        assert len(verifier._kept) == TOKENS_KEPT
        assert {len(key) for key in verifier._kept} == {32}

    run(issuer, story)


def test_a_token_is_in_no_log(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        ask(issuer, client_id="a", client_secret="hunter2")
        issuer.status = 500
        with pytest.raises(NoVerifier):
            ask(issuer)
    assert "good-token" not in caplog.text and "hunter2" not in caplog.text
    assert "hunter2" not in repr(Verifying("http://x/", "a", "hunter2"))


@pytest.mark.parametrize(
    "url", ["", "introspect", "ftp://x/", "file:///etc/passwd", "http://", "http://a:b@x/", "http://x:port/"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Verifying(url)
