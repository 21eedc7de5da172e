"""What the fuzzer starts from: the conversations in `recorded/`, and every client's part of the conversation files
that the tests of the servers hold (tests.talk), which grow with the servers."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Final

from tests.fuzz.conversation import Conversation, read
from tests.house import ALICE, PASSWORDS

_HERE: Final = Path(__file__).parent
_TESTS: Final = {
    "smtp": ("smtp",),
    "submission": ("smtp",),
    "lmtp": ("smtp",),
    "pop3": ("pop3",),
    "imap": ("imap/server",),
}
"""Where conversation files of a door's protocol stand, below `tests`."""
_BEGINNINGS: Final = {
    "smtp": ("EHLO client.test\r\n",),
    "submission": ("EHLO client.test\r\n", "AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABTZWNyZXQtcHctMQ==\r\n"),
    "lmtp": ("LHLO client.test\r\n",),
    "pop3": (f"USER {ALICE}\r\n", f"PASS {PASSWORDS[ALICE]}\r\n"),
    "imap": (f"in LOGIN {ALICE} {PASSWORDS[ALICE]}\r\n", "sel SELECT INBOX\r\n"),
}
"""Where a conversation of the tests goes on."""
_OTHERS: Final = ((b"AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=", b"AGFsaWNlQGV4YW1wbGUudGVzdABTZWNyZXQtcHctMQ=="),)
"""Passwords that the tests have, and ours."""
_CLIENT: Final = re.compile(r"^\s*C[0-9]*[:<!](?: |$)", re.MULTILINE)
_FEW: Final = 2
"""Lines of a conversation that is worth it."""


@functools.cache
def recordings(door: str) -> tuple[Conversation, ...]:
    """All of one door's."""
    own = [read(text) for text in (_HERE / "recorded" / f"{door}.txt").read_text().split("\n====\n")]
    return (*own, *_of_tests(door))


@functools.cache
def own_recordings(door: str) -> int:
    """How many of them stand in `recorded/`: each holds its protocol's whole course, and is taken oftener."""
    return (_HERE / "recorded" / f"{door}.txt").read_text().count("\n====\n") + 1


def _of_tests(door: str) -> list[Conversation]:
    beginning = [line.encode() for line in _BEGINNINGS[door]]
    found = {}
    for folder in _TESTS[door]:
        for path in sorted((_HERE.parent / folder).glob("test_*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CLIENT.search(node.value):
                    text = re.sub(r"^(\s*C)[0-9]+", r"\1", node.value, flags=re.MULTILINE)
                    steps = _steps(text)
                    if len(steps) >= _FEW:
                        found[text] = Conversation((*beginning, *steps))
    return list(found.values())


def _steps(text: str) -> list[bytes]:
    try:
        steps = read(text).steps
    except ValueError:
        return []
    kept = [step for step in steps if isinstance(step, bytes)]
    for theirs, ours in _OTHERS:
        kept = [step.replace(theirs, ours) for step in kept]
    return kept
