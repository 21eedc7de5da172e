"""After any history of changes and crashes the store says what a model of plain dictionaries says."""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import Phase, settings

from tests.scale import scaled
from tests.store.modelhistories import walk_through
from tests.store.modelwalk import FORMS, Form

HISTORIES: Final = scaled(60, 3000)
"""Of all forms of the store together."""
STEPS: Final = scaled(30, 50)
PHASES: Final = (Phase.reuse, Phase.generate, *([Phase.shrink] if os.environ.get("POSTROOM_SHRINK") else []))
"""To make a history short takes minutes, and is for whoever looks for the cause (POSTROOM_SHRINK=1)."""


@pytest.mark.parametrize("form", list(FORMS.values()), ids=list(FORMS))
def test_after_any_history_the_store_says_what_a_model_says(form: Form) -> None:
    chosen = settings(max_examples=HISTORIES // len(FORMS), stateful_step_count=STEPS, phases=PHASES)
    walk_through(form, chosen)
