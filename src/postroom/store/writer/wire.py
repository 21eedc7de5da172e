"""What a writer and the keeper say to each other, as octets: frames over a stream, nothing but what stands here.

A frame is 4 octets with the number of its text's octets, 4 with that of the octets behind it, then both; numbers
are big-endian. The text is JSON, `[message, [fields]]` (`wirecodec`). Letters and all other octets stand behind it
as they are.

    writer     Hello      who I am; nothing of mine is under way on another connection
    keeper     Welcome    who I am; what you asked me before is done, or never will be
    writer     Batch      changes and letters, numbered from `first` on; I heard all answers up to `heard`
    keeper     Answers    replies by number, and who must hear of what was done

No class travels but those of the tables below: a worker talks to strangers, and what it says must not be able to
make the keeper do anything else than file letters and change rows.
"""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, get_args

from postroom.store.apply.letters import FileLetter
from postroom.store.changes import Answer, Change, Filed, Refused
from postroom.store.interface import StorageFull, StoreBusy, StoreFault
from postroom.store.shipping import Parcel
from postroom.store.values import MailboxId
from postroom.store.writer.codec import Codec, Octets, WireFault, codec_of, named, one_of, record, row_of, tuple_of

__all__ = [
    "HEADER_OCTETS",
    "Answers",
    "Batch",
    "Hello",
    "Item",
    "Piece",
    "Reply",
    "Welcome",
    "WireFault",
    "read_header",
    "read_kept",
    "read_to_keeper",
    "read_to_writer",
    "write_answers",
    "write_batch",
    "write_hello",
    "write_item",
    "write_kept",
    "write_reply",
    "write_welcome",
]

_HEADER: Final = struct.Struct(">II")
HEADER_OCTETS: Final = _HEADER.size
_encode: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode

Item = Parcel | FileLetter | Change
"""What a writer may ask for: a large letter's record is complete, and only its rows are to be made."""
Reply: TypeAlias = "Answer | tuple[Filed | Refused, ...] | StoreFault"

_ROWS: Final[Sequence[type]] = (FileLetter, *get_args(Change))
_FAULTS: Final = {each.__name__: each for each in (StoreFault, StorageFull, StoreBusy)}


@dataclass(frozen=True, slots=True)
class _Delivered:
    """The reply to a letter."""

    answers: tuple[Filed | Refused, ...]


@dataclass(frozen=True, slots=True)
class _Failed:
    """A fault."""

    kind: str
    reason: str


_REPLIES: Final[Sequence[type]] = (_Delivered, _Failed, *get_args(Answer))


@dataclass(frozen=True, slots=True)
class Hello:
    """See the module."""

    writer: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """See the module."""

    keeper: str


@dataclass(frozen=True, slots=True)
class Batch:
    """See the module."""

    first: int
    heard: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """See the module."""

    mailboxes: tuple[MailboxId, ...]
    accounts: bool
    replies: tuple[tuple[int, Reply], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a message: its text, and the octets that stand behind the message's."""

    text: bytes
    octets: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Octets of it."""
        return len(self.text) + sum(map(len, self.octets))


@functools.cache
def _items() -> Codec:
    # A body that is no octets is a large letter's, which stays where it is.
    return named({Parcel: record(Parcel, body=bytes), **{kind: record(kind) for kind in _ROWS}})


@functools.cache
def _replies() -> Codec:
    said = one_of(_REPLIES)
    return Codec(
        lambda reply, octets: said.write(_said(reply), octets), lambda tree, octets: _meant(said.read(tree, octets))
    )


def _said(reply: Reply) -> object:
    if isinstance(reply, tuple):
        return _Delivered(reply)
    if isinstance(reply, StoreFault):
        kind = type(reply).__name__
        return _Failed(
            kind if kind in _FAULTS else StoreFault.__name__, str(reply).encode(errors="replace").decode()
        )
    return reply


def _meant(said: Any) -> Any:
    if isinstance(said, _Delivered):
        return said.answers
    if isinstance(said, _Failed):
        if said.kind not in _FAULTS:
            raise WireFault("a fault that is not known here")
        return _FAULTS[said.kind](said.reason)
    return said


@functools.cache
def _to_keeper() -> Codec:
    return named({Hello: record(Hello), Batch: record(Batch, items=tuple_of(_items()))})


@functools.cache
def _to_writer() -> Codec:
    replies = tuple_of(row_of(codec_of(int), _replies()))
    return named({Welcome: record(Welcome), Answers: record(Answers, replies=replies)})


# --- writing


def write_item(item: Item) -> Piece:
    """What is asked for, for a batch. Raises `WireFault` for a value that can't be told."""
    return _piece(_items(), item)


def write_reply(reply: Reply) -> Piece:
    """What came of it, for answers. Raises `WireFault`."""
    return _piece(_replies(), reply)


def write_hello(writer: str) -> bytes:
    """See the module."""
    return _frame(_text(["Hello", [writer]]), ())


def write_welcome(keeper: str) -> bytes:
    """See the module."""
    return _frame(_text(["Welcome", [keeper]]), ())


def write_batch(first: int, heard: int, items: Sequence[Piece]) -> bytes:
    """See the module."""
    text = b'["Batch",[%d,%d,[%s]]]' % (first, heard, b",".join([item.text for item in items]))
    return _frame(text, [octets for item in items for octets in item.octets])


def write_answers(mailboxes: Iterable[MailboxId], accounts: bool, replies: Sequence[tuple[int, Piece]]) -> bytes:
    """See the module."""
    said = b",".join([b"[%d,%s]" % (number, reply.text) for number, reply in replies])
    text = b'["Answers",[%s,%s,[%s]]]' % (_text(list(mailboxes)), _text(accounts), said)
    return _frame(text, [octets for _, reply in replies for octets in reply.octets])


def write_kept(reply: Piece) -> bytes:
    """A reply as the index keeps it: a frame."""
    return _frame(reply.text, reply.octets)


def _piece(codec: Codec, value: object) -> Piece:
    octets: list[bytes] = []
    return Piece(_text(codec.write(value, octets)), tuple(octets))


def _text(tree: object) -> bytes:
    try:
        return _encode(tree).encode(errors="surrogatepass")
    except (TypeError, RecursionError) as error:
        raise WireFault("a value that has no text") from error


def _frame(text: bytes, octets: Sequence[bytes]) -> bytes:
    return b"".join((_HEADER.pack(len(text), sum(map(len, octets))), text, *octets))


# --- reading


def read_header(header: bytes | bytearray | memoryview) -> tuple[int, int]:
    """How many octets of text a frame has, and how many behind it."""
    text, octets = _HEADER.unpack(header)
    return text, octets


def read_to_keeper(text: memoryview, octets: memoryview) -> Hello | Batch:
    """What a writer says. Raises `WireFault` for anything else."""
    message: Hello | Batch = _read(_to_keeper(), text, octets)
    return message


def read_to_writer(text: memoryview, octets: memoryview) -> Welcome | Answers:
    """What the keeper says. Raises `WireFault` for anything else."""
    message: Welcome | Answers = _read(_to_writer(), text, octets)
    return message


def read_kept(kept: bytes) -> Reply:
    """A reply as the index keeps it. Raises `WireFault`."""
    view = memoryview(kept)
    if len(view) < HEADER_OCTETS:
        raise WireFault("no frame")
    text, octets = read_header(view[:HEADER_OCTETS])
    if len(view) != HEADER_OCTETS + text + octets:
        raise WireFault("no frame")
    behind = HEADER_OCTETS + text
    reply: Reply = _read(_replies(), view[HEADER_OCTETS:behind], view[behind:])
    return reply


def _read(codec: Codec, text: memoryview, octets: memoryview) -> Any:
    behind = Octets(octets)
    try:
        value = codec.read(json.loads(bytes(text).decode(errors="surrogatepass")), behind)
    except (ValueError, RecursionError) as error:
        raise WireFault("no text") from error
    behind.end()
    return value
