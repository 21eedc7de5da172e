"""i;unicode-casemap (RFC 5051)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message import casemap as module
from postroom.message.casemap import casemap


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hello", "HELLO"),
        ("Grüße", "GRÜßE"),
        ("Gru\u0308ße", "grüße"),
        ("ǆ", "ǅ"),
        ("ΑΒΓ", "αβγ"),
        ("почта", "ПОЧТА"),
        ("ﬁ", "fi".upper().lower()),
        ("ｆｕｌｌ", "full"),
        ("Å", "Å"),
        ("²", "2"),
    ],
)
def test_what_people_hold_for_the_same_is_the_same(one: str, other: str) -> None:
    assert casemap(one).casefold() == casemap(other).casefold()


def test_titlecase_is_one_to_one() -> None:
    # RFC 5051 2 takes UnicodeData's single titlecase; eszett has none
    assert casemap("ß") == "ß"
    assert casemap("straße") == "STRAßE"
    assert casemap("é") == "E\u0301"


def test_different_letters_stay_different() -> None:
    assert casemap("e") != casemap("é")
    assert casemap("o") != casemap("0")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_text_that_is_mapped_stays_as_it_is(text: str) -> None:
    mapped = casemap(text)
    assert casemap(mapped) == casemap(casemap(mapped))
    assert casemap(text + "x") == mapped + "X"


def test_ascii_goes_the_same_way_as_the_rest() -> None:
    ascii = "".join(map(chr, range(128)))
    assert casemap(ascii + "é")[:-2] == casemap(ascii)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    mapping = module._Mapping()
    for code in range(0x100, 0x200):
        assert mapping[code] == casemap(chr(code))
    assert len(mapping) == 10
