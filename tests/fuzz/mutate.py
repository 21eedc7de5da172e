"""Recorded conversations, changed: lines in another order, words from the dictionary, octets that harm, other sizes
and line ends, a client that leaves. What comes out follows from the seed alone."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from random import Random
from typing import Final

from tests.fuzz.conversation import Act, Conversation, Pace, Step
from tests.fuzz.recordings import own_recordings, recordings
from tests.fuzz.words import HARM, LENGTHS, NUMBERS, verbs, words

_NUMBER: Final = re.compile(rb"[0-9]+")
_LITERAL: Final = re.compile(rb"\{[0-9]+\+?\}")
_WORD: Final = re.compile(rb"[^\s]+")
_ENDS: Final = (b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"", b"\0\r\n", b" \r\n", b"\r\n\r\n")
_PACES: Final = (Pace.WAITING,) * 5 + (Pace.TOGETHER,) * 3 + (Pace.PIECES,) * 2 + (Pace.OCTETS,)
_MOST_STEPS: Final = 60
_MOST_OCTETS: Final = 1_000_000


def conversation(door: str, seed: str) -> Conversation:
    """The changed conversation of this seed."""
    random = Random(seed)
    known = recordings(door)
    own = own_recordings(door)
    chosen = known[random.randrange(own)] if random.random() < 0.6 else random.choice(known)
    steps = list(chosen.steps)
    if random.random() < 0.15:
        other = random.choice(known).steps
        at = random.randint(0, len(steps))
        steps = [*steps[:at], *other[random.randint(0, len(other)) :]]
    for _ in range(min(int(random.expovariate(0.4)), 12)):
        random.choices(_CHANGES, _WEIGHTS)[0](random, door, steps)
    return Conversation(tuple(steps[:_MOST_STEPS]), random.choice(_PACES), stranger=random.random() < 0.1)


# --- changes of the order of lines


def _swap(random: Random, door: str, steps: list[Step]) -> None:
    if len(steps) > 1:
        one, other = random.randrange(len(steps)), random.randrange(len(steps))
        steps[one], steps[other] = steps[other], steps[one]


def _drop(random: Random, door: str, steps: list[Step]) -> None:
    if len(steps) > 1:
        del steps[random.randrange(len(steps))]


def _double(random: Random, door: str, steps: list[Step]) -> None:
    if steps:
        at = random.randrange(len(steps))
        steps[at:at] = [steps[at]] * random.choice((1, 1, 1, 2, 25))


def _command(random: Random, door: str, steps: list[Step]) -> None:
    """A command that nobody had there."""
    verb = random.choice(verbs(door))
    line = b" ".join([verb, *(random.choice(words(door)) for _ in range(random.choice((0, 0, 1, 1, 2, 4))))])
    if door == "imap" and random.random() < 0.95:
        line = b"x%d " % random.randrange(100) + line
    steps.insert(random.randint(0, len(steps)), line + b"\r\n")


def _act(random: Random, door: str, steps: list[Step]) -> None:
    """TLS where it wasn't, or the end."""
    act = random.choice((Act.TLS, Act.TLS, Act.CLOSE, Act.CUT))
    at = random.randint(0, len(steps))
    if act is Act.TLS:
        verb = {"pop3": b"STLS", "imap": b"tls STARTTLS"}.get(door, b"STARTTLS")
        steps[at:at] = [verb + b"\r\n", act] if random.random() < 0.8 else [act]
    else:
        steps[at:] = [act]


# --- changes within a line


def _in_line(change: Callable[[Random, str, bytes], bytes]) -> Callable[[Random, str, list[Step]], None]:
    def changed(random: Random, door: str, steps: list[Step]) -> None:
        lines = [at for at, step in enumerate(steps) if isinstance(step, bytes)]
        if lines and sum(len(step) for step in steps if isinstance(step, bytes)) < _MOST_OCTETS:
            at = random.choice(lines)
            line = steps[at]
            assert isinstance(line, bytes)
            steps[at] = change(random, door, line)

    return changed


def _harm(random: Random, door: str, line: bytes) -> bytes:
    at = random.randint(0, len(line))
    return line[:at] + random.choice(HARM) + line[at + random.choice((0, 0, 1)) :]


def _word(random: Random, door: str, line: bytes) -> bytes:
    found = list(_WORD.finditer(line))
    if not found:
        return random.choice(words(door)) + line
    one = random.choice(found)
    put = random.choice((random.choice(words(door)), random.choice(verbs(door)), one[0] + b" " + one[0], b""))
    return line[: one.start()] + put + line[one.end() :]


def _added(random: Random, door: str, line: bytes) -> bytes:
    """Another word at the line's end."""
    body = line.rstrip(b"\r\n")
    return body + b" " + random.choice(words(door)) + line[len(body) :]


def _number(random: Random, door: str, line: bytes) -> bytes:
    found = list(_NUMBER.finditer(line))
    if not found:
        return _harm(random, door, line)
    one = random.choice(found)
    near = str(max(0, int(one[0][:18]) + random.choice((-1, 1, 2, 10)))).encode()
    put = near if random.random() < 0.4 else random.choice(NUMBERS)
    return line[: one.start()] + put + line[one.end() :]


def _literal(random: Random, door: str, line: bytes) -> bytes:
    """A literal's size that is wrong, a literal in a word's place, or one that is no more asked for."""
    found = _LITERAL.search(line)
    if found is None:
        if door != "imap":
            return _number(random, door, line)
        found_words = list(_WORD.finditer(line))[1:]
        if not found_words:
            return line
        one = random.choice(found_words)
        put = random.choice((one[0], one[0] + b"\r\n", b"a\r\nb NOOP", b"\0" + one[0], b"", b"x" * 300))
        head = b"{%d%b}\r\n" % (len(put), random.choice((b"", b"+")))
        return line[: one.start()] + head + put + line[one.end() :]
    size = int(found[0].strip(b"{+}")[:9])
    put = random.choice(
        (
            *(b"{%d}" % (size + 1), b"{%d+}" % max(size - 1, 0), b"{%d+}" % size, b"{%d}" % size),
            *(b"{-1}", b"{}", b"{1"),
            *(b"{%b+}" % number for number in NUMBERS[-9:]),
            *(b"{%b}" % number for number in NUMBERS[-9:]),
        )
    )
    return line[: found.start()] + put + line[found.end() :]


def _long(random: Random, door: str, line: bytes) -> bytes:
    size = random.choice(LENGTHS[:-1]) if random.random() < 0.9 else LENGTHS[-1]
    found = list(_WORD.finditer(line))
    one = random.choice(found) if found else None
    octets = random.choice((b"a", b"A", b"9", b"(", b"<", b"\xff", b" ", b".", b"@", b'"', b"\\", b"=", b"1,"))
    at = random.choice((one.start(), one.end())) if one else 0
    return line[:at] + (octets * size)[:size] + line[at:]


def _end(random: Random, door: str, line: bytes) -> bytes:
    return line.rstrip(b"\r\n") + random.choice(_ENDS)


def _cut(random: Random, door: str, line: bytes) -> bytes:
    start = random.randint(0, len(line))
    return line[:start] + line[start + random.choice((1, 1, 2, 8, 1000)) :]


def _again(random: Random, door: str, line: bytes) -> bytes:
    """A piece twice, or very often."""
    start = random.randint(0, len(line))
    piece = line[start : start + random.randint(1, 12)]
    return line[:start] + piece * random.choice((2, 2, 3, 40)) + line[start + len(piece) :]


def _case(random: Random, door: str, line: bytes) -> bytes:
    return line.swapcase() if random.random() < 0.5 else line.lower()


def _login(random: Random, door: str, line: bytes) -> bytes:
    """SASL's words with a client that can't count, or spell."""
    message = random.choice(
        (
            b"\0alice@example.test\0Secret-pw-1",
            b"\0" * random.randint(0, 4),
            b"a" * 255 + b"\0b\0c",
            b"\0alice\r\n\0x\n",
            b"\xff\xfe\0\xc3\0x",
            b"n,,n=alice@example.test,r=" + bytes(random.randrange(256) for _ in range(8)),
            b"n,a=alice@example.test,\x01auth=Bearer x\x01\x01",
            b"user=alice@example.test\x01auth=Bearer \x01\x01",
        )
    )
    encoded = base64.b64encode(message)
    encoded = random.choice((encoded, encoded, encoded[:-1], encoded + b"=", b"*", b"=", b"!", encoded * 500))
    mechanism = random.choice(
        (b"PLAIN", b"LOGIN", b"SCRAM-SHA-256", b"XOAUTH2", b"OAUTHBEARER", b"EXTERNAL", b"plain")
    )
    verb = b"q AUTHENTICATE" if door == "imap" else b"AUTH"
    return random.choice((encoded, b" ".join((verb, mechanism, encoded)), b" ".join((verb, mechanism)))) + b"\r\n"


_TABLE: Final = (
    (3, _swap),
    (4, _drop),
    (4, _double),
    (6, _command),
    (2, _act),
    (8, _in_line(_harm)),
    (8, _in_line(_word)),
    (4, _in_line(_added)),
    (6, _in_line(_number)),
    (4, _in_line(_literal)),
    (3, _in_line(_long)),
    (4, _in_line(_end)),
    (4, _in_line(_cut)),
    (3, _in_line(_again)),
    (1, _in_line(_case)),
    (3, _in_line(_login)),
)
_CHANGES: Final = [change for _, change in _TABLE]
_WEIGHTS: Final = [weight for weight, _ in _TABLE]
