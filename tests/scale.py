"""How much each scenario does: little in `make test`, what is promised in `make soak` (POSTROOM_SOAK=1)."""

from __future__ import annotations

import os

SOAK = bool(os.environ.get("POSTROOM_SOAK"))


def scaled(test: int, soak: int) -> int:
    """A count: `test` of it in `make test`, `soak` of it in `make soak`."""
    return soak if SOAK else test


LETTERS = scaled(30, 500)
"""Letters that each real client carries."""
ROUNDS = scaled(8, 200)
"""kill -9 of the whole group under load, and of each role alone."""
