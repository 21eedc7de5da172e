"""The authority through a socket: the same words, and an answer whatever happens to the other process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from postroom.accounts.authority import Attempt, Authority, Login, Outcome
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

    async def set_password(self, address: str, password: bytes, *, ready_hash: bool = False) -> None:
        await self.login(attempt(password))

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
        await remote.close()
        await server.close()

    asyncio.run(story())


def test_a_silent_or_broken_authority_is_unavailable(tmp_path: Path) -> None:
    async def story() -> None:
        for number, does in enumerate((None, ZeroDivisionError())):
            server = await serve(tmp_path / str(number), handlers(Odd(does)))
            remote = RemoteAuthority(tmp_path / str(number), seconds=0.05)
            assert await remote.login(attempt(b"x")) == Login(Outcome.UNAVAILABLE)
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
