from __future__ import annotations

from pathlib import Path

import pytest

from postroom.intake.checks.greylist import greylist_check
from postroom.intake.envelope import PASSED, Passed, Rejected
from postroom.intake.judging import CallerCheck
from postroom.net.limits import GREYLIST_RETRY_SECONDS
from postroom.smtp.replies import R450_GREYLISTED
from tests.intake.checks.callers import Clock, caller, judged, memory

LATER = Rejected(R450_GREYLISTED)
KEEP = 35 * 86_400


class Door:
    def __init__(self, folder: Path, delay: float = 300) -> None:
        self.clock = Clock()
        self.check: CallerCheck = greylist_check(memory(folder, self.clock), delay, KEEP)

    def tries(self, peer: str = "192.0.2.1", **who: str) -> Passed | Rejected:
        return judged(self.check, caller(peer, **who))


def test_a_first_try_is_put_off_and_one_after_the_delay_passes(tmp_path: Path) -> None:
    door = Door(tmp_path)
    assert [door.tries(), door.tries()] == [LATER, LATER]
    door.clock.now += 299
    assert door.tries() == LATER
    door.clock.now += 1
    assert [door.tries(), door.tries()] == [PASSED, PASSED]


def test_another_sender_recipient_or_network_begins_anew(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.tries()
    door.clock.now += 300
    assert door.tries(sender="ann@other.test") == LATER
    assert door.tries(recipient="bob@example.test") == LATER
    assert door.tries("192.0.3.1") == LATER
    assert door.tries("192.0.2.200", sender="JO@other.test") == PASSED
    assert door.tries("2001:db8::1") == LATER
    door.clock.now += 300
    assert door.tries("2001:db8::2") == PASSED


def test_who_comes_back_too_late_begins_anew(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.tries()
    door.clock.now += GREYLIST_RETRY_SECONDS + 301
    assert door.tries() == LATER
    door.clock.now += 300
    assert door.tries() == PASSED


def test_who_writes_now_and_then_is_not_forgotten(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.tries()
    door.clock.now += 300
    for _ in range(4):
        assert door.tries() == PASSED
        door.clock.now += KEEP - 3601
    door.clock.now += KEEP
    assert door.tries() == LATER


@pytest.mark.parametrize("name", ["postmaster", "Postmaster", "abuse", "abuse+x"])
def test_complaints_are_never_put_off(tmp_path: Path, name: str) -> None:
    assert Door(tmp_path).tries(recipient=f"{name}@example.test") == PASSED


def test_a_clock_that_was_put_back_keeps_nobody_waiting_for_hours(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.tries()
    door.clock.now -= 7200
    assert door.tries() == LATER
    door.clock.now += 300
    assert door.tries() == PASSED


def test_without_a_delay_everybody_passes(tmp_path: Path) -> None:
    assert Door(tmp_path, 0).tries() == PASSED


def test_trouble_with_the_memory_lets_everybody_pass(tmp_path: Path) -> None:
    assert Door(tmp_path / "nowhere").tries() == PASSED
