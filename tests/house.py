"""A house to test in: the real program on loopback ports of its own, started by the published contract.

    with House(tmp_path) as house:
        smtplib.SMTP("127.0.0.1", house.port("smtp"))

Accounts are made without the command line and with cheap hashes, since the tests start many houses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from postroom.config import Config, load
from postroom.site.office import open_office
from postroom.store.changes import AddAccount
from postroom.store.values import Account

ALICE, BOB = "alice@example.test", "bob@example.test"
PASSWORDS = {ALICE: "Secret-pw-1", BOB: "Secret-pw-2"}
_HASH = b"{SHA512-CRYPT}$6$rounds=1000$postroomtests$"
_HASHES = {
    ALICE: _HASH + b"6JTDdkWLcs8kHu5h/GLnrjls4l2VUMHhp6ZIiUaQ8hKLzRsLJulHWtiiZQ1pbc8Zs5/maaWcvMhBxhl.rTwO31",
    BOB: _HASH + b"iaGlFFd8XWPuGF.WI1IBuFzGvzSTTaloXwfK9wrZ2rzNrVOwM7QJzIbykvaXZ27odxkpRBrPHvS2Y0XhXqZh7/",
}
PROTOCOLS = ("smtp", "submission", "submissions", "pop3", "pop3s", "imap", "imaps")
PATIENCE = 30.0
"""Seconds until the program must have started, or ended."""


class House:
    """See the module. `settings` is TOML of the file's top, `tables` is put behind it; `plain` lets logins in clear
    come from loopback; `environment` is added to that of the server and of commands."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        plain: bool = True,
        settings: str = "",
        tables: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.environment = os.environ | (environment or {})
        self.config_path = folder / "postroom.toml"
        self.data = folder / "data"
        self.log_path = folder / "server.log"
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen[str] | None = None
        listen = "\n".join(f'{protocol} = ["127.0.0.1:0"]' for protocol in PROTOCOLS)
        self.config_path.write_text(
            f'hostname = "mx.example.test"\nworkers = {workers}\n{settings}\n[listen]\n{listen}\n'
            f"[tls]\nloopback_plain = {str(plain).lower()}\n"
            '[limits]\nconnections_per_address = 1000\nexempt_networks = ["127.0.0.0/8"]\n'
            f"{tables}\n"
        )

    @property
    def config(self) -> Config:
        """The configuration as the program reads it."""
        return load(self.config_path)

    def add_accounts(self) -> None:
        """Alice and Bob, where they aren't there yet."""
        asyncio.run(_add_accounts(self.config))

    def command(self, *words: str) -> list[str]:
        """The words of a `postroom` command on this house."""
        return [sys.executable, "-m", "postroom", *words, "--config", str(self.config_path)]

    def run(self, *words: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a `postroom` command to its end."""
        return subprocess.run(
            self.command(*words),
            input=input,
            text=True,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=self.environment,
        )

    def start(self, *wrapper: str) -> None:
        """Start the server, below `wrapper` where one is given, and wait until it is ready."""
        self.add_accounts()
        log = self.log_path.open("a")
        self.process = subprocess.Popen(
            [*wrapper, *self.command("serve")],
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env=self.environment,
        )
        log.close()
        self.ports = _ready(self.process, self.log_path)

    @property
    def group(self) -> int:
        """The process group of all that runs."""
        assert self.process is not None
        return self.process.pid

    def port(self, protocol: str) -> int:
        """Where a protocol is served."""
        return self.ports[protocol]

    def pids(self) -> dict[str, int]:
        """The roles' process ids by their names, from the log."""
        found = {}
        for line in self.log().splitlines():
            words = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if " role-started " in line:
                found[words["role"]] = int(words["pid"])
        return found

    def wait_for_successor(self, role: str, pid: int) -> None:
        """Until a role that was killed has been started anew."""
        until = time.monotonic() + PATIENCE
        while self.pids()[role] == pid:
            assert time.monotonic() < until, f"{role} is not started anew"
            time.sleep(0.02)

    def log(self) -> str:
        """What the server has logged."""
        return self.log_path.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL to the whole group, as a power cut would."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._wait()

    def stop(self) -> int:
        """SIGTERM; gives the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._wait()

    def _wait(self) -> int:
        assert self.process is not None
        status = self.process.wait(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return status

    def __enter__(self) -> House:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.process is not None:
                self.stop()
        finally:
            if self.process is not None:
                self.kill()
        if fault is None:
            assert "Traceback" not in self.log(), self.log()


def _ready(process: subprocess.Popen[str], log: Path) -> dict[str, int]:
    """Read the ready lines: the port of each protocol."""
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    stdout = process.stdout

    def read() -> None:
        for line in stdout:
            lines.put(line)
            if line == "ready\n":
                return
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    ports = {}
    while (line := lines.get(timeout=PATIENCE)) != "ready\n":
        assert line, f"the server did not start: {log.read_text(errors='replace')}"
        _, protocol, place = line.split()
        ports[protocol] = int(place.rpartition(":")[2])
    return ports


async def _add_accounts(config: Config) -> None:
    async with open_office(config) as office:
        for address, hashed in _HASHES.items():
            if await office.store.account(address) is None:
                await office.authority.set_password(address, hashed, ready_hash=True)
                assert isinstance(await office.store.commit(AddAccount(address)), Account)
