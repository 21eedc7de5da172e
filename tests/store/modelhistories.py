"""Histories of a store: lines of steps, drawn and made short by hypothesis (a state machine in its words).

A step is a few numbers; what they ask of the store, `modelwishes` draws from what the model knows to be there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.store.crash import Lost
from tests.store.model import Wish
from tests.store.modelwalk import Form, Walk, ground
from tests.store.modelwishes import Dice, a_common_wish, a_letter, a_wish

__all__ = ["walk_through"]

_CRASHES_IN_COMPACTION: Final = 0.2
_SEEDS = st.integers(0, 2**32 - 1)
_SOME = st.lists(_SEEDS, min_size=1, max_size=4)


class Histories(RuleBasedStateMachine):
    """One history. Subclasses say where, and of which form of the store."""

    folder: Path
    template: Path
    form: Form

    def __init__(self) -> None:
        super().__init__()
        self.walk = Walk(self.folder, self.template, self.form)

    def _dice(self, seed: int) -> Dice:
        return Dice(self.walk.world, seed)

    def _wishes(self, seeds: list[int]) -> list[Wish]:
        """Where there are limits several letters may come in one turn, but nothing else beside them: they may be
        refused for what another change of the same turn makes room for."""
        if len(seeds) == 1:
            return [a_wish(self._dice(seeds[0]))]
        draw = a_letter if self.walk.world.limited else a_common_wish
        return [draw(self._dice(seed)) for seed in seeds]

    @rule(seeds=_SOME, which=st.integers(0, 2))
    def changes(self, seeds: list[int], which: int) -> None:
        """In one turn, so that they become one transaction."""
        self.walk.ask(self._wishes(seeds), which)

    @rule(seeds=_SOME, which=st.integers(0, 2))
    def more_changes(self, seeds: list[int], which: int) -> None:
        """The same, so that it comes twice as often."""
        self.walk.ask(self._wishes(seeds), which)

    @rule(seed=_SEEDS)
    def sessions_catch_up(self, seed: int) -> None:
        """Those that know mailboxes by their changes alone."""
        self.walk.follow(self._dice(seed))

    @rule(what=st.sampled_from((Walk.reopen, Walk.open_another, Walk.compact)))
    def upkeep(self, what: Callable[[Walk], None]) -> None:
        """A restart in good order; one more store on the same directory, as another process has it; compaction of
        every segment that nobody writes to."""
        what(self.walk)

    @rule(seeds=_SOME, when=st.floats(0, 1), lost=st.sampled_from(Lost), seed=_SEEDS)
    def crash(self, seeds: list[int], when: float, lost: Lost, seed: int) -> None:
        """While changes are under way, or compaction."""
        dice = self._dice(seed)
        if dice.random() < _CRASHES_IN_COMPACTION:
            self.walk.crash_compacting(when, lost, dice)
        else:
            self.walk.crash(self._wishes(seeds), when, lost, dice)

    def teardown(self) -> None:
        """The end of the history."""
        self.walk.end()


def walk_through(form: Form, chosen: settings) -> None:
    """As many histories as the settings say. Raises what the first one that goes wrong raises."""
    with ground() as (folder, template):
        place = {"folder": folder, "template": template, "form": form}
        machine = type("Histories", (Histories,), place)
        quiet = settings(chosen, deadline=None, suppress_health_check=list(HealthCheck))
        run_state_machine_as_test(machine, settings=quiet)
