"""Faults as answers."""

from __future__ import annotations

import pytest

from postroom.imap.server.refusals import (
    Goodbye,
    announces_unasked,
    because,
    farewell,
    of_fault,
    refuse_literal,
)
from postroom.net.stream import Farewell
from postroom.store.changes import Reason, Refused
from postroom.store.interface import StorageFull, StoreBusy, StoreFault


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_of_the_store_has_words_and_a_code(reason: Reason) -> None:
    refusal = because(Refused(reason))
    assert refusal.text.isascii()
    assert refusal.code.isalpha()


def test_what_went_wrong_in_the_store_is_not_told() -> None:
    codes = ((StorageFull, b"OVERQUOTA"), (StoreBusy, b"INUSE"), (StoreFault, b"UNAVAILABLE"))
    for kind, code in codes:
        refusal = of_fault(kind("/secret/path"))
        assert refusal.code == code
        assert b"secret" not in refusal.text


@pytest.mark.parametrize("why", Farewell)
def test_every_farewell_has_words(why: Farewell) -> None:
    assert farewell(why).code == b"UNAVAILABLE"


@pytest.mark.parametrize(
    ("tail", "announces"),
    [
        (b"x {5+}\r\n", True),
        (b"x {5+}\n", True),
        (b"x ~{5+}\r\n", True),
        (b"0" * 20 + b"5+}\r\n", True),
        (b"+}\r\n", True),
        (b"x {5}\r\n", False),
        (b"x 5+}\r\n", False),
        (b"x {5+} \r\n", False),
        (b"\r\n", False),
        (b"", False),
    ],
)
def test_the_end_of_a_dropped_line_may_announce_octets(tail: bytes, announces: bool) -> None:
    assert announces_unasked(tail) is announces


def test_a_line_that_is_no_command_announces_nothing() -> None:
    refuse_literal(b"DONE\r\n")
    refuse_literal(b"x {5}\r\n")
    with pytest.raises(Goodbye):
        refuse_literal(b"x {5+}\r\n")
