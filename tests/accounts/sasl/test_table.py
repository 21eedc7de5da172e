"""Which mechanisms are offered when, and that nothing but these can be run."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.accounts.sasl import MECHANISMS, Cancelled, Malformed, NoSuchMechanism, offered
from postroom.accounts.sasl.exchange import Circumstances
from tests.accounts.sasl.desk import Desk, exchange


@pytest.mark.parametrize(
    ("circumstances", "names"),
    [
        (Circumstances(), ("PLAIN", "LOGIN")),
        (Circumstances(scram=True), ("SCRAM-SHA-256", "PLAIN", "LOGIN")),
        (Circumstances(b"x", scram=True), ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")),
        (Circumstances(b"x"), ("PLAIN", "LOGIN")),
        (Circumstances(certified=("a@x",)), ("PLAIN", "LOGIN", "EXTERNAL")),
        (Circumstances(tokens=True), ("PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2")),
        (Circumstances(b"x", ("a@x",), True, True), MECHANISMS),
    ],
)
def test_what_is_offered_is_what_can_be_done(circumstances: Circumstances, names: tuple[str, ...]) -> None:
    assert offered(circumstances) == names
    for name in set(MECHANISMS) - set(names):
        with pytest.raises(NoSuchMechanism):
            exchange(name, b"", [], Desk(), circumstances)


@pytest.mark.parametrize("name", ["CRAM-MD5", "SCRAM-SHA-1", "ANONYMOUS", "", "PLAIN ", "PLAIN\n"])
def test_a_mechanism_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(NoSuchMechanism):
        exchange(name, None)


@given(st.sampled_from(MECHANISMS), st.lists(st.binary(max_size=60), min_size=4, max_size=4))
@settings(max_examples=100, deadline=None)
def test_hostile_answers_are_malformed_and_nothing_worse(mechanism: str, answers: list[bytes]) -> None:
    try:
        exchange(mechanism, None, answers)
    except (Malformed, Cancelled):
        pass
