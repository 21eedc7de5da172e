from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest
import uvloop

from postroom.intake.checks.blocklist import blocklist_check, make_resolver
from postroom.intake.envelope import PASSED, Caller, Passed, Rejected
from postroom.net.limits import BLOCKLIST_ANSWERS_KEPT, BLOCKLIST_REASON_CHARACTERS
from tests.intake.checks.callers import Clock, caller
from tests.intake.checks.nameserver import Nameserver, serving

ZONES = ("first.bl.test", "second.bl.test")
V4 = "1.2.0.192"
V6 = ".".join(reversed("20010db8000000000000000000000001"))


def judged(
    server: Nameserver, *callers: Caller, zones: Sequence[str] = ZONES, clock: Clock | None = None, step: float = 0
) -> list[Passed | Rejected]:
    async def judge() -> list[Passed | Rejected]:
        time = clock or Clock()
        async with serving(server):
            check = blocklist_check(zones, make_resolver([("127.0.0.1", server.port)]), time)
            found = []
            for each in callers or (caller(),):
                found.append(await check(each))
                time.now += step
            return found

    # What the server runs on.
    return uvloop.run(judge())


def text(verdict: Passed | Rejected) -> str:
    assert isinstance(verdict, Rejected) and (verdict.reply.code, verdict.reply.enhanced) == (554, "5.7.1")
    return verdict.reply.text


def test_an_address_that_no_list_has_passes() -> None:
    server = Nameserver()
    assert judged(server) == [PASSED]
    assert sorted(server.asked) == [(f"{V4}.{zone}", "A") for zone in ZONES]


def test_a_listed_address_is_refused_with_the_lists_name_and_reason() -> None:
    server = Nameserver(
        a={f"{V4}.second.bl.test": ["127.0.0.2"]}, txt={f"{V4}.second.bl.test": ["See http://bl.test/192.0.2.1"]}
    )
    (verdict,) = judged(server)
    assert text(verdict) == "[192.0.2.1] is listed by second.bl.test: See http://bl.test/192.0.2.1"


def test_ipv6_goes_by_nibbles() -> None:
    # RFC 5782 2.4
    server = Nameserver(a={f"{V6}.first.bl.test": ["127.0.0.4"]})
    (verdict,) = judged(server, caller("2001:db8::1"))
    assert text(verdict) == "[2001:db8::1] is listed by first.bl.test"


@pytest.mark.parametrize(
    ("answers", "listed"),
    [
        (["127.0.0.2"], True),
        (["127.1.2.3"], True),
        (["127.255.255.254"], False),
        (["127.255.255.1", "127.0.0.9"], True),
        (["192.0.2.99"], False),
        (["128.0.0.1"], False),
    ],
)
def test_only_answers_that_mean_so_count(answers: list[str], listed: bool) -> None:
    (verdict,) = judged(Nameserver(a={f"{V4}.first.bl.test": answers}))
    assert (verdict != PASSED) == listed


def test_a_lists_reason_is_made_fit_for_a_reply() -> None:
    name = f"{V4}.first.bl.test"
    server = Nameserver(a={name: ["127.0.0.2"]}, txt={name: [r"a\013\010250 ok\009\195\169"]})
    assert text(judged(server)[0]).endswith(": a?250 ok?")
    for octets in (BLOCKLIST_REASON_CHARACTERS, 250):
        server.txt[name] = ["x" * octets]
        assert text(judged(server)[0]).count("x") == min(octets, BLOCKLIST_REASON_CHARACTERS)
    server.txt[name] = ['" "'.join(["x" * 250] * 60)]
    assert len(text(judged(server)[0])) < 300


def test_a_list_that_fails_means_nothing_and_keeps_no_other_from_its_word(caplog: pytest.LogCaptureFixture) -> None:
    listed = {f"{V4}.second.bl.test": ["127.0.0.2"]}
    with caplog.at_level(logging.WARNING):
        assert judged(Nameserver(failing={"bl.test"})) == [PASSED]
        (verdict,) = judged(Nameserver(failing={"first.bl.test"}, a=listed))
    assert text(verdict)
    assert ["blocklist.unanswered zone=" in each.message for each in caplog.records] == [True] * 3


def test_a_silent_list_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("postroom.intake.checks.blocklist._TRY_SECONDS", 0.02)
    monkeypatch.setattr("postroom.intake.checks.blocklist.BLOCKLIST_SECONDS", 0.1)
    with caplog.at_level(logging.WARNING):
        assert judged(Nameserver(silent={"bl.test"})) == [PASSED]
    assert len(caplog.records) == 2


def test_nobody_at_the_resolvers_place_means_nothing() -> None:
    async def judge() -> Passed | Rejected:
        async with serving(Nameserver()) as gone:
            pass
        resolver = make_resolver([("127.0.0.1", gone.port)])
        resolver.timeout = resolver.lifetime = 0.05
        return await blocklist_check(ZONES, resolver)(caller())

    assert asyncio.run(judge()) == PASSED


def test_what_was_learned_is_remembered_as_long_as_it_is_good_for() -> None:
    server = Nameserver(a={f"{V4}.first.bl.test": ["127.0.0.2"]}, ttl=60)
    assert PASSED not in judged(server, *[caller()] * 7, zones=ZONES[:1], step=20)
    assert [kind for _, kind in server.asked].count("A") == 3


@pytest.mark.parametrize("count", [3, 4, 300])
def test_no_more_addresses_are_remembered_than_may_be(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    assert BLOCKLIST_ANSWERS_KEPT == 10_000
    monkeypatch.setattr("postroom.intake.checks.blocklist.BLOCKLIST_ANSWERS_KEPT", 3)
    server = Nameserver()
    crowd = [
        caller(f"192.0.2.{number % 256}" if number < 256 else f"198.51.100.{number - 256}")
        for number in range(count)
    ]
    judged(server, *crowd, crowd[0], zones=ZONES[:1])
    assert len(server.asked) == (count if count <= 3 else count + 1)


@pytest.mark.parametrize("name", ["postmaster", "Abuse"])
def test_complaints_come_in_from_everywhere(name: str) -> None:
    server = Nameserver(a={f"{V4}.first.bl.test": ["127.0.0.2"]})
    assert judged(server, caller(recipient=f"{name}@example.test")) == [PASSED]


def test_who_has_no_address_is_not_asked_about() -> None:
    server = Nameserver()
    assert judged(server, caller("")) == [PASSED] and not server.asked


def test_without_servers_those_of_the_system_are_asked() -> None:
    assert make_resolver([]).nameservers
