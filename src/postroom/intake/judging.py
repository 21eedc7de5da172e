"""Who judges, and when: the checks by stage, in order, and what each of them said.

A client is judged when it says HELO, MAIL and RCPT, the letter when it has come whole and before it is filed.
Checks of the first three stages are for strangers: who comes by a door that wants a login, speaks LMTP (a relay of
the house) or comes from one of the exempt networks passes them. Filters (milters) and the checks of letters are for
all.

A `Visit` is one session's way through all that. Each verdict is told in the session's conversation (`note`) and,
with the letter that it is about, in the log and in the letter's story; a stage without checks costs nothing.
"""

from __future__ import annotations

import enum
import functools
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from postroom.intake.envelope import (
    DISCARDED,
    PASSED,
    Arrival,
    Caller,
    Changed,
    Check,
    Discarded,
    Junk,
    Passed,
    Rejected,
)
from postroom.intake.milter.changes import Desk
from postroom.intake.milter.session import Milter, MilterSession
from postroom.net.log import event
from postroom.net.networks import Network
from postroom.smtp.replies import R451_FILTER
from postroom.store.interface import Blob

_logger = logging.getLogger("postroom.intake")

CallerCheck = Callable[[Caller], Awaitable[Passed | Rejected]]
"""Judges a client before there is a letter."""
Named = tuple[str, Check]
Note = Callable[[str], None]
_DOOR_OF_STRANGERS: Final = "smtp"
"""The others want a login before there is a letter, or are for those that bring letters for us (LMTP)."""


class Stage(enum.Enum):
    """What the client has just said."""

    HELLO = "hello"
    MAIL = "mail"
    RCPT = "rcpt"


@dataclass(frozen=True, slots=True)
class Judging:
    """What is held against clients and letters at this site."""

    strangers: Mapping[Stage, Sequence[CallerCheck]] = field(default_factory=dict)
    letters: Sequence[Check] = ()
    """Before the filters."""
    filtered: Sequence[Check] = ()
    """Behind them: of the letter as it will be."""
    milters: Sequence[Milter] = ()
    exempt: Sequence[Network] = ()
    """Networks whose clients pass the checks for strangers."""
    most: int = 50 * 2**20
    """Octets that a letter may have when filters have changed it."""
    before: tuple[Named, ...] = field(init=False, repr=False)
    """`letters` by their names."""
    behind: tuple[Named, ...] = field(init=False, repr=False)
    """`filtered` by their names."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", tuple([(name_of(check), check) for check in self.letters]))
        object.__setattr__(self, "behind", tuple([(name_of(check), check) for check in self.filtered]))

    def is_stranger(self, caller: Caller) -> bool:
        """Whether checks of the first stages are for this client."""
        if caller.login or caller.door != _DOOR_OF_STRANGERS:
            return False
        return not (self.exempt and _lies_in(caller.peer, self.exempt))


@dataclass(frozen=True, slots=True)
class Judged:
    """A letter that is taken, as it is to be filed. `junk`: why it goes into \\\\Junk, empty where it doesn't;
    `words`: each check, with what it said where it didn't just pass."""

    arrival: Arrival
    words: tuple[str, ...] = ()
    junk: str = ""


class Visit:
    """One session. All calls are one behind the other."""

    __slots__ = ("_astray", "_at_hello", "_judging", "_letters", "_milters", "_note", "_said")

    def __init__(self, judging: Judging, desk: Desk, note: Note | None = None) -> None:
        self._judging = judging
        self._note = note
        self._milters = [MilterSession(each, desk) for each in judging.milters]
        self._at_hello: tuple[str, ...] = ()
        """What passed when the client said its name."""
        self._said: tuple[str, ...] = ()
        """What passed for the letter at hand."""
        self._astray = False
        """A filter doesn't know the letter at hand."""

    def has(self, stage: Stage) -> bool:
        """Whether anybody judges there at all."""
        return bool(self._milters or self._judging.strangers.get(stage))

    async def hello(self, caller: Caller) -> Rejected | None:
        """The client said HELO, EHLO or LHLO; why it isn't served, or None.

        A letter under way is given up where it is. Of one that a client goes on with after a filter refused its
        name, that filter has lost the thread: the letter is put off.
        """
        found = await self._stage(Stage.HELLO, caller)
        if isinstance(found, Rejected):
            return found
        self.reset()
        self._at_hello = found
        for milter in self._milters:
            verdict = await milter.hello(caller)
            if isinstance(verdict, Rejected):
                self._astray = True
                return self._refused(Stage.HELLO, milter.name, verdict, caller)
        return None

    async def mail(self, caller: Caller, words: Sequence[bytes] = ()) -> Rejected | None:
        """The client said MAIL, with these parameters; why the letter may not begin, or None."""
        self.reset()
        found = await self._stage(Stage.MAIL, caller)
        if isinstance(found, Rejected):
            return found
        self._said = found
        for milter in self._milters:
            verdict = await milter.mail(caller, words)
            if isinstance(verdict, Rejected):
                return self._refused(Stage.MAIL, milter.name, verdict, caller)
        return None

    async def rcpt(self, caller: Caller, words: Sequence[bytes] = ()) -> Rejected | None:
        """The client said RCPT, with these parameters; why this recipient may not be, or None."""
        found = await self._stage(Stage.RCPT, caller)
        if isinstance(found, Rejected):
            return found
        self._said += tuple([word for word in found if word not in self._said])
        for milter in self._milters:
            verdict = await milter.rcpt(caller, words)
            if isinstance(verdict, Rejected):
                return self._refused(Stage.RCPT, milter.name, verdict, caller)
        return None

    async def letter(self, arrival: Arrival) -> Judged | Rejected | Discarded:
        """The letter has come; nothing of it is filed yet. A new letter that `Judged` carries is the caller's to
        discard, where it isn't filed. Raises `StoreFault`."""
        if self._astray:
            return Rejected(R451_FILTER)
        filters = [(milter.name, milter.letter) for milter in self._milters]
        try:
            return await _judge(self._judging, filters, arrival, self._at_hello + self._said, self._note)
        finally:
            self.reset()

    def reset(self) -> None:
        """The letter at hand is over, or given up."""
        self._said = ()
        self._astray = False
        for milter in self._milters:
            milter.reset()

    async def close(self) -> None:
        """The client is gone."""
        for milter in self._milters:
            await milter.close()

    async def _stage(self, stage: Stage, caller: Caller) -> tuple[str, ...] | Rejected:
        """The names of the checks that let the client pass, or what the first of the others said."""
        checks = self._judging.strangers.get(stage, ())
        if not checks or not self._judging.is_stranger(caller):
            return ()
        names = []
        for check in checks:
            name, verdict = name_of(check), await check(caller)
            if isinstance(verdict, Rejected):
                return self._refused(stage, name, verdict, caller)
            names.append(name)
        if self._note is not None:
            self._note(f"checks: {', '.join(names)} passed")
        return tuple(names)

    def _refused(self, stage: Stage, name: str, verdict: Rejected, caller: Caller) -> Rejected:
        reply = verdict.reply
        if self._note is not None:
            self._note(f"check {name}: rejected, {reply.code} {reply.enhanced} {reply.text}")
        event(
            _logger,
            logging.INFO,
            "intake.turned-away",
            session=caller.session,
            peer=caller.peer or None,
            stage=stage.value,
            check=name,
            hello=caller.hello if stage is Stage.HELLO else None,
            sender=None if stage is Stage.HELLO else caller.sender or "<>",
            recipient=caller.recipient,
            reply=f"{reply.code} {reply.enhanced}",
        )
        return replace(verdict, judge=name)


async def judge(judging: Judging, arrival: Arrival, note: Note | None = None) -> Judged | Rejected | Discarded:
    """What the checks of letters say of one that no client's session brings. Raises `StoreFault`."""
    return await _judge(judging, (), arrival, (), note)


async def _judge(
    judging: Judging,
    filters: Sequence[Named],
    arrival: Arrival,
    passed: tuple[str, ...],
    note: Note | None,
) -> Judged | Rejected | Discarded:
    """All checks of a letter in order, up to the first that doesn't let it in."""
    first, junk, said = arrival.blob, "", list(passed)
    try:
        for name, check in (*judging.before, *filters, *judging.behind):
            verdict = await check(arrival)
            if verdict is PASSED:
                said.append(name)
                continue
            said.append(f"{name}:{type(verdict).__name__.lower()}")
            if isinstance(verdict, Changed):
                _forget(arrival, first)
                arrival, junk = verdict.arrival, junk or verdict.junk
                if not arrival.envelope.recipients:
                    verdict = DISCARDED
            if isinstance(verdict, Junk):
                junk = junk or verdict.why
            if isinstance(verdict, Rejected | Discarded):
                _forget(arrival, first)
                if note is not None:
                    note(_sentence(tuple(said)) + _reason(verdict))
                return replace(verdict, judge=name) if isinstance(verdict, Rejected) else verdict
    except BaseException:
        _forget(arrival, first)
        raise
    words = tuple(said)
    if note is not None:
        note(_sentence(words) + (f": {junk}" if junk else ""))
    return Judged(arrival, words, junk)


def _forget(arrival: Arrival, first: Blob) -> None:
    """A letter that a filter made is nobody else's."""
    if arrival.blob is not first:
        arrival.blob.discard()


@functools.lru_cache(maxsize=256)
def _sentence(words: tuple[str, ...]) -> str:
    """What the trace shows of them; most letters hear the same."""
    return f"checks: {', '.join([word if ':' in word else word + ' passed' for word in words])}"


def _reason(end: Rejected | Discarded) -> str:
    return f": {end.reply.code} {end.reply.enhanced} {end.reply.text}" if isinstance(end, Rejected) else ""


def name_of(check: Callable[..., object]) -> str:
    """How a check is called in logs and stories."""
    name: str = getattr(check, "__name__", type(check).__name__)
    return name.removeprefix("check_")


def _lies_in(peer: str, networks: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    return any(address in network for network in networks)
