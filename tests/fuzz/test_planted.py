"""Faults that are put into the servers, one at a time, each as a hurried hand might make it: the fuzzer finds every
one, and makes its conversation small."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import postroom.imap.server.server as imap_server
from postroom.imap.server.refusals import Refusal
from postroom.imap.server.table import TABLE as IMAP_TABLE
from postroom.net.buffer import Buffer
from postroom.smtp.replies import R250_OK
from postroom.smtp.session import Session
from postroom.smtp.stuffing import DataReader
from postroom.smtp.table import TABLE as SMTP_TABLE
from tests.fuzz.campaign import Campaign, Found

Patch = pytest.MonkeyPatch
_kept_for_ever: list[object] = []


def _put(patch: Patch, server: str, table: Mapping[bytes, Any], row: Any) -> None:
    """Let a server have another row in its table of verbs."""
    patch.setattr(f"postroom.{server}.server.TABLE", {**table, row.verb: row})


def _numbers_by_int(patch: Patch) -> None:
    """`int` says ValueError, which is no fault of the grammar."""
    patch.setattr("postroom.pop3.messages.read_number", int)


def _no_reply_to_a_refused_literal(patch: Patch) -> None:
    bad = imap_server._bad

    def forgets(session: Any, fault: Any) -> None:
        if "literal" not in fault.text:
            bad(session, fault)

    patch.setattr(imap_server, "_bad", forgets)


def _a_name_in_a_reply(patch: Patch) -> None:
    """What came in a literal goes out in a line."""
    row = IMAP_TABLE[b"LOGIN"]

    async def tells(session: Any, command: Any) -> bytes:
        try:
            return await row.handle(session, command)
        except Refusal as refusal:
            raise Refusal(b"No login for " + command.user.encode("utf-8", "replace")) from refusal

    _put(patch, "imap.server", IMAP_TABLE, dataclasses.replace(row, handle=tells))


def _a_line_of_any_length(patch: Patch) -> None:
    line = Buffer.line
    patch.setattr(Buffer, "line", lambda self, limit: line(self, 1 << 40))


def _an_argument_that_is_no_ascii(patch: Patch) -> None:
    async def noop(session: Session, argument: bytes) -> bytes:
        return R250_OK.saying(f"Ok {argument.decode('ascii')}".strip())

    row = SMTP_TABLE[b"NOOP"]
    _put(patch, "smtp", SMTP_TABLE, dataclasses.replace(row, handler=noop))


def _a_dot_too_many_taken_away(patch: Patch) -> None:
    feed = DataReader.feed
    patch.setattr(DataReader, "feed", lambda self, chunk: feed(self, chunk).replace(b"\r\n.", b"\r\n"))


def _sessions_that_stay(patch: Patch) -> None:
    made = Session.__init__

    @functools.wraps(made)
    def kept(self: Session, *args: Any, **named: Any) -> None:
        made(self, *args, **named)
        _kept_for_ever.append(self)

    patch.setattr(Session, "__init__", kept)


def _quit_that_does_not_part(patch: Patch) -> None:
    async def stays(session: Session, argument: bytes) -> bytes:
        return b"221 2.0.0 Goodbye\r\n"

    row = SMTP_TABLE[b"QUIT"]
    _put(patch, "smtp", SMTP_TABLE, dataclasses.replace(row, handler=stays))


def _two_replies(patch: Patch) -> None:
    """A reset that says what it does, and then that it was done."""
    row = SMTP_TABLE[b"RSET"]

    async def twice(session: Session, argument: bytes) -> bytes:
        octets = await row.handler(session, argument)
        return octets * 2 if session.account is not None else octets

    _put(patch, "smtp", SMTP_TABLE, dataclasses.replace(row, handler=twice))


@dataclass(frozen=True, slots=True)
class Plant:
    """A fault, the door behind which it is, what finds it, and how many conversations may go by before."""

    put: Callable[[Patch], None]
    door: str
    kinds: tuple[str, ...]
    count: int = 1500
    epoch: int = 1500


_PLANTS = (
    Plant(_numbers_by_int, "pop3", ("logged",)),
    Plant(_no_reply_to_a_refused_literal, "imap", ("reply missing", "wrong tag")),
    Plant(_a_name_in_a_reply, "imap", ("malformed reply", "reply too many", "wrong tag")),
    Plant(_a_line_of_any_length, "smtp", ("buffer grows",)),
    Plant(_an_argument_that_is_no_ascii, "smtp", ("logged",)),
    Plant(_a_dot_too_many_taken_away, "smtp", ("another letter",)),
    Plant(_sessions_that_stay, "smtp", ("memory grows",), count=900, epoch=300),
    Plant(_quit_that_does_not_part, "smtp", ("does not part", "reply too many")),
    Plant(_two_replies, "submission", ("reply too many",)),
)


@pytest.mark.parametrize("plant", _PLANTS, ids=lambda plant: plant.put.__name__.strip("_"))
def test_a_planted_fault_is_found_and_made_small(plant: Plant, monkeypatch: Patch, tmp_path: Path) -> None:
    plant.put(monkeypatch)
    campaign = Campaign(plant.door, "planted", plant.count, epoch=plant.epoch, trials=25, kept=tmp_path)
    try:
        with pytest.raises(Found) as found:
            campaign.run()
    finally:
        _kept_for_ever.clear()
    assert found.value.kind in plant.kinds, str(found.value)
    assert f"python -m tests.fuzz {plant.door} --seed planted --first " in str(found.value)
