from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from postroom.intake.envelope import DISCARDED, PASSED, Changed, Rejected, Tls, Verdict
from postroom.intake.milter.client import Place
from postroom.intake.milter.grammar import Step
from postroom.intake.milter.session import MilterSession
from postroom.net.limits import (
    HEADER_OCTETS,
    MILTER_CHANGES,
    MILTER_CHUNK_OCTETS,
    MILTER_PACKET_OCTETS,
    MILTER_REST_SECONDS,
)
from postroom.smtp.grammar import read_address
from postroom.smtp.replies import R451_FILTER, R550_FILTER, Reply
from tests.intake.milter.filter import (
    ALICE,
    BOB,
    CALLER,
    CONTINUE,
    HANG_UP,
    LETTER,
    SENDER,
    SILENT,
    Desks,
    Filter,
    arrival,
    envelope_told,
    milter,
    options,
    packet,
    session,
)

TEMPFAIL, REJECT = Rejected(R451_FILTER), Rejected(R550_FILTER)
MAIL = dataclasses.replace(CALLER, sender=SENDER)
RCPT = dataclasses.replace(MAIL, recipient=read_address("alice@example.test"))


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


async def verdict_of(filter: Filter, letter: bytes = LETTER, desks: Desks | None = None) -> Verdict:
    """What becomes of a whole letter."""
    one = MilterSession(milter(filter.place), (desks or Desks()).desk)
    await envelope_told(one)
    try:
        return await one.letter(arrival(letter))
    finally:
        await one.close()


def test_a_filter_hears_every_step_in_order() -> None:
    async def test() -> None:
        async with Filter() as filter:
            assert await verdict_of(filter) == PASSED
            assert filter.letters == "OCHMRT" + "L" * 4 + "NBE"
            assert filter.data("C") == [b"[192.0.2.1]\x004\x10\xe1192.0.2.1\0"]
            assert filter.data("H") == [b"client.test\0"]
            assert filter.data("M") == [b"<jo@other.test>\0SIZE=5\0"]
            assert filter.data("R") == [b"<alice@example.test>\0"]
            assert filter.data("L") == [
                b"Subject\0x\0",
                b"X-Spam\0one\0",
                b"To\0a@b.test,\n\tc@d.test\0",
                b"X-Spam\0two\0",
            ]
            assert filter.data("B") == [b"body\r\n.end\r\n"]

    run(test)


def test_macros_come_before_the_steps_that_they_belong_to() -> None:
    async def test() -> None:
        async with Filter() as filter:
            one = session(filter.place)
            told = dataclasses.replace(MAIL, login="alice@example.test", tls=Tls("TLSv1.3", "TLS_AES", 256))
            await one.hello(told)
            await one.mail(told, [])
            await one.rcpt(dataclasses.replace(told, recipient=RCPT.recipient), [])
            await one.letter(arrival())
            await one.close()
            connect = filter.macros("C")
            assert connect["j"] == "mx.example.test" and connect["{daemon_name}"] == "smtp"
            assert (
                connect["_"] == "unknown [192.0.2.1]" and connect["{client_addr}"] == "192.0.2.1" and connect["v"]
            )
            assert filter.macros("H") == {"{tls_version}": "TLSv1.3", "{cipher}": "TLS_AES", "{cipher_bits}": "256"}
            mail = filter.macros("M")
            assert mail["i"] == "a1.1" and mail["{auth_authen}"] == "alice@example.test" and mail["{auth_type}"]
            assert mail["{mail_addr}"] == "jo@other.test"
            assert filter.macros("R")["{rcpt_addr}"] == "alice@example.test"
            assert filter.macros("E")["i"] == "a1.1"

    run(test)


@pytest.mark.parametrize(
    ("spared", "heard"),
    [
        (Step.NO_CONNECT, "OHMRTLLLLNBE"),
        (Step.NO_HELO, "OCMRTLLLLNBE"),
        (Step.NO_MAIL, "OCHRTLLLLNBE"),
        (Step.NO_RCPT, "OCHMTLLLLNBE"),
        (Step.NO_DATA, "OCHMRLLLLNBE"),
        (Step.NO_HEADERS, "OCHMRTNBE"),
        (Step.NO_END_OF_HEADER, "OCHMRTLLLLBE"),
        (Step.NO_BODY, "OCHMRTLLLLNE"),
    ],
)
def test_a_filter_is_spared_the_steps_that_it_does_not_want(spared: Step, heard: str) -> None:
    async def test() -> None:
        async with Filter(options=options(steps=spared)) as filter:
            assert await verdict_of(filter) == PASSED
            assert filter.letters == heard

    run(test)


def test_quiet_steps_are_not_answered_and_not_waited_for() -> None:
    async def test() -> None:
        quiet = (
            Step.QUIET_CONNECT
            | Step.QUIET_HELO
            | Step.QUIET_MAIL
            | Step.QUIET_RCPT
            | Step.QUIET_DATA
            | Step.QUIET_HEADERS
            | Step.QUIET_END_OF_HEADER
            | Step.QUIET_BODY
        )
        async with Filter(options=options(steps=quiet), E=packet(b"r")) as filter:
            filter.spare = frozenset([bytes([each]) for each in b"CHMRTLNB"])
            assert await verdict_of(filter) == REJECT
            assert filter.letters == "OCHMRTLLLLNBE"

    run(test)


def test_an_old_filter_is_not_told_of_data() -> None:
    async def test() -> None:
        async with Filter(options=options(version=2)) as filter:
            assert await verdict_of(filter) == PASSED
            assert "T" not in filter.letters

    run(test)


def test_a_value_keeps_its_leading_space_where_that_was_agreed() -> None:
    async def test() -> None:
        add = [packet(b"h", b"X-A\0\tb\0"), CONTINUE]
        async with Filter(options=options(steps=Step.LEADING_SPACE), E=add) as filter:
            verdict = await verdict_of(filter)
            assert filter.data("L")[0] == b"Subject\0 x\0"
            assert isinstance(verdict, Changed) and b"\r\nX-A:\tb\r\n\r\n" in bytes(verdict.arrival.blob.contents())

    run(test)


@pytest.mark.parametrize("step", ["C", "H", "M", "R", "T", "L", "N", "B", "E"])
@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (packet(b"r"), REJECT),
        (packet(b"t"), TEMPFAIL),
        (packet(b"y", b"552 5.3.4 Too much of it\0"), Rejected(Reply(552, "5.3.4", "Too much of it"))),
        (packet(b"p") * 3 + packet(b"r"), REJECT),
    ],
)
def test_a_filter_may_refuse_at_every_step(step: str, answer: bytes, verdict: Rejected) -> None:
    async def test() -> None:
        async with Filter(**{step: answer}) as filter:
            one = session(filter.place)
            said: list[Verdict] = [await one.hello(CALLER)]
            said.append(await one.mail(MAIL, []))
            said.append(await one.rcpt(RCPT, []))
            said.append(await one.letter(arrival()))
            at = {"C": 0, "H": 0, "M": 1, "R": 2}.get(step, 3)
            assert [each for each in said if each != PASSED][:1] == [verdict]
            assert said.index(verdict) == at
            await one.close()

    run(test)


def test_a_client_that_is_refused_stays_so() -> None:
    async def test() -> None:
        async with Filter(C=packet(b"r")) as filter:
            one = session(filter.place)
            assert [await one.hello(CALLER), await one.hello(CALLER), await one.mail(MAIL, [])] == [REJECT] * 3
            assert filter.connections == 1 and filter.letters == "OC"
            await one.close()

    run(test)


def test_a_refused_recipient_is_one_of_many() -> None:
    async def test() -> None:
        async with Filter(R=packet(b"r")) as filter:
            one = session(filter.place)
            assert await one.mail(MAIL, []) == PASSED
            assert await one.rcpt(RCPT, []) == REJECT
            filter.answers.clear()
            assert await one.rcpt(RCPT, []) == PASSED
            assert await one.letter(arrival()) == PASSED
            await one.close()

    run(test)


@pytest.mark.parametrize("step", ["M", "R", "T", "L", "N", "B", "E"])
def test_a_filter_may_discard_a_letter(step: str) -> None:
    async def test() -> None:
        async with Filter(**{step: packet(b"d")}) as filter:
            assert await verdict_of(filter) == DISCARDED
            assert filter.letters.rstrip("A").endswith(step)

    run(test)


@pytest.mark.parametrize("step", ["C", "H"])
def test_a_filter_that_trusts_a_client_hears_no_more_of_it(step: str) -> None:
    async def test() -> None:
        async with Filter(**{step: packet(b"a")}) as filter:
            assert await verdict_of(filter) == PASSED
            assert filter.letters in ("OC", "OCH")

    run(test)


@pytest.mark.parametrize("step", ["M", "R", "T", "L", "N", "B"])
def test_a_filter_that_has_seen_enough_of_a_letter_hears_of_the_next(step: str) -> None:
    async def test() -> None:
        async with Filter(**{step: packet(b"a")}) as filter:
            one = session(filter.place)
            await envelope_told(one)
            assert await one.letter(arrival()) == PASSED
            assert "E" not in filter.letters
            filter.answers.clear()
            filter.heard.clear()
            assert await one.mail(MAIL, []) == PASSED
            assert await one.rcpt(RCPT, []) == PASSED
            assert await one.letter(arrival()) == PASSED
            assert filter.letters == "AMRTLLLLNBE"
            await one.close()

    run(test)


def test_a_letter_that_is_given_up_is_told_and_the_next_begins_clean() -> None:
    async def test() -> None:
        async with Filter() as filter:
            one = session(filter.place)
            await one.mail(MAIL, [])
            one.reset()
            one.reset()
            await one.mail(MAIL, [])
            await one.hello(CALLER)
            await one.mail(MAIL, [])
            assert filter.letters == "OCHMAMAHM"
            await one.close()

    run(test)


def test_a_body_goes_in_pieces_until_the_filter_has_seen_enough() -> None:
    async def test() -> None:
        body = b"x" * (MILTER_CHUNK_OCTETS * 2 + 1)
        async with Filter() as filter:
            assert await verdict_of(filter, b"A: b\r\n\r\n" + body) == PASSED
            assert [len(each) for each in filter.data("B")] == [MILTER_CHUNK_OCTETS, MILTER_CHUNK_OCTETS, 1]
            assert b"".join(filter.data("B")) == body
        async with Filter(options=options(steps=Step.SKIP), B=packet(b"s")) as filter:
            assert await verdict_of(filter, b"A: b\r\n\r\n" + body) == PASSED
            assert filter.letters == "OCHMRTLNBE"

    run(test)


def test_another_client_in_the_same_session_is_told_anew() -> None:
    async def test() -> None:
        async with Filter() as filter:
            one = session(filter.place)
            await one.hello(CALLER)
            await one.hello(dataclasses.replace(CALLER, peer="192.0.2.99"))
            assert filter.connections == 2 and filter.data("C")[1].endswith(b"192.0.2.99\0")
            await one.close()

    run(test)


# --- what goes wrong

BROKEN: dict[str, dict[str, Any]] = {
    "hangs up at once": {"options": b"\0\0\0\0"},
    "another protocol": {"options": b"220 mx ESMTP\r\n"},
    "no options": {"options": CONTINUE},
    "a newer version": {"options": options(version=7)},
    "garbage at MAIL": {"M": b"\0\0\0\1Z"},
    "an answer too large": {"M": (MILTER_PACKET_OCTETS + 1).to_bytes(4, "big")},
    "an answer far too large": {"M": b"\xff\xff\xff\xff"},
    "an empty packet": {"M": b"\0\0\0\0"},
    "hangs up at MAIL": {"M": HANG_UP},
    "hangs up in the body": {"B": HANG_UP},
    "hangs up at the end": {"E": HANG_UP},
    "changes before the end": {"L": packet(b"h", b"X\0y\0")},
    "options once more": {"E": options()},
    "progress that is none": {"R": packet(b"Z")},
    "a change that was not agreed on": {"options": options(actions=0), "E": packet(b"h", b"X\0y\0")},
    "too many changes": {"E": packet(b"q", b"x\0") * (MILTER_CHANGES + 1)},
    "far too many changes": {"E": packet(b"q", b"x\0") * (MILTER_CHANGES * 100)},
    "too large a header": {"E": packet(b"h", b"X\0" + b"y" * 600_000 + b"\0") * 2},
    "too large a body": {"E": packet(b"b", b"y" * 600_000) * 20},
    "discards a client": {"H": packet(b"d")},
}


@pytest.mark.parametrize("default", ["tempfail", "reject", "accept"])
@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_filter_comes_to_the_default_and_is_told_of_once(
    what: str, default: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with Filter(**BROKEN[what]) as filter:
            one = session(filter.place, default)
            with caplog.at_level(logging.WARNING):
                said: list[Verdict] = [await one.hello(CALLER), await one.mail(MAIL, []), await one.rcpt(RCPT, [])]
                said.append(await one.letter(arrival()))
            worst = [each for each in said if each != PASSED]
            assert worst[:1] == {"tempfail": [TEMPFAIL], "reject": [REJECT], "accept": []}[default]
            assert said[0] == PASSED
            assert len([each for each in caplog.records if "milter.failed" in each.message]) == 1
            await one.close()

    run(test)


def test_a_filter_that_is_silent_is_waited_for_no_longer_than_it_may_take() -> None:
    async def test() -> None:
        for answers in ({"M": SILENT}, {"E": SILENT}, {"options": SILENT}):
            async with Filter(**answers) as filter:
                one = session(filter.place, seconds=0.05)
                await one.hello(CALLER)
                said = [await one.mail(MAIL, []), await one.rcpt(RCPT, []), await one.letter(arrival())]
                assert TEMPFAIL in said
                await one.close()

    run(test)


def test_a_filter_that_never_comes_to_an_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.intake.milter.client.MILTER_LETTER_SECONDS", 0.1)

    async def test() -> None:
        async with Filter(E=packet(b"p") * 3) as filter:
            assert await verdict_of(filter) == TEMPFAIL

    run(test)


def test_a_filter_that_is_down_is_dialled_once_and_then_left_alone() -> None:
    async def test() -> None:
        async with Filter(options=HANG_UP) as filter:
            seconds = 0.0
            one = milter(filter.place, clock=lambda: seconds)
            for _ in range(3):
                visit = MilterSession(one, Desks().desk)
                assert await visit.mail(MAIL, []) == TEMPFAIL
                await visit.close()
            seconds = MILTER_REST_SECONDS - 0.1
            assert await MilterSession(one, Desks().desk).mail(MAIL, []) == TEMPFAIL
            assert filter.connections == 1
            seconds = MILTER_REST_SECONDS
            filter.options = options()
            visit = MilterSession(one, Desks().desk)
            assert await visit.mail(MAIL, []) == PASSED
            await visit.close()
            assert filter.connections == 2

    run(test)


def test_a_letter_that_a_filter_breaks_over_is_no_trouble_for_the_next() -> None:
    async def test() -> None:
        async with Filter(B=HANG_UP) as filter:
            one = milter(filter.place)
            visits = [MilterSession(one, Desks().desk) for _ in range(2)]
            await envelope_told(visits[0])
            assert await visits[0].letter(arrival()) == TEMPFAIL
            filter.answers.clear()
            for visit in visits:
                await envelope_told(visit)
                assert await visit.letter(arrival()) == PASSED
                await visit.close()

    run(test)


def test_of_many_that_wait_for_a_filter_to_come_back_one_tries() -> None:
    async def test() -> None:
        async with Filter() as filter:
            one = milter(Filter.nowhere(), clock=lambda: 100.0)
            one.rests_until = 99.0
            first = asyncio.create_task(MilterSession(one, Desks().desk).mail(MAIL, []))
            await asyncio.sleep(0)
            one.place = filter.place
            assert await MilterSession(one, Desks().desk).mail(MAIL, []) == TEMPFAIL
            assert await first == TEMPFAIL and filter.connections == 0

    run(test)


def test_nobody_at_the_place_comes_to_the_default() -> None:
    async def test() -> None:
        async with Filter() as filter:
            place = filter.place
        for gone in (place, Place(path="/nowhere/filter.sock")):
            one = session(gone)
            assert await one.hello(CALLER) == PASSED
            assert await one.mail(MAIL, []) == TEMPFAIL
            assert await one.letter(arrival()) == TEMPFAIL
            await one.close()

    run(test)


def test_a_filter_that_was_started_anew_between_two_letters_costs_none() -> None:
    async def test() -> None:
        async with Filter() as filter:
            one = session(filter.place)
            await envelope_told(one)
            assert await one.letter(arrival()) == PASSED
            filter.answers[b"M"] = [HANG_UP]
            filter.heard.clear()
            filter.spoken.clear()

            async def recover() -> None:
                await filter.spoken.wait()
                filter.answers.clear()

            task = asyncio.create_task(recover())
            assert await one.mail(MAIL, []) == PASSED
            await task
            assert filter.connections == 2 and filter.letters == "MOCHM"
            await one.close()

    run(test)


def test_a_unix_socket_is_a_place_too(tmp_path: Path) -> None:
    async def test() -> None:
        filter = Filter()
        server = await asyncio.start_unix_server(filter._serve, str(tmp_path / "filter.sock"))
        one = session(Place(path=str(tmp_path / "filter.sock")))
        await envelope_told(one)
        assert await one.letter(arrival()) == PASSED
        await one.close()
        server.close()
        await asyncio.gather(*filter._tasks, return_exceptions=True)

    run(test)


# --- changes


def changed(*answers: bytes, letter: bytes = LETTER, desks: Desks | None = None) -> Changed:
    found: list[Verdict] = []

    async def test() -> None:
        async with Filter(E=[*answers, CONTINUE]) as filter:
            found.append(await verdict_of(filter, letter, desks))

    run(test)
    (verdict,) = found
    assert isinstance(verdict, Changed), verdict
    return verdict


def octets(verdict: Changed) -> bytes:
    return bytes(verdict.arrival.blob.contents())


def test_fields_are_added_inserted_changed_and_taken_away() -> None:
    verdict = changed(
        packet(b"h", b"X-Added\0at the\n\tend\0"),
        packet(b"i", b"\0\0\0\0X-Top\0first\0"),
        packet(b"m", b"\0\0\0\2X-Spam\0\0"),
        packet(b"m", b"\0\0\0\1Subject\0other\0"),
    )
    assert octets(verdict) == (
        b"X-Top: first\r\nSubject: other\r\nX-Spam: one\r\nTo: a@b.test,\r\n\tc@d.test\r\n"
        b"X-Added: at the\r\n\tend\r\n\r\nbody\r\n.end\r\n"
    )
    assert verdict.what == "header" and not verdict.junk
    arrived = verdict.arrival
    assert arrived.facts.header_size == len(arrived.header) == octets(verdict).index(b"body")


def test_a_new_body_comes_in_pieces() -> None:
    verdict = changed(packet(b"b", b"new "), packet(b"h", b"A\0b\0"), packet(b"b", b"body\r\n"))
    assert octets(verdict) == LETTER.partition(b"\r\n\r\n")[0] + b"\r\nA: b\r\n\r\nnew body\r\n"
    assert verdict.what == "body+header"


def test_a_large_letter_is_never_written_in_one_piece() -> None:
    desks = Desks()
    body = b"y" * 3_000_000
    verdict = changed(packet(b"h", b"A\0b\0"), letter=b"S: x\r\n\r\n" + body, desks=desks)
    assert octets(verdict) == b"S: x\r\nA: b\r\n\r\n" + body
    assert desks.sheets[0].largest <= 256 * 1024


def test_recipients_and_sender_are_changed() -> None:
    verdict = changed(
        packet(b"+", b"<bob@example.test>\0"),
        packet(b"+", b"bob@EXAMPLE.test\0"),
        packet(b"-", b"<alice@Example.test>\0"),
        packet(b"e", b"<new@other.test>\0"),
    )
    envelope = verdict.arrival.envelope
    assert [each.account for each in envelope.recipients] == [BOB]
    assert str(envelope.sender) == "new@other.test"
    assert verdict.what == "recipients+sender" and octets(verdict) == LETTER
    assert changed(packet(b"e", b"<>\0")).arrival.envelope.sender is None


def test_recipients_that_nobody_here_is_are_told_of_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        verdict = changed(packet(b"+", b"<x@away.test>\0"), packet(b"+", b"<not an address\0"))
    assert [each.account for each in verdict.arrival.envelope.recipients] == [ALICE]
    assert len([each for each in caplog.records if "milter.ignored" in each.message]) == 2


def test_a_quarantined_letter_is_junk() -> None:
    verdict = changed(packet(b"q", b"looks bad\0"))
    assert verdict.junk == "quarantined: looks bad" and octets(verdict) == LETTER


def test_as_much_as_may_be_is_changed() -> None:
    most = [packet(b"q", b"x\0")] * (MILTER_CHANGES - 1)
    field = packet(b"h", b"X\0" + b"y" * (HEADER_OCTETS - 4) + b"\0")
    assert len(octets(changed(*most, field))) == len(LETTER) + HEADER_OCTETS + 1
    assert octets(changed(packet(b"b", b"y" * (MILTER_PACKET_OCTETS - 1)))).count(b"y") > MILTER_PACKET_OCTETS - 2


def test_a_refusal_at_the_end_makes_the_changes_nothing() -> None:
    async def test() -> None:
        desks = Desks()
        async with Filter(E=[packet(b"b", b"x"), packet(b"h", b"A\0b\0"), packet(b"r")]) as filter:
            assert await verdict_of(filter, desks=desks) == REJECT
        assert all(each.discarded for each in desks.sheets)

    run(test)
