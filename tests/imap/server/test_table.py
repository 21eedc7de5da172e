"""The table of verbs, and what comes from it."""

from __future__ import annotations

import re

import pytest

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.server.session import State
from postroom.imap.server.table import EXTENSIONS, TABLE, Mask, Row

WANTED = (
    b"CAPABILITY NOOP LOGOUT LOGIN AUTHENTICATE STARTTLS LIST LSUB SUBSCRIBE UNSUBSCRIBE CREATE DELETE RENAME "
    b"SELECT "
    b"EXAMINE STATUS APPEND FETCH STORE COPY MOVE SEARCH EXPUNGE CHECK CLOSE UNSELECT IDLE NAMESPACE ID ENABLE"
).split()
BY_UID = {b"UID " + verb for verb in (b"FETCH", b"STORE", b"COPY", b"MOVE", b"SEARCH", b"EXPUNGE")}


def test_every_verb_has_its_row() -> None:
    assert set(TABLE) == {*WANTED, *BY_UID}


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.verb.decode())
def test_a_row_says_where_its_verb_is_from(row: Row) -> None:
    assert re.fullmatch(r"RFC \d+ [\d.]+(, RFC \d+ [\d.]+)*", row.section)
    assert row.help
    assert row.handle.__doc__


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.verb.decode())
@pytest.mark.parametrize("rest", [b"", b"\r\n", b" \r\n", b" \x00\xff(\r\n", b" (" + b"(" * 1000 + b"\r\n"])
def test_a_reader_refuses_in_its_one_way(row: Row, rest: bytes) -> None:
    try:
        row.read(rest, 0)
    except SyntaxFault as fault:
        assert fault.text.isascii()


def test_expunges_are_held_back_where_numbers_are_in_use() -> None:
    """RFC 3501 7.4.1 and 5.5."""
    assert {row.verb for row in TABLE.values() if not row.expunges} == {b"FETCH", b"STORE", b"SEARCH"}
    assert {row.verb for row in TABLE.values() if row.by_uid} == BY_UID


def test_secrets_are_those_of_the_login() -> None:
    assert {row.verb for row in TABLE.values() if row.secret} == {b"LOGIN", b"AUTHENTICATE"}
    assert all(row.states is State.NOT_AUTHENTICATED for row in TABLE.values() if row.secret)


def test_no_extension_is_told_of_twice() -> None:
    words = b" ".join(EXTENSIONS).split()
    assert len(set(words)) == len(words)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"a NOOP\r\n", b"a NOOP\r\n"),
        (b"a LOGIN bob secret\r\n", b"a LOGIN ***\r\n"),
        (b"a LOGIN\r\n", b"a LOGIN\r\n"),
        (b"a LOGIN{3}\r\n", b"a LOGIN ***\r\n"),
        (b"a login\tbob secret\r\n", b"a login ***\r\n"),
        (b"a AUTHENTICATE PLAIN\r\n", b"a AUTHENTICATE PLAIN\r\n"),
        (b"a AUTHENTICATE plain AGE=\r\n", b"a AUTHENTICATE plain ***\r\n"),
        (b"a AUTHENTICATE PLAINAGE=\r\n", b"a AUTHENTICATE ***\r\n"),
        (b"a AUTHENTICATE LOGIN Ym9i\r\n", b"a AUTHENTICATE LOGIN ***\r\n"),
        (b"a AUTHENTICATE AGE=\r\n", b"a AUTHENTICATE ***\r\n"),
        (b"a LOGOUT\r\n", b"a LOGOUT\r\n"),
        (b"a SELECT LOGINS\r\n", b"a SELECT LOGINS\r\n"),
        (b"\x00\xff\r\n", b"\x00\xff\r\n"),
        (b"", b""),
    ],
)
def test_the_mask_hides_secrets_only(line: bytes, shown: bytes) -> None:
    assert Mask()(line) == shown


def test_what_follows_a_secret_is_hidden_until_a_verb_is_known() -> None:
    mask = Mask()
    lines = [b"a AUTHENTICATE PLAIN\r\n", b"AGE=\r\n", b"two words\r\n", b"b NOOP\r\n", b"two words\r\n"]
    assert [mask(line) for line in lines] == [lines[0], b"***\r\n", b"***\r\n", lines[3], lines[4]]
