"""The authority: right and wrong passwords, the same work for strangers, blocks, bounds."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from postroom.accounts import local, passwords
from postroom.accounts.authority import (
    Attempt,
    Authority,
    Login,
    Opening,
    Outcome,
    Proof,
    Token,
    Verdict,
    Voucher,
)
from postroom.accounts.local import LocalAuthority
from postroom.net.limits import APP_PASSWORDS, LOGINS_WAITING
from tests.accounts.sasl.desk import Scram

ALICE = "alice@example.test"
READY = "{BLF-CRYPT}$2b$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu"


def attempt(password: bytes, login: str = ALICE, peer: str = "192.0.2.1") -> Attempt:
    return Attempt(login, password, peer, "pop3")


Way = Callable[[LocalAuthority, bool, str, str], Awaitable[Outcome]]
"""One way in: right or wrong, who says to come, from where."""


def run(
    folder: Path, story: Callable[[LocalAuthority], Awaitable[None]], *, login_failures: int = 10
) -> list[float]:
    """Play a story with an authority; gives the delays that it slept."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def play() -> None:
        authority = LocalAuthority(folder, login_failures=login_failures, scram_iterations=4096, sleep=sleep)
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
        assert authority._secrets.scram_of(ALICE) == []
        await authority.set_password(ALICE, b"secret")
        assert len(authority._secrets.scram_of(ALICE)) == 1

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


async def scram(
    authority: LocalAuthority, client: Scram, peer: str = "192.0.2.1", protocol: str = "imaps"
) -> Verdict:
    """A whole exchange of a client, as a worker relays it."""
    login = client.bare.removeprefix(b"n=").partition(b",")[0].decode()
    challenge = await authority.scram_first(Opening(login, client.bare, b"client", peer, protocol))
    assert challenge.outcome is Outcome.OK
    without, _, proof = client.final(challenge.message).rpartition(b",p=")
    return await authority.scram_final(Proof(challenge.nonce, without, base64.b64decode(proof), peer))


async def by_password(authority: LocalAuthority, right: bool, login: str, peer: str) -> Outcome:
    return (await authority.login(attempt(b"secret" if right else b"guess", login, peer))).outcome


async def by_app_password(authority: LocalAuthority, right: bool, login: str, peer: str) -> Outcome:
    made = await authority.add_app_password(ALICE, f"{os.urandom(4).hex()}", ()) if right else "aaaaa" * 5
    return (await authority.login(attempt(made.encode(), login, peer))).outcome


async def by_scram(authority: LocalAuthority, right: bool, login: str, peer: str) -> Outcome:
    client = Scram(b"secret" if right else b"guess", login=login.encode())
    return (await scram(authority, client, peer)).outcome


async def by_certificate(authority: LocalAuthority, right: bool, login: str, peer: str) -> Outcome:
    return (await authority.vouch(Voucher(login, right, peer, "imap"))).outcome


async def by_token(authority: LocalAuthority, right: bool, login: str, peer: str) -> Outcome:
    class Verifier:
        async def account_of(self, token: bytes) -> str | None:
            return ALICE if token == b"good" else None

        def close(self) -> None:
            pass

    authority._verifier = Verifier()  # type: ignore[assignment]
    return (await authority.token(Token(login, b"good" if right else b"bad", peer, "imap"))).outcome


WAYS = pytest.mark.parametrize("way", [by_password, by_app_password, by_scram, by_certificate, by_token])


@WAYS
def test_every_way_in_is_slowed_counted_and_blocked_alike(way: Way, tmp_path: Path) -> None:
    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, b"secret")
        for _ in range(10):
            assert await way(authority, False, ALICE, "192.0.2.1") is Outcome.DENIED
        # Blocked, for whatever way and whomever.
        for other in (way, by_password, by_scram, by_certificate, by_token):
            assert await other(authority, True, ALICE, "192.0.2.1") is Outcome.BLOCKED
            assert await other(authority, False, "nobody@example.test", "192.0.2.1") is Outcome.BLOCKED
        # The owner comes in from elsewhere.
        assert await way(authority, True, ALICE, "198.51.100.1") is Outcome.OK

    slept = run(tmp_path, story)
    assert slept == sorted(slept) and len(slept) >= 9


@WAYS
def test_a_neighbour_in_the_same_ipv6_network_is_the_same(way: Way, tmp_path: Path) -> None:
    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, b"secret")
        for number in range(10):
            assert await way(authority, False, f"{number}@example.test", f"2001:db8::{number}") is Outcome.DENIED
        assert await way(authority, True, ALICE, "2001:db8::ffff") is Outcome.BLOCKED
        assert await way(authority, True, ALICE, "2001:db8:0:1::1") is Outcome.OK

    run(tmp_path, story)


def test_an_unknown_proof_is_unavailable_and_counts_for_nothing(tmp_path: Path) -> None:
    """As after a restart of the authority between the two halves."""

    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, b"secret")
        for _ in range(20):
            assert (await authority.scram_final(Proof(b"x", b"", b"", "192.0.2.1"))).outcome is Outcome.UNAVAILABLE
        challenge = await authority.scram_first(Opening(ALICE, b"n=a,r=b", b"b", "192.0.2.1", "imap"))
        stolen = Proof(challenge.nonce, b"", b"", "198.51.100.1")
        assert (await authority.scram_final(stolen)).outcome is Outcome.UNAVAILABLE
        assert (await scram(authority, Scram(b"secret"))).outcome is Outcome.OK

    assert run(tmp_path, story) == []


def test_app_passwords_log_in_where_they_may(tmp_path: Path) -> None:
    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, b"secret")
        await authority.set_password("bob@example.test", b"secret")
        mail = (await authority.add_app_password(ALICE, "phone", ("imap", "smtp"))).encode()
        everything = (await authority.add_app_password(ALICE, "desk", ())).encode()
        for protocol in ("imap", "imaps", "smtp", "submission", "submissions"):
            assert (await authority.login(Attempt(ALICE, mail, "192.0.2.1", protocol))).outcome is Outcome.OK
            assert (await scram(authority, Scram(mail), protocol=protocol)).outcome is Outcome.OK
        for protocol in ("pop3", "pop3s", "ftp", "ftps"):
            assert (await authority.login(Attempt(ALICE, mail, "192.0.2.1", protocol))).outcome is Outcome.DENIED
            assert (await scram(authority, Scram(mail), protocol=protocol)).outcome is Outcome.DENIED
            assert (await authority.login(Attempt(ALICE, everything, "192.0.2.1", protocol))).outcome is Outcome.OK
        assert (await authority.login(attempt(everything, "bob@example.test"))).outcome is Outcome.DENIED
        # They stay when the account's own password changes, and go one by one.
        await authority.set_password(ALICE, READY.encode(), ready_hash=True)
        assert (await authority.login(attempt(everything))).outcome is Outcome.OK
        assert (await scram(authority, Scram(everything))).outcome is Outcome.OK
        assert await authority.revoke_app_password(ALICE, "desk")
        assert (await authority.login(attempt(everything))).outcome is Outcome.DENIED
        assert (await scram(authority, Scram(everything))).outcome is Outcome.DENIED
        assert [each.name for each in await authority.app_passwords(ALICE)] == ["phone"]

    run(tmp_path, story, login_failures=0)


def test_limit_of_app_passwords_and_one_more(tmp_path: Path) -> None:
    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, READY.encode(), ready_hash=True)
        made = [await authority.add_app_password(ALICE, str(number), ()) for number in range(APP_PASSWORDS)]
        for _ in range(2):
            with pytest.raises(ValueError, match=str(APP_PASSWORDS)):
                await authority.add_app_password(ALICE, "one more", ())
        for password in made:
            assert (await authority.login(attempt(password.encode()))).outcome is Outcome.OK

    run(tmp_path, story)


def test_app_passwords_multiply_no_costly_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many an account has, a wrong password costs one check of a hash, and a right one of them none."""
    checked: list[str] = []

    def verify(marked: str, password: bytes) -> bool:
        checked.append(marked)
        return passwords.verify(marked, password)

    monkeypatch.setattr(local, "verify", verify)

    async def story(authority: LocalAuthority) -> None:
        await authority.set_password(ALICE, READY.encode(), ready_hash=True)
        for number in range(5):
            made = await authority.add_app_password(ALICE, str(number), ())
        for login in (ALICE, "nobody@example.test"):
            checked.clear()
            assert (await authority.login(attempt(b"guess", login))).outcome is Outcome.DENIED
            assert checked == [READY]
        assert (await authority.login(attempt(made.encode()))).outcome is Outcome.OK
        assert checked == [READY]

    run(tmp_path, story)


def test_without_scram_no_keys_are_made(tmp_path: Path) -> None:
    async def story() -> None:
        authority = LocalAuthority(tmp_path, scram_iterations=0)
        await authority.set_password(ALICE, b"secret")
        await authority.add_app_password(ALICE, "phone", ())
        assert authority._secrets.scram_of(ALICE) == []
        await authority.close()

    asyncio.run(story())


def test_without_a_verifier_no_token_is_good(tmp_path: Path) -> None:
    async def story(authority: LocalAuthority) -> None:
        assert (await authority.token(Token(ALICE, b"good", "192.0.2.1", "imap"))).outcome is Outcome.UNAVAILABLE

    run(tmp_path, story)


def test_secrets_do_not_show_in_a_repr() -> None:
    assert "hunter2" not in repr((Token("a", b"hunter2", "", ""), Proof(b"", b"", b"hunter2", "")))
