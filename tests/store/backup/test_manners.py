"""A backup beside a running server rests more than it works."""

from __future__ import annotations

from postroom.net.limits import BACKUP_REST_SHARE, BACKUP_WORK_SECONDS
from postroom.store.backup.manners import resting


class _Clock:
    """Time that passes only where it is said."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_each_piece_of_work_is_told_and_followed_by_a_rest_that_is_longer() -> None:
    clock, heard = _Clock(), list[tuple[str, int, int]]()
    told = resting(lambda *what: heard.append(what), clock, clock.sleep)
    for done in (1, 2, 3):
        clock.now += 0.002
        told("letters", done, 3)
    assert heard == [("letters", 1, 3), ("letters", 2, 3), ("letters", 3, 3)]
    assert [round(each, 6) for each in clock.slept] == [round(0.002 * BACKUP_REST_SHARE, 6)] * 3
    assert BACKUP_REST_SHARE > 1


def test_small_pieces_are_paid_for_together() -> None:
    clock = _Clock()
    told = resting(lambda *_: None, clock, clock.sleep)
    for done in range(40):
        clock.now += BACKUP_WORK_SECONDS / 10
        told("verifying", done, 40)
    assert 3 <= len(clock.slept) <= 4
    assert sum(clock.slept) >= 0.9 * 3 * BACKUP_WORK_SECONDS * BACKUP_REST_SHARE


def test_a_piece_that_a_slow_disk_held_up_is_not_followed_by_an_endless_rest() -> None:
    clock = _Clock()
    told = resting(lambda *_: None, clock, clock.sleep)
    clock.now += 60
    told("letters", 1, 1)
    assert clock.slept == [0.25]
