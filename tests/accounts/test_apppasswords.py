"""App passwords: enough bits, one way to compare, names and protocols that people can tell apart."""

from __future__ import annotations

import re

import pytest

from postroom.accounts.apppasswords import (
    check_name,
    check_protocols,
    hash_app_password,
    is_one_of,
    make_app_password,
)
from postroom.net.limits import APP_PASSWORD_NAME_CHARACTERS


def test_each_is_new_and_has_130_bits_in_letters_nobody_confuses() -> None:
    made = {make_app_password() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"([a-km-np-z2-9]{5}-){4}[a-km-np-z2-9]{6}", each) for each in made)
    assert len(set("".join(made)) - {"-"}) == 32


def test_it_may_be_typed_without_the_groups_and_in_capitals() -> None:
    made = make_app_password()
    kept = hash_app_password(made.encode())
    assert made not in kept
    for typed in (made, made.replace("-", ""), made.upper(), made.replace("-", " ")):
        assert is_one_of(typed.encode(), [kept])
    assert not is_one_of(made[:-1].encode(), [kept]) and not is_one_of(b"", [kept]) and not is_one_of(b"x", [])


def test_all_are_compared() -> None:
    hashes = [hash_app_password(b"%d" % number) for number in range(20)]
    assert all(is_one_of(b"%d" % number, hashes) for number in range(20))


@pytest.mark.parametrize("name", ["", " x", "x ", "a\nb", "a\x1b[2Jb", "a\u202eb", "\udcff"])
def test_a_name_is_printable(name: str) -> None:
    with pytest.raises(ValueError):
        check_name(name)


def test_limit_of_a_name_and_one_more() -> None:
    assert check_name("ü" * APP_PASSWORD_NAME_CHARACTERS)
    for count in (APP_PASSWORD_NAME_CHARACTERS + 1, 100 * APP_PASSWORD_NAME_CHARACTERS):
        with pytest.raises(ValueError, match=str(APP_PASSWORD_NAME_CHARACTERS)):
            check_name("a" * count)


def test_protocols_stand_in_order_and_once() -> None:
    assert check_protocols(["imap", "smtp", "imap"]) == ("smtp", "imap")
    assert check_protocols([]) == ()
    with pytest.raises(ValueError, match="'imaps' is none of"):
        check_protocols(["imaps"])
