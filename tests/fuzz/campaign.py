"""Many conversations with one door, each judged; what is found is made small, and can be played again."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop

from tests.fuzz import conversation as text
from tests.fuzz.conversation import Conversation
from tests.fuzz.mutate import conversation as changed
from tests.fuzz.recordings import own_recordings, recordings
from tests.fuzz.room import Room, room
from tests.fuzz.smaller import Smaller, alike
from tests.fuzz.walk import Walk, Walker, Wrong
from tests.fuzz.walk_imap import walk_imap
from tests.fuzz.walk_pop3 import walk_pop3
from tests.fuzz.walk_smtp import walk_lmtp, walk_smtp
from tests.fuzz.wire import Wire

WALKERS: Final[dict[str, Walker]] = {
    "smtp": walk_smtp,
    "submission": walk_smtp,
    "lmtp": walk_lmtp,
    "pop3": walk_pop3,
    "imap": walk_imap,
}
_PROBES: Final = {
    "pop3": (b"CAPA\r\n", b"QUIT\r\n"),
    "imap": (b"probe NOOP\r\n", b"leave LOGOUT\r\n"),
}
_SMTP_PROBES: Final = (b"NOOP\r\n", b"QUIT\r\n")
_KEPT: Final = Path(__file__).parent.parent.parent / "soak"
"""Beside the soak's logs."""
T = TypeVar("T")
_CAROL: Final = {
    "pop3": (b"USER carol@example.test\r\n", b"PASS Secret-pw-2\r\n"),
    "imap": (b"in LOGIN carol@example.test Secret-pw-2\r\n",),
    "submission": (b"EHLO carol.test\r\n", b"AUTH PLAIN AGNhcm9sQGV4YW1wbGUudGVzdABTZWNyZXQtcHctMg==\r\n"),
}
"""How the other client becomes somebody, so that it may stay; with IMAP she is also there for SEND and its kin."""
EPOCH: Final = 1500
"""Conversations in one house; then there is a new one."""
_LOOK: Final = 250
"""Conversations between two looks at the store and at the other client."""
_REFILL: Final = 10
"""Conversations between two looks whether there is mail enough."""
_LOOPBACK, _STRANGER = "127.0.0.1", "192.0.2.77"
_GROWTH_BLOCKS: Final = 3000
"""Objects that a process may have more of at the end than after its second house (caches of the libraries, such as
that of regular expressions), and one more for each second conversation; measured: one for ten."""
_GROWTH_OCTETS: Final = 24 * 1024 * 1024
_TRIALS: Final = 300
"""Conversations played to make a failure small."""


class Found(AssertionError):
    """A fault of the server, with all that is needed to see it again. `kind` is the walk's or the room's word."""

    def __init__(self, kind: str, report: str) -> None:
        super().__init__(report)
        self.kind = kind


@dataclass(slots=True)
class Tally:
    """What a campaign did."""

    conversations: int = 0
    replies: int = 0
    letters: int = 0
    octets: int = 0
    seconds: float = 0.0
    memory: list[tuple[int, int]] = field(default_factory=list)
    """After each house: blocks that Python's allocator has given out, resident octets."""

    def __str__(self) -> str:
        rate = self.conversations / self.seconds if self.seconds else 0.0
        grown = self.memory[-1][1] - self.memory[0][1] if self.memory else 0
        rated = f"{self.conversations} conversations in {self.seconds:.1f} s ({rate:.0f} a second)"
        spoken = f"{self.octets} octets sent, {self.replies} replies, {self.letters} letters"
        return f"{rated}, {spoken}; memory grew by {grown // 1024} KiB"


def _run(work: Coroutine[Any, Any, T]) -> T:
    """On the loop that workers have."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


# --- one conversation


async def judge(house: Room, door: str, conversation: Conversation) -> Walk:
    """Play a conversation, and look at all that must hold. Raises Wrong."""
    house.delivered.clear()
    wire = Wire(house.doors[door], house.tap, _STRANGER if conversation.stranger else _LOOPBACK)
    try:
        await wire.play(conversation)
        walk = await _walked(wire, door)
    finally:
        await wire.end()
    house.look_at_log()
    _compare(house.delivered, walk, exact=door != "submission")
    if any(letter not in house.known for letter in walk.known):
        raise Wrong("another letter", "what RETR gave is no letter of this house")
    return walk


async def _walked(wire: Wire, door: str) -> Walk:
    """Both sides as they stand; a server that waits for a command answers one, and one to part."""
    walker = WALKERS[door]
    walk = walker(wire.told())
    if not walk.ready or wire.gone:
        return walk
    probes = _PROBES.get(door, _SMTP_PROBES)
    for probe in probes:
        if not wire.told().closed:
            await wire.ask(probe)
    walk = walker(wire.told())
    if not wire.told().closed:
        raise Wrong("does not part", f"{probes[-1]!r} has not ended the session")
    return walk


def _compare(filed: list[bytes], walk: Walk, *, exact: bool) -> None:
    """Letters as they were filed, and as their sender meant them; a submitted one's header may have been mended."""
    left = list(filed)
    for number, meant in enumerate(walk.letters):
        if left and (left[0] == meant if exact else left[0].endswith(meant.partition(b"\r\n\r\n")[2])):
            left.pop(0)
        elif number not in walk.terminal:
            if not left:
                raise Wrong("letter not filed", f"{meant[:300]!r} was acknowledged")
            raise Wrong("another letter", f"{meant[:300]!r} was filed as {left[0][:300]!r}")
    if left:
        raise Wrong("another letter", f"{left[0][:300]!r} was filed, and not acknowledged")


# --- many


class Campaign:
    """`count` conversations with `door` from number `first` on, all of which follow from `seed`. Failures are kept
    in the folder `kept`."""

    def __init__(
        self,
        door: str,
        seed: str,
        count: int,
        *,
        first: int = 0,
        epoch: int = EPOCH,
        trials: int = _TRIALS,
        kept: Path = _KEPT,
    ) -> None:
        self.door = door
        self.seed = seed
        self.count = count
        self.first = first
        self.tally = Tally()
        self._epoch = epoch
        self._trials = trials
        self._kept = kept

    def run(self) -> Tally:
        """Play them all. Raises Found."""
        began = time.monotonic()
        try:
            for start in range(self.first, self.first + self.count, self._epoch):
                _run(self._house(start, min(start + self._epoch, self.first + self.count)))
                self._weigh()
        finally:
            self.tally.seconds = time.monotonic() - began
        return self.tally

    def conversation(self, number: int) -> Conversation:
        """One of them; the first are the recorded ones as they stand."""
        if number < own_recordings(self.door):
            return recordings(self.door)[number]
        return changed(self.door, f"{self.seed}:{self.door}:{number}")

    async def _house(self, start: int, end: int) -> None:
        number = start
        try:
            async with room() as house, _other(house, self.door) as other:
                for number in range(start, end):
                    if number % _REFILL == 0:
                        await house.refill()
                    conversation = self.conversation(number)
                    walk = await judge(house, self.door, conversation)
                    self.tally.conversations += 1
                    self.tally.replies += walk.replies
                    self.tally.letters += len(walk.letters)
                    self.tally.octets += conversation.octets
                    if number % _LOOK == _LOOK - 1:
                        await other.served()
                        house.look_at_store()
                await other.served()
                house.look_at_store()
        except Wrong as wrong:
            raise await self._found(number, start, wrong) from wrong

    def _weigh(self) -> None:
        gc.collect()
        with open("/proc/self/statm") as statm:
            resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        memory = self.tally.memory
        memory.append((sys.getallocatedblocks(), resident))
        if len(memory) < 3:
            return
        blocks, octets = memory[-1][0] - memory[1][0], memory[-1][1] - memory[1][1]
        if blocks > _GROWTH_BLOCKS + self.tally.conversations // 2 or octets > _GROWTH_OCTETS:
            last = self.first + self.tally.conversations
            raise Found(
                "memory grows",
                f"fuzz {self.door}: {blocks} objects, {octets} octets more than after the second house\n"
                f"play again: {self._command(f'--first {self.first} --count {last - self.first}')}\n",
            )

    def _command(self, rest: str) -> str:
        return f"python -m tests.fuzz {self.door} --seed {self.seed} {rest}"

    async def _found(self, number: int, start: int, wrong: Wrong) -> Found:
        """What was found, made small."""
        smallest = await minimised(self.door, self.conversation(number), wrong, self._trials)
        lines = [f"fuzz {self.door}: {wrong}", f"found at seed {self.seed}, conversation {number}"]
        if smallest is None:
            alone = self._command(f"--first {start} --count {number - start + 1}")
            lines += ["not seen with this conversation alone; play again all of its house:", f"    {alone}"]
            lines.append(text.write(self.conversation(number)))
        else:
            self._kept.mkdir(exist_ok=True)
            path = self._kept / f"fuzz-{self.door}-{self.seed}-{number}.txt"
            path.write_text(text.write(smallest))
            lines += [
                f"play again: {self._command(f'--first {number} --count 1')}",
                f"or the smallest that does it: python -m tests.fuzz {self.door} --again {path}",
                text.write(smallest),
            ]
        return Found(wrong.kind, "\n".join(lines))


class _Other:
    """Somebody else's session, which nothing that happens beside it may harm."""

    def __init__(self, wire: Wire, door: str) -> None:
        self._wire = wire
        self._ask = b"STAT\r\n" if door == "pop3" else _PROBES.get(door, _SMTP_PROBES)[0]

    async def served(self) -> None:
        """Raises Wrong."""
        heard = len(self._wire.told().heard)
        await self._wire.ask(self._ask)
        said = self._wire.told().heard[heard:]
        if not said.endswith(b"\r\n") or not said.startswith((b"250 ", b"+OK ", b"probe OK", b"* ")):
            raise Wrong("another client is not served", repr(said))


@contextlib.asynccontextmanager
async def _other(house: Room, door: str) -> AsyncIterator[_Other]:
    async with _carol(house, door) as wire, _carol(house, "imap"):
        yield _Other(wire, door)


@contextlib.asynccontextmanager
async def _carol(house: Room, door: str) -> AsyncIterator[Wire]:
    wire = Wire(house.doors[door], house.tap, _LOOPBACK)
    try:
        await wire.settle()
        for line in _CAROL.get(door, ()):
            await wire.ask(line)
        yield wire
    finally:
        await wire.end()


async def _goes_wrong(door: str, conversation: Conversation, house: Room | None = None) -> Wrong | None:
    """What goes wrong with one conversation, in a new house where none is given."""
    try:
        async with room() if house is None else contextlib.nullcontext(house) as place:
            await judge(place, door, conversation)
    except Wrong as wrong:
        return wrong
    return None


async def minimised(door: str, conversation: Conversation, wrong: Wrong, trials: int) -> Conversation | None:
    """The smallest conversation found that goes wrong alike in a new house; None where not even the whole one does
    so alone."""
    first = await _goes_wrong(door, conversation)
    if first is None or not alike(first, wrong):
        return None
    async with room() as house:
        smaller = Smaller(conversation, wrong, lambda each: _goes_wrong(door, each, house), trials)
        await smaller.run()
    last = await _goes_wrong(door, smaller.smallest)
    return smaller.smallest if last is not None and alike(last, wrong) else conversation


def again(door: str, conversation: Conversation) -> Walk:
    """Play one conversation in a new house. Raises Wrong."""

    async def go() -> Walk:
        async with room() as house:
            walk = await judge(house, door, conversation)
            house.look_at_store()
            return walk

    return _run(go())
