"""Judgements on clients and letters: a small file for each, one async function from a value to a verdict in it.

`CHECKS` are those of letters that need no configuration, in their order; `site` puts the others together
(`postroom.intake.judging`).
"""

from __future__ import annotations

from typing import Final

from postroom.intake.checks.loop import check_loop
from postroom.intake.envelope import Check

CHECKS: Final[tuple[Check, ...]] = (check_loop,)
