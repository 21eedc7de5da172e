"""The tap: the last lines of each session, live and recent, secrets masked at the source, bodies as a count.

A `Conversation` belongs to one session; the process's `Tap` holds all of them, live and recent. Both are bounded in
rows and in octets, and cost one tuple a line. How they are shown: `postroom.net.figure`.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from postroom.net import limits

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_ROW_OCTETS: Final = 200
"""What a row costs beside its text, about."""


class Who(enum.Enum):
    """Whose row it is; a note is nobody's."""

    CLIENT = "C"
    SERVER = "S"
    NOBODY = "-"


class Kind(enum.Enum):
    """What a row holds."""

    LINE = "line"
    SECRET = "secret"
    BODY = "body"
    NOTE = "note"


class Row(NamedTuple):
    """One row: `at` seconds since the session's start, `data` at most ROW_OCTETS of what was said (empty for a
    secret and a body), `octets` how many there were."""

    at: float
    who: Who
    kind: Kind
    data: bytes
    octets: int

    def to_json(self) -> list[float | int | str]:
        """The row as JSON can carry it; octets as the code points of the same numbers."""
        return [round(self.at, 6), self.who.value, self.kind.value, self.data.decode("latin-1"), self.octets]

    @classmethod
    def from_json(cls, value: object) -> Row:
        """What `to_json` gave. Raises ValueError."""
        match value:
            case [float() | int() as at, str(who), str(kind), str(data), int(octets)]:
                return cls(float(at), Who(who), Kind(kind), data.encode("latin-1"), octets)
            case _:
                raise ValueError("not a row of a conversation")


@dataclass(frozen=True, slots=True)
class Record:
    """A conversation as a value: what is shown of it, and what goes from process to process.

    `began` and `ended` are seconds since 1970 UTC; `ended` is None while it is live.
    """

    id: str
    protocol: str
    peer: str
    account: str
    began: float
    ended: float | None
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, object]:
        """The record as JSON can carry it."""
        return {
            "id": self.id,
            "protocol": self.protocol,
            "peer": self.peer,
            "account": self.account,
            "began": self.began,
            "ended": self.ended,
            "rows": [row.to_json() for row in self.rows],
        }

    @classmethod
    def from_json(cls, value: object) -> Record:
        """What `to_json` gave. Raises ValueError."""
        match value:
            case {
                "id": str(id),
                "protocol": str(protocol),
                "peer": str(peer),
                "account": str(account),
                "began": float() | int() as began,
                "ended": float() | int() | None as ended,
                "rows": list(rows),
            }:
                ended = None if ended is None else float(ended)
                kept = tuple(Row.from_json(row) for row in rows)
                return cls(id, protocol, peer, account, float(began), ended, kept)
            case _:
                raise ValueError("not a record of a conversation")


def nothing(line: bytes) -> bytes:
    """The mask of a protocol without secrets."""
    return line


class Conversation:
    """What one session said and heard lately; bounded in lines and octets.

    Attributes that the session sets as it learns them: `account` (the login) and `mask`.
    """

    __slots__ = (
        "_octets",
        "_rows",
        "_start",
        "_tap",
        "account",
        "began",
        "ended",
        "guarded",
        "id",
        "mask",
        "peer",
        "protocol",
    )

    id: str
    """Short, unique among all processes: it stands on every log line of the session."""
    protocol: str
    peer: str
    """The peer's host."""
    account: str
    mask: Callable[[bytes], bytes]
    """Given a client's line (LF included), gives what may be shown: made from the verb table's secret flag."""
    began: float
    """Seconds since 1970 UTC."""
    ended: float | None
    guarded: bool
    """Before there is an account, less is kept (CONVERSATION_OCTETS_BEFORE_LOGIN)."""

    def __init__(self, tap: Tap, id: str, protocol: str, peer: str) -> None:
        self.id = id
        self.protocol = protocol
        self.peer = peer
        self.account = ""
        self.mask = nothing
        self.began = time.time()
        self.ended = None
        self.guarded = False
        self._tap = tap
        self._start = time.monotonic()
        self._rows: deque[Row] = deque()
        self._octets = 0

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows that are kept, the oldest first."""
        return tuple(self._rows)

    def record(self, rows: tuple[Row, ...] | None = None) -> Record:
        """The conversation as it stands, as a value; with `rows`, of these alone."""
        kept = tuple(self._rows) if rows is None else rows
        return Record(self.id, self.protocol, self.peer, self.account, self.began, self.ended, kept)

    @property
    def octets(self) -> int:
        """About what the rows cost in memory."""
        return self._octets

    def client_line(self, line: bytes) -> None:
        """A line that the client sent; `mask` is applied here."""
        self._add(Who.CLIENT, Kind.LINE, self.mask(line))

    def client_secret(self, octets: int) -> None:
        """A line that is a secret as a whole (an answer to a SASL challenge)."""
        self._append(Row(time.monotonic() - self._start, Who.CLIENT, Kind.SECRET, b"", octets))

    def client_body(self, octets: int) -> None:
        """So many octets of a letter, a literal; adjoining ones are one row. Negative: so many were put back."""
        self._body(Who.CLIENT, octets)

    def server_lines(self, lines: bytes) -> None:
        """What the server answered."""
        self._add(Who.SERVER, Kind.LINE, lines)

    def server_body(self, octets: int) -> None:
        """So many octets of a letter."""
        self._body(Who.SERVER, octets)

    def note(self, text: str) -> None:
        """Something that happened without a line: TLS began, the deadline passed."""
        self._add(Who.NOBODY, Kind.NOTE, text.encode("utf-8", "replace"))

    def forget(self, octets: int) -> None:
        """Drop the oldest rows until at most `octets` are kept."""
        rows = self._rows
        while rows and self._octets > octets:
            cost = _ROW_OCTETS + len(rows.popleft().data)
            self._octets -= cost
            self._tap.spent -= cost

    def _add(self, who: Who, kind: Kind, data: bytes) -> None:
        octets = len(data)
        if octets > limits.ROW_OCTETS:
            data = data[: limits.ROW_OCTETS]
        self._append(Row(time.monotonic() - self._start, who, kind, data, octets))

    def _body(self, who: Who, octets: int) -> None:
        rows = self._rows
        if rows and rows[-1].kind is Kind.BODY and rows[-1].who is who:
            last = rows[-1]
            rows[-1] = last._replace(octets=last.octets + octets)
        elif octets > 0:
            self._append(Row(time.monotonic() - self._start, who, Kind.BODY, b"", octets))

    def _append(self, row: Row) -> None:
        self._rows.append(row)
        cost = _ROW_OCTETS + len(row.data)
        self._octets += cost
        tap = self._tap
        tap.spent += cost
        before_login = self.guarded and not self.account
        most = limits.CONVERSATION_OCTETS_BEFORE_LOGIN if before_login else limits.CONVERSATION_OCTETS
        if self._octets > most:
            self.forget(most)
        elif len(self._rows) > limits.CONVERSATION_ROWS:
            self.forget(self._octets - 1)
        if tap.spent > limits.TAP_OCTETS:
            tap.tighten(self)
        if tap.followers:
            tap.tell(self, row)


@dataclass(frozen=True, slots=True)
class Heard:
    """One row as a follower gets it."""

    conversation: Conversation
    row: Row


class Follower:
    """Gets the rows of a tap as they come; where it is slow, rows are dropped and counted in `missed`."""

    def __init__(self, tap: Tap, wanted: Callable[[Conversation], bool]) -> None:
        self.missed = 0
        self._tap = tap
        self._wanted = wanted
        self._queue: deque[Heard] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def tell(self, conversation: Conversation, row: Row) -> None:
        """A row was added to a conversation."""
        if not self._wanted(conversation):
            return
        if len(self._queue) >= limits.FOLLOWER_ROWS:
            self.missed += 1
            return
        self._queue.append(Heard(conversation, row))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def heard(self) -> AsyncGenerator[Heard, None]:
        """The rows, without end; leaving the iteration (`aclose`) ends the following."""
        try:
            while True:
                while self._queue:
                    yield self._queue.popleft()
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        finally:
            self.stop()

    def stop(self) -> None:
        """Follow no longer."""
        self._tap.followers.discard(self)


def everything(conversation: Conversation) -> bool:
    """The wish of a follower that wants all sessions."""
    return True


class Tap:
    """All live and the recent conversations of this process.

    `worker` is a letter or word that differs between the processes of one site.
    """

    def __init__(self, worker: str = "a") -> None:
        self.live: dict[str, Conversation] = {}
        self.recent: deque[Conversation] = deque()
        self.followers: set[Follower] = set()
        self.spent = 0
        """About what all rows cost in memory, octets."""
        self._prefix = worker
        self._suffix = "".join(secrets.choice(_DIGITS) for _ in range(4))
        self._count = itertools.count()

    def begin(self, protocol: str, peer: str = "") -> Conversation:
        """A session begins."""
        id = f"{self._prefix}{base36(next(self._count))}{self._suffix}"
        conversation = self.live[id] = Conversation(self, id, protocol, peer)
        return conversation

    def end(self, conversation: Conversation) -> None:
        """A session has ended; it is kept among the recent ones."""
        if self.live.pop(conversation.id, None) is None:
            return
        conversation.ended = time.time()
        self.recent.append(conversation)
        if len(self.recent) > limits.RECENT_CONVERSATIONS:
            self.recent.popleft().forget(0)

    def find(self, id: str) -> Conversation | None:
        """The conversation of that id, live or recent."""
        live = self.live.get(id)
        return live if live is not None else next((one for one in self.recent if one.id == id), None)

    def all(self) -> Iterator[Conversation]:
        """The recent ones and then the live ones, each group by age."""
        return itertools.chain(tuple(self.recent), tuple(self.live.values()))

    def follow(self, wanted: Callable[[Conversation], bool] = everything) -> Follower:
        """Begin to follow the sessions that are wanted, from now on."""
        follower = Follower(self, wanted)
        self.followers.add(follower)
        return follower

    def tell(self, conversation: Conversation, row: Row) -> None:
        """Pass a row on to the followers."""
        for follower in self.followers:
            follower.tell(conversation, row)

    def tighten(self, speaking: Conversation) -> None:
        """Too much is kept in all: recent sessions go first, then the oldest rows of who is speaking."""
        while self.recent and self.spent > limits.TAP_OCTETS:
            self.recent.popleft().forget(0)
        if self.spent > limits.TAP_OCTETS:
            speaking.forget(limits.ROW_OCTETS)


def base36(number: int) -> str:
    """A number in digits and lower-case letters."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if not number:
            return digits
