from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import logging
from collections.abc import Callable

import pytest

from postroom.intake.envelope import (
    DISCARDED,
    PASSED,
    Arrival,
    Caller,
    Changed,
    Check,
    Envelope,
    Junk,
    Passed,
    Rejected,
    Verdict,
)
from postroom.intake.judging import CallerCheck, Judged, Judging, Stage, Visit, judge
from postroom.smtp.replies import R451_FILTER, R550_FILTER, R550_HELLO
from tests.intake.milter.filter import ALICE, CALLER, LETTER, Desks, Filter, Sheet, arrival, milter, packet

NO = Rejected(R550_HELLO)


def stranger(verdict: Passed | Rejected, heard: list[Caller], name: str = "stranger") -> CallerCheck:
    async def check(caller: Caller) -> Passed | Rejected:
        heard.append(caller)
        return verdict

    check.__name__ = f"check_{name}"
    return check


def letters(name: str, verdict: Callable[[Arrival], Verdict]) -> Check:
    async def check(arrival: Arrival) -> Verdict:
        return verdict(arrival)

    check.__name__ = f"check_{name}"
    return check


def result(*checks: Check, notes: list[str] | None = None) -> object:
    judging = Judging(letters=checks)
    return asyncio.run(judge(judging, arrival(), notes.append if notes is not None else None))


def test_checks_of_strangers_are_for_strangers() -> None:
    heard: list[Caller] = []
    judging = Judging(
        {stage: [stranger(PASSED, heard)] for stage in Stage},
        exempt=[ipaddress.ip_network("198.51.100.0/24"), ipaddress.ip_network("2001:db8::/32")],
    )

    async def comes(caller: Caller) -> None:
        visit = Visit(judging, Desks().desk)
        assert await visit.hello(caller) is None
        assert await visit.mail(caller) is None
        assert await visit.rcpt(caller) is None

    asyncio.run(comes(CALLER))
    assert heard == [CALLER] * 3
    heard.clear()
    for known in (
        dataclasses.replace(CALLER, login="alice@example.test"),
        dataclasses.replace(CALLER, door="lmtp"),
        dataclasses.replace(CALLER, door="submission"),
        dataclasses.replace(CALLER, door="submissions"),
        dataclasses.replace(CALLER, peer="198.51.100.7"),
        dataclasses.replace(CALLER, peer="2001:db8::1%eth0"),
    ):
        asyncio.run(comes(known))
    assert not heard
    asyncio.run(comes(dataclasses.replace(CALLER, peer="")))
    assert len(heard) == 3


@pytest.mark.parametrize("stage", list(Stage))
def test_a_stranger_who_is_turned_away_is_told_in_log_and_trace(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    notes: list[str] = []
    visit = Visit(Judging({stage: [stranger(PASSED, []), stranger(NO, [])]}), Desks().desk, notes.append)
    step = {Stage.HELLO: visit.hello, Stage.MAIL: visit.mail, Stage.RCPT: visit.rcpt}[stage]
    with caplog.at_level(logging.INFO):
        verdict = asyncio.run(step(CALLER))
    assert verdict == NO and verdict is not None and verdict.judge == "stranger"
    assert notes == [f"check stranger: rejected, 550 5.7.1 {R550_HELLO.text}"]
    (line,) = [each.message for each in caplog.records]
    assert line.startswith("intake.turned-away session=a1 peer=192.0.2.1 ")
    assert f"stage={stage.value} check=stranger" in line and line.endswith('reply="550 5.7.1"')


def test_what_passed_is_told_with_the_letter() -> None:
    notes: list[str] = []
    table = {stage: [stranger(PASSED, [], stage.value)] for stage in (Stage.HELLO, Stage.RCPT)}
    loop = letters("loop", lambda _: PASSED)
    visit = Visit(Judging(table, [loop]), Desks().desk, notes.append)

    async def comes() -> list[object]:
        await visit.hello(CALLER)
        found: list[object] = []
        for _ in range(2):
            await visit.rcpt(CALLER)
            await visit.rcpt(CALLER)
            found.append(await visit.letter(arrival()))
        return found

    for judged in asyncio.run(comes()):
        assert isinstance(judged, Judged) and judged.words == ("hello", "rcpt", "loop")
    assert notes[0] == "checks: hello passed" and notes[3] == "checks: hello passed, rcpt passed, loop passed"


def test_a_stage_without_checks_has_nothing_to_say() -> None:
    visit = Visit(Judging({Stage.MAIL: [stranger(NO, [])]}), Desks().desk)
    assert [visit.has(stage) for stage in Stage] == [False, True, False]
    with_filter = Visit(Judging(milters=[milter(Filter.nowhere())]), Desks().desk)
    assert all(with_filter.has(stage) for stage in Stage)


def test_the_first_check_that_rejects_is_heard_and_named() -> None:
    notes: list[str] = []

    def never(each: Arrival) -> Verdict:
        raise AssertionError

    verdict = result(letters("a", lambda _: PASSED), letters("b", lambda _: NO), letters("c", never), notes=notes)
    assert verdict == NO and isinstance(verdict, Rejected) and verdict.judge == "b"
    assert notes == [f"checks: a passed, b:rejected: 550 5.7.1 {R550_HELLO.text}"]


def test_a_check_without_a_name_is_called_after_its_kind() -> None:
    class Guard:
        async def __call__(self, arrival: Arrival) -> Verdict:
            return PASSED

    judged = result(Guard())
    assert isinstance(judged, Judged) and judged.words == ("Guard",)


def test_junk_goes_on_to_the_next_check() -> None:
    notes: list[str] = []
    judged = result(letters("a", lambda _: Junk("x: y")), letters("b", lambda _: Junk("z")), notes=notes)
    assert isinstance(judged, Judged) and judged.junk == "x: y" and judged.words == ("a:junk", "b:junk")
    assert notes == ["checks: a:junk, b:junk: x: y"]


def test_a_discarded_letter_goes_nowhere() -> None:
    assert result(letters("a", lambda _: DISCARDED)) == DISCARDED


def remade(old: Arrival, *, text: bytes = LETTER, empty: bool = False) -> Changed:
    new = arrival(text)
    return Changed(
        dataclasses.replace(new, envelope=Envelope(None, () if empty else new.envelope.recipients)), "header"
    )


def test_what_a_filter_made_is_what_the_next_check_sees_and_the_old_one_is_forgotten() -> None:
    seen: list[Arrival] = []

    def look(each: Arrival) -> Verdict:
        seen.append(each)
        return remade(each)

    judged = result(letters("a", look), letters("b", look), letters("c", look))
    assert isinstance(judged, Judged)
    sheets = [each.blob for each in seen] + [judged.arrival.blob]
    assert [sheet.discarded for sheet in sheets if isinstance(sheet, Sheet)] == [False, True, True, False]


@pytest.mark.parametrize("end", [NO, DISCARDED, None])
def test_what_a_filter_made_is_forgotten_where_the_letter_goes_nowhere(end: Verdict | None) -> None:
    made: list[Changed] = []

    def make(each: Arrival) -> Verdict:
        made.append(remade(each))
        return made[0]

    def ends(each: Arrival) -> Verdict:
        if end is None:
            raise OSError
        return end

    try:
        assert result(letters("a", make), letters("b", ends)) == end
    except OSError:
        assert end is None
    assert isinstance(made[0].arrival.blob, Sheet) and made[0].arrival.blob.discarded


def test_a_letter_whose_recipients_a_filter_took_away_goes_nowhere() -> None:
    assert result(letters("a", lambda each: remade(each, empty=True))) == DISCARDED


def run_with(filter: Filter, *, after: Check | None = None) -> object:
    async def comes() -> object:
        async with filter:
            judging = Judging(milters=[milter(filter.place)] * 2, filtered=[after] if after else [])
            visit = Visit(judging, Desks().desk)
            try:
                for refused in (await visit.hello(CALLER), await visit.mail(CALLER), await visit.rcpt(CALLER)):
                    if refused is not None:
                        return refused
                return await visit.letter(arrival())
            finally:
                await visit.close()

    return asyncio.run(comes())


def test_each_filter_sees_what_the_one_before_it_made() -> None:
    add = [packet(b"h", b"X-Filter\0here\0"), packet(b"c")]
    judged = run_with(
        Filter(E=add), after=letters("after", lambda each: Junk("x") if b"X-Filter" in each.header else PASSED)
    )
    assert isinstance(judged, Judged) and judged.junk == "x"
    assert bytes(judged.arrival.blob.contents()).count(b"X-Filter: here\r\n") == 2
    assert [word.rpartition(":")[2] for word in judged.words] == ["changed", "changed", "junk"]
    assert [each.account for each in judged.arrival.envelope.recipients] == [ALICE]


@pytest.mark.parametrize("step", ["C", "H", "M", "R", "B", "E"])
def test_a_filter_that_refuses_is_named(step: str) -> None:
    verdict = run_with(Filter(**{step: packet(b"r")}))
    assert verdict == Rejected(R550_FILTER) and isinstance(verdict, Rejected)
    assert verdict.judge.startswith("milter[inet:127.0.0.1:")


def test_a_letter_that_goes_on_after_its_filter_refused_a_new_name_is_put_off() -> None:
    async def comes() -> object:
        async with Filter() as filter:
            visit = Visit(Judging(milters=[milter(filter.place)]), Desks().desk)
            await visit.hello(CALLER)
            await visit.mail(CALLER)
            await visit.rcpt(CALLER)
            filter.answers[b"H"] = [packet(b"r")]
            assert await visit.hello(CALLER) is not None
            verdict = await visit.letter(arrival())
            await visit.close()
            return verdict

    assert asyncio.run(comes()) == Rejected(R451_FILTER)
