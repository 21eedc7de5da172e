"""Mutated conversations with every door: no traceback, no growth, one well-formed answer to each command, the store
whole, others served; and how much of the servers' code that reaches.

A failure says how it is played again. `POSTROOM_FUZZ_SEED` chooses others in `make test`; `make soak` draws one.
"""

from __future__ import annotations

import os
import secrets

import pytest

from tests.fuzz.campaign import EPOCH, Campaign
from tests.fuzz.lines import Lines
from tests.scale import SOAK, scaled

SEED = os.environ.get("POSTROOM_FUZZ_SEED") or (secrets.token_hex(4) if SOAK else "post")

_COUNTS = {
    "smtp": scaled(350, 140_000),
    "submission": scaled(250, 60_000),
    "lmtp": scaled(200, 70_000),
    "pop3": scaled(350, 230_000),
    "imap": scaled(250, 75_000),
}
"""Conversations: some seconds each in `make test`; in `make soak` 15 minutes for each protocol (SMTP has three
doors), at what the project's machine does in a second with the lines watched."""
_PROTOCOLS = {"smtp": ("smtp", "submission", "lmtp"), "pop3": ("pop3",), "imap": ("imap",)}
_LEAST = {"smtp": 0.75, "pop3": 0.83, "imap": 0.76}
"""Share of the lines of grammar and server that the small run must reach. What it leaves out is the clients' half
of the grammar, and what only time, a fault of the store or another process can bring about."""


@pytest.mark.parametrize("protocol", list(_PROTOCOLS))
def test_no_mutated_conversation_breaks_a_server(protocol: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(protocol)
    told = []
    with lines:
        for door in _PROTOCOLS[protocol]:
            count = _COUNTS[door]
            told.append(f"{door}, seed {SEED}: {Campaign(door, SEED, count, epoch=min(EPOCH, count // 4)).run()}")
    if SOAK:
        with capsys.disabled():
            print("", *told, *lines.table(), sep="\n")
    assert lines.share() >= _LEAST[protocol], "\n".join(lines.table())
