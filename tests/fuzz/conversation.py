r"""A conversation as the fuzzer plays it: what the client sends, when it begins TLS, how it leaves; and its text.

The text is that of the conversation files (tests.talk), the client's side only, so that a failure that is printed
can be kept as a file, played again (`python -m tests.fuzz smtp --again FILE`) and made into a test:

    # pace: waiting
    C< EHLO client.test\r\n
    C! tls
    C< \x00\xff
    C! cut
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace
from typing import Final

_ESCAPE: Final = re.compile(
    rb"\\(?:(r|n|t|0|\\|x[0-9A-Fa-f]{2})|\*([0-9]{1,8}):(?:\\(r|n|t|0|\\|x[0-9A-Fa-f]{2})|([^\\])))"
)
"""An octet, or a run of it."""
_ESCAPED: Final = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
_NAMES: Final = {octets[0]: "\\" + name.decode() for name, octets in _ESCAPED.items()}
_LONG: Final = 60
"""Octets that come so often one behind the other are written as `\\*count:octet`."""
_RUN: Final = re.compile(rb"(.)\1{%d,}" % _LONG, re.DOTALL)


class Pace(enum.Enum):
    """How the client's octets come."""

    WAITING = "waiting"
    """Each step when all before it has been answered."""
    TOGETHER = "together"
    """All steps in one segment, up to a handshake."""
    PIECES = "pieces"
    """The same, cut at places that follow from the octets."""
    OCTETS = "octets"
    """One octet in each turn of the loop."""


class Act(enum.Enum):
    """What a client does beside sending."""

    TLS = "tls"
    """Shake hands, where the server waits for that."""
    CLOSE = "close"
    """No more octets will come."""
    CUT = "cut"
    """A reset."""


Step = bytes | Act


@dataclass(frozen=True, slots=True)
class Conversation:
    """See the module. `stranger`: the client isn't on loopback, and needs TLS for its password."""

    steps: tuple[Step, ...]
    pace: Pace = Pace.WAITING
    stranger: bool = False

    def with_steps(self, steps: list[Step]) -> Conversation:
        """The same with other steps."""
        return replace(self, steps=tuple(steps))

    @property
    def octets(self) -> int:
        """How much is sent."""
        return sum(len(step) for step in self.steps if isinstance(step, bytes))


def escaped(octets: bytes) -> str:
    """Octets as printable ASCII; a long run of one octet as its count."""
    text, position = "", 0
    for found in _RUN.finditer(octets):
        text += _escaped(octets[position : found.start()])
        text += f"\\*{len(found[0])}:{_escaped(found[1])}"
        position = found.end()
    return text + _escaped(octets[position:])


def _escaped(octets: bytes) -> str:
    return "".join(
        _NAMES.get(octet) or (chr(octet) if 0x20 <= octet < 0x7F else f"\\x{octet:02x}") for octet in octets
    )


def unescaped(text: str) -> bytes:
    """The octets of what `escaped` gave, or of a conversation file's text."""

    def one(found: re.Match[bytes]) -> bytes:
        name, count, named, plain = found.groups()
        return _octet(name or named) * int(count or b"1") if name or named else plain * int(count)

    return _ESCAPE.sub(one, text.encode())


def _octet(name: bytes) -> bytes:
    return _ESCAPED.get(name) or bytes([int(name[1:], 16)])


def write(conversation: Conversation) -> str:
    """The text of a conversation."""
    lines = [f"# pace: {conversation.pace.value}"]
    if conversation.stranger:
        lines.append("# stranger")
    for step in conversation.steps:
        lines.append(f"C! {step.value}" if isinstance(step, Act) else f"C< {escaped(step)}")
    return "\n".join(lines) + "\n"


def read(text: str) -> Conversation:
    """A conversation out of its text; of a conversation file, the first client's part. Raises ValueError."""
    steps: list[Step] = []
    pace, stranger = Pace.WAITING, False
    for row in text.split("\n"):
        row = row.strip("\r").lstrip()
        mark, rest = row[:2], row[3:]
        if row.startswith("# pace: "):
            pace = Pace(row[8:].strip())
        elif row.strip() == "# stranger":
            stranger = True
        elif mark == "C:":
            steps.append(rest.encode() + b"\r\n")
        elif mark == "C<":
            steps.append(unescaped(rest))
        elif mark == "C!":
            steps.append(Act(_ACTS.get(rest, rest)))
    return Conversation(tuple(steps), pace, stranger)


_ACTS: Final = {"abort": "cut"}
