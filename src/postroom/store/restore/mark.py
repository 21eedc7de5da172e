"""What tells that a restore is under way, or was cut short."""

from __future__ import annotations

from typing import Final

__all__ = ["RESTORING"]

RESTORING: Final = "restoring"
"""The file that says that a data directory isn't whole yet."""
