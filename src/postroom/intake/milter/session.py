"""One filter in one SMTP session: each step as it happens, and what the filter makes of it.

A filter is dialled when the client has said HELO, and again, before the next letter, where the connection was lost.
What goes wrong with it comes to what `milter_default` says, for the letter at hand. One that can't be reached is
left alone for a while, so that a filter that is down costs nobody a wait; one that fails over a letter isn't, so
that a letter that it can't stand is no trouble for others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from postroom.intake.envelope import DISCARDED, PASSED, Arrival, Caller, Discarded, Passed, Rejected, Verdict
from postroom.intake.milter import macros
from postroom.intake.milter.changes import Changes, Desk
from postroom.intake.milter.client import Connection, Place, Unreachable, dial
from postroom.intake.milter.grammar import (
    Answer,
    Command,
    MilterFault,
    Options,
    Refuse,
    Step,
    Word,
    write_connect,
    write_macros,
    write_packet,
    write_strings,
)
from postroom.intake.milter.header import Header
from postroom.net.limits import MILTER_CHUNK_OCTETS, MILTER_REST_SECONDS
from postroom.net.log import event
from postroom.smtp.grammar import write_path
from postroom.smtp.replies import R451_FILTER, R550_FILTER

_logger = logging.getLogger("postroom.intake")

DEFAULTS: Final[Mapping[str, Passed | Rejected]] = {
    "accept": PASSED,
    "tempfail": Rejected(R451_FILTER),
    "reject": Rejected(R550_FILTER),
}
"""smtp.milter_default: what a filter that can't be asked comes to."""
_KNOWS_DATA: Final = 4
"""The protocol's first version with that step."""
_NOTHING: Final[Mapping[str, str]] = {}


@dataclass(slots=True)
class Milter:
    """A filter that is configured, for all sessions of one worker. `seconds`: to connect, and for each answer."""

    place: Place
    hostname: str
    default: Passed | Rejected = DEFAULTS["tempfail"]
    seconds: float = 30.0
    clock: Callable[[], float] = time.monotonic
    rests_until: float = 0.0
    """On the clock; until then it is taken for one that can't be reached."""

    @property
    def name(self) -> str:
        """How it stands in logs and stories."""
        return f"milter[{self.place}]"

    @property
    def rests(self) -> bool:
        """Whether it could not be reached just now."""
        return self.clock() < self.rests_until

    async def dial(self) -> Connection:
        """Connect. Where the last try came to nothing, one session tries and the others need not. Raises
        Unreachable."""
        if self.rests_until:
            self._rest()
        connection = await dial(self.place, self.seconds)
        self.rests_until = 0.0
        return connection

    def _rest(self) -> None:
        self.rests_until = self.clock() + MILTER_REST_SECONDS

    def failed(self, session: str, fault: MilterFault) -> None:
        """Tell of it; leave it alone where it can't be reached."""
        if isinstance(fault, Unreachable):
            self._rest()
        becomes = "accept" if isinstance(self.default, Passed) else f"{self.default.reply.code}"
        event(
            _logger,
            logging.WARNING,
            "milter.failed",
            milter=self.place,
            session=session,
            reason=fault,
            answer=becomes,
        )


class MilterSession:
    """See the module. Of the conversation's steps, `hello`, `mail`, `rcpt` and `letter` may be called in any order;
    none raises but `StoreFault`."""

    __slots__ = ("_connection", "_desk", "_milter", "_peer", "_refusing", "_settled", "_told", "_trusts", "name")

    def __init__(self, milter: Milter, desk: Desk) -> None:
        self.name = milter.name
        self._milter = milter
        self._desk = desk
        self._connection: Connection | None = None
        self._peer = ""
        """Of which client it was told."""
        self._refusing: Rejected | None = None
        """What all that this client says is answered by."""
        self._trusts = False
        """The filter doesn't want to hear of this client any more."""
        self._told = False
        """It knows of a letter under way."""
        self._settled: Passed | Rejected | Discarded | None = None
        """What is the word about this letter already."""

    # --- the steps

    async def hello(self, caller: Caller) -> Passed | Rejected:
        """The client has come and said its name. A filter that can't be asked is MAIL's trouble."""
        self.reset()
        if self._connection is None and self._milter.rests:
            return PASSED
        try:
            return await self._greet(caller)
        except Unreachable as fault:
            self._fail(caller.session, fault)
        except MilterFault:
            # MAIL asks once more, and tells.
            self._drop()
        return PASSED

    async def mail(self, caller: Caller, words: Sequence[bytes]) -> Passed | Rejected:
        """A letter begins; `words` are MAIL's parameters."""
        self.reset()
        kept = self._connection is not None
        try:
            return await self._mail(caller, words)
        except MilterFault as fault:
            if not kept:
                return self._unanswered(caller.session, fault)
        # The filter may have been started anew since the last letter.
        self._drop()
        try:
            return await self._mail(caller, words)
        except MilterFault as fault:
            return self._unanswered(caller.session, fault)

    async def rcpt(self, caller: Caller, words: Sequence[bytes]) -> Passed | Rejected:
        """A recipient; a refusal is this one's alone."""
        if self._settled is not None:
            return self._settled if isinstance(self._settled, Rejected) else PASSED
        if not self._told:
            return PASSED
        packet = write_packet(Command.RCPT, write_strings((write_path(caller.recipient), *words)))
        try:
            answer = await self._step(Command.RCPT, packet, macros.at_rcpt(caller), Step.NO_RCPT, Step.QUIET_RCPT)
            verdict = _heed(answer)
        except MilterFault as fault:
            return self._unanswered(caller.session, fault)
        if isinstance(verdict, Rejected):
            return verdict
        self._settled = verdict
        return PASSED

    async def letter(self, arrival: Arrival) -> Verdict:
        """The whole letter. Raises `StoreFault`."""
        try:
            if self._settled is not None:
                return self._settled
            if not self._told or self._connection is None:
                return PASSED
            return await self._letter(arrival, self._connection)
        except MilterFault as fault:
            return self._unanswered(arrival.origin.id, fault)
        except BaseException:
            # It is in the midst of saying something that nobody will hear.
            self._drop()
            raise
        finally:
            self.reset()

    def reset(self) -> None:
        """The letter is over, or given up."""
        self._settled = None
        if self._told and self._connection is not None:
            self._connection.end_letter()
            self._connection.tell(write_packet(Command.ABORT))
        self._told = False

    async def close(self) -> None:
        """The client is gone."""
        if self._connection is not None:
            await self._connection.part()
            self._connection = None

    # --- how they are done

    async def _greet(self, caller: Caller) -> Passed | Rejected:
        if self._peer != caller.peer:
            # XCLIENT: whoever the session is of now, the filter knows another.
            await self.close()
        if self._connection is None:
            self._refusing, self._trusts = None, False
            self._connection = await self._milter.dial()
            self._peer = caller.peer
            packet = write_connect(caller.peer, caller.port)
            told = macros.at_connect(caller, self._milter.hostname)
            self._keep(_heed(await self._step(Command.CONNECT, packet, told, Step.NO_CONNECT, Step.QUIET_CONNECT)))
        if self._refusing is not None or self._trusts:
            return self._refusing or PASSED
        packet = write_packet(Command.HELO, write_strings((caller.hello.encode("utf-8", "replace"),)))
        answer = await self._step(Command.HELO, packet, macros.at_hello(caller), Step.NO_HELO, Step.QUIET_HELO)
        verdict = _heed(answer)
        if isinstance(verdict, Rejected):
            return verdict
        self._keep(verdict)
        return PASSED

    def _keep(self, verdict: Passed | Rejected | Discarded | None) -> None:
        """What was said of the client, not of a letter."""
        if isinstance(verdict, Discarded):
            raise MilterFault("it discards a letter before there is one")
        self._trusts = isinstance(verdict, Passed)
        self._refusing = verdict if isinstance(verdict, Rejected) else None

    async def _mail(self, caller: Caller, words: Sequence[bytes]) -> Passed | Rejected:
        if self._connection is None:
            if self._milter.rests:
                return self._default()
            greeted = await self._greet(caller)
            if isinstance(greeted, Rejected):
                return greeted
        if self._refusing is not None:
            return self._refusing
        if self._trusts:
            return PASSED
        packet = write_packet(Command.MAIL, write_strings((write_path(caller.sender), *words)))
        answer = await self._step(Command.MAIL, packet, macros.at_mail(caller), Step.NO_MAIL, Step.QUIET_MAIL)
        self._told = True
        verdict = _heed(answer)
        if isinstance(verdict, Rejected):
            self.reset()
            return verdict
        self._settled = verdict
        return PASSED

    async def _letter(self, arrival: Arrival, connection: Connection) -> Verdict:
        connection.begin_letter()
        told = {"i": arrival.origin.id}
        verdict = None
        if connection.options.version >= _KNOWS_DATA:
            verdict = _heed(
                await self._step(Command.DATA, write_packet(Command.DATA), told, Step.NO_DATA, Step.QUIET_DATA)
            )
        verdict = verdict or await self._header(arrival, connection, told) or await self._body(arrival, connection)
        if verdict is not None:
            return verdict
        connection.tell(write_macros(Command.END_OF_BODY, told))
        connection.tell(write_packet(Command.END_OF_BODY))
        changes = Changes(connection.options, self._desk)
        try:
            while not isinstance(answer := await connection.answer(), Word | Refuse | Options):
                changes.take(answer)
            self._told = False
            connection.end_letter()
            verdict = _heed(answer)
            if isinstance(verdict, Rejected | Discarded):
                return verdict
            return await changes.done(arrival) or PASSED
        finally:
            changes.discard()

    async def _header(
        self, arrival: Arrival, connection: Connection, told: Mapping[str, str]
    ) -> Passed | Rejected | Discarded | None:
        space = connection.chose(Step.LEADING_SPACE)
        if not connection.chose(Step.NO_HEADERS):
            for each in Header(arrival.header, arrival.facts.header_size):
                field = write_strings((each.name, each.value(leading_space=space)))
                packet = write_packet(Command.HEADER, field)
                answer = await self._step(Command.HEADER, packet, _NOTHING, Step.NO_HEADERS, Step.QUIET_HEADERS)
                if answer is Word.SKIP:
                    break
                if (verdict := _heed(answer)) is not None:
                    return verdict
        packet = write_packet(Command.END_OF_HEADER)
        return _heed(
            await self._step(Command.END_OF_HEADER, packet, told, Step.NO_END_OF_HEADER, Step.QUIET_END_OF_HEADER)
        )

    async def _body(self, arrival: Arrival, connection: Connection) -> Passed | Rejected | Discarded | None:
        if connection.chose(Step.NO_BODY):
            return None
        octets = arrival.blob.contents()
        for at in range(arrival.facts.header_size, len(octets), MILTER_CHUNK_OCTETS):
            await connection.tell_octets(Command.BODY, octets[at : at + MILTER_CHUNK_OCTETS])
            if connection.chose(Step.QUIET_BODY):
                continue
            answer = await connection.answer()
            if answer is Word.SKIP:
                break
            if (verdict := _heed(answer)) is not None:
                return verdict
        return None

    async def _step(
        self, command: Command, packet: bytes, told: Mapping[str, str], spared: Step, quiet: Step
    ) -> Answer:
        """Say one thing to the filter, where it wants to hear it; its answer, where it gives one."""
        connection = self._connection
        assert connection is not None, "every step begins with a connection"
        if connection.chose(spared):
            return Word.CONTINUE
        if told:
            connection.tell(write_macros(command, told))
        connection.tell(packet)
        return Word.CONTINUE if connection.chose(quiet) else await connection.answer()

    # --- what goes wrong

    def _default(self) -> Passed | Rejected:
        """The word about this letter, and every recipient of it, without the filter's."""
        self._settled = self._milter.default
        return self._milter.default

    def _unanswered(self, session: str, fault: MilterFault) -> Passed | Rejected:
        self._fail(session, fault)
        return self._default()

    def _fail(self, session: str, fault: MilterFault) -> None:
        self._drop()
        self._milter.failed(session, fault)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.drop()
        self._connection = None
        self._told = False


def _heed(answer: Answer) -> Passed | Rejected | Discarded | None:
    """What an answer means; None: go on. Raises MilterFault for one that has no place here."""
    if isinstance(answer, Refuse):
        return Rejected(answer.reply)
    if answer is Word.CONTINUE or answer is Word.SKIP:
        return None
    if answer is Word.ACCEPT:
        return PASSED
    if answer is Word.DISCARD:
        return DISCARDED
    raise MilterFault("an answer that has no place there")
