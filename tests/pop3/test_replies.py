from __future__ import annotations

import re

from postroom.pop3 import replies
from postroom.pop3.replies import Reply

_ALL = {name: value for name, value in vars(replies).items() if name.isupper()}
_CODES = {"", "AUTH", "IN-USE", "SYS/TEMP", "SYS/PERM"}


def test_every_reply_is_one_line_of_at_most_512_octets() -> None:
    for name, value in _ALL.items():
        octets = value.octets if isinstance(value, Reply) else value
        assert re.fullmatch(rb"(\+OK|-ERR)( \[[A-Z/-]+\])? [ -~]+\r\n", octets), name
        assert len(octets) <= 512


def test_response_codes_are_registered_ones() -> None:
    assert {value.code for value in _ALL.values() if isinstance(value, Reply)} == _CODES


def test_only_the_clients_mistakes_are_held_against_it() -> None:
    for name, value in _ALL.items():
        if isinstance(value, Reply) and value.code.startswith(("SYS", "IN-USE")):
            assert not value.blames, name
