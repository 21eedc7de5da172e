"""The house that the fuzzer knocks at: a worker with all its doors as `site.worker` builds it, over a real store
that is made anew from time to time; what the worker logs; and what must hold of its store.

Nothing of it is slow: the store lies in memory where the system has a place for that, passwords are checked without
a thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar
from unittest import mock

from postroom.accounts.local import LocalAuthority
from postroom.config import Config, parse
from postroom.message.structure import parse as structure
from postroom.net.conversation import Tap
from postroom.net.listener import Door, Listener
from postroom.site import worker
from postroom.site.prepare import prepare
from postroom.site.served import SERVED
from postroom.store.changes import AddAccount, AddAlias, CreateMailbox, Filed, Target
from postroom.store.check.findings import Severity
from postroom.store.check.whole import check
from postroom.store.interface import Delivery, Store
from postroom.store.sqlite import open_store
from postroom.store.values import INBOX, Account, AccountId
from tests.fuzz.letters import LETTERS, as_pop3_shows
from tests.fuzz.walk import Wrong
from tests.house import _HASHES, ALICE, BOB

HASHES: Final = {**_HASHES, "carol@example.test": _HASHES[BOB]}
"""Carol's session is the one that the others must not disturb; her password is Bob's."""
NOON: Final = 1_700_000_000
DOORS: Final = ("smtp", "submission", "lmtp", "pop3", "imap")
"""Those that the fuzzer knocks at."""
_MEMORY: Final = Path("/dev/shm")
T = TypeVar("T")


class _Authority(LocalAuthority):
    """The real one, in the same process: nobody is slowed down, and no thread is asked."""

    def __init__(self, data: Path) -> None:
        super().__init__(data, login_failures=0, threads=1, sleep=_no_sleep)

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return work()


async def _no_sleep(seconds: float) -> None:
    """Who fails to log in is slowed down elsewhere."""


class _Log(logging.Handler):
    """Keeps what must not happen: errors, tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.faults: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR and not record.exc_info:
            return
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            fault = record.exc_info[1]
            text = f"{text.split(' ')[0]} {type(fault).__name__} at {_place(fault)}: {fault} | {text}"
        self.faults.append(text)


def _place(fault: BaseException) -> str:
    """Where it was raised."""
    trace = fault.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


class Room:
    """A house that is open; see `room`. `doors` has the listeners by protocol, `delivered` the letters that were
    filed as they came from their sender, `known` those of the house as POP3 may show them."""

    def __init__(self, config: Config, log: _Log) -> None:
        self.config = config
        self.doors: dict[str, Listener] = {}
        self.tap = Tap("f")
        self.delivered: list[bytes] = []
        self.known = frozenset(map(as_pop3_shows, LETTERS))
        self.store: Store
        """The worker's."""
        self._log = log
        self._alice = AccountId(0)

    def close(self) -> None:
        """Close the sockets that nobody knocked at."""
        for door in self.doors.values():
            door.sock.close()

    def look_at_log(self) -> None:
        """Raises Wrong where something was logged that must not happen."""
        if self._log.faults:
            fault = self._log.faults[0]
            self._log.faults.clear()
            raise Wrong("logged", fault)

    def look_at_store(self) -> None:
        """Raises Wrong where the store's own check finds something."""
        for finding in check(self.config.root, quick=True):
            if finding.severity is Severity.PROBLEM:
                raise Wrong("store damaged", finding.what)

    async def furnish(self) -> None:
        """Let Alice, Bob and Carol move in, with mail in Alice's INBOX and a mailbox beside it."""
        for address in HASHES:
            assert isinstance(await self.store.commit(AddAccount(address)), Account)
        await self.store.commit(AddAlias("team@example.test", (ALICE, BOB)))
        alice = await self.store.account(ALICE)
        assert alice is not None
        self._alice = alice.id
        await self.store.commit(CreateMailbox(alice.id, "Box/Inner"))
        await self.refill()

    async def refill(self) -> None:
        """Let Alice's INBOX have all of LETTERS again, where conversations have taken some away."""
        inbox = await self.store.mailbox(self._alice, INBOX)
        assert inbox is not None
        status = await self.store.status(inbox.id)
        assert status is not None
        if status.messages >= len(LETTERS):
            return
        for letter in LETTERS:
            blob = self.store.blob()
            blob.write(letter)
            delivery = Delivery(blob, structure(blob.contents()), (Target(inbox.id, b""),), NOON)
            assert all(isinstance(each, Filed) for each in await self.store.deliver(delivery))


@contextlib.asynccontextmanager
async def room(doors: Sequence[str] = DOORS) -> AsyncIterator[Room]:
    """A new house with these doors, as far as this version serves them; inside a running loop."""
    log = _Log()
    folder = Path(tempfile.mkdtemp(prefix="postroom-fuzz-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))
    try:
        with _heard(log):
            config = parse(_CONFIG, folder / "postroom.toml")
            prepare(config)
            made = Room(config, log)
            async with contextlib.AsyncExitStack() as stack:
                stack.callback(made.close)
                with _bent(made):
                    given = [(protocol, _port()) for protocol in doors if protocol in SERVED]
                    await stack.enter_async_context(worker.work(config, "worker-0", given))
                await made.furnish()
                made.store.deliver = _remembering(made)  # type: ignore[assignment, method-assign]
                yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_CONFIG: Final = """
hostname = "mx.example.test"
[tls]
loopback_plain = true
[limits]
connections_per_address = 1000
exempt_networks = ["127.0.0.0/8"]
[smtp]
max_message_size = "1MiB"
xclient_networks = ["127.0.0.0/8"]
"""


@contextlib.contextmanager
def _heard(log: _Log) -> Iterator[None]:
    """Let everything that is logged come to `log`, at no cost where it is no fault."""
    root = logging.getLogger()
    level = root.level
    root.addHandler(log)
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.removeHandler(log)
        root.setLevel(level)


@contextlib.contextmanager
def _bent(made: Room) -> Iterator[None]:
    """A worker that is made within shows its doors and its store, and has its authority with it."""

    class Shown(Door):
        def open(self, listener: Listener) -> None:
            # Nobody knocks at the socket: conversations are brought to the handler.
            made.doors[listener.protocol] = listener

    def authority(*args: Any, **named: Any) -> _Authority:
        own = _Authority(made.config.root)
        for address, hashed in HASHES.items():
            own._secrets.keep(address, hashed.decode(), None)
        return own

    async def opened(*args: Any, **named: Any) -> Store:
        made.store = await open_store(*args, **named)
        return made.store

    with (
        mock.patch.object(worker, "Door", Shown),
        mock.patch.object(worker, "RemoteAuthority", authority),
        mock.patch.object(worker, "open_store", opened),
    ):
        yield


def _port() -> int:
    """The descriptor of a listening socket at which nobody knocks."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.detach()


def _remembering(made: Room) -> Callable[[Delivery], Any]:
    deliver = made.store.deliver

    async def remember(delivery: Delivery) -> Any:
        letter = bytes(delivery.blob.contents())
        answers = await deliver(delivery)
        if any(isinstance(each, Filed) for each in answers):
            made.delivered.append(letter)
        return answers

    return remember
