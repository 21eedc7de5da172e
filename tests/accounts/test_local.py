"""The authority: right and wrong passwords, the same work for strangers, blocks, bounds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from postroom.accounts import local, passwords
from postroom.accounts.authority import Attempt, Authority, Login, Outcome
from postroom.accounts.local import LocalAuthority
from postroom.net.limits import LOGINS_WAITING

ALICE = "alice@example.test"
READY = "{BLF-CRYPT}$2b$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu"


def attempt(password: bytes, login: str = ALICE, peer: str = "192.0.2.1") -> Attempt:
    return Attempt(login, password, peer, "pop3")


def run(
    folder: Path, story: Callable[[LocalAuthority], Awaitable[None]], *, login_failures: int = 10
) -> list[float]:
    """Play a story with an authority; gives the delays that it slept."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def play() -> None:
        authority = LocalAuthority(folder, login_failures=login_failures, sleep=sleep)
        check: Authority = authority
        try:
            await story(authority)
        finally:
            await check.close()

    asyncio.run(play())
    return slept


def test_right_wrong_changed_and_removed(tmp_path: Path) -> None:
    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, b"secret")
        assert await authority.login(attempt(b"secret")) == Login(Outcome.OK, ALICE)
        assert await authority.login(attempt(b"Secret")) == Login(Outcome.DENIED)
        await authority.set_password(ALICE, b"other")
        assert (await authority.login(attempt(b"secret"))).outcome is Outcome.DENIED
        assert (await authority.login(attempt(b"other"))).outcome is Outcome.OK
        await authority.remove(ALICE)
        assert (await authority.login(attempt(b"other"))).outcome is Outcome.DENIED

    run(tmp_path, story)


def test_a_ready_hash_logs_in_and_has_no_scram(tmp_path: Path) -> None:
    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, READY.encode(), ready_hash=True)
        assert (await authority.login(attempt(b"password"))).outcome is Outcome.OK
        assert authority._secrets.scram_of(ALICE) is None
        await authority.set_password(ALICE, b"secret")
        assert authority._secrets.scram_of(ALICE) is not None

    run(tmp_path, story)


def test_a_changed_password_changes_no_other_row(tmp_path: Path) -> None:
    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, b"one")
        await authority.set_password("bob@example.test", b"two")
        before = authority._secrets.hash_of("bob@example.test"), authority._secrets.scram_of("bob@example.test")
        await authority.set_password(ALICE, b"three")
        assert before == (
            authority._secrets.hash_of("bob@example.test"),
            authority._secrets.scram_of("bob@example.test"),
        )

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("address", "password", "ready"),
    [
        (ALICE, b"", False),
        (ALICE, b"a\x00b", False),
        ("../x@example.test", b"secret", False),
        ("alice", b"secret", False),
        (ALICE, b"{PLAIN}secret", True),
        (ALICE, "{CRYPT}ä".encode(), True),
    ],
)
def test_what_cannot_be_set_is_a_value_error(tmp_path: Path, address: str, password: bytes, ready: bool) -> None:
    async def story(authority: LocalAuthority) -> None:
        with pytest.raises(ValueError):
            await authority.set_password(address, password, ready_hash=ready)

    run(tmp_path, story)


def test_an_unknown_account_costs_what_a_known_one_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is one check of a hash of a kind that accounts here have."""
    checked: list[str] = []

    def verify(marked: str, password: bytes) -> bool:
        checked.append(marked)
        return passwords.verify(marked, password)

    monkeypatch.setattr(local, "verify", verify)

    async def story(authority: LocalAuthority) -> None:
        await authority.login(attempt(b"guess", "nobody@example.test"))
        assert len(checked) == 1 and checked[0].startswith("{ARGON2ID}")
        await authority.set_password(ALICE, READY.encode(), ready_hash=True)
        for _ in range(2):
            await authority.login(attempt(b"guess", "nobody@example.test"))
        assert checked[1:] == [READY, READY]
        assert (await authority.login(attempt(b"password", "nobody@example.test"))).outcome is Outcome.DENIED

    run(tmp_path, story)


def test_ten_failures_and_then_the_network_is_blocked(tmp_path: Path) -> None:
    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, READY.encode(), ready_hash=True)
        for _ in range(10):
            assert (await authority.login(attempt(b"guess"))).outcome is Outcome.DENIED
        assert (await authority.login(attempt(b"password"))).outcome is Outcome.BLOCKED
        assert (await authority.login(attempt(b"guess", "nobody@example.test"))).outcome is Outcome.BLOCKED
        assert (await authority.login(attempt(b"password", peer="192.0.2.2"))).outcome is Outcome.OK

    slept = run(tmp_path, story)
    assert slept == sorted(slept) and len(slept) == 9


def test_a_burst_buys_at_most_a_guess_per_thread_more(tmp_path: Path) -> None:
    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, READY.encode(), ready_hash=True)
        words = await asyncio.gather(*(authority.login(attempt(b"guess")) for _ in range(50)))
        assert 10 <= sum(word.outcome is Outcome.DENIED for word in words) <= 11

    run(tmp_path, story)


def test_waiting_logins_are_bounded(tmp_path: Path) -> None:
    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, READY.encode(), ready_hash=True)
        words = await asyncio.gather(*(authority.login(attempt(b"password")) for _ in range(LOGINS_WAITING + 1)))
        assert [word.outcome for word in words] == [Outcome.OK] * LOGINS_WAITING + [Outcome.UNAVAILABLE]

    run(tmp_path, story)


def test_a_broken_database_is_unavailable_not_denied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, b"secret")
        other = apsw.Connection(str(tmp_path / "secrets.db"))
        other.execute("DROP TABLE credential")
        other.close()
        with caplog.at_level(logging.INFO):
            assert (await authority.login(attempt(b"secret"))).outcome is Outcome.UNAVAILABLE
        assert "authority-fault" in caplog.text and "secret" not in caplog.text

    run(tmp_path, story)


def test_an_overlong_login_is_denied_and_counted_in_bounded_memory(tmp_path: Path) -> None:
    async def story(authority: LocalAuthority) -> None:
        assert (await authority.login(attempt(b"x", "a" * 100_000))).outcome is Outcome.DENIED
        assert (await authority.login(attempt(b"x", "\udcff"))).outcome is Outcome.DENIED

    run(tmp_path, story)


def test_a_password_does_not_show_in_an_attempts_repr() -> None:
    assert "hunter2" not in repr(attempt(b"hunter2"))
