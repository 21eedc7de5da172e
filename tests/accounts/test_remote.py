"""The authority through a socket: the same words, and an answer whatever happens to the other process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from postroom.accounts.authority import (
    AppPassword,
    Attempt,
    Authority,
    Challenge,
    Login,
    Opening,
    Outcome,
    Proof,
    Token,
    Verdict,
    Voucher,
)
from postroom.accounts.local import LocalAuthority
from postroom.accounts.remote import RemoteAuthority, handlers
from postroom.accounts.secrets import SecretsFault
from postroom.net.ipc import Failed, Peer, Refused, Values, serve

ALICE = "alice@example.test"


def attempt(password: bytes, login: str = ALICE) -> Attempt:
    return Attempt(login, password, "192.0.2.1", "imap")


def test_logins_and_passwords_pass_through(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        local = LocalAuthority(tmp_path, login_failures=0)
        server = await serve(tmp_path / "s", handlers(local))
        remote = RemoteAuthority(tmp_path / "s")
        await remote.set_password(ALICE, b"hunter2 \xff\xfe")
        assert await remote.login(attempt(b"hunter2 \xff\xfe")) == Login(Outcome.OK, ALICE)
        assert await remote.login(attempt(b"hunter3")) == Login(Outcome.DENIED)
        assert (await remote.login(attempt(b"x", "\udcff"))).outcome is Outcome.DENIED
        await remote.remove(ALICE)
        assert (await remote.login(attempt(b"hunter2 \xff\xfe"))).outcome is Outcome.DENIED
        await remote.close()
        await server.close()
        await local.close()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(story())
    assert "hunter" not in caplog.text


def test_secrets_that_cannot_be_kept_are_told_as_that(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Full(LocalAuthority):
        async def set_password(self, address: str, password: bytes, *, ready_hash: bool = False) -> None:
            raise SecretsFault("database or disk is full")

        async def remove(self, address: str) -> None:
            raise SecretsFault("database or disk is full")

    async def story() -> None:
        local = Full(tmp_path)
        server = await serve(tmp_path / "s", handlers(local))
        remote = RemoteAuthority(tmp_path / "s")
        with pytest.raises(SecretsFault, match="disk is full"):
            await remote.set_password(ALICE, b"x")
        with pytest.raises(SecretsFault, match="disk is full"):
            await remote.remove(ALICE)
        await remote.close()
        await server.close()
        await local.close()

    asyncio.run(story())
    assert "Traceback" not in caplog.text


def test_ready_hashes_pass_through_and_wrong_ones_are_a_value_error(tmp_path: Path) -> None:
    async def story() -> None:
        local = LocalAuthority(tmp_path)
        server = await serve(tmp_path / "s", handlers(local))
        remote: Authority = RemoteAuthority(tmp_path / "s")
        with pytest.raises(ValueError, match="known form"):
            await remote.set_password(ALICE, b"{PLAIN-MD5}x", ready_hash=True)
        with pytest.raises(ValueError, match="empty"):
            await remote.set_password(ALICE, b"")
        with pytest.raises(ValueError, match="address"):
            await remote.set_password("nobody", b"x")
        ready = b"{BLF-CRYPT}$2b$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu"
        await remote.set_password(ALICE, ready, ready_hash=True)
        assert (await remote.login(attempt(b"password"))).outcome is Outcome.OK
        await remote.close()
        await server.close()
        await local.close()

    asyncio.run(story())


class Odd:
    """An authority that does what it is told to."""

    def __init__(self, does: BaseException | Login | None) -> None:
        self.does = does

    async def login(self, attempt: Attempt) -> Login:
        if isinstance(self.does, BaseException):
            raise self.does
        if self.does is None:
            await asyncio.Event().wait()
        assert isinstance(self.does, Login)
        return self.does

    async def scram_for_all(self) -> bool | None:
        return (await self.login(attempt(b""))).outcome is Outcome.OK

    async def scram_first(self, opening: Opening) -> Challenge:
        return Challenge((await self.login(attempt(b""))).outcome, b"nonce", b"message \xff")

    async def scram_final(self, proof: Proof) -> Verdict:
        said = await self.login(attempt(b""))
        return Verdict(said.outcome, said.address, b"signature \xff")

    async def vouch(self, voucher: Voucher) -> Login:
        return await self.login(attempt(b""))

    async def token(self, token: Token) -> Login:
        return await self.login(attempt(b""))

    async def set_password(self, address: str, password: bytes, *, ready_hash: bool = False) -> None:
        await self.login(attempt(password))

    async def add_app_password(self, address: str, name: str, protocols: Sequence[str]) -> str:
        await self.login(attempt(b""))
        return "made"

    async def app_passwords(self, address: str) -> list[AppPassword]:
        await self.login(attempt(b""))
        return [AppPassword("phone", ("imap", "smtp"), 7), AppPassword("all", (), 8)]

    async def revoke_app_password(self, address: str, name: str) -> bool:
        await self.login(attempt(b""))
        return name == "phone"

    async def remove(self, address: str) -> None:
        await self.login(attempt(b""))

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_its_word(outcome: Outcome, tmp_path: Path) -> None:
    async def story() -> None:
        said = Login(outcome, ALICE if outcome is Outcome.OK else "")
        server = await serve(tmp_path / "s", handlers(Odd(said)))
        remote = RemoteAuthority(tmp_path / "s")
        assert await remote.login(attempt(b"x")) == said
        assert await remote.vouch(Voucher(ALICE, True, "192.0.2.1", "imap")) == said
        assert await remote.token(Token(ALICE, b"x", "192.0.2.1", "imap")) == said
        assert await remote.scram_for_all() is (outcome is Outcome.OK)
        opening = Opening("\udcff", b"bare \xff", b"nonce", "192.0.2.1", "imap")
        assert await remote.scram_first(opening) == Challenge(outcome, b"nonce", b"message \xff")
        verdict = await remote.scram_final(Proof(b"nonce", b"c=\xff", b"\xff", "192.0.2.1"))
        assert verdict == Verdict(outcome, said.address, b"signature \xff")
        await remote.close()
        await server.close()

    asyncio.run(story())


def test_a_silent_or_broken_authority_is_unavailable(tmp_path: Path) -> None:
    async def story() -> None:
        for number, does in enumerate((None, ZeroDivisionError())):
            server = await serve(tmp_path / str(number), handlers(Odd(does)))
            remote = RemoteAuthority(tmp_path / str(number), seconds=0.05)
            assert await remote.login(attempt(b"x")) == Login(Outcome.UNAVAILABLE)
            assert await remote.vouch(Voucher("a", True, "", "")) == Login(Outcome.UNAVAILABLE)
            assert await remote.token(Token("a", b"x", "", "")) == Login(Outcome.UNAVAILABLE)
            assert await remote.scram_first(Opening("a", b"", b"", "", "")) == Challenge(Outcome.UNAVAILABLE)
            assert await remote.scram_final(Proof(b"", b"", b"", "")) == Verdict(Outcome.UNAVAILABLE)
            assert await remote.scram_for_all() is None
            with pytest.raises((TimeoutError, Failed)):
                await remote.add_app_password(ALICE, "phone", ())
            with pytest.raises((TimeoutError, Failed)):
                await remote.set_password(ALICE, b"x")
            with pytest.raises((TimeoutError, Failed)):
                await remote.remove(ALICE)
            await remote.close()
            await server.close()

    asyncio.run(story())


def test_an_answer_of_another_version_is_unavailable(tmp_path: Path) -> None:
    async def story() -> None:
        async def odd(values: Values) -> Values:
            return {"outcome": "sideways"}

        server = await serve(tmp_path / "s", {"login": odd})
        remote = RemoteAuthority(tmp_path / "s")
        assert await remote.login(attempt(b"x")) == Login(Outcome.UNAVAILABLE)
        await remote.close()
        await server.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"login": 1, "password": "x", "peer": "", "protocol": ""},
        {"login": "a", "password": "\u0100", "peer": "", "protocol": ""},
        {"login": "a", "password": None, "peer": "", "protocol": ""},
    ],
)
def test_a_garbled_question_is_refused_without_an_echo(values: Values, tmp_path: Path) -> None:
    async def story() -> None:
        server = await serve(tmp_path / "s", handlers(Odd(Login(Outcome.OK, ALICE))))
        peer = Peer(tmp_path / "s")
        with pytest.raises(Refused, match=r"^(no text|not octets): [a-z]+$"):
            await peer.call("login", **values)
        await peer.close()
        await server.close()

    asyncio.run(story())


def test_app_passwords_pass_through(tmp_path: Path) -> None:
    async def story() -> None:
        server = await serve(tmp_path / "odd", handlers(Odd(Login(Outcome.OK, ALICE))))
        remote = RemoteAuthority(tmp_path / "odd")
        assert await remote.add_app_password(ALICE, "phone", ("imap",)) == "made"
        assert await remote.app_passwords(ALICE) == await Odd(Login(Outcome.OK)).app_passwords(ALICE)
        assert await remote.revoke_app_password(ALICE, "phone")
        assert not await remote.revoke_app_password(ALICE, "other")
        await remote.close()
        await server.close()
        for fault, kind in ((ValueError("no"), ValueError), (SecretsFault("disk is full"), SecretsFault)):
            server = await serve(tmp_path / kind.__name__, handlers(Odd(fault)))
            remote = RemoteAuthority(tmp_path / kind.__name__)
            with pytest.raises(kind, match=str(fault)):
                await remote.add_app_password(ALICE, "phone", ())
            with pytest.raises((SecretsFault, Refused)):
                await remote.revoke_app_password(ALICE, "phone")
            await remote.close()
            await server.close()

    asyncio.run(story())


SERVER = """
import asyncio, sys
from pathlib import Path
from postroom.accounts.local import LocalAuthority
from postroom.accounts.remote import handlers
from postroom.net.ipc import serve
async def main():
    folder = Path(sys.argv[1])
    await serve(folder / "s", handlers(LocalAuthority(folder, login_failures=0)))
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_a_killed_authority_is_found_again_after_its_restart(tmp_path: Path) -> None:
    def spawn() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, tmp_path],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": "src"},
        )
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    def bury(process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    async def story() -> None:
        remote, hasty = RemoteAuthority(tmp_path / "s"), RemoteAuthority(tmp_path / "s", seconds=0.05)
        assert await hasty.login(attempt(b"right")) == Login(Outcome.UNAVAILABLE)
        process = spawn()
        try:
            await remote.set_password(ALICE, b"right")
            assert (await remote.login(attempt(b"right"))).outcome is Outcome.OK
        finally:
            bury(process)
        assert await hasty.login(attempt(b"right")) == Login(Outcome.UNAVAILABLE)
        with pytest.raises(TimeoutError):
            await hasty.set_password(ALICE, b"other")
        meanwhile = asyncio.create_task(remote.login(attempt(b"right")))
        await asyncio.sleep(0)
        process = spawn()
        try:
            assert (await meanwhile).outcome is Outcome.OK
        finally:
            bury(process)
            await remote.close()
            await hasty.close()

    asyncio.run(story())
