"""A smaller share of the same conversations with the real program, over real sockets and real TLS: the same judge,
and a worker that is never restarted, logs no fault and does not grow."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from tests.fuzz.campaign import WALKERS, Campaign
from tests.fuzz.conversation import Act, Conversation, Pace, Step
from tests.fuzz.room import room
from tests.fuzz.test_fuzz import SEED
from tests.fuzz.walk import Told, Walk, Wrong
from tests.fuzz.wire import Wire
from tests.house import PATIENCE, House
from tests.scale import scaled
from tests.system import many
from tests.system.raw import alive, clear, trusting

_COUNT = scaled(40, 2000)
_FIRST = 1_000_000
"""Other conversations than those in memory."""
_UNFINISHED = ("reply missing", "reply without its end")
_DENIED = (b"535 ", b"-ERR [AUTH]", b"AUTHENTICATIONFAILED")
_GROWTH = scaled(24, 48) * many.MIB
_QUIT = {"imap": b"leave LOGOUT\r\n"}


class _Line:
    """One connection."""

    def __init__(self, house: House, door: str) -> None:
        self._sock: socket.socket = many.connect(house, door)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._door = door
        self._sent = [bytearray()]
        self._heard = bytearray()
        self._closed = False
        self.gone = False

    def settle(self) -> Walk:
        """Until the server owes nothing. Raises Wrong."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                pieces = [bytes(piece) for piece in self._sent]
                told = Told(pieces, bytes(self._heard), closed=self._closed, gone=self.gone)
                return WALKERS[self._door](told)
            except Wrong as wrong:
                if self._closed or wrong.kind not in _UNFINISHED or time.monotonic() > until:
                    raise
            self._hear()

    def _hear(self) -> None:
        try:
            octets = self._sock.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            octets = b""
        self._heard += octets
        self._closed = not octets

    def send(self, octets: bytes) -> None:
        """Send; a server that has closed takes no more."""
        self._sent[-1] += octets
        with contextlib.suppress(ConnectionResetError, BrokenPipeError, ssl.SSLError):
            self._sock.sendall(octets)

    def act(self, act: Act) -> None:
        """Do what is no sending."""
        match act:
            case Act.TLS if self.settle().go_ahead:
                self._sock.settimeout(PATIENCE)
                self._sock = trusting().wrap_socket(self._sock, suppress_ragged_eofs=True)
                self._sent.append(bytearray())
            case Act.CLOSE if not isinstance(self._sock, ssl.SSLSocket):
                self._sock.shutdown(socket.SHUT_WR)
                self.gone = True
            case Act.CUT:
                self.gone = True

    def end(self) -> None:
        """Part, where the server waits for a command, and see it close."""
        walk = self.settle()
        if walk.ready and not self.gone:
            self.send(_QUIT.get(self._door, b"QUIT\r\n"))
            while not self._closed:
                self._hear()
            self.settle()

    def close(self) -> None:
        many.reset(self._sock)


def _play(house: House, door: str, conversation: Conversation) -> None:
    line = _Line(house, door)
    try:
        # Who talks before the greeting is turned away.
        line.settle()
        for step in _joined(conversation):
            if isinstance(step, Act):
                line.act(step)
            else:
                line.send(step)
                if conversation.pace is Pace.WAITING:
                    line.settle()
            if line.gone:
                break
        line.end()
    finally:
        line.close()


def _joined(conversation: Conversation) -> Iterator[Step]:
    """The steps, in one piece where they come together."""
    if conversation.pace is Pace.WAITING:
        yield from conversation.steps
        return
    together = b""
    for step in conversation.steps:
        if isinstance(step, Act):
            yield together
            together = b""
            yield step
        else:
            together += step
    yield together


async def _chosen(door: str) -> list[Conversation]:
    """Conversations in which no login fails: the real authority would slow down all that follow."""
    campaign = Campaign(door, SEED, 0)
    chosen = []
    async with room() as house:
        for number in range(_FIRST, _FIRST + _COUNT):
            conversation = campaign.conversation(number)
            if conversation.stranger:
                continue
            wire = Wire(house.doors[door], house.tap, "127.0.0.1")
            await wire.play(conversation)
            if not any(word in wire.told().heard for word in _DENIED):
                chosen.append(conversation)
            await wire.end()
    return chosen


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    text = house.config_path.read_text()
    if "lmtp =" not in text:
        house.config_path.write_text(text.replace("[listen]\n", '[listen]\nlmtp = ["127.0.0.1:0"]\n'))
    with house:
        yield house
        checked = house.run("fsck")
        assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("door", list(WALKERS))
def test_the_real_program_bears_them_too(house: House, door: str) -> None:
    pids, memory = house.pids(), many.pss(many.worker(house))
    chosen = asyncio.run(_chosen(door))
    assert len(chosen) > _COUNT // 3
    for conversation in chosen:
        try:
            _play(house, door, conversation)
        except Wrong as wrong:
            raise AssertionError(f"{wrong}\n{conversation}\n{house.log()[-2000:]}") from wrong
    alive(house)
    assert house.pids() == pids
    assert many.pss(many.worker(house)) < memory + _GROWTH
    assert " ERROR " not in house.log(), house.log()
    clear(house)
