"""Judgements on a letter, each a small file with one `async (Arrival) -> Verdict`; `CHECKS` is their order."""

from __future__ import annotations

from typing import Final

from postroom.intake.checks.loop import check_loop
from postroom.intake.envelope import Check

CHECKS: Final[tuple[Check, ...]] = (check_loop,)
