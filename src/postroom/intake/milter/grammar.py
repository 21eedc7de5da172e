"""The milter protocol's words (libmilter's protocol 6, and down to 2): commands and answers, both ways. Pure.

A packet is four octets of length, one letter that names it, and its data; numbers are in network order, strings end
with a NUL. What we send is called a command, what a filter sends an answer. No RFC has it: the words are those of
libmilter's include/libmilter/mfdef.h. A reader raises `MilterFault` and nothing else.
"""

from __future__ import annotations

import enum
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from postroom.net.limits import MILTER_REPLY_CHARACTERS
from postroom.smtp.replies import R451_FILTER, R550_FILTER, Reply

VERSION: Final = 6
OLDEST: Final = 2
_NUMBER: Final = struct.Struct(">I")
_OPTIONS: Final = struct.Struct(">III")
LENGTH_OCTETS: Final = _NUMBER.size


class MilterFault(Exception):
    """The filter broke the protocol. The text is ours and repeats nothing of what it sent."""


class Command(enum.Enum):
    """What we say to a filter; the value is its letter."""

    ABORT = b"A"
    BODY = b"B"
    CONNECT = b"C"
    MACRO = b"D"
    END_OF_BODY = b"E"
    HELO = b"H"
    HEADER = b"L"
    MAIL = b"M"
    END_OF_HEADER = b"N"
    OPTIONS = b"O"
    QUIT = b"Q"
    RCPT = b"R"
    DATA = b"T"


class Action(enum.IntFlag):
    """What a filter may ask to be done with a letter (SMFIF_*)."""

    ADD_HEADERS = 0x01
    CHANGE_BODY = 0x02
    ADD_RECIPIENTS = 0x04
    REMOVE_RECIPIENTS = 0x08
    CHANGE_HEADERS = 0x10
    QUARANTINE = 0x20
    CHANGE_SENDER = 0x40
    ADD_RECIPIENTS_WITH_PARAMETERS = 0x80


class Step(enum.IntFlag):
    """What a filter wants to be spared (SMFIP_*): NO_, a command is not sent; QUIET_, it is not answered."""

    NO_CONNECT = 0x01
    NO_HELO = 0x02
    NO_MAIL = 0x04
    NO_RCPT = 0x08
    NO_BODY = 0x10
    NO_HEADERS = 0x20
    NO_END_OF_HEADER = 0x40
    QUIET_HEADERS = 0x80
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    SKIP = 0x400
    """It may answer that it has seen enough of the body."""
    QUIET_CONNECT = 0x1000
    QUIET_HELO = 0x2000
    QUIET_MAIL = 0x4000
    QUIET_RCPT = 0x8000
    QUIET_DATA = 0x10000
    QUIET_UNKNOWN = 0x20000
    QUIET_END_OF_HEADER = 0x40000
    QUIET_BODY = 0x80000
    LEADING_SPACE = 0x100000
    """A field's value is sent and taken with the space behind its colon."""


ACTIONS: Final = Action(0xFF)
STEPS: Final = Step(0x1FF7FF)
"""All that is offered: every step but the telling of recipients that were refused (SMFIP_RCPT_REJ)."""
FIRST_STEPS: Final = Step(0x7F)
"""Those that protocol 2 knows."""


# --- answers


@dataclass(frozen=True, slots=True)
class Options:
    """What a filter chose of what was offered."""

    version: int
    actions: Action
    steps: Step


class Word(enum.Enum):
    """Answers that say nothing else."""

    CONTINUE = "continue"
    ACCEPT = "accept"
    DISCARD = "discard"
    SKIP = "skip"
    PROGRESS = "progress"


@dataclass(frozen=True, slots=True)
class Refuse:
    """The client is to hear this reply."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class AddHeader:
    """A field behind all others."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class InsertHeader:
    """A field before the one of that number, counted from 0."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ChangeHeader:
    """Another value for a field, the `index`-th of its name, counted from 1; an empty one takes the field away."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ReplaceBody:
    """The next octets of another body."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """One more path. ESMTP parameters are read over."""

    path: bytes


@dataclass(frozen=True, slots=True)
class RemoveRecipient:
    """One path less."""

    path: bytes


@dataclass(frozen=True, slots=True)
class ChangeSender:
    """Another reverse-path. ESMTP parameters are read over."""

    path: bytes


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The letter is not to come into the INBOX."""

    reason: str


Change = (
    AddHeader
    | InsertHeader
    | ChangeHeader
    | ReplaceBody
    | AddRecipient
    | RemoveRecipient
    | ChangeSender
    | Quarantine
)
Answer = Options | Word | Refuse | Change

_REPLY_LINE: Final = re.compile(rb"([45][0-9][0-9])(?:[ -]|$)(?:([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$))?([^\r\n]*)")
_NOT_TEXT: Final = re.compile(r"[^ -~]")
_NAME: Final = re.compile(rb"[!-9;-~]{1,255}")


def read_length(octets: bytes) -> int:
    """The length at a packet's front: its letter and its data."""
    length: int = _NUMBER.unpack(octets)[0]
    return length


def read_answer(packet: bytes) -> Answer:
    """A packet without its length."""
    reader = _READERS.get(packet[:1])
    if reader is None:
        raise MilterFault("an answer that the protocol doesn't know")
    return reader(packet[1:])


def _options(data: bytes) -> Options:
    if len(data) < _OPTIONS.size:
        raise MilterFault("options cut short")
    # What is behind them says which macros the filter likes; it gets all that there are.
    version, actions, steps = _OPTIONS.unpack_from(data)
    return Options(version, Action(actions), Step(steps))


def _word(word: Word) -> Callable[[bytes], Word]:
    return lambda data: word


def _refuse(reply: Reply) -> Callable[[bytes], Refuse]:
    return lambda data: Refuse(reply)


def _reply(data: bytes) -> Refuse:
    """A reply in the filter's own words, of one line or several, put into one. `%%` means `%`, as libmilter has
    it. An enhanced code that doesn't fit the code is not believed."""
    lines = [_REPLY_LINE.fullmatch(line) for line in _string(data).replace(b"\r\n", b"\n").split(b"\n") if line]
    if not lines or None in lines:
        raise MilterFault("a reply that is none")
    first = lines[0]
    assert first is not None, "looked at above"
    code, enhanced = first[1].decode("ascii"), (first[2] or b"").decode("ascii")
    if enhanced[:1] != code[0]:
        enhanced = f"{code[0]}.7.1"
    words = b" ".join(line[3].strip() for line in lines if line is not None)
    text = _NOT_TEXT.sub("?", words.replace(b"%%", b"%").decode("utf-8", "replace"))[:MILTER_REPLY_CHARACTERS]
    return Refuse(Reply(int(code), enhanced, text.strip() or R550_FILTER.text))


def _string(data: bytes) -> bytes:
    return data.partition(b"\0")[0]


def _strings(data: bytes, least: int) -> list[bytes]:
    strings = data.split(b"\0")
    if len(strings) <= least:
        raise MilterFault("a string without an end")
    return strings[:-1]


def _field(data: bytes) -> tuple[bytes, bytes]:
    name, value = _strings(data, 2)[:2]
    if not _NAME.fullmatch(name):
        raise MilterFault("a header field's name that is none")
    return name, value


def _numbered_field(data: bytes) -> tuple[int, bytes, bytes]:
    if len(data) < _NUMBER.size:
        raise MilterFault("a number cut short")
    return _NUMBER.unpack_from(data)[0], *_field(data[_NUMBER.size :])


def _path(data: bytes) -> bytes:
    return _strings(data, 1)[0]


def _quarantine(data: bytes) -> Quarantine:
    text = _NOT_TEXT.sub("?", _string(data).decode("utf-8", "replace"))
    return Quarantine(text[:MILTER_REPLY_CHARACTERS])


_READERS: Final[Mapping[bytes, Callable[[bytes], Answer]]] = {
    b"O": _options,
    b"c": _word(Word.CONTINUE),
    b"a": _word(Word.ACCEPT),
    b"d": _word(Word.DISCARD),
    b"s": _word(Word.SKIP),
    b"p": _word(Word.PROGRESS),
    b"r": _refuse(R550_FILTER),
    b"t": _refuse(R451_FILTER),
    b"f": _refuse(R451_FILTER),
    b"4": _refuse(R451_FILTER),
    b"y": _reply,
    b"h": lambda data: AddHeader(*_field(data)),
    b"i": lambda data: InsertHeader(*_numbered_field(data)),
    b"m": lambda data: ChangeHeader(*_numbered_field(data)),
    b"b": ReplaceBody,
    b"+": lambda data: AddRecipient(_path(data)),
    b"2": lambda data: AddRecipient(_path(data)),
    b"-": lambda data: RemoveRecipient(_path(data)),
    b"e": lambda data: ChangeSender(_path(data)),
    b"q": _quarantine,
}


# --- commands


def write_packet(command: Command, data: bytes = b"") -> bytes:
    """A command, ready to send."""
    return b"%b%b%b" % (_NUMBER.pack(len(data) + 1), command.value, data)


def write_front(command: Command, octets: int) -> bytes:
    """The front of a command whose data, so many octets, are sent behind it."""
    return _NUMBER.pack(octets + 1) + command.value


def write_options() -> bytes:
    """The offer that a connection begins with."""
    return write_packet(Command.OPTIONS, _OPTIONS.pack(VERSION, ACTIONS, STEPS))


def write_strings(strings: Iterable[bytes]) -> bytes:
    """Strings as they stand in a command's data."""
    return b"".join([each.replace(b"\0", b"") + b"\0" for each in strings])


def write_macros(command: Command, macros: Mapping[str, str]) -> bytes:
    """Macros for a command that follows; those that are empty are left out. Names longer than a character stand in
    braces."""
    words: list[bytes] = []
    for name, value in macros.items():
        if value:
            words += (name.encode("ascii"), value.encode("utf-8", "replace"))
    return write_packet(Command.MACRO, command.value + write_strings(words))


def write_connect(host: str, port: int) -> bytes:
    """Who connects: an IPv4 or IPv6 address, or (empty) nobody that has one. The name is not looked up: an address
    in brackets stands for it, as Sendmail writes what has no name."""
    if not host:
        return write_packet(Command.CONNECT, b"localhost\0U")
    family = b"6" if ":" in host else b"4"
    address = host.partition("%")[0].encode("ascii", "replace")
    return write_packet(Command.CONNECT, b"[%b]\0%b%b%b\0" % (address, family, struct.pack(">H", port), address))


def check_options(options: Options) -> None:
    """Raises MilterFault where a filter chose what was not offered."""
    if not OLDEST <= options.version <= VERSION:
        raise MilterFault("it speaks another version of the protocol")
    if int(options.actions) & ~int(ACTIONS):
        raise MilterFault("it wants to do what it may not")
    if int(options.steps) & ~int(STEPS if options.version > OLDEST else FIRST_STEPS):
        raise MilterFault("it wants to be spared what the protocol doesn't know")
