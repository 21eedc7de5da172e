"""kill -9 of the whole group at chosen calls to the system: what was acknowledged is there, the rest whole or not
at all. Kills at random instants under load are in test_crash.py."""

from __future__ import annotations

import dataclasses
import itertools
import random
import time
from pathlib import Path

import pytest

from postroom.net.running import RESTART_STEADY
from postroom.store.changes import Reason
from tests.faults.edge import EVER, Action, Edge, Plan
from tests.faults.forms import WRITERS, shared
from tests.faults.look import passwords_of, seen_by_clients, seen_by_store
from tests.faults.story import do_all, do_and_look, house_below, problems, strays
from tests.faults.trace import Kind
from tests.faults.workload import workload
from tests.faults.world import Kept, World, differences, settle
from tests.house import House
from tests.scale import scaled

INSTANTS = shared(scaled(6, 100))
ALONE = shared(scaled(2, 100))
"""Processes killed alone."""
STARTS = shared(scaled(2, 20))
AIMS = [Plan(), Plan(kinds={Kind.SYNC}), Plan(), Plan(within="segments*")]
"""What is counted to choose an instant; writes to the index's log are nine of ten of all calls."""


def _settled(house: House, possible: list[World]) -> World:
    """Look at a house that has just been started."""
    world = settle(seen_by_clients(house), possible)
    assert problems(house.data) == []
    assert strays(house.data) == []
    return world


def _count(edge: Edge, house: House, aim: Plan, possible: list[World]) -> tuple[int, list[World]]:
    """How many calls a workload makes, with the tidying before it."""
    world = settle(seen_by_clients(house), possible)
    edge.arm(dataclasses.replace(aim, at=EVER))
    possible = do_all(house, world, "counted")
    edge.disarm()
    return edge.seen, possible


def _spread(calls: int, count: int) -> list[int]:
    """Numbers of calls, evenly over all, and none of them foreseen."""
    dice = random.Random(calls)
    return [int((at + dice.random()) * calls / count) + 1 for at in range(count)]


@pytest.mark.parametrize("writer", WRITERS)
def test_killed_at_a_chosen_call_nothing_is_lost_or_half_visible(tmp_path: Path, writer: str) -> None:
    with Edge(tmp_path, tmp_path / "data") as edge, house_below(edge, tmp_path, writer) as house:
        house.start()
        possible = do_all(house, seen_by_clients(house), "first")
        plans: list[Plan] = []
        for number, aim in enumerate(AIMS):
            calls, possible = _count(edge, house, aim, possible)
            instants = _spread(calls, len(range(number, INSTANTS, len(AIMS))))
            actions = itertools.cycle((Action.KILL_BEFORE, Action.KILL_AFTER))
            plans += [dataclasses.replace(aim, action=next(actions), at=at) for at in instants]
        fired = 0
        for number, plan in enumerate(plans):
            world = _settled(house, possible)
            edge.arm(plan, house.group)
            possible = do_all(house, world, f"{number}")
            fired += edge.fired
            edge.disarm()
            house.kill()
            house.start()
        _settled(house, possible)
        assert house.stop() == 0
    # A round may make fewer calls than the one that was counted: zeros written ahead, a log that begins anew.
    assert fired >= INSTANTS * 2 // 3
    assert "Traceback" not in house.log(), house.log()


@pytest.mark.parametrize("writer", WRITERS)
def test_one_process_killed_at_a_chosen_call_is_replaced_and_no_answer_was_wrong(
    tmp_path: Path, writer: str
) -> None:
    """Whoever makes the call is killed, alone: the worker, the authority, with a keeper the keeper."""
    with Edge(tmp_path, tmp_path / "data") as edge, house_below(edge, tmp_path, writer) as house:
        house.start()
        dice = random.Random(writer)
        world, fired, number, again = seen_by_clients(house), 0, 0, 0.0
        while fired < ALONE:
            for choose in workload(world, f"{number}"):
                # A role that has just been started would wait before its next start.
                wanted = fired < ALONE and time.monotonic() > again
                action = dice.choice((Action.KILL_BEFORE, Action.KILL_AFTER)) if wanted else Action.COUNT
                world = do_and_look(house, edge, world, choose, Plan(action, at=dice.randint(1, 12)))
                if edge.fired:
                    fired += 1
                    again = time.monotonic() + 2 * RESTART_STEADY * dice.random() + RESTART_STEADY
            number += 1
        assert problems(house.data) == []
        assert house.stop() == 0
    assert "Traceback" not in house.log(), house.log()


@pytest.mark.parametrize("writer", WRITERS)
def test_killed_while_it_makes_its_house_and_accounts(tmp_path: Path, writer: str) -> None:
    """The first command on an empty folder: migrations, the certificate, secrets, the first account."""
    hashed = "{SHA512-CRYPT}$6$rounds=1000$salt$" + f"{1:086}"
    add = ("account", "add", "alice@example.test", "--password-stdin", "--hash")

    def attempt(name: str, plan: Plan) -> int:
        """Killed or not, the next try finds all well; gives the calls that there were."""
        folder = tmp_path / name
        folder.mkdir()
        with Edge(folder, folder / "data") as edge, house_below(edge, folder, writer) as house:
            edge.arm(plan)
            first = house.run(*add, input=hashed)
            assert (first.returncode == 0) is (edge.fired == 0), first.stderr
            calls = edge.seen
            edge.disarm()
            again = house.run(*add, input=hashed)
            # Killed behind its last commit, the account is there.
            assert again.returncode == 0 or Reason.ACCOUNT_EXISTS.value in again.stderr, again.stderr
            assert "Traceback" not in again.stderr
            assert passwords_of(house.data) == {"alice@example.test": hashed}
            assert [place for place in seen_by_store(house.data).boxes if place[1] == "INBOX"]
            assert problems(house.data) == []
        return calls

    calls = attempt("counted", Plan(at=EVER))
    for at in _spread(calls, STARTS):
        attempt(f"{at}", Plan(Action.KILL_AFTER, at=at))


def test_the_comparison_tells_what_differs() -> None:
    """The checker is checked: a lost letter, a lost mailbox, a UID that is used again."""
    full = World().with_account("alice@example.test")
    inbox = ("alice@example.test", "INBOX")
    filed = full.at(inbox, lambda box: box.file([Kept("one"), Kept("two")]))
    assert differences(filed, filed) == []
    lost = filed.at(inbox, lambda box: box.without([2]))
    again = full.at(inbox, lambda box: box.file([Kept("two"), Kept("one")]))
    for other in (full, lost, again, filed.without_boxes([inbox]), filed.at(inbox, lambda box: box.flag([1], "x"))):
        assert differences(other, filed)
