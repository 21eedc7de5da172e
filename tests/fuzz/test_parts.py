"""The fuzzer's own parts: what it prints can be played again, what it draws follows from the seed, and its judges
know a right conversation from a wrong one."""

from __future__ import annotations

import asyncio

import pytest

from tests.fuzz import conversation as text
from tests.fuzz.campaign import WALKERS, judge
from tests.fuzz.conversation import Act, Conversation, Pace
from tests.fuzz.lines import Lines
from tests.fuzz.mutate import conversation as changed
from tests.fuzz.recordings import own_recordings, recordings
from tests.fuzz.room import room
from tests.fuzz.smaller import Smaller
from tests.fuzz.walk import Told, Wrong, unstuffed

_GREETING = {
    "smtp": b"220 mx ESMTP\r\n",
    "submission": b"220 mx ESMTP\r\n",
    "lmtp": b"220 mx LMTP\r\n",
    "pop3": b"+OK ready\r\n",
    "imap": b"* OK ready\r\n",
}


@pytest.mark.parametrize(
    "octets", [b"", bytes(range(256)), b"a" * 1000 + b"\\\\*61:a", b"\r\n" * 100 + b"\0" * 300]
)
def test_what_is_printed_is_what_is_played(octets: bytes) -> None:
    said = Conversation((octets, Act.TLS, octets + b"x", Act.CUT), Pace.OCTETS, stranger=True)
    assert text.read(text.write(said)) == said


@pytest.mark.parametrize("door", list(WALKERS))
def test_a_seed_gives_the_same_conversation_each_time(door: str) -> None:
    drawn = [changed(door, f"s:{number}") for number in range(50)]
    assert drawn == [changed(door, f"s:{number}") for number in range(50)]
    assert len(set(drawn)) > 40
    assert {each.pace for each in drawn} == set(Pace)


@pytest.mark.parametrize("door", list(WALKERS))
def test_recorded_conversations_go_right_at_every_pace(door: str) -> None:
    async def go() -> None:
        async with room() as house:
            for recorded in recordings(door)[: own_recordings(door)]:
                for pace in Pace:
                    await house.refill()
                    await judge(house, door, Conversation(recorded.steps, pace))
            house.look_at_store()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("door", "sent", "heard", "kind"),
    [
        ("smtp", b"NOOP\r\n", b"", "reply missing"),
        ("smtp", b"NOOP\r\n", b"250 ok\r\n250 ok\r\n", "reply too many"),
        ("smtp", b"NOOP\r\n", b"250-ok\r\n", "reply without its end"),
        ("smtp", b"NOOP\r\n", b"250 ok\n", "reply without its end"),
        ("smtp", b"NOOP\r\n", b"250-ok\r\n251 ok\r\n", "malformed reply"),
        ("smtp", b"NOOP\r\n", b"250 5.0.0 ok\r\n", "malformed reply"),
        ("smtp", b"NOOP\r\n", b"ok\r\n", "malformed reply"),
        ("smtp", b"NOOP\r\n", b"250 " + b"x" * 507 + b"\r\n", "reply line too long"),
        ("smtp", b"DATA\r\n.\r\nQUIT\r\n", b"354 go\r\n250 ok\r\n", "reply missing"),
        ("smtp", b"BDAT 6\r\nQUIT\r\n", b"503 no\r\n221 bye\r\n", "reply too many"),
        (
            "lmtp",
            b"RCPT TO:<a>\r\nRCPT TO:<b>\r\nDATA\r\n.\r\n",
            b"250 a\r\n250 b\r\n354 go\r\n250 a\r\n",
            "reply missing",
        ),
        ("pop3", b"NOOP\r\n", b"", "reply missing"),
        ("pop3", b"NOOP\r\n", b"+OK\r\n+OK\r\n", "reply too many"),
        ("pop3", b"LIST\r\n", b"+OK\r\n1 1\r\n", "reply without its end"),
        ("pop3", b"RETR 1\r\n", b"+OK 5 octets\r\nabcd\r\n.\r\n", "wrong size"),
        ("pop3", b"NOOP\r\n", b"OK\r\n", "malformed reply"),
        ("imap", b"a NOOP\r\n", b"", "reply missing"),
        ("imap", b"a NOOP\r\n", b"a OK x\r\na OK x\r\n", "reply too many"),
        ("imap", b"a NOOP\r\n", b"b OK x\r\n", "wrong tag"),
        ("imap", b"a NOOP\r\n", b"* 1 FETCH (FLAGS ()\r\na OK x\r\n", "malformed reply"),
        ("imap", b"a NOOP\r\n", b'* LIST () "/" "x\r\na OK x\r\n', "malformed reply"),
        ("imap", b"a NOOP\r\n", b"* 1 FETCH (BODY[] {9}\r\nabc)\r\n", "reply without its end"),
        ("imap", b"a SELECT {1}\r\nx\r\n", b"+ go\r\n", "reply missing"),
    ],
)
def test_the_judge_sees_what_is_wrong(door: str, sent: bytes, heard: bytes, kind: str) -> None:
    with pytest.raises(Wrong) as wrong:
        WALKERS[door](Told([sent], _GREETING[door] + heard))
    assert wrong.value.kind == kind


@pytest.mark.parametrize(
    ("door", "sent", "heard"),
    [
        ("smtp", b"NOOP\r\nQUIT\r\n", b"250 2.0.0 ok\r\n221 2.0.0 bye\r\n"),
        ("smtp", b"DATA\r\nQUIT\r\n.\r\nNOOP\r\n", b"354 go\r\n250 ok\r\n250 ok\r\n"),
        ("smtp", b"BDAT 6\r\nQUIT\r\nNOOP\r\n", b"503 no\r\n250 ok\r\n"),
        ("smtp", b"AUTH LOGIN\r\nx\r\ny\r\n", b"334 a\r\n334 b\r\n535 5.7.8 no\r\n"),
        ("pop3", b"AUTH PLAIN\r\nx\r\nCAPA\r\n", b"+ \r\n-ERR no\r\n+OK\r\n..\r\n.\r\n"),
        ("imap", b"a LOGIN {1}\r\na {1+}\r\nb\r\n", b"+ go\r\na NO no\r\n"),
        ("imap", b"a IDLE\r\nDONE\r\n", b"+ idling\r\n* 1 EXISTS\r\na OK done\r\n"),
    ],
)
def test_the_judge_lets_pass_what_is_right(door: str, sent: bytes, heard: bytes) -> None:
    WALKERS[door](Told([sent], _GREETING[door] + heard))


def test_dots_are_taken_away_one_at_each_line() -> None:
    assert unstuffed(b"..\r\n...a\r\n.b\r\nc.\r\n") == b".\r\n..a\r\nb\r\nc.\r\n"


def test_what_goes_wrong_is_made_small() -> None:
    async def play(conversation: Conversation) -> Wrong | None:
        return (
            Wrong("found", "it")
            if b"!" in b"".join(s for s in conversation.steps if isinstance(s, bytes))
            else None
        )

    said = Conversation((b"one\r\n", Act.TLS, b"two " * 20 + b"!" + b" three\r\n", b"four\r\n"))
    smaller = Smaller(said, Wrong("found", "it"), play, trials=200)
    asyncio.run(smaller.run())
    assert smaller.smallest.steps == (b"!",)


def test_lines_that_were_run_are_told_from_those_that_were_not() -> None:
    from postroom.pop3.grammar import read_number

    with Lines("pop3/grammar") as lines:
        read_number(b"1")
    assert 0 < lines.share() < 0.2
    assert any("not run" in row for row in lines.table())
