"""Commands of any state, and those that change nothing."""

from __future__ import annotations

import pytest

from postroom.net.limits import IMAP_ID_FIELD_OCTETS, IMAP_ID_FIELDS, IMAP_ID_VALUE_OCTETS
from tests.imap.server.house import House, login, select

OFFERED = {
    "IMAP4rev1",
    "LITERAL+",
    "SASL-IR",
    "UIDPLUS",
    "NAMESPACE",
    "ID",
    "IDLE",
    "ENABLE",
    "UNSELECT",
    "MOVE",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "LIST-EXTENDED",
    "CHILDREN",
}


def test_capability_names_all_that_is_offered(house: House) -> None:
    talked = house.talk(f"{login()}\nC: a CAPABILITY\nS: * CAPABILITY {{words}}\nS: a OK *")
    words = talked.names["words"].split()
    assert sorted(words) == sorted(OFFERED)


def test_capability_before_the_login_tells_how_to_log_in(house: House) -> None:
    talked = house.talk("S: * OK *\nC: a CAPABILITY\nS: * CAPABILITY {words}\nS: a OK *")
    assert set(talked.names["words"].split()) == OFFERED | {"STARTTLS", "AUTH=PLAIN", "AUTH=LOGIN"}


def test_noop_does_nothing(house: House) -> None:
    house.talk("S: * OK *\nC: a NOOP\nS: a OK *\nC: b nOoP\nS: b OK *\nC< c NOOP\\n\nS: c OK *")


def test_check_needs_a_mailbox(house: House) -> None:
    house.talk(f"{login()}\nC: a CHECK\nS: a BAD *\n{select(letters=0)}\nC: b CHECK\nS: b OK *")


def test_logout_says_bye_and_ends(house: House) -> None:
    house.talk("S: * OK *\nC< a LOGOUT\\r\\nb NOOP\\r\\n\nS: * BYE *\nS: a OK *\nS! end")
    house.talk(f"{login()}\n{select(letters=0)}\nC: a LOGOUT\nS: * BYE *\nS: a OK *\nS! end")


@pytest.mark.parametrize("arguments", ["NIL", "nil", "()", '("name" "mutt" "version" NIL)'])
def test_id_is_exchanged_in_any_state(house: House, arguments: str) -> None:
    house.talk(f'S: * OK *\nC: a ID {arguments}\nS: * ID ("name" "Postroom")\nS: a OK *')


@pytest.mark.parametrize("over", [0, 1])
def test_id_is_bounded(house: House, over: int) -> None:
    fields = " ".join('"a" "b"' for _ in range(IMAP_ID_FIELDS + over))
    long_field = f'"{"a" * (IMAP_ID_FIELD_OCTETS + over)}" "b"'
    long_value = f'"a" "{"b" * (IMAP_ID_VALUE_OCTETS + over)}"'
    for each in (fields, long_field, long_value):
        told = "" if over else "S: * ID *\n"
        house.talk(f"S: * OK *\nC: a ID ({each})\n{told}S: a {'BAD' if over else 'OK'} *")


def test_lists_in_lists_are_not_read_before_the_login(house: House) -> None:
    house.talk(f'S: * OK *\nC: a ID {"(" * 5000}\nS: a BAD *\nC: b ID (("a" "b"))\nS: b BAD *')


def test_enable_switches_on_what_is_there_to_be(house: House) -> None:
    house.talk(f"{login()}\nC: a ENABLE CONDSTORE X-NONSENSE\nS: * ENABLED\nS: a OK *\nC: b ENABLE\nS: b BAD *")


def test_namespace_is_the_root(house: House) -> None:
    house.talk(f'{login()}\nC: a NAMESPACE\nS: * NAMESPACE (("" "/")) NIL NIL\nS: a OK *')
