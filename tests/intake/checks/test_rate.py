from __future__ import annotations

from pathlib import Path

import pytest

from postroom.intake.checks.rate import rate_check
from postroom.intake.envelope import PASSED, Rejected
from postroom.smtp.replies import R450_RATE
from tests.intake.checks.callers import Clock, caller, judged, memory

TOO_FAST = Rejected(R450_RATE)


@pytest.mark.parametrize("limit", [1, 5])
def test_so_many_letters_pass_in_a_minute_and_no_more(tmp_path: Path, limit: int) -> None:
    clock = Clock()
    check = rate_check(memory(tmp_path, clock), limit)
    assert [judged(check, caller()) for _ in range(limit)] == [PASSED] * limit
    assert [judged(check, caller()) for _ in range(100 * limit)] == [TOO_FAST] * 100 * limit
    clock.now += 59.9
    assert judged(check, caller()) == TOO_FAST
    clock.now += 0.1
    assert judged(check, caller()) == PASSED


def test_it_is_counted_by_sender_and_network(tmp_path: Path) -> None:
    check = rate_check(memory(tmp_path, Clock()), 1)
    assert judged(check, caller()) == PASSED
    assert judged(check, caller(sender="JO@other.test")) == TOO_FAST
    assert judged(check, caller(sender="ann@other.test")) == PASSED
    assert judged(check, caller(sender="")) == PASSED
    assert judged(check, caller(sender="")) == TOO_FAST
    assert judged(check, caller("192.0.2.2")) == PASSED
    assert judged(check, caller("2001:db8::1")) == PASSED
    assert judged(check, caller("2001:db8::ffff:1")) == TOO_FAST
    assert judged(check, caller("2001:db8:0:1::1")) == PASSED


def test_all_workers_count_together(tmp_path: Path) -> None:
    clock = Clock()
    one, other = (rate_check(memory(tmp_path, clock), 2) for _ in range(2))
    assert [judged(one, caller()), judged(other, caller())] == [PASSED, PASSED]
    assert [judged(one, caller()), judged(other, caller())] == [TOO_FAST, TOO_FAST]


def test_a_clock_that_was_put_back_makes_no_minute_of_hours(tmp_path: Path) -> None:
    clock = Clock()
    check = rate_check(memory(tmp_path, clock), 1)
    judged(check, caller())
    clock.now -= 7200
    assert judged(check, caller()) == PASSED


def test_trouble_with_the_memory_lets_everybody_pass(tmp_path: Path) -> None:
    check = rate_check(memory(tmp_path / "nowhere", Clock()), 1)
    assert [judged(check, caller()) for _ in range(5)] == [PASSED] * 5
