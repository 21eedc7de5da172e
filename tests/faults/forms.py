"""The writer's forms (docs/design.md, "The store"): every scenario of crashes and faults goes through each."""

from __future__ import annotations

from typing import Final

from tests.scale import SOAK

WRITERS: Final = ["inline", "keeper"]
"""Values of the configuration's `writer`."""


def settings_of(writer: str) -> str:
    """What a configuration says to have this form."""
    return f'writer = "{writer}"'


def roles_of(writer: str) -> list[str]:
    """The roles that may be killed while the others go on."""
    return ["worker-0", "authority", "runner", *(["keeper"] if writer == "keeper" else [])]


def shared(count: int) -> int:
    """A count for each form: all of it in `make soak`, together as much in `make test`."""
    return count if SOAK else max(1, count // len(WRITERS))
