"""The tap: what is kept of a session, what never is, and that all of it is bounded."""

from __future__ import annotations

import asyncio

import pytest

from postroom.net import limits
from postroom.net.conversation import Conversation, Heard, Kind, Record, Row, Tap, Who, base36


def rows(conversation: Conversation) -> list[tuple[str, str, bytes, int]]:
    return [(row.who.value, row.kind.value, row.data, row.octets) for row in conversation.rows]


def test_rows_are_kept_in_order_with_their_time() -> None:
    talk = Tap("w").begin("smtp", "192.0.2.1")
    talk.client_line(b"NOOP\r\n")
    talk.server_lines(b"250 OK\r\n")
    talk.note("TLS began")
    assert rows(talk) == [
        ("C", "line", b"NOOP\r\n", 6),
        ("S", "line", b"250 OK\r\n", 8),
        ("-", "note", b"TLS began", 9),
    ]
    times = [row.at for row in talk.rows]
    assert times == sorted(times) and 0 <= times[0] < 10


def test_a_secret_is_masked_before_it_is_kept() -> None:
    tap = Tap("w")
    follower = tap.follow()
    talk = tap.begin("pop3")
    talk.mask = lambda line: b"PASS ****\r\n" if line.upper().startswith(b"PASS ") else line
    talk.client_line(b"pass hunter2\r\n")
    talk.client_secret(24)
    assert rows(talk) == [("C", "line", b"PASS ****\r\n", 11), ("C", "secret", b"", 24)]
    assert b"hunter2" not in repr((talk.record(), talk.record().to_json(), follower._queue)).encode()


def test_adjoining_bodies_are_one_count_and_put_back_octets_are_taken_off() -> None:
    talk = Tap("w").begin("smtp")
    talk.client_body(100)
    talk.client_body(50)
    talk.client_body(-20)
    talk.server_body(7)
    talk.client_body(0)
    talk.client_body(-5)
    assert rows(talk) == [("C", "body", b"", 130), ("S", "body", b"", 7)]


def test_limit_of_a_row_and_one_more() -> None:
    talk = Tap("w").begin("imap")
    talk.server_lines(b"x" * limits.ROW_OCTETS)
    talk.server_lines(b"x" * (limits.ROW_OCTETS + 1))
    assert [(len(row.data), row.octets) for row in talk.rows] == [
        (limits.ROW_OCTETS, limits.ROW_OCTETS),
        (limits.ROW_OCTETS, limits.ROW_OCTETS + 1),
    ]


def test_limit_of_rows_and_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONVERSATION_OCTETS", 10**9)
    talk = Tap("w").begin("imap")
    for number in range(limits.CONVERSATION_ROWS + 1):
        talk.client_line(b"%d" % number)
    assert len(talk.rows) == limits.CONVERSATION_ROWS and talk.rows[0].data == b"1"


@pytest.mark.parametrize(
    ("guarded", "account", "most"),
    [
        (False, "", limits.CONVERSATION_OCTETS),
        (True, "a@x", limits.CONVERSATION_OCTETS),
        (True, "", limits.CONVERSATION_OCTETS_BEFORE_LOGIN),
    ],
)
def test_the_oldest_rows_go_when_a_session_holds_too_much(guarded: bool, account: str, most: int) -> None:
    tap = Tap("w")
    talk = tap.begin("imap")
    talk.guarded, talk.account = guarded, account
    for number in range(1000):
        talk.client_line(b"%d " % number + b"x" * 900)
        assert talk.octets <= most
    assert talk.rows[-1].data.startswith(b"999 ") and talk.octets > most - 1200
    assert tap.spent == talk.octets


def test_limit_of_recent_sessions_and_one_more() -> None:
    tap = Tap("w")
    talks = [tap.begin("smtp") for _ in range(limits.RECENT_CONVERSATIONS + 1)]
    for talk in talks:
        talk.note("here")
        tap.end(talk)
    tap.end(talks[-1])
    assert list(tap.recent) == talks[1:] and not tap.live
    assert talks[0].rows == () and tap.find(talks[0].id) is None and tap.find(talks[1].id) is talks[1]
    assert talks[1].ended is not None
    assert tap.spent == sum(talk.octets for talk in talks)


def test_all_sessions_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TAP_OCTETS", 20_000)
    tap = Tap("w")
    old = tap.begin("smtp")
    old.note("x" * 900)
    tap.end(old)
    talks = [tap.begin("imap") for _ in range(10)]
    for _ in range(50):
        for talk in talks:
            talk.client_line(b"x" * 900)
            assert tap.spent <= 20_000 + 1200
    assert not tap.recent and tap.spent == sum(talk.octets for talk in talks)


def test_sessions_have_ids_that_differ_among_workers_and_starts() -> None:
    one, two = Tap("a"), Tap("a")
    ids = {tap.begin("smtp").id for tap in (one, two) for _ in range(100)}
    assert len(ids) == 200 and all(id.startswith("a") and id.isalnum() for id in ids)
    assert [talk.id for talk in one.all()] == list(one.live)


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (35, "z"), (36, "10"), (1295, "zz")])
def test_base36(number: int, text: str) -> None:
    assert base36(number) == text


def test_a_record_survives_json() -> None:
    tap = Tap("w")
    talk = tap.begin("imap", "192.0.2.1")
    talk.account = "a@x"
    talk.client_line(b"\xff\x00 A\r\n")
    talk.server_body(5)
    assert Record.from_json(talk.record().to_json()) == Record(
        talk.id,
        "imap",
        "192.0.2.1",
        "a@x",
        talk.began,
        None,
        tuple(row._replace(at=round(row.at, 6)) for row in talk.rows),
    )
    tap.end(talk)
    assert Record.from_json(talk.record().to_json()).ended == talk.ended


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"id": 1}, [1.0, "C", "line", "x"], [1.0, "X", "line", "x", 1], [1.0, "C", "line", "\u0100", 1]],
)
def test_what_is_no_record_or_row_is_a_value_error(value: object) -> None:
    for read in (Record.from_json, Row.from_json):
        with pytest.raises(ValueError):
            read(value)


# --- followers


def test_a_follower_hears_the_sessions_it_wants_as_they_speak() -> None:
    async def story() -> None:
        tap = Tap("w")
        follower = tap.follow(lambda talk: talk.protocol == "imap")
        smtp, imap = tap.begin("smtp"), tap.begin("imap")
        smtp.note("no")
        imap.note("first")
        hearing = follower.heard()
        assert (await anext(hearing)).row.data == b"first"
        waiting = asyncio.ensure_future(anext(hearing))
        await asyncio.sleep(0)
        imap.client_line(b"NOOP\r\n")
        heard = await waiting
        assert heard == Heard(imap, imap.rows[-1]) and heard.row.who is Who.CLIENT
        assert heard.row.kind is Kind.LINE
        await hearing.aclose()
        assert not tap.followers

    asyncio.run(story())


def test_a_slow_follower_misses_rows_and_knows_how_many() -> None:
    tap = Tap("w")
    follower = tap.follow()
    talk = tap.begin("smtp")
    for _ in range(limits.FOLLOWER_ROWS + 3):
        talk.note("x")
    assert follower.missed == 3 and len(follower._queue) == limits.FOLLOWER_ROWS
    follower.stop()
    talk.note("x")
    assert follower.missed == 3
